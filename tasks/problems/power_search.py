"""Which schedule does the classical search return? Relief first, then the best of a few lists, then annealing."""

from collections.abc import Callable
from heapq import heapify, heappop, heappush
from typing import Literal

import numpy as np
from numba import njit

from tasks.problems.power_anneal import anneal
from tasks.problems.power_board import Board, copied, over, over_sites, shift
from tasks.problems.power_bound import ascend, earliest_starts
from tasks.problems.power_budget import thrift
from tasks.problems.power_fill import build
from tasks.problems.power_work import Floats, Ints, Work, cost_of

CEILINGS = (1.0, 0.5, 0.75, 0.3)
"""Shares of the cap levels that a list may use: a low ceiling lets more jobs run beside one another."""

HOT, COLD = 2.0, 0.1
"""First and last temperature, in mean costs of one slot of delay."""

Kind = Literal["gpu time", "energy", "start", "time", "due"]
KINDS: tuple[Kind, ...] = ("gpu time", "energy", "start", "time")

PRICE_STEPS = 100
"""Steps on prices at most; a step counts two evaluations per job, a list one: what they take beside a move."""


def search(
    work: Work,
    board: Board,
    cost: Callable[[Ints, Ints], float],
    weight: float,
    limit: Ints,
    evaluations: int,
    rng: np.random.Generator,
) -> tuple[Ints, Ints, int, int]:
    """Return start and level of the cheapest schedule found, evaluations made, and improvements of the best.

    Args:
        work: the jobs, at least one.
        board: the schedule to begin with; its room is negative where it is above the cap.
        cost: exact cost of start and level.
        weight: cost of one mW above the cap during one slot.
        limit: GPUs of each pool and of all, and mW that jobs may draw, ``(pools + 2,)``.
        evaluations: fits of one job at one level that may be looked for.
        rng: seeds the annealing.
    """
    begin, lowest = board, cost(board.start, board.level)
    base, spent = relieved(work, board, weight)
    one_list = int(np.count_nonzero(work.running == 0))
    kinds: tuple[Kind, ...] = ("due", *KINDS) if np.isfinite(work.due).any() else KINDS
    improved = 0

    def consider(candidate: Board) -> None:
        nonlocal begin, lowest, improved
        reached = cost(candidate.start, candidate.level)
        if reached < lowest - 1e-9:
            begin, lowest, improved = candidate, reached, improved + 1

    if spent or not one_list:
        consider(unscheduled(work, base))
    for pull in (0.0, 1.0):
        if pull:
            steps = min(PRICE_STEPS, evaluations // (8 * work.levels.size))
            if not steps or not one_list:
                break
            paid = np.zeros_like(board.paid)
            _, price = prices(work, board.room.size, limit, weight, lowest, steps)
            np.cumsum(price[:-1], axis=1, out=paid[:, 1:])
            base, begin = (each._replace(paid=paid, worth=price[-1, :1].copy()) for each in (base, begin))
            spent += 2 * steps * work.levels.size
        left = evaluations // (8 if pull else 4)
        for kind in kinds:
            for ceiling in CEILINGS:
                # the first list is worth more than as many moves
                if not one_list or spent + one_list > evaluations or (improved and one_list > left):
                    break
                consider(listed(work, base, key(work, board, kind, ceiling), ceiling, pull))
                spent += one_list
                left -= one_list
    begin = copied(begin)
    np.maximum(begin.room, 0, out=begin.room)  # what is above a cap and could not be relieved never grows
    np.maximum(begin.site_room, 0, out=begin.site_room)
    np.maximum(begin.purse, 0, out=begin.purse)
    unit = float(work.delay.mean())
    seed = int(rng.integers(1, 1 << 62))
    start, level, done, accepted = anneal(work, begin, max(0, evaluations - spent), HOT * unit, COLD * unit, seed)
    return start, level, spent + done, improved + accepted


def relieved(work: Work, board: Board, weight: float) -> tuple[Board, int]:
    """Return the board without the waiting jobs and, where it was above the cap, lower levels; and evaluations made."""
    base = copied(board)
    waiting = np.flatnonzero(work.running == 0)
    for job in waiting:
        shift(job, 1, work, base)
    base.off[waiting] = 1
    base.start[waiting] = base.room.size
    spent = relieve(work, base, weight) if overloaded(base) else 0
    spent += thrift(work, base)
    for left in (base.room, base.site_room, base.purse):
        np.maximum(left, 0, out=left)
    return base, spent


def unscheduled(work: Work, base: Board) -> Board:
    """Return the board on which the waiting jobs have no start."""
    board = copied(base)
    waiting = np.flatnonzero(board.off)
    board.off[waiting] = 0
    board.purse[0] -= work.spend[waiting, board.level[waiting]].sum()
    return board


def overloaded(board: Board) -> bool:
    """Return whether the cluster, a node or a rack is above its cap."""
    return bool(board.room.min() < 0 or (board.site_room.size and board.site_room.min() < 0))


def listed(work: Work, base: Board, key: Floats, ceiling: float, pull: float) -> Board:
    """Return the schedule that takes the waiting jobs by rising ``key``, each to where it is cheapest."""
    board = copied(base)
    build(topological(work, np.flatnonzero(work.running == 0), key), ceiling, pull, work, board)
    return board


def prices(work: Work, slots: int, limit: Ints, weight: float, target: float, steps: int) -> tuple[float, Floats]:
    """Return the lower bound that ``steps`` steps prove, and its prices, ``(pools + 3, slots)``, as `ascend` does."""
    waiting = np.flatnonzero(work.running == 0)
    earliest = earliest_starts(topological(work, waiting, np.zeros(work.levels.size)), work, slots)
    return ascend(earliest, limit, work, slots, weight, target, steps)


def key(work: Work, board: Board, kind: Kind, ceiling: float) -> Floats:
    """Return what a list is sorted by, ``(jobs,)``, smallest first.

    Args:
        work: the jobs.
        board: whose starts the kind ``start`` follows.
        kind: GPU time, energy or time, each over the job's priority; the start on the board; or the latest start at
            which it meets its deadline (Jackson 1955's earliest due date, less the run time).
        ceiling: share of the cap levels that the list may use.
    """
    if kind == "start":
        return board.start.astype(np.float64)
    jobs = np.arange(work.levels.size)
    if kind == "due":
        return np.asarray(np.minimum(work.due - work.slow[jobs, work.levels - 1], 2.0 * board.room.size))
    level = np.maximum(0, (ceiling * work.levels).astype(np.int64) - 1)
    size = {"gpu time": work.needs, "energy": work.draw[jobs, level], "time": np.ones_like(jobs)}[kind]
    return np.asarray(work.duration[jobs, level] * size / work.delay)


def topological(work: Work, waiting: Ints, key: Floats) -> Ints:
    """Return ``waiting`` by rising ``key``, each job after all that it waits for; jobs of a cycle come last."""
    if not work.before.size:
        return waiting[np.argsort(key[waiting], kind="stable")]
    left = {
        job: sum(not work.running[other] for other in work.before[work.before_first[job] : work.before_first[job + 1]])
        for job in waiting.tolist()
    }
    ready = [(key[job], job) for job, count in left.items() if not count]
    heapify(ready)
    order = []
    while ready:
        _, job = heappop(ready)
        order.append(job)
        for other in work.after[work.after_first[job] : work.after_first[job + 1]].tolist():
            left[other] -= 1
            if not left[other]:
                heappush(ready, (key[other], other))
    done = set(order)
    return np.array([*order, *(job for job in left if job not in done)], dtype=np.int64)


def relieve(work: Work, board: Board, weight: float) -> int:
    """Lower the levels of running jobs, the cheapest per watt first, until nothing is above the cap or nothing helps.

    Args:
        work: the jobs.
        board: running jobs only; changed in place.
        weight: cost of one mW above the cap during one slot.

    Returns:
        Evaluations made.
    """
    running = np.flatnonzero(work.running)
    done, changed = 0, 1
    price, target = np.empty(running.size), np.empty(running.size, np.int64)
    while changed and overloaded(board):
        done += offers(running, price, target, work, board) + running.size
        changed = take(running, np.argsort(price, kind="stable"), price, target, weight, work, board)
    return done


@njit(cache=True)
def offers(running: Ints, price: Floats, target: Ints, work: Work, board: Board) -> int:
    """Write for each running job the lower level that costs least per watt, and that price; return levels looked at."""
    done = 0
    for i, job in enumerate(running):
        now = board.level[job]
        price[i], target[i] = np.inf, now
        for level in range(now):
            done += 1
            saved = work.draw[job, now] - work.draw[job, level]
            added = cost_of(job, level, board.start[job], work) - cost_of(job, now, board.start[job], work)
            if saved > 0 and added / saved < price[i]:
                price[i], target[i] = added / saved, level
    return done


@njit(cache=True)
def take(running: Ints, order: Ints, price: Floats, target: Ints, weight: float, work: Work, board: Board) -> int:
    """Take offers in order while something is above the cap and they lower the cost; return how many were taken."""
    taken, left = 0, over(board)
    for site in range(board.site_room.shape[0]):
        for t in range(board.site_room.shape[1]):
            left += max(0, -board.site_room[site, t])
    for i in order:
        job = running[i]
        now, above, above_sites = board.level[job], over(board), over_sites(job, work, board)
        if left == 0 or price[i] == np.inf:
            break
        if above + above_sites == 0:
            continue
        for level in (target[i], now):  # the second only where the first did not pay
            shift(job, 1, work, board)
            board.level[job] = level
            shift(job, -1, work, board)
            of_cluster, of_sites = above - over(board), above_sites - over_sites(job, work, board)
            added = cost_of(job, level, board.start[job], work) - cost_of(job, now, board.start[job], work)
            relief = of_cluster + of_sites
            if relief > 0 and min(of_cluster, of_sites) >= 0 and added < weight * relief:
                taken += 1
                left -= relief
                break
    return taken
