"""Which schedule is meant by starts and caps that were planned earlier, and how is a new one kept near to it?"""

from collections.abc import Sequence

import numpy as np
from numba import njit

from data.schemas.plan import Action, Recap, Start
from tasks.problems.power_actions import InForce
from tasks.problems.power_board import Board, first_fit, laid_out, lower_end, put_off, shift, upper_end
from tasks.problems.power_in_force import slot_of
from tasks.problems.power_search import topological
from tasks.problems.power_tables import Tables
from tasks.problems.power_work import Ints, Work, extra


def carried_schedule(
    actions: Sequence[Action],
    jobs: Sequence[InForce],
    tables: Tables,
    work: Work,
    in_force: tuple[Ints, Ints],
    slots: int,
    slot_s: float,
) -> tuple[Ints, Ints]:
    """Return start and level of each job, ``(jobs,)`` both: as ``actions`` want it, or as near to that as fits.

    Lower caps come first, then higher ones where there is power for them; a start that does not fit is put off to the
    next slot in which it does. What ``actions`` do not name stays as it is in force, if that still fits.

    Args:
        actions: of the earlier plan, starts counted from now; those of other nouns are passed over.
        jobs: what is in force.
        tables: the snapshot as arrays.
        work: what the jobs ask for.
        in_force: start and level.
        slots: of the horizon.
        slot_s: length of one.
    """
    starts = {action.job: action.after for action in actions if isinstance(action, Start)}
    caps = {action.job: action.after for action in actions if isinstance(action, Recap)}
    start, level = (each.copy() for each in in_force)
    waiting = np.flatnonzero(tables.running == 0)
    for j, job in enumerate(jobs):
        if job.job in starts and not tables.running[j]:
            start[j] = slot_of(_not_past(starts[job.job]), slot_s, slots)
        if job.job in caps:
            level[j] = _nearest_level(tables, j, caps[job.job])
    rows = np.arange(start.size)
    raised = (tables.running == 1) & (work.draw[rows, level] > work.draw[rows, in_force[1]])
    first, wanted = np.where(tables.running == 1, start, slots), start
    board = laid_out(work, tables.limit, slots, first, np.where(raised, in_force[1], level))
    board.off[waiting] = 1
    for running in np.flatnonzero(raised).tolist():
        _raise(running, int(level[running]), work, board)
    put_off(topological(work, waiting, wanted.astype(np.float64)), wanted, work, board)
    return board.start, board.level


def _not_past(start_s: float | None) -> float | None:
    """Return when a job was to start; one whose time has come may start at once."""
    return None if start_s is None else max(0.0, start_s)


def _nearest_level(tables: Tables, job: int, cap_w: float | None) -> int:
    """Return the level of a job whose cap is nearest to ``cap_w``; None means the highest."""
    last = int(tables.levels[job]) - 1
    return last if cap_w is None else int(np.argmin(np.abs(tables.cap_w[job, : last + 1] - cap_w)))


def _raise(job: int, level: int, work: Work, board: Board) -> None:
    """Let a running job have a higher level if there is power for it."""
    shift(job, 1, work, board)
    if work.spend[job, level] <= board.purse[0] and first_fit(job, level, 0, 0, work, board) == 0:
        board.level[job] = level
    shift(job, -1, work, board)


@njit(cache=True)
def draw_near(start: Ints, level: Ints, allowance: float, work: Work, board: Board) -> float:
    """Return jobs to the given start and level where that fits, the cheapest first; return what it cost.

    Args:
        start: of the earlier schedule, ``(jobs,)``.
        level: likewise.
        allowance: most that all of them together may cost.
        work: the jobs.
        board: of the new schedule; changed in place.
    """
    spent = 0.0
    slots = board.room.size
    for limit in (0.0, 0.1, 1.0):  # what costs nothing makes way for what costs something
        for job in range(start.size):
            now, at = board.level[job], board.start[job]
            if now == level[job] and at == start[job]:
                continue
            more = work.own[job, level[job]] - work.own[job, now] + work.delay[job] * (start[job] - at)
            more += extra(job, level[job], start[job], work) - extra(job, now, at, work)
            if spent + more > allowance or more > limit * allowance:
                continue
            shift(job, 1, work, board)
            possible = (
                work.spend[job, level[job]] <= board.purse[0] or work.spend[job, level[job]] <= work.spend[job, now]
            )
            upper, lower = upper_end(job, work, board), lower_end(job, work, board)
            end = start[job] + work.duration[job, level[job]]
            possible = possible and (start[job] >= lower or work.running[job] == 1) and (upper == slots or end <= upper)
            if possible and start[job] < slots:
                possible = first_fit(job, level[job], start[job], start[job], work, board) == start[job]
            if possible:
                board.start[job], board.level[job] = start[job], level[job]
                spent += more
            shift(job, -1, work, board)
    return spent
