"""Which placement is better? Annealing over moves with exact cost differences, cold and hot by turns.

Metropolis acceptance under geometric cooling (Kirkpatrick et al. 1983, doi 10.1126/science.220.4598.671).
Every move keeps each node within its capacity, each running job placed, the migration budget and the spare nodes.
"""

import numpy as np
from numba import njit

from tasks.problems.placement_ejection import complete, send_home
from tasks.problems.placement_kernel import Crew, Floats, Ints, Room
from tasks.problems.placement_moves import propose
from tasks.problems.placement_state import Proposal, difference, new_state, undo

PULL = 1.0
"""What a GPU of the migration budget counts while the search is hot, over the temperature."""


@njit(cache=True, nogil=True)  # heartbeats and logs leave while it runs
def anneal(
    start: Ints, room: Room, crew: Crew, evaluations: int, hottest: Floats, cold: float, rng: np.random.Generator
) -> tuple[Ints, int]:
    """Return the best placement seen in ``evaluations`` draws, and how often the best improved.

    There are as many coolings as entries of ``hottest``, each with as many draws. Each begins at the best placement so
    far and at its own temperature: cold ones take what pays at once, hot ones pass barriers. While it is hot the budget
    would be spent on whatever comes first, so each GPU that stands away from home then counts as if it cost
    :data:`PULL` times the temperature.
    """
    best = start.copy()
    best_cost = 0.0
    improved = 0
    move = Proposal(np.zeros(start.size + 2, np.int64), np.zeros(start.size + 2, np.int64), np.zeros(1, np.int64))
    for hot in hottest:
        steps = evaluations // hottest.size
        state = new_state(best, room, crew)
        cost = best_cost
        for step in range(steps):
            temperature = hot * (cold / hot) ** (step / steps)
            used = state.budget_used[0]
            propose(state, room, crew, rng, move)
            if move.length[0] == 0:
                continue
            delta = difference(state, room, crew, move)
            if delta == np.inf:
                continue
            price = delta + PULL * temperature * (state.budget_used[0] - used)
            if price <= 0.0 or rng.random() < np.exp(-price / temperature):
                cost += delta
                if cost < best_cost - 1e-9:
                    best_cost = cost
                    best[:] = state.node_of
                    improved += 1
            else:
                undo(state, room, crew, move)
    return best, improved


@njit(cache=True, nogil=True)
def prune(start: Ints, room: Room, crew: Crew, rng: np.random.Generator) -> Ints:
    """Return ``start`` without the migrations that do not pay for themselves.

    Job by job, whoever is away goes home, together with those who must make room for that, if it costs nothing.
    """
    state = new_state(start, room, crew)
    move = Proposal(np.zeros(start.size + 2, np.int64), np.zeros(start.size + 2, np.int64), np.zeros(1, np.int64))
    again = True
    while again:
        again = False
        for job in range(crew.job_gang.size):
            if state.moved[job] == 0:
                continue
            move.length[0] = 0
            used = state.budget_used[0]
            send_home(job, state, room, crew, rng, move)
            complete(state, crew, move)
            if move.length[0] == 0:
                continue
            delta = difference(state, room, crew, move)
            if delta == np.inf:
                continue
            if delta <= 1e-9 and state.budget_used[0] < used:
                again = True
            else:
                undo(state, room, crew, move)
    kept: Ints = state.node_of
    return kept


@njit(cache=True, nogil=True)
def sample_moves(
    start: Ints, room: Room, crew: Crew, draws: int, rng: np.random.Generator
) -> tuple[Ints, Ints, Ints, Floats]:
    """Draw moves from ``start`` and price each.

    Returns:
        Offsets ``(moves + 1,)``, the workers and nodes of all moves one after another, and the exact
        cost difference of each, ``(moves,)``; impossible draws are left out.
    """
    state = new_state(start, room, crew)
    size = start.size + 2
    move = Proposal(np.zeros(size, np.int64), np.zeros(size, np.int64), np.zeros(1, np.int64))
    offsets = [0]
    workers = [0 for _ in range(0)]
    nodes = [0 for _ in range(0)]
    deltas = [0.0 for _ in range(0)]
    for _ in range(draws):
        propose(state, room, crew, rng, move)
        if move.length[0] == 0:
            continue
        for k in range(move.length[0]):
            workers.append(move.worker[k])
            nodes.append(move.node[k])
        delta = difference(state, room, crew, move)
        if delta == np.inf:
            for _k in range(move.length[0]):
                workers.pop()
                nodes.pop()
            continue
        undo(state, room, crew, move)
        offsets.append(len(workers))
        deltas.append(delta)
    return np.array(offsets), np.array(workers), np.array(nodes), np.array(deltas)
