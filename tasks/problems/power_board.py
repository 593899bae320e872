"""Where does a job fit? The compiled board on which the power noun keeps a schedule.

What is left on the board never becomes negative by a fit, so a schedule that keeps its limits goes on keeping them.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from tasks.compiled import inner
from tasks.problems.power_work import Floats, Ints, Work, beside_delay


class Board(NamedTuple):
    """A schedule, and what it leaves in each slot; a start at the number of slots means not scheduled."""

    start: Ints  # (jobs,)
    level: Ints  # (jobs,)
    room: Ints  # (slots,) mW
    site_room: Ints  # (sites, slots) mW
    free: Ints  # (pools + 1, slots) GPUs, the last row over all models
    off: Ints  # (jobs,) 1 while a job is off the board
    purse: Ints  # (1,) mJ left of the energy budget
    paid: Floats  # (pools + 2, slots + 1) price of one GPU, and in the last row one mW, during all slots before
    worth: Floats  # (1,) price of one mJ


def summed(rows: Ints, slots: int, start: Ints, duration: Ints) -> Ints:
    """Return the sum of ``rows``, ``(jobs,)``, over the jobs that run in each slot, ``(slots,)``."""
    steps = np.zeros(slots + 1, np.int64)
    np.add.at(steps, start, rows)
    np.subtract.at(steps, np.minimum(slots, start + duration), rows)
    return np.cumsum(steps[:-1])


def draws(work: Work, slots: int, start: Ints, level: Ints) -> Ints:
    """Return what jobs draw above idle in each slot as limits count it, ``(slots,)`` mW."""
    jobs = np.arange(start.size)
    return summed(work.draw[jobs, level], slots, start, work.duration[jobs, level])


def site_draws(work: Work, slots: int, start: Ints, level: Ints) -> Ints:
    """Return the same for each node and rack with a cap, ``(sites, slots)`` mW."""
    owner = np.repeat(np.arange(start.size), np.diff(work.site_first))
    drawn = work.site_draw[np.arange(owner.size), level[owner]]
    end = np.minimum(slots, start[owner] + work.duration[owner, level[owner]])
    steps = np.zeros((work.site_room.size, slots + 1), np.int64)
    np.add.at(steps, (work.site, start[owner]), drawn)
    np.subtract.at(steps, (work.site, end), drawn)
    return np.cumsum(steps[:, :-1], axis=1)


def laid_out(work: Work, limit: Ints, slots: int, start: Ints, level: Ints) -> Board:
    """Return the board of a schedule; room is negative where it is above the cap.

    Args:
        work: the jobs.
        limit: GPUs of each pool and of all, and mW that jobs may draw, ``(pools + 2,)``.
        slots: of the horizon.
        start: ``(jobs,)``.
        level: ``(jobs,)``.
    """
    jobs = np.arange(start.size)
    steps = np.zeros((limit.size - 1, slots + 1), np.int64)
    np.add.at(steps, (work.pool, start), work.needs)
    np.subtract.at(steps, (work.pool, np.minimum(slots, start + work.duration[jobs, level])), work.needs)
    used = np.cumsum(steps[:, :-1], axis=1)
    used[-1] = used.sum(axis=0)
    return Board(
        start=start.copy(),
        level=level.copy(),
        room=limit[-1] - draws(work, slots, start, level),
        site_room=work.site_room[:, None] - site_draws(work, slots, start, level),
        free=limit[:-1, None] - used,
        off=np.zeros(start.size, np.int64),
        purse=work.budget - work.spend[jobs, level].sum(),
        paid=np.zeros((limit.size, slots + 1)),
        worth=np.zeros(1),
    )


def copied(board: Board) -> Board:
    """Return a board of its own; prices, which no move changes, are shared."""
    return Board(
        start=board.start.copy(),
        level=board.level.copy(),
        room=board.room.copy(),
        site_room=board.site_room.copy(),
        free=board.free.copy(),
        off=board.off.copy(),
        purse=board.purse.copy(),
        paid=board.paid,
        worth=board.worth,
    )


@njit(cache=True)
def shift(job: int, sign: int, work: Work, board: Board) -> None:
    """Take the resources of ``job`` (sign -1) or give them back (sign 1)."""
    slots = board.room.size
    start = board.start[job]
    end = min(slots, start + work.duration[job, board.level[job]])
    draw = sign * work.draw[job, board.level[job]]
    needs = sign * work.needs[job]
    pool = work.pool[job]
    total = board.free.shape[0] - 1
    board.purse[0] += sign * work.spend[job, board.level[job]]
    for t in range(start, end):
        board.room[t] += draw
        board.free[total, t] += needs
    if pool != total:
        for t in range(start, end):
            board.free[pool, t] += needs
    for e in range(work.site_first[job], work.site_first[job + 1]):
        site, drawn = work.site[e], sign * work.site_draw[e, board.level[job]]
        for t in range(start, end):
            board.site_room[site, t] += drawn


@njit(cache=True)
def over(board: Board) -> int:
    """Return what is above the cluster's cap, in mW times slots."""
    above = 0
    for t in range(board.room.size):
        above += max(0, -board.room[t])
    return above


@njit(cache=True)
def over_sites(job: int, work: Work, board: Board) -> int:
    """Return what is above the caps of the nodes and racks on which ``job`` draws, in mW times slots."""
    above = 0
    for e in range(work.site_first[job], work.site_first[job + 1]):
        for t in range(board.room.size):
            above += max(0, -board.site_room[work.site[e], t])
    return above


