"""Which changes are worth a window? Those that would pay but for a limit, and those that make room for them."""

from dataclasses import dataclass

import numpy as np
from numba import njit

from tasks.compiled import inner
from tasks.problems.moves import fusion_window
from tasks.problems.power_board import Board, copied, first_fit, lower_end, over, over_sites, shift, upper_end
from tasks.problems.power_work import Floats, Ints, Work, cost_of, extra, extras
from tasks.problems.protocol import Window

WANTS_PER_SPIN = 4
"""Jobs looked at for each spin of a window."""


@dataclass(frozen=True, slots=True)
class Change:
    """A move: give a job another start or level."""

    job: int
    start: int
    level: int


@dataclass(frozen=True, slots=True, eq=False)
class Draft:
    """A schedule on its board, with its exact cost."""

    board: Board
    cost: float


def changed(draft: Draft, change: Change, work: Work, weight: float) -> Draft | None:
    """Return the draft after a change; None where a limit forbids it or nothing would change."""
    board = draft.board
    job, now, at = change.job, int(board.level[change.job]), int(board.start[change.job])
    if (change.start, change.level) == (at, now):
        return None
    board = copied(board)
    above = over(board) + over_sites(job, work, board)
    if not moved(job, change.start, change.level, work, board):
        return None
    added = work.own[job, change.level] - work.own[job, now] + work.delay[job] * (change.start - at)
    added += extra(job, change.level, change.start, work) - extra(job, now, at, work)
    added -= work.over_budget[0] * (min(0, int(board.purse[0])) - min(0, int(draft.board.purse[0])))
    return Draft(board, draft.cost + float(added) + weight * (over(board) + over_sites(job, work, board) - above))


@njit(cache=True)
def moved(job: int, start: int, level: int, work: Work, board: Board) -> bool:
    """Move ``job`` and return whether that keeps every limit and gets no further above a cap; changes the board."""
    slots, total = board.room.size, board.free.shape[0] - 1
    end = start + work.duration[job, level]
    upper = upper_end(job, work, board)
    if upper < slots and end > upper:
        return False
    if work.running[job] and start != 0:
        return False
    if not work.running[job] and start < lower_end(job, work, board):
        return False
    above, above_sites, purse = over(board), over_sites(job, work, board), board.purse[0]
    shift(job, 1, work, board)
    board.start[job], board.level[job] = start, level
    shift(job, -1, work, board)
    if over(board) > above or over_sites(job, work, board) > above_sites or board.purse[0] < min(0, purse):
        return False
    for t in range(start, min(slots, end)):
        if board.free[total, t] < 0 or board.free[work.pool[job], t] < 0:
            return False
    return True


def moves_window(
    board: Board, cost: float, work: Work, weight: float, size: int, rng: np.random.Generator
) -> Window[Draft]:
    """Return the window of promising changes.

    A change that is only possible once another has made room stands after it, so that its pair energy is exact.

    Args:
        board: of the current schedule.
        cost: its exact cost.
        work: the jobs.
        weight: cost of one mW above the cap during one slot.
        size: spins at most.
        rng: chooses which jobs are looked at, those with more to gain more often.
    """
    draft = Draft(board, cost)

    def apply(now: Draft, change: Change) -> Draft | None:
        return changed(now, change, work, weight)

    chosen = promising(board, work, size, rng)
    possible = [change for change in chosen if apply(draft, change) is not None]
    others = [change for change in chosen if change not in set(possible)]
    return fusion_window(draft, [*possible, *others], apply, lambda now: now.cost)


def promising(board: Board, work: Work, size: int, rng: np.random.Generator) -> list[Change]:
    """Return at most ``size`` changes: wants with what would make room for them, the best sum of costs first."""
    jobs = board.start.size
    if not jobs or size < 1:
        return []
    index = np.arange(jobs)
    floor = work.own.min(axis=1) + work.delay * np.where(work.running == 1, 0, work.earliest)
    now = work.own[index, board.level] + work.delay * board.start
    if work.tariff.size or np.isfinite(work.due).any():
        floor += (work.kwh * work.run).min(axis=1) * (np.diff(work.tariff).min() if work.tariff.size else 0.0)
        now += extras(work, board.start, board.level)
    potential = np.maximum(now - floor, 0.0)
    hopeful = int(np.count_nonzero(potential > 1e-9))
    looked_at = min(hopeful, WANTS_PER_SPIN * size)
    if not looked_at:
        return []
    wanting = rng.choice(jobs, looked_at, replace=False, p=potential / potential.sum())
    seed = int(rng.integers(1, 1 << 62))
    found, net = pairs(np.sort(wanting), seed, work, board)
    chosen: dict[Change, None] = {}
    for row in np.argsort(net, kind="stable"):
        if not np.isfinite(net[row]):
            break
        pair = [Change(*map(int, found[row, k])) for k in range(2) if found[row, k, 0] >= 0]
        new = [change for change in pair if change not in chosen]
        if len(chosen) + len(new) <= size:
            chosen.update(dict.fromkeys(new))
    return list(chosen)


