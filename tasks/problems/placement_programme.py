"""What is placement as an integer programme? The noun's exact cost over columns and rows, for any exact solver.

Workers of a job are alike, so the columns count them by node while they stay at home. Whoever comes is counted by class
of nodes (open, of one domain, rack and model), and by size on each node, since equal newcomers are alike there; so that
there are few columns. What a gang holds in a domain, and what a domain has free, is chosen from a list of values (one
column each), which makes squares and shares linear and the relaxation as tight as one term at a time allows. Every
placement has values of the columns whose objective is its cost
(:func:`tasks.problems.placement_columns.values_of`), and the cheapest values are those of the cheapest placement.

A *part* of a placement is one too: some jobs are free and go home or to some nodes, all others stand where they are.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from tasks.problems.placement_kernel import Crew, Floats, Ints, Room

Name = tuple[str | int, ...]
"""What a column says: a word, then the job, node, gang, domain, rack or number that it is about."""

Bools = npt.NDArray[np.bool_]

UNBOUNDED = np.inf


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Which jobs are free, and where they may come to; everybody else stands where they are.

    Args:
        node_of: node of each worker, -1 for none, ``(workers,)``; of equal workers as many as possible at home.
        free: ``(jobs,)``; running ones may go home or to ``nodes``, those that waited may also wait again.
            None of them is pinned, and all stand where that lets them.
        nodes: ``(nodes,)``; those that are open count.
    """

    node_of: Ints
    free: Bools
    nodes: Bools


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
        constant: what no choice changes.
        upper: ``(columns,)``.
        rows: ``(rows, columns)``.
        low: ``(rows,)``.
        high: ``(rows,)``.
        node_class: of each node, ``(nodes,)``.
        part: that it is about.
    """

    names: tuple[Name, ...]
    cost: Floats
    constant: float
    upper: Floats
    rows: csr_array
    low: Floats
    high: Floats
    node_class: Ints
    part: Part


def everything(room: Room, crew: Crew) -> Part:
    """Return the whole problem: whoever may move is free to go anywhere."""
    first = crew.job_first[:-1]
    free = crew.movable[first] == 1 if first.size else np.zeros(0, np.bool_)
    return Part(crew.home, free, np.ones(room.capacity.size, np.bool_))


class Sheet:
    """The programme while it is written. Mutable; lives within the writing of one programme."""

    def __init__(self, room: Room, crew: Crew, part: Part) -> None:
        self.crew, self.room, self.part = crew, room, part
        self.names: list[Name] = []
        self.cost: list[float] = []
        self.upper: list[float] = []
        self.at_row: list[int] = []
        self.at_column: list[int] = []
        self.values: list[float] = []
        self.low: list[float] = []
        self.high: list[float] = []
        alike = np.stack([room.domain, room.rack, room.model, room.open], axis=1)
        _, first, number = np.unique(alike, axis=0, return_index=True, return_inverse=True)
        self.node_class: Ints = number.ravel().astype(np.int64)
        self.one_of: list[int] = first.tolist()  # a node of each class
        # where workers of a job may stand: (node, column) at home, (a node of the class, column) elsewhere, and
        # (node, count) where those that are not free do stand
        self.stays: dict[int, list[tuple[int, int]]] = defaultdict(list)
        self.comes: dict[int, list[tuple[int, int]]] = defaultdict(list)
        self.fixed: dict[int, list[tuple[int, int]]] = defaultdict(list)
        self.size: list[int] = crew.size[crew.job_first[:-1]].tolist()
        ready = (crew.home[crew.job_first[:-1]] >= 0) | (crew.job_ready == 1)
        self.free: list[int] = np.flatnonzero(part.free & ready).tolist()
        stands = ~part.free[crew.job] & (part.node_of >= 0)
        taken = np.bincount(part.node_of[stands], crew.size[stands], minlength=room.capacity.size)
        self.left: Ints = room.capacity - taken.astype(np.int64)  # (nodes,) GPUs for those who are free
        away = stands & (crew.home >= 0) & (crew.home != part.node_of)
        self.budget = int(crew.budget) - int(crew.size[away].sum())
        concerned = set(crew.job_gang[self.free].tolist())
        self.gangs: dict[int, list[int]] = defaultdict(list)  # those with somebody who is free: their jobs
        for job in np.flatnonzero(np.isin(crew.job_gang, sorted(concerned))).tolist():
            self.gangs[int(crew.job_gang[job])].append(job)

    def workers(self, job: int) -> int:
        """Return how many workers ``job`` has."""
        return int(self.crew.job_first[job + 1] - self.crew.job_first[job])

    def counts(self, job: int) -> list[tuple[int, int]]:
        """Return the columns that count workers of ``job``, each with a node of where they stand."""
        return self.stays[job] + self.comes[job]

    def rooms(self, job: int, nodes: Ints) -> dict[int, int]:
        """Return the workers of ``job`` that ``nodes``, had all who are free left them, could hold: by class."""
        held = np.bincount(self.node_class[nodes], self.left[nodes] // self.size[job])
        return {int(number): min(self.workers(job), int(held[number])) for number in np.flatnonzero(held)}

    def column(self, *name: str | int, cost: float = 0.0, upper: float = 1.0) -> int:
        """Add a column and return its number."""
        self.names.append(name)
        self.cost.append(cost)
        self.upper.append(upper)
        return len(self.names) - 1

    def row(self, terms: Iterable[tuple[int, float]], *, low: float = -UNBOUNDED, high: float = UNBOUNDED) -> None:
        """Add a row over ``terms``, columns and their factors."""
        for column, value in terms:
            self.at_row.append(len(self.low))
            self.at_column.append(column)
            self.values.append(value)
        self.low.append(low)
        self.high.append(high)

    def equal(self, terms: Iterable[tuple[int, float]], value: float) -> None:
        """Add a row that must be ``value``."""
        self.row(terms, low=value, high=value)

    def written(self, constant: float) -> Programme:
        """Return what was written, with what no choice changes."""
        shape = (len(self.low), len(self.names))
        return Programme(
            tuple(self.names),
            np.array(self.cost, np.float64),
            constant,
            np.array(self.upper, np.float64),
            csr_array((self.values, (self.at_row, self.at_column)), shape=shape, dtype=np.float64),
            np.array(self.low, np.float64),
            np.array(self.high, np.float64),
            self.node_class,
            self.part,
        )


def write_jobs(sheet: Sheet) -> None:
    """Say where workers may stand, that running jobs stand whole, waiting ones whole or not at all, and who moves."""
    crew, room, part = sheet.crew, sheet.room, sheet.part
    for job in (job for jobs in sheet.gangs.values() for job in jobs):
        mine = part.node_of[crew.job_first[job] : crew.job_first[job + 1]]
        if not part.free[job] and mine[0] >= 0:
            sheet.fixed[job] = sorted(Counter(mine.tolist()).items())
    moves: list[tuple[int, float]] = []
    budget = sheet.budget
    able = (room.open == 1) & part.nodes
    for job in sheet.free:
        first, size = int(crew.job_first[job]), sheet.size[job]
        alike = able if crew.model[first] == -1 else able & (room.model == crew.model[first])
        fits = np.flatnonzero(alike & (sheet.left >= size))
        if crew.home[first] < 0:
            _waiting(sheet, job, fits)
            continue
        moved = sheet.column("moved", job, cost=float(crew.job_restart[job]))
        terms = []
        for node, there in sorted(Counter(crew.home[first : crew.job_first[job + 1]].tolist()).items()):
            stay = sheet.column("stay", job, node, upper=there)
            sheet.row([(stay, 1.0), (moved, there)], low=there)
            sheet.stays[job].append((node, stay))
            moves.append((stay, -size))
            terms.append((stay, 1.0))
        for number, upper in sheet.rooms(job, fits).items():
            come = sheet.column("come", job, number, upper=upper)
            sheet.comes[job].append((sheet.one_of[number], come))
            terms.append((come, 1.0))
        budget -= size * sheet.workers(job)
        sheet.equal(terms, sheet.workers(job))
    sheet.row(moves, high=budget)


def _waiting(sheet: Sheet, job: int, fits: Ints) -> None:
    """Say that a waiting ``job`` stands whole on nodes of one model or not at all."""
    crew, room = sheet.crew, sheet.room
    workers = sheet.workers(job)
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


def write_nodes(sheet: Sheet) -> None:
    """Hold each node's GPUs, keep nodes spare, and price workers on nodes that are being drained."""
    crew, room, part = sheet.crew, sheet.room, sheet.part
    taken: dict[int, list[tuple[int, float]]] = defaultdict(list)
    left = sheet.left
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
        for node in np.flatnonzero((sheet.node_class == number) & part.nodes & (left >= size)).tolist():
            fill = sheet.column("fill", size, node, upper=int(left[node]) // size)
            fills.append((fill, 1.0))
            taken[node].append((fill, size))
        sheet.equal([*fills, *terms], 0.0)
    for node, held in taken.items():
        if not _may_be_spare(sheet, node, left):
            sheet.row(held, high=int(left[node]))
    for domain in np.flatnonzero(room.domain_spare).tolist():
        low, high = int(room.domain_first[domain]), int(room.domain_first[domain + 1])
        nodes = [node for node in room.domain_nodes[low:high].tolist() if _may_be_spare(sheet, node, left)]
        kept = []
        for node in (node for node in nodes if node in taken):
            idle = sheet.column("idle", node)
            kept.append((idle, 1.0))
            sheet.row([*taken[node], (idle, int(left[node]))], high=int(left[node]))
        if kept:
            sheet.row(kept, low=int(room.domain_spare[domain]) - (len(nodes) - len(kept)))


def _may_be_spare(sheet: Sheet, node: int, left: Ints) -> bool:
    """Tell whether ``node`` could be wholly free in a domain that must keep such nodes."""
    room = sheet.room
    return bool(room.domain_spare[room.domain[node]] and room.open[node] and 0 < left[node] == room.capacity[node])
