"""Where would a graph partitioner put gangs? METIS over the traffic between workers, and a repair to keep the limits.

Multilevel k-way partitioning (Karypis and Kumar 1998, doi 10.1137/S1064827595287997) into as many parts as there are
NVLink domains, each as large as its domain. METIS knows no exact capacities, no budget and nothing of where a worker
stands now, so parts are matched to the domains where most of their GPUs are at home (Kuhn 1955,
doi 10.1002/nav.3800020109), and gangs follow their parts, the dearest first, as far as there is room and the exact
cost falls. Waiting jobs are placed by BestFit.
"""

from collections import defaultdict

import numpy as np
from scipy.optimize import linear_sum_assignment

from tasks.problems.placement import Placed, Placement
from tasks.problems.placement_kernel import Ints
from tasks.yardsticks.kueue import best_fit, fewest
from tasks.yardsticks.placement_books import Books, attempt, place_waiting

WEIGHTS = 1_000
"""METIS weighs edges in whole numbers: the dearest has this weight."""


def metis(problem: Placement, seed: int) -> Placed:
    """Return gangs where METIS wants them, as far as the limits and the exact cost allow.

    Args:
        problem: the placement.
        seed: of METIS' chance.
    """
    crew, books = problem.crew, Books(problem)
    wanted = parts(problem, seed)
    first = crew.job_first[:-1]
    moves = (crew.home[first] >= 0) & (crew.movable[first] == 1) & (np.diff(crew.job_first) > 1)
    traffic = crew.gang_traffic[crew.job_gang]
    gangs = np.flatnonzero(moves)
    for job in gangs[np.argsort(-traffic[gangs], kind="stable")].tolist():
        attempt(books, job, lambda books, job: _followed(books, job, wanted))
    place_waiting(books, best_fit)
    return books.placed()


def parts(problem: Placement, seed: int) -> Ints:
    """Return the domain that METIS wants for each worker, ``(workers,)``; none is promised to have the room."""
    import pymetis

    crew, room = problem.crew, problem.room
    whole = np.bincount(room.domain, room.capacity)
    domains = np.flatnonzero(whole > 0)
    if domains.size < 2 or crew.home.size < 2:
        return np.full(crew.home.size, domains[0] if domains.size else 0, np.int64)
    neighbours: dict[int, list[int]] = defaultdict(list)
    weights: dict[int, list[int]] = defaultdict(list)
    dearest = max(1e-9, float(crew.gang_traffic.max()))
    for gang in range(crew.gang_traffic.size):
        members = crew.gang_workers[crew.gang_first[gang] : crew.gang_first[gang + 1]].tolist()
        weight = 1 + round((WEIGHTS - 1) * float(crew.gang_traffic[gang]) / dearest)
        for one in members:
            neighbours[one] = [other for other in members if other != one]
            weights[one] = [weight] * (len(members) - 1)
    workers = range(crew.home.size)
    _, part = pymetis.part_graph(
        int(domains.size),
        adjacency=[neighbours[worker] for worker in workers],
        vweights=crew.size.tolist(),
        eweights=[weight for worker in workers for weight in weights[worker]],
        tpwgts=(whole[domains] / whole.sum()).tolist(),
        options=pymetis.Options(seed=seed),
    )
    part_of = np.asarray(part, np.int64)
    overlap = np.zeros((domains.size, domains.size))
    at_home = np.flatnonzero(crew.home >= 0)
    place = np.searchsorted(domains, room.domain[crew.home[at_home]])
    np.add.at(overlap, (part_of[at_home], place), crew.size[at_home])
    chosen, taken = linear_sum_assignment(overlap, maximize=True)
    of_part = np.zeros(domains.size, np.int64)
    of_part[chosen] = domains[taken]
    return of_part[part_of]


def _followed(books: Books, job: int, wanted: Ints) -> Ints | None:
    """Return nodes in the domains that METIS wants; who finds no room there goes to the roomiest of the others."""
    crew, room = books.crew, books.room
    part = books.workers(job)
    slots = books.slots(job, int(crew.model[part.start]))
    if int(slots.sum()) < part.stop - part.start:
        return None
    chosen: list[Ints] = []
    missing = 0
    for domain, count in zip(*np.unique(wanted[part], return_counts=True), strict=True):
        inside = np.flatnonzero((room.domain == domain) & (slots > 0))
        taken = fewest(slots[inside], min(int(count), int(slots[inside].sum())))
        chosen.append(np.repeat(inside, taken))
        slots[inside] -= taken
        missing += int(count) - int(taken.sum())
    chosen.append(np.repeat(np.arange(slots.size), fewest(slots, missing)))
    return np.concatenate(chosen)
