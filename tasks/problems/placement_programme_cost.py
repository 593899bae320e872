"""What do gangs and domains cost in the integer programme of placement? Its rows for traffic, slices and free room."""

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np

from tasks.problems.placement_columns import columns_of
from tasks.problems.placement_kernel import Crew, Room, domain_free, stranded, total_cost
from tasks.problems.placement_programme import Part, Programme, Sheet, everything, write_jobs, write_nodes


def programme_of(room: Room, crew: Crew, part: Part | None = None) -> Programme:
    """Return the placement of all jobs, or of a ``part``, as an integer programme."""
    sheet = Sheet(room, crew, part or everything(room, crew))
    write_jobs(sheet)
    write_nodes(sheet)
    for gang, jobs in sheet.gangs.items():
        if sum(sheet.workers(job) for job in jobs) > 1:
            _gang(sheet, gang, jobs)
    _domains(sheet)
    now = columns_of(sheet.names, sheet.node_class, room, crew, sheet.part.node_of)
    return sheet.written(float(total_cost(sheet.part.node_of, room, crew)) - float(now @ np.array(sheet.cost)))


def _gang(sheet: Sheet, gang: int, jobs: Sequence[int]) -> None:
    """Price traffic, slices and racks of a gang that could stand in more than one place."""
    crew, room = sheet.crew, sheet.room
    inside: dict[int, list[tuple[int, float]]] = defaultdict(list)  # columns and GPUs by domain
    fixed: Counter[int] = Counter()
    here: dict[int, list[tuple[int, float]]] = defaultdict(list)  # columns by rack
    racks: dict[int, set[int]] = defaultdict(set)
    always: set[int] = set()  # racks
    totals = {0}
    for job in jobs:
        columns, standing = sheet.counts(job), sheet.fixed[job]
        for node, column in columns:
            inside[int(room.domain[node])].append((column, sheet.size[job]))
            here[int(room.rack[node])].append((column, 1.0))
        for node, count in standing:
            fixed[int(room.domain[node])] += sheet.size[job] * count
            always.add(int(room.rack[node]))
        for node in [node for node, _ in columns + standing]:
            racks[int(room.domain[node])].add(int(room.rack[node]))
        if columns or standing:
            gpus = sheet.size[job] * sheet.workers(job)
            stands = bool(standing) or bool(sheet.stays[job])
            totals = {total + gpus for total in totals} | (set() if stands else totals)
    traffic, most = float(crew.gang_traffic[gang]), max(totals)
    present: dict[int, int] = {}
    if len(totals) > 1:
        present = {
            total: sheet.column("total", gang, total, cost=traffic if total else 0.0) for total in sorted(totals)
        }
        sheet.equal([(column, 1.0) for column in present.values()], 1.0)
    if not inside:
        return
    all_slices: dict[int, list[tuple[int, float]]] = defaultdict(list)  # by total
    largest = sheet.column("largest", gang, upper=most)
    smallest = sheet.column("smallest", gang, upper=most)
    touched: dict[int, list[tuple[int, float]]] = {}
    for domain in sorted({*inside, *fixed}):
        values = _values(sheet, jobs, domain, fixed[domain], most)
        held: list[tuple[int, float]] = []
        for total in sorted(totals - {0}):
            chosen = []
            for gpus in (value for value in values if value <= total):
                share = traffic * gpus**2 / total**2
                column = sheet.column("slice", gang, domain, gpus, total, cost=-share)
                chosen.append((column, 1.0))
                if gpus:
                    held.append((column, gpus))
                    all_slices[total].append((column, gpus))
            if present:
                sheet.equal([*chosen, (present[total], -1.0)], 0.0)
            else:
                sheet.equal(chosen, 1.0)
        sheet.equal([*held, *((column, -value) for column, value in inside[domain])], fixed[domain])
        touched[domain] = [(column, 1.0) for column, _ in held]
        sheet.row([(largest, 1.0), *((column, -gpus) for column, gpus in held)], low=0.0)
        sheet.row([(smallest, 1.0), *((column, most - gpus) for column, gpus in held)], high=most)
    for total, column in present.items():
        if total:
            sheet.equal([*all_slices[total], (column, -total)], 0.0)
    uneven = sheet.column("uneven", gang, cost=float(crew.gang_uneven[gang]), upper=most)
    sheet.row([(uneven, 1.0), (largest, -1.0), (smallest, 1.0)], low=0.0)
    used = [term for terms in touched.values() for term in terms]
    _beyond(sheet, "domains", gang, used, float(crew.domain_weight), int(crew.gang_domains[gang]))
    used = []
    for rack in sorted(set().union(*racks.values())):
        column = sheet.column("rack", gang, rack)
        used.append((column, 1.0))
        for domain, its in racks.items():
            if its == {rack} and touched[domain]:
                sheet.row([(column, 1.0), *((slice_, -1.0) for slice_, _ in touched[domain])], low=0.0)
        workers = sum(sheet.workers(job) for job in jobs)
        sheet.row([(column, workers), *((place, -1.0) for place, _ in here[rack])], low=0.0)
        if rack in always:
            sheet.row([(column, 1.0)], low=1.0)
    _beyond(sheet, "racks", gang, used, float(crew.rack_weight), int(crew.gang_racks[gang]))


