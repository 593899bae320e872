"""Which schedule does annealing find? Metropolis over small rebuilds of the board.

Every move takes a few jobs off the board and puts each back where it is cheapest (ruin and recreate; Schrimpf et
al. 2000, doi 10.1006/jcph.1999.6413); it is accepted by its exact cost difference at a falling temperature.
"""

import numpy as np
from numba import njit

from tasks.compiled import inner
from tasks.problems.power_board import Board, cheapest, shift
from tasks.problems.power_work import Ints, Work, extra
from tasks.problems.xorshift import Random, below

MOST = 8
"""Jobs that one move takes off the board at most."""

PULL = 0.75
"""Moves choose where to put jobs with prices counted not at all, once, or twice this much."""


@inner
def by_start(start: Ints, slots: int, order: Ints, first: Ints) -> None:
    """Sort jobs by start into ``order``, ``(jobs,)``, with the offset of each start in ``first``, ``(slots + 2,)``."""
    first[:] = 0
    for job in range(start.size):
        first[start[job] + 1] += 1
    for t in range(slots + 1):
        first[t + 1] += first[t]
    filled = first.copy()
    for job in range(start.size):
        order[filled[start[job]]] = job
        filled[start[job]] += 1


@inner
def choose(count: int, order: Ints, first: Ints, work: Work, board: Board, picked: Ints, state: Random) -> int:
    """Pick up to ``count`` jobs that are likely to be in one another's way, take them off, and return how many."""
    jobs, slots = board.start.size, board.room.size
    seed = below(jobs, state)
    picked[0] = seed
    board.off[seed] = 1
    shift(seed, 1, work, board)
    chosen = 1
    # where the others stand: around a slot at which the first might want to run
    target = board.start[seed]
    lower = work.earliest[seed]
    if not work.running[seed] and target > lower and below(4, state) > 0:
        target = lower + below(target - lower + 1, state)
    middle = (first[target] + first[min(slots, target + 1)]) // 2
    reach = 16 + 8 * count
    tries = 0
    while chosen < count and tries < 4 * count:
        tries += 1
        kind = below(16, state)
        if kind == 0:
            other = below(jobs, state)
        elif kind <= 3 and work.after_first[seed + 1] > work.after_first[seed]:
            e = work.after_first[seed]
            other = work.after[e + below(work.after_first[seed + 1] - e, state)]
        elif kind <= 5 and work.before_first[seed + 1] > work.before_first[seed]:
            e = work.before_first[seed]
            other = work.before[e + below(work.before_first[seed + 1] - e, state)]
        elif kind <= 7 and work.site_first[seed + 1] > work.site_first[seed]:
            e = work.site_first[seed]
            site = work.site[e + below(work.site_first[seed + 1] - e, state)]
            e = work.site_jobs_first[site]
            other = work.site_jobs[e + below(work.site_jobs_first[site + 1] - e, state)]
        elif kind <= 8 and first[1] > 0:
            other = order[below(first[1], state)]  # those that start now, mostly running ones
        else:
            other = order[min(jobs - 1, max(0, middle + below(2 * reach + 1, state) - reach))]
        if not board.off[other]:
            board.off[other] = 1
            shift(other, 1, work, board)
            picked[chosen] = other
            chosen += 1
    return chosen


@inner
def waits(job: int, work: Work, board: Board) -> bool:
    """Return whether something that ``job`` waits for is off the board."""
    for e in range(work.before_first[job], work.before_first[job + 1]):  # noqa: SIM110 -- numba compiles no generators
        if board.off[work.before[e]]:
            return True
    return False


@inner
def next_job(count: int, picked: Ints, work: Work, board: Board) -> int:
    """Return the next of the picked jobs to put back: running ones first, then in order, none before what it awaits."""
    found = -1
    for i in range(count):
        job = picked[i]
        if board.off[job]:
            if work.running[job]:
                return int(job)
            if found < 0 and not waits(job, work, board):
                found = job
    return int(found)


