"""Can an exact solver better a placement? A few domains and whoever stands there at a time, or all if they are few.

Large neighbourhood search (Shaw 1998, doi 10.1007/3-540-49481-2_30) with CP-SAT: where a gang is dear, its domains and
others that are drawn are emptied of every job that stands wholly in them, and filled anew as well as can be; the
exact cost decides. A small cluster is solved as a whole, and then the bound that CP-SAT proves is one for the whole; a
middling one is when parts gain no more. Effort is CP-SAT's deterministic time, so the same input and seed give the
same placement.
"""

from dataclasses import dataclass

import numpy as np

from tasks.problems.placement_exact import Solved, solve
from tasks.problems.placement_kernel import Crew, Floats, Ints, Room, gang_cost, keeps_limits, total_cost
from tasks.problems.placement_programme import Part, everything
from tasks.problems.placement_programme_cost import programme_of

PART = 350
"""Free jobs times domains that a part may have: as many as are mostly solved in a tenth of a second."""

SMALL, MIDDLING = 700, 3_000
"""The same for clusters that are solved as a whole: at once, and when :data:`MISSES` parts in a row gained nothing."""

PART_WORK = 0.1
"""Deterministic time that one part may take, about seconds."""

LEAST_WORK = 0.02
"""With less than that left, nothing more is tried."""

COLUMN_WORK, WORKER_WORK = 1e-5, 2e-6
"""What writing a column, and reading where a worker stands, count."""

MISSES = 12

EXACT_FROM = 100_000
"""Evaluations from which on exact steps get a share; below, loading CP-SAT would take longer than they do."""

LONG = 2_000
"""Evaluations for each job from which on more annealing gains little."""

EVALUATION_WORK, SMALL_EVALUATION_WORK = 1.5e-6, 3e-6
"""Deterministic time that takes as long as an evaluation; in a small cluster more of a gang is in each domain."""


@dataclass(frozen=True, slots=True, eq=False)
class Bettered:
    """What the exact steps made of a placement.

    Args:
        node_of: the placement, ``(workers,)``, no dearer than the one that they began with.
        bound: proven lower bound on the cost of every placement; minus infinity where the whole was not tried.
        proven: whether the placement is proven to be the best.
        gains: steps that bettered it.
    """

    node_of: Ints
    bound: float
    proven: bool
    gains: int


def better(room: Room, crew: Crew, start: Ints, work: float, rng: np.random.Generator) -> Bettered:
    """Return what exact steps of ``work`` deterministic time, about seconds, make of the placement ``start``.

    Args:
        room: the nodes.
        crew: the workers.
        start: node of each worker, ``(workers,)``; of equal workers of a job as many as possible at home.
        work: in all.
        rng: which parts are tried.
    """
    best, cost, gains, misses = start, float(total_cost(start, room, crew)), 0, 0
    whole, size = everything(room, crew), _size(room, crew)
    tried: set[bytes] = set()
    while work > LEAST_WORK:
        at_last = size <= SMALL or (size <= MIDDLING and misses >= MISSES)
        part = whole if at_last else _drawn(room, crew, best, rng)
        work -= WORKER_WORK * best.size
        misses += 1
        key = part.free.tobytes() + part.nodes.tobytes()
        if not at_last and (key in tried or not part.free.any()):
            continue
        tried.add(key)
        found, spent = _solved(room, crew, part, best, work if at_last else min(work, PART_WORK), rng)
        work -= spent
        if found.node_of is not None and keeps_limits(found.node_of, room, crew):
            reached = float(total_cost(found.node_of, room, crew))
            if reached < cost - 1e-9:
                best, cost, gains, misses = found.node_of, reached, gains + 1, 0
                tried.clear()
        if at_last:
            return Bettered(best, min(found.bound, cost), found.proven, gains)
    return Bettered(best, -np.inf, False, gains)


def shared(room: Room, crew: Crew, evaluations: int) -> tuple[int, float]:
    """Return the evaluations that are left to annealing, and the deterministic time that exact steps get for the rest.

    They get half where they may prove the optimum at once. Elsewhere annealing gains more until it has run for long,
    measured on clusters of 1,024 GPUs; from then on they get a quarter.
    """
    small = _size(room, crew) <= SMALL
    if evaluations < (EXACT_FROM if small else max(EXACT_FROM, LONG * crew.job_gang.size)):
        return evaluations, 0.0
    given = evaluations // (2 if small else 4)
    return evaluations - given, given * (SMALL_EVALUATION_WORK if small else EVALUATION_WORK)


def _size(room: Room, crew: Crew) -> int:
    """Return free jobs times domains."""
    return int(everything(room, crew).free.sum()) * int((room.domain_capacity > 0).sum())


def _solved(
    room: Room, crew: Crew, part: Part, hint: Ints, work: float, rng: np.random.Generator
) -> tuple[Solved, float]:
    """Return what CP-SAT makes of ``part``, and the work that it and writing its programme took."""
    programme = programme_of(room, crew, part)
    found = solve(programme, room, crew, hint, work=work, seed=int(rng.integers(2**31)))
    return found, found.work + COLUMN_WORK * len(programme.names)


def _drawn(room: Room, crew: Crew, node_of: Ints, rng: np.random.Generator) -> Part:
    """Return the domains of a gang, the dearer the likelier, with others by chance, and who is free in them."""
    first = crew.job_first[:-1]
    waits = (node_of[first] < 0) & (crew.job_ready == 1) & (crew.movable[first] == 1)
    domains = room.domain_capacity.size
    dear = _dear(room, crew, node_of) + np.bincount(
        crew.job_gang, np.where(waits, crew.job_wait, 0.0), minlength=crew.gang_traffic.size
    )
    gang = int(rng.choice(dear.size, p=dear / dear.sum())) if dear.sum() > 0.0 else int(rng.integers(dear.size))
    members = crew.gang_workers[crew.gang_first[gang] : crew.gang_first[gang + 1]]
    standing = node_of[members][node_of[members] >= 0]
    mine = np.unique(room.domain[standing])
    model = room.model[standing[0]] if standing.size else crew.model[members[0]]
    alike = np.unique(room.domain[(room.open == 1) & ((room.model == model) | (model < 0))])
    others = np.setdiff1d(alike, mine)
    order = np.concatenate([rng.permutation(mine), rng.permutation(others)])
    inside = np.zeros(domains, np.bool_)
    free = np.zeros(first.size, np.bool_)
    for count, domain in enumerate(order.tolist(), start=1):
        inside[domain] = True
        within = np.where(node_of >= 0, inside[room.domain[node_of]], False)
        whole = np.bincount(crew.job[within], minlength=first.size) == np.diff(crew.job_first)
        now = (whole & (crew.movable[first] == 1)) | waits
        if count > 2 and int(now.sum()) * count > PART:
            inside[domain] = False
            break
        free = now
    return Part(node_of, free, inside[room.domain])


def _dear(room: Room, crew: Crew, node_of: Ints) -> Floats:
    """Return what each gang costs where it stands, ``(gangs,)``."""
    counters = np.zeros(room.domain_capacity.size, np.int64), np.zeros(room.racks, np.int64)
    gangs = range(crew.gang_traffic.size)
    return np.array([gang_cost(gang, node_of, room, crew, *counters) for gang in gangs], np.float64)