def _beyond(sheet: Sheet, word: str, gang: int, used: list[tuple[int, float]], weight: float, fewest: int) -> None:
    """Price the domains or racks ``used`` beyond the fewest."""
    column = sheet.column(word, gang, cost=weight, upper=len(used))
    sheet.row([(column, 1.0), *((place, -1.0) for place, _ in used)], low=-fewest)


def _values(sheet: Sheet, jobs: Sequence[int], domain: int, fixed: int, most: int) -> list[int]:
    """Return the GPUs that ``jobs``, of which those that are not free hold ``fixed``, may hold in ``domain``."""
    room = sheet.room
    low, high = int(room.domain_first[domain]), int(room.domain_first[domain + 1])
    capacity = int(room.capacity[room.domain_nodes[low:high]].sum())
    reached = {fixed}
    for job in jobs:
        able = sum(int(sheet.upper[column]) for node, column in sheet.counts(job) if room.domain[node] == domain)
        count = min(able, sheet.workers(job))
        reached = {value + sheet.size[job] * here for value in reached for here in range(count + 1)}
        reached = {value for value in reached if value <= min(capacity, most)}
    return sorted(reached)


def _domains(sheet: Sheet) -> None:
    """Price the free GPUs of broken-up domains, and those that stand in the way of the next gangs."""
    crew, room = sheet.crew, sheet.room
    held: dict[int, list[tuple[int, float]]] = defaultdict(list)
    most_free = domain_free(sheet.left, room)
    for job in sheet.free:
        for node, column in sheet.counts(job):
            if room.open[node]:
                held[int(room.domain[node])].append((column, sheet.size[job]))
    nearest = []
    still = []  # domains of full size that nobody who is free can touch
    for domain, capacity in enumerate(room.domain_capacity.tolist()):
        if capacity <= 0:
            continue
        most = int(most_free[domain])
        if domain not in held:
            if room.domain_full_size[domain]:
                still.append((capacity - most, domain))
            continue
        step = int(np.gcd.reduce([int(size) for _, size in held[domain]]))
        columns = {}
        for free in range(most % step, most + 1, step):
            price = float(crew.stranded_weight * stranded(free, capacity))
            columns[free] = sheet.column("free", domain, free, cost=price)
        sheet.equal([(column, 1.0) for column in columns.values()], 1.0)
        whole = [(column, free) for free, column in columns.items() if free]
        sheet.equal([*whole, *held[domain]], most)
        if room.domain_full_size[domain] and crew.next_gangs:
            kept = sheet.column("next", domain)
            nearest.append((kept, 1.0))
            ways = []
            for free, column in columns.items():
                way = sheet.column("way", domain, free, cost=float(crew.next_weight) * (capacity - free))
                sheet.row([(way, 1.0), (column, -1.0)], high=0.0)
                ways.append((way, 1.0))
            sheet.equal([*ways, (kept, -1.0)], 0.0)
    _settle_next(sheet, nearest, sorted(still))


def _settle_next(sheet: Sheet, nearest: list[tuple[int, float]], still: list[tuple[int, int]]) -> None:
    """Have so many domains kept as gangs are expected, among them of ``still``, (GPUs held, domain), the emptiest."""
    crew = sheet.crew
    wanted = min(int(crew.next_gangs), len(nearest) + len(still))
    for held, domain in still[:wanted]:
        nearest.append((sheet.column("next", domain, cost=float(crew.next_weight) * held), 1.0))
    if nearest:
        sheet.equal(nearest, wanted)