@njit(cache=True, nogil=True)  # heartbeats and logs leave while it runs
def anneal(
    work: Work, board: Board, evaluations: int, hot: float, cold: float, seed: int
) -> tuple[Ints, Ints, int, int]:
    """Return the best start and level seen, evaluations made, and how often the best improved.

    Args:
        work: the jobs, at least one.
        board: where to begin; changed in place.
        evaluations: fits of one job at one level that may be looked for.
        hot: first temperature, in units of the cost.
        cold: last temperature.
        seed: of the generator, below 2**63.
    """
    jobs, slots = board.start.size, board.room.size
    state = np.empty(1, np.uint64)
    state[0] = np.uint64(seed) ^ np.uint64(0x9E3779B97F4A7C15)
    if state[0] == 0:
        state[0] = np.uint64(1)
    best_start, best_level = board.start.copy(), board.level.copy()
    changed, changes, stale = np.empty(jobs, np.int64), 0, np.zeros(jobs, np.int64)
    order, first = np.empty(jobs, np.int64), np.zeros(slots + 2, np.int64)
    picked = np.empty(MOST, np.int64)
    old_start, old_level = np.empty(MOST, np.int64), np.empty(MOST, np.int64)
    done = accepted = moves = 0
    current = best = 0.0  # relative to where it begins
    refresh = max(256, jobs // 2)
    timed = work.tariff.size > 0 or work.due.min() < np.inf
    while done < evaluations:
        if moves % refresh == 0:
            by_start(board.start, slots, order, first)
        moves += 1
        kind = below(8, state)
        count = 1 if kind < 2 else 2 if kind < 5 else 3 if kind < 6 else 3 + below(MOST - 2, state)
        count = choose(count, order, first, work, board, picked, state)
        before = 0.0
        for i in range(count):
            job = picked[i]
            old_start[i], old_level[i] = board.start[job], board.level[job]
            before += work.own[job, board.level[job]] + work.delay[job] * board.start[job]
            if timed:
                before += extra(job, board.level[job], board.start[job], work)
        for i in range(count - 1, 0, -1):  # the first goes back first more often than by chance
            k = below(i + 1, state)
            if k > 0 or below(2, state) == 0:
                picked[i], picked[k] = picked[k], picked[i]
                old_start[i], old_start[k] = old_start[k], old_start[i]
                old_level[i], old_level[k] = old_level[k], old_level[i]
        temperature = hot * (cold / hot) ** (done / evaluations)
        uniform = (below(1 << 30, state) + 1) / (1 << 30)
        limit = before - temperature * np.log(uniform)
        after = 0.0
        left = count
        pull = PULL * below(3, state)
        while left > 0:
            job = next_job(count, picked, work, board)
            if job < 0:
                break
            low, high = 0, work.levels[job] - 1
            if below(4, state) == 0:
                low = high = below(work.levels[job], state)
            start, level, cost = cheapest(job, low, high, pull, work, board)
            done += high - low + 1
            after += cost
            if not after < limit:
                break
            board.start[job], board.level[job] = start, level
            board.off[job] = 0
            shift(job, -1, work, board)
            left -= 1
        if left > 0:
            for i in range(count):
                if not board.off[picked[i]]:
                    shift(picked[i], 1, work, board)
            for i in range(count):
                job = picked[i]
                board.start[job], board.level[job] = old_start[i], old_level[i]
                board.off[job] = 0
                shift(job, -1, work, board)
            continue
        current += after - before
        for i in range(count):
            job = picked[i]
            if not stale[job]:
                stale[job] = 1
                changed[changes] = job
                changes += 1
        if current < best - 1e-9:
            best = current
            accepted += 1
            for i in range(changes):
                job = changed[i]
                best_start[job], best_level[job] = board.start[job], board.level[job]
                stale[job] = 0
            changes = 0
    return best_start, best_level, done, accepted