@njit(cache=True)
def pairs(wanting: Ints, seed: int, work: Work, board: Board) -> tuple[Ints, Floats]:
    """Return for each wanting job some wants, each with the cheapest change of another job that makes room for it.

    Args:
        wanting: jobs.
        seed: varies the starts that are wanted.
        work: the jobs.
        board: of the schedule; left as it was.

    Returns:
        ``(wants, 2, 3)`` job, start and level of what makes room and of the want, -1 for nothing; and the
        cost that both add, ``(wants,)``, infinite where nothing makes room.
    """
    slots = board.room.size
    options = 4
    found = np.empty((wanting.size * options, 2, 3), np.int64)
    net = np.empty(wanting.size * options)
    state = seed
    for i, job in enumerate(wanting):
        at, now = board.start[job], board.level[job]
        cost = cost_of(job, now, at, work)
        lower = 0 if work.running[job] else lower_end(job, work, board)
        upper = upper_end(job, work, board)
        for option in range(options):
            state = (state * 6364136223846793005 + 1442695040888963407) & 0x7FFFFFFFFFFFFFFF
            row = i * options + option
            found[row, 0, 0], net[row] = -1, np.inf
            start, level = at, now
            if option == 0 or work.running[job]:
                level = min(now + 1 + option, work.levels[job] - 1)
            elif option == 1:
                start = lower
            elif option == 2 and work.tariff.size:
                start = lower + (state >> 33) % max(1, slots - lower)  # waiting may pay
            elif option == 2 and at > lower:
                start = at - 1
            elif at > lower:
                start = lower + (state >> 33) % (at - lower)
            gain = cost - work.own[job, level] - work.delay[job] * start - extra(job, level, start, work)
            end = start + work.duration[job, level]
            if gain <= 1e-9 or start < lower or (upper < slots and end > upper):
                continue
            shift(job, 1, work, board)
            change, price = cheapest_room(job, start, level, work, board)
            shift(job, -1, work, board)
            if price < np.inf:
                found[row, 0, 0], found[row, 0, 1], found[row, 0, 2] = change[0], change[1], change[2]
                found[row, 1, 0], found[row, 1, 1], found[row, 1, 2] = job, start, level
                net[row] = price - gain
    return found, net


@inner
def makes_site_room(
    job: int, low: int, now: int, want: int, level: int, first: int, last: int, work: Work, board: Board
) -> bool:
    """Return whether ``job`` at level ``low`` (-1: gone) lets ``want`` in on every node and rack in ``first..last``."""
    for e in range(work.site_first[want], work.site_first[want + 1]):
        short = 0
        for t in range(first, last + 1):
            short = max(short, work.site_draw[e, level] - board.site_room[work.site[e], t])
        if short <= 0:
            continue
        saved = 0
        for other in range(work.site_first[job], work.site_first[job + 1]):
            if work.site[other] == work.site[e]:
                saved = work.site_draw[other, now] - (work.site_draw[other, low] if low >= 0 else 0)
        if saved < short:
            return False
    return True


@inner
def cheapest_room(want: int, start: int, level: int, work: Work, board: Board) -> tuple[Ints, float]:
    """Return the cheapest change of another job that lets ``want``, which is off the board, in; and what it costs."""
    slots, total = board.room.size, board.free.shape[0] - 1
    first, last, power, gpus, crowded = slots, -1, 0, 0, False
    for t in range(start, min(slots, start + work.duration[want, level])):
        short = work.draw[want, level] - board.room[t]
        missing = work.needs[want] - min(board.free[total, t], board.free[work.pool[want], t])
        tight = False
        for e in range(work.site_first[want], work.site_first[want + 1]):
            tight = tight or work.site_draw[e, level] > board.site_room[work.site[e], t]
        if short > 0 or missing > 0 or tight:
            first, last = min(first, t), t
            power, gpus, crowded = max(power, short), max(gpus, missing), crowded or tight
    lack = work.spend[want, level] - max(board.purse[0], work.spend[want, board.level[want]])
    change = np.empty(3, np.int64)
    change[0] = -1
    if last < 0 and lack <= 0:
        return change, 0.0
    best = np.inf
    for job in range(board.start.size):
        at, now = board.start[job], board.level[job]
        if job == want or (last >= 0 and (at > first or at + work.duration[job, now] <= last)):
            continue
        if gpus <= 0:
            for lower in range(now):
                price = work.own[job, lower] - work.own[job, now]
                price += extra(job, lower, at, work) - extra(job, now, at, work)
                if work.draw[job, now] - work.draw[job, lower] < power or price >= best:
                    continue
                if work.spend[job, now] - work.spend[job, lower] < lack:
                    continue
                if not crowded or makes_site_room(job, lower, now, want, level, first, last, work, board):
                    best = price
                    change[0], change[1], change[2] = job, at, lower
        frees = lack <= 0 and work.draw[job, now] >= power and work.needs[job] >= gpus
        frees = frees and not work.running[job] and work.delay[job] * (last + 1 - at) < best + extra(job, now, at, work)
        if frees and (not crowded or makes_site_room(job, -1, now, want, level, first, last, work, board)):
            later = first_fit(job, now, last + 1, slots - 1, work, board)
            if later < 0:
                later = slots
            price = work.delay[job] * (later - at) + extra(job, now, later, work) - extra(job, now, at, work)
            if price < best:
                best = price
                change[0], change[1], change[2] = job, later, now
    return change, best