@inner
def lower_end(job: int, work: Work, board: Board) -> int:
    """Return the first slot at which ``job`` may start: all before it have ended, or never start."""
    slots = board.room.size
    lower = work.earliest[job]
    for e in range(work.before_first[job], work.before_first[job + 1]):
        other = work.before[e]
        lower = max(lower, min(slots, board.start[other] + work.duration[other, board.level[other]]))
    return int(lower)


@inner
def upper_end(job: int, work: Work, board: Board) -> int:
    """Return the slot by which ``job`` must have ended; the number of slots where nothing waits for it."""
    upper = board.room.size
    for e in range(work.after_first[job], work.after_first[job + 1]):
        other = work.after[e]
        if not board.off[other]:
            upper = min(upper, board.start[other])
    return int(upper)


@njit(cache=True)
def first_fit(job: int, level: int, lower: int, latest: int, work: Work, board: Board) -> int:
    """Return the first start in ``lower..latest`` at which ``job`` fits, or -1; ``latest`` is below the slots."""
    return int(next_fit(job, level, lower, lower, latest, work, board)[0])


@inner
def next_fit(job: int, level: int, first: int, seen: int, latest: int, work: Work, board: Board) -> tuple[int, int]:
    """Return the first start in ``first..latest`` at which ``job`` fits, or -1, and the slot before which it fits.

    Args:
        job: which.
        level: its cap level.
        first: earliest start.
        seen: slot before which there is room from ``first`` on, as the last call said.
        latest: below the slots.
        work: the jobs.
        board: with what is left.
    """
    slots = board.room.size
    duration, draw, needs = work.duration[job, level], work.draw[job, level], work.needs[job]
    pool, total = work.pool[job], board.free.shape[0] - 1
    sites, last = work.site_first[job], work.site_first[job + 1]
    t = max(first, seen)
    while first <= latest:
        if t == slots or t - first == duration:
            return first, t
        fits = board.room[t] >= draw and board.free[pool, t] >= needs and board.free[total, t] >= needs
        for e in range(sites, last):
            fits = fits and board.site_room[work.site[e], t] >= work.site_draw[e, level]
        if not fits:
            first = t + 1
        t += 1
    return -1, t


@inner
def price_of(job: int, start: int, level: int, work: Work, board: Board) -> float:
    """Return the price of the power, GPUs and energy that ``job`` would take."""
    end = min(board.room.size, start + work.duration[job, level])
    pool, total = work.pool[job], board.free.shape[0] - 1
    gpu = board.paid[total, end] - board.paid[total, start]
    if pool != total:
        gpu += board.paid[pool, end] - board.paid[pool, start]
    power = board.paid[total + 1, end] - board.paid[total + 1, start]
    return float(work.draw[job, level] * power + work.needs[job] * gpu + work.spend[job, level] * board.worth[0])


@inner
def cheapest(job: int, low: int, high: int, pull: float, work: Work, board: Board) -> tuple[int, int, float]:
    """Return start, level and cost of the cheapest fit among levels ``low..high``; start is -1 without one.

    Each level is tried at the earliest start that fits, and at later ones where waiting can pay because prices of
    energy change; ``pull`` times the price of what it takes there counts in the choice, and not in the cost.
    """
    slots = board.room.size
    running = work.running[job]
    lower = 0 if running else lower_end(job, work, board)
    upper = upper_end(job, work, board)
    delay = work.delay[job]
    best, best_cost, best_start, best_level = np.inf, np.inf, -1, -1
    due, late, tariff = work.due[job], work.late[job], work.tariff
    timed = tariff.size > 0 or due < np.inf
    for level in range(high, low - 1, -1):
        own = work.own[job, level]
        if not own + delay * lower < best or work.spend[job, level] > board.purse[0]:
            continue
        slow, run, kwh = work.slow[job, level], work.run[job, level], work.kwh[job, level]
        latest = 0 if running else slots - 1
        if upper < slots:
            latest = min(latest, upper - work.duration[job, level])
        if best < np.inf:
            latest = min(latest, int(min(float(slots), (best - own) / delay)))
        start, seen = next_fit(job, level, lower, lower, latest, work, board)
        while start >= 0:
            cost = own + delay * start
            if timed:
                cost += beside_delay(start, slow, due, late, run, kwh, tariff)
            choice = cost
            if pull > 0.0:
                choice += pull * price_of(job, start, level, work, board)
            if choice < best:
                best, best_cost, best_start, best_level = choice, cost, start, level
            if not tariff.size or not own + delay * (start + 1) < best:
                break
            start, seen = next_fit(job, level, start + 1, seen, latest, work, board)
    if not running and upper == slots:
        for level in range(high, low - 1, -1):
            if work.spend[job, level] > board.purse[0]:
                continue
            slow, run, kwh = work.slow[job, level], work.run[job, level], work.kwh[job, level]
            cost = work.own[job, level] + delay * slots
            if timed:
                cost += beside_delay(slots, slow, due, late, run, kwh, tariff)
            if cost < best:
                best, best_cost, best_start, best_level = cost, cost, slots, level
    if best_start < 0:
        return -1, -1, np.inf
    return best_start, best_level, best_cost


@njit(cache=True)
def put_off(order: Ints, wanted: Ints, work: Work, board: Board) -> None:
    """Put the jobs of ``order`` back at their own level, at the first fit not before ``wanted``.

    Args:
        order: jobs off the board, each after all that it waits for.
        wanted: slot before which a job does not start, ``(jobs,)``.
        work: the jobs.
        board: changed in place.
    """
    slots = board.room.size
    for job in order:
        lower = max(wanted[job], lower_end(job, work, board))
        start = first_fit(job, board.level[job], lower, slots - 1, work, board)
        board.start[job] = start if start >= 0 else slots
        board.off[job] = 0
        shift(job, -1, work, board)
