"""What is placement as an integer programme? The noun's exact cost over columns and rows, for any exact solver.

Workers of a job are alike, so the columns count them by node while they stay at home. Whoever comes is counted by class
of nodes (open, of one domain, rack and model), and by size on each node, since equal newcomers are alike there; so that
there are few columns. What a gang holds in a domain, and what a domain has
free, is chosen from a list of values (one column each), which makes squares and shares linear and the relaxation as
tight as one term at a time allows. Every placement has values of the columns whose objective is its cost
(:func:`tasks.yardsticks.placement_values.values_of`), and the cheapest values are those of the cheapest placement.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from tasks.problems.placement import Placement
from tasks.problems.placement_kernel import Ints, stranded

Floats = npt.NDArray[np.float64]

Name = tuple[str | int, ...]
"""What a column says: a word, then the job, node, gang, domain, rack or number that it is about."""

UNBOUNDED = np.inf


@dataclass(frozen=True, slots=True, eq=False)
class Programme:
    """Minimise ``cost @ x + constant`` with ``low <= rows @ x <= high`` and ``0 <= x <= upper``, all of x whole.

    Args:
        names: what each column says, ``(columns,)``:

            - ``stay job node``: workers that stay at home there; ``come job class``: workers that come to such nodes;
              ``fill size node``: workers of so many GPUs that come there;
            - ``moved job``, ``placed job``, ``model job model``: whether; the last of waiting jobs without a model;
            - ``slice gang domain gpus total``: whether the gang, holding ``total``, holds ``gpus`` there;
            - ``total gang total``: whether a gang with waiting jobs holds so many;
            - ``largest gang``, ``smallest gang``, ``uneven gang``: GPUs of its slices;
            - ``domains gang``, ``racks gang``: those beyond the fewest; ``rack gang rack``: whether it stands there;
            - ``free domain gpus``: whether so many are free; ``next domain``, ``way domain gpus``: whether the domain
              is kept for a next gang, and that with so many free;
            - ``idle node``: whether the node is kept free.
        cost: ``(columns,)``.
        upper: ``(columns,)``.
        rows: ``(rows, columns)``.
        node_class: of each node, ``(nodes,)``.
        low: ``(rows,)``.
        high: ``(rows,)``.
    """

    names: tuple[Name, ...]
    cost: Floats
    constant: float
    upper: Floats
    rows: csr_array
    low: Floats
    high: Floats
    node_class: Ints


def programme_of(problem: Placement) -> Programme:
    """Return ``problem`` as an integer programme."""
    sheet = _Sheet(problem)
    _jobs(sheet)
    _nodes(sheet)
    _gangs(sheet)
    _domains(sheet)
    shape = (len(sheet.low), len(sheet.names))
    rows = csr_array((sheet.values, (sheet.at_row, sheet.at_column)), shape=shape, dtype=np.float64)
    return Programme(
        tuple(sheet.names),
        np.array(sheet.cost, np.float64),
        sheet.constant,
        np.array(sheet.upper, np.float64),
        rows,
        np.array(sheet.low, np.float64),
        np.array(sheet.high, np.float64),
        sheet.node_class,
    )


class _Sheet:
    """The programme while it is written. Mutable; lives within one call of :func:`programme_of`."""

    def __init__(self, problem: Placement) -> None:
        self.crew, self.room = problem.crew, problem.room
        self.names: list[Name] = []
        self.cost: list[float] = []
        self.upper: list[float] = []
        self.constant = 0.0
        self.at_row: list[int] = []
        self.at_column: list[int] = []
        self.values: list[float] = []
        self.low: list[float] = []
        self.high: list[float] = []
        alike = np.stack([self.room.domain, self.room.rack, self.room.model, self.room.open], axis=1)
        _, first, number = np.unique(alike, axis=0, return_index=True, return_inverse=True)
        self.node_class: Ints = number.ravel().astype(np.int64)
        self.one_of: list[int] = first.tolist()  # a node of each class
        # where workers of a job may stand: (node, column) at home, (a node of the class, column) elsewhere, and
        # (node, count) where those that may not move do stand
        self.stays: dict[int, list[tuple[int, int]]] = defaultdict(list)
        self.comes: dict[int, list[tuple[int, int]]] = defaultdict(list)
        self.fixed: dict[int, list[tuple[int, int]]] = defaultdict(list)
        self.size = self.crew.size[self.crew.job_first[:-1]].tolist() if self.crew.job_gang.size else []

    def counts(self, job: int) -> list[tuple[int, int]]:
        """Return the columns that count workers of ``job``, each with a node of where they stand."""
        return self.stays[job] + self.comes[job]

    def rooms(self, job: int, nodes: Ints) -> dict[int, int]:
        """Return the workers of ``job`` that ``nodes``, were they free, could hold: by class."""
        workers = int(self.crew.job_first[job + 1] - self.crew.job_first[job])
        held = np.bincount(self.node_class[nodes], self.room.capacity[nodes] // self.size[job])
        return {int(number): min(workers, int(held[number])) for number in np.flatnonzero(held)}

    def column(self, *name: str | int, cost: float = 0.0, upper: float = 1.0) -> int:
        self.names.append(name)
        self.cost.append(cost)
        self.upper.append(upper)
        return len(self.names) - 1

    def row(self, terms: Iterable[tuple[int, float]], *, low: float = -UNBOUNDED, high: float = UNBOUNDED) -> None:
        for column, value in terms:
            self.at_row.append(len(self.low))
            self.at_column.append(column)
            self.values.append(value)
        self.low.append(low)
        self.high.append(high)

    def equal(self, terms: Iterable[tuple[int, float]], value: float) -> None:
        self.row(terms, low=value, high=value)


def _jobs(sheet: _Sheet) -> None:
    """Say where workers may stand, that running jobs stand whole, waiting ones whole or not at all, and who moves."""
    crew, room = sheet.crew, sheet.room
    moves: list[tuple[int, float]] = []
    held = 0
    for job in range(crew.job_gang.size):
        first, last = int(crew.job_first[job]), int(crew.job_first[job + 1])
        size, workers = sheet.size[job], last - first
        homes = Counter(crew.home[first:last].tolist())
        running = crew.home[first] >= 0
        if running and not crew.movable[first]:
            sheet.fixed[job] = sorted(homes.items())
            continue
        alike = room.model == crew.model[first] if crew.model[first] != -1 else np.ones(room.model.size, np.bool_)
        fits = np.flatnonzero((room.open == 1) & alike & (room.capacity >= size))
        if not running:
            _waiting(sheet, job, fits if crew.movable[first] and crew.job_ready[job] else fits[:0])
            continue
        moved = sheet.column("moved", job, cost=float(crew.job_restart[job]))
        terms = []
        for node, there in sorted(homes.items()):
            stay = sheet.column("stay", job, node, upper=there)
            sheet.row([(stay, 1.0), (moved, there)], low=there)
            sheet.stays[job].append((node, stay))
            moves.append((stay, -size))
            terms.append((stay, 1.0))
        for number, upper in sheet.rooms(job, fits).items():
            come = sheet.column("come", job, number, upper=upper)
            sheet.comes[job].append((sheet.one_of[number], come))
            terms.append((come, 1.0))
        held += size * workers
        sheet.equal(terms, workers)
    sheet.row(moves, high=int(crew.budget) - held)


def _waiting(sheet: _Sheet, job: int, fits: Ints) -> None:
    crew, room = sheet.crew, sheet.room
    workers = int(crew.job_first[job + 1] - crew.job_first[job])
    sheet.constant += float(crew.job_wait[job])
    if not fits.size:
        return
    placed = sheet.column("placed", job, cost=-float(crew.job_wait[job]))
    models = np.unique(room.model[fits]).tolist()
    chosen = {models[0]: placed}
    if len(models) > 1:
        chosen = {model: sheet.column("model", job, model) for model in models}
        sheet.equal([(placed, -1.0), *((column, 1.0) for column in chosen.values())], 0.0)
    terms: dict[int, list[tuple[int, float]]] = {model: [(chosen[model], -workers)] for model in models}
    for number, upper in sheet.rooms(job, fits).items():
        come = sheet.column("come", job, number, upper=upper)
        node = sheet.one_of[number]
        sheet.comes[job].append((node, come))
        terms[int(room.model[node])].append((come, 1.0))
    for of_model in terms.values():
        sheet.equal(of_model, 0.0)


def _nodes(sheet: _Sheet) -> None:
    """Hold each node's GPUs, keep nodes spare, and price workers on nodes that are being drained."""
    crew, room = sheet.crew, sheet.room
    taken: dict[int, list[tuple[int, float]]] = defaultdict(list)
    left = room.capacity.astype(np.int64).copy()
    for job, places in sheet.stays.items():
        for node, column in places:
            taken[node].append((column, sheet.size[job]))
            if not room.open[node]:
                sheet.cost[column] += float(crew.drain_weight) * sheet.size[job]
    coming: dict[tuple[int, int], list[tuple[int, float]]] = defaultdict(list)
    for job, places in sheet.comes.items():
        for node, column in places:
            coming[sheet.size[job], int(sheet.node_class[node])].append((column, -1.0))
    for (size, number), terms in coming.items():
        fills = []
        for node in np.flatnonzero((sheet.node_class == number) & (room.capacity >= size)).tolist():
            fill = sheet.column("fill", size, node, upper=int(room.capacity[node]) // size)
            fills.append((fill, 1.0))
            taken[node].append((fill, size))
        sheet.equal([*fills, *terms], 0.0)
    for job, standing in sheet.fixed.items():
        for node, count in standing:
            left[node] -= sheet.size[job] * count
            if not room.open[node]:
                sheet.constant += float(crew.drain_weight) * sheet.size[job] * count
    kept: dict[int, list[int]] = defaultdict(list)
    for node in range(left.size):
        domain, capacity = int(room.domain[node]), int(room.capacity[node])
        terms = taken[node]
        if room.domain_spare[domain] and room.open[node] and capacity and left[node] == capacity:
            idle = sheet.column("idle", node)
            kept[domain].append(idle)
            terms = [*terms, (idle, capacity)]
        if terms:
            sheet.row(terms, high=int(left[node]))
    for domain, columns in kept.items():
        sheet.row([(column, 1.0) for column in columns], low=int(room.domain_spare[domain]))


def _gangs(sheet: _Sheet) -> None:
    """Price traffic, slices and racks of each gang that could stand in more than one place."""
    crew = sheet.crew
    jobs_of: dict[int, list[int]] = defaultdict(list)
    for job, gang in enumerate(crew.job_gang.tolist()):
        jobs_of[gang].append(job)
    for gang, jobs in jobs_of.items():
        if sum(int(crew.job_first[job + 1] - crew.job_first[job]) for job in jobs) > 1:
            _gang(sheet, gang, jobs)


def _gang(sheet: _Sheet, gang: int, jobs: Sequence[int]) -> None:
    crew, room = sheet.crew, sheet.room
    inside: dict[int, list[tuple[int, float]]] = defaultdict(list)
    fixed: Counter[int] = Counter()
    racks: dict[int, set[int]] = defaultdict(set)
    here: dict[int, list[tuple[int, float]]] = defaultdict(list)  # of racks
    for job in jobs:
        for node, column in sheet.counts(job):
            inside[int(room.domain[node])].append((column, sheet.size[job]))
            here[int(room.rack[node])].append((column, 1.0))
            racks[int(room.domain[node])].add(int(room.rack[node]))
        for node, count in sheet.fixed[job]:
            fixed[int(room.domain[node])] += sheet.size[job] * count
            racks[int(room.domain[node])].add(int(room.rack[node]))
    whole, always = [], True
    totals = {0}
    for job in jobs:
        gpus = sheet.size[job] * int(crew.job_first[job + 1] - crew.job_first[job])
        whole.append(gpus)
        running = crew.home[crew.job_first[job]] >= 0
        always &= bool(running)
        totals = {total + gpus for total in totals} | (set() if running else totals)
    traffic = float(crew.gang_traffic[gang])
    present: dict[int, int] = {}
    if always:
        sheet.constant += traffic
    else:
        present = {total: sheet.column("total", gang, total, cost=traffic if total else 0.0) for total in totals}
        sheet.equal([(column, 1.0) for column in present.values()], 1.0)
    all_slices: dict[int, list[tuple[int, float]]] = defaultdict(list)  # by total
    largest = sheet.column("largest", gang, upper=sum(whole))
    smallest = sheet.column("smallest", gang, upper=sum(whole))
    touched: dict[int, list[tuple[int, float]]] = {}
    for domain in sorted({*inside, *fixed}):
        values = _values(sheet, jobs, domain, sum(whole))
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
            if always:
                sheet.equal(chosen, 1.0)
            else:
                sheet.equal([*chosen, (present[total], -1.0)], 0.0)
        sheet.equal([*held, *((column, -value) for column, value in inside[domain])], fixed[domain])
        touched[domain] = [(column, 1.0) for column, _ in held]
        sheet.row([(largest, 1.0), *((column, -gpus) for column, gpus in held)], low=0.0)
        beyond = [(column, sum(whole) - gpus) for column, gpus in held]
        sheet.row([(smallest, 1.0), *beyond], high=sum(whole))
    for total, column in present.items():
        if total:
            sheet.equal([*all_slices[total], (column, -total)], 0.0)
    uneven = sheet.column("uneven", gang, cost=float(crew.gang_uneven[gang]), upper=sum(whole))
    sheet.row([(uneven, 1.0), (largest, -1.0), (smallest, 1.0)], low=0.0)
    _beyond(sheet, "domains", gang, [term for terms in touched.values() for term in terms])
    used = []
    for rack in sorted(set().union(*racks.values())):
        column = sheet.column("rack", gang, rack)
        used.append((column, 1.0))
        for domain, its in racks.items():
            if its == {rack}:
                sheet.row([(column, 1.0), *((slice_, -1.0) for slice_, _ in touched[domain])], low=0.0)
        most = sum(int(crew.job_first[job + 1] - crew.job_first[job]) for job in jobs)
        sheet.row([(column, most), *((place, -1.0) for place, _ in here[rack])], low=0.0)
        if any(room.rack[node] == rack for job in jobs for node, _ in sheet.fixed[job]):
            sheet.row([(column, 1.0)], low=1.0)
    _beyond(sheet, "racks", gang, used)


def _beyond(sheet: _Sheet, word: str, gang: int, used: list[tuple[int, float]]) -> None:
    """Price the domains or racks ``used`` beyond the fewest."""
    crew = sheet.crew
    if word == "domains":
        weight, fewest = crew.domain_weight, crew.gang_domains[gang]
    else:
        weight, fewest = crew.rack_weight, crew.gang_racks[gang]
    column = sheet.column(word, gang, cost=float(weight), upper=len(used))
    sheet.row([(column, 1.0), *((place, -1.0) for place, _ in used)], low=-int(fewest))


def _values(sheet: _Sheet, jobs: Sequence[int], domain: int, most: int) -> list[int]:
    """Return the GPUs that ``jobs`` may hold together in ``domain``, ascending from 0."""
    crew, room = sheet.crew, sheet.room
    capacity = int(room.capacity[room.domain == domain].sum())
    reached = {0}
    for job in jobs:
        size = sheet.size[job]
        workers = int(crew.job_first[job + 1] - crew.job_first[job])
        reached = {value + size * count for value in reached for count in range(workers + 1)}
        reached = {value for value in reached if value <= min(capacity, most)}
    return sorted(reached)


def _domains(sheet: _Sheet) -> None:
    """Price the free GPUs of broken-up domains, and those that stand in the way of the next gangs."""
    crew, room = sheet.crew, sheet.room
    step = max(1, int(np.gcd.reduce(crew.size))) if crew.size.size else 1
    held: dict[int, list[tuple[int, float]]] = defaultdict(list)
    fixed: Counter[int] = Counter()
    for job in range(crew.job_gang.size):
        for node, column in sheet.counts(job):
            if room.open[node]:
                held[int(room.domain[node])].append((column, sheet.size[job]))
    for job, standing in sheet.fixed.items():
        for node, count in standing:
            if room.open[node]:
                fixed[int(room.domain[node])] += sheet.size[job] * count
    nearest = []
    for domain, capacity in enumerate(room.domain_capacity.tolist()):
        if capacity <= 0:
            continue
        columns = {}
        for free in range(capacity % step, capacity + 1, step):
            price = float(crew.stranded_weight * stranded(free, capacity))
            columns[free] = sheet.column("free", domain, free, cost=price)
        sheet.equal([(column, 1.0) for column in columns.values()], 1.0)
        whole = [(column, free) for free, column in columns.items() if free]
        sheet.equal([*whole, *held[domain]], capacity - fixed[domain])
        if room.domain_full_size[domain] and crew.next_gangs:
            kept = sheet.column("next", domain)
            nearest.append((kept, 1.0))
            ways = []
            for free, column in columns.items():
                way = sheet.column("way", domain, free, cost=float(crew.next_weight) * (capacity - free))
                sheet.row([(way, 1.0), (column, -1.0)], high=0.0)
                ways.append((way, 1.0))
            sheet.equal([*ways, (kept, -1.0)], 0.0)
    if nearest:
        sheet.equal(nearest, min(int(crew.next_gangs), len(nearest)))
