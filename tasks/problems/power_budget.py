"""How does a schedule keep to an energy budget? What is left of it, and which running jobs come down for it.

The budget is on what jobs draw above idle GPUs until they have ended. That depends on their cap levels alone, so
putting a job off, or beyond the horizon, saves nothing of it. What every job needs at the level that needs least is
set aside first: a job taken off the board can always come back.
"""

import numpy as np
from numba import njit

from tasks.problems.power_board import Board, over, over_sites, shift
from tasks.problems.power_tables import MJ_PER_KWH, Tables
from tasks.problems.power_work import Floats, Ints, Work, cost_of

UNLIMITED_MJ = 1 << 62
"""What jobs may spend without an energy budget."""


def budget_mj(budget_kwh: float | None, tables: Tables) -> Ints:
    """Return what a budget leaves above what jobs need at least, ``(1,)``; below 0 where no schedule keeps it."""
    if budget_kwh is None:
        return np.array([UNLIMITED_MJ], dtype=np.int64)
    return np.array([round(budget_kwh * MJ_PER_KWH) - int(tables.energy_mj.min(axis=1).sum())], dtype=np.int64)


def over_budget_mj(work: Work, level: Ints) -> int:
    """Return what jobs at their levels, ``(jobs,)``, take above the budget."""
    return max(0, int(work.spend[np.arange(level.size), level].sum()) - int(work.budget[0]))


def budget_notes(tables: Tables, budget_kwh: float | None) -> tuple[str, ...]:
    """Return what has to be said of a budget that the levels in force do not keep; else nothing."""
    if budget_kwh is None:
        return ()
    level = tables.level_in_force
    least = int(tables.energy_mj.min(axis=1).sum()) / MJ_PER_KWH
    held = int(tables.energy_mj[np.arange(level.size), level].sum()) / MJ_PER_KWH
    if round(least * MJ_PER_KWH) > round(budget_kwh * MJ_PER_KWH):
        need = f"the jobs need {least:.6g} kWh at least"
        return (f"no schedule keeps the energy budget of {budget_kwh:.6g} kWh: {need}",)
    if round(held * MJ_PER_KWH) > round(budget_kwh * MJ_PER_KWH):
        return (
            f"the schedule in force takes {held:.6g} kWh, above the energy budget of {budget_kwh:.6g} kWh: "
            "a plan that cannot keep the budget takes no more than that",
        )
    return ()


def thrift(work: Work, board: Board) -> int:
    """Bring running jobs to levels that need less, the cheapest per mJ first, until the budget is kept or none can.

    Args:
        work: the jobs.
        board: running jobs only; changed in place.

    Returns:
        Evaluations made.
    """
    running = np.flatnonzero(work.running)
    done, changed = 0, 1
    while changed and board.purse[0] < 0:
        price, target = thrifty_offers(running, work, board)
        changed = take_thrifty(running, np.argsort(price, kind="stable"), price, target, work, board)
        done += running.size * work.spend.shape[1]
    return done


@njit(cache=True)
def thrifty_offers(running: Ints, work: Work, board: Board) -> tuple[Floats, Ints]:
    """Return for each running job the cost per mJ of its cheapest level that needs less, and that level."""
    price, target = np.full(running.size, np.inf), np.zeros(running.size, np.int64)
    for i, job in enumerate(running):
        now, start = board.level[job], board.start[job]
        for level in range(work.levels[job]):
            saved = work.spend[job, now] - work.spend[job, level]
            if saved > 0:
                added = cost_of(job, level, start, work) - cost_of(job, now, start, work)
                if added / saved < price[i]:
                    price[i], target[i] = added / saved, level
    return price, target


@njit(cache=True)
def take_thrifty(running: Ints, order: Ints, price: Floats, target: Ints, work: Work, board: Board) -> int:
    """Take offers in order until the budget is kept, where that goes no further above a cap; return how many."""
    taken = 0
    for i in order:
        if board.purse[0] >= 0 or price[i] == np.inf:
            break
        job = running[i]
        now, above, above_sites = board.level[job], over(board), over_sites(job, work, board)
        shift(job, 1, work, board)
        board.level[job] = target[i]
        shift(job, -1, work, board)
        if over(board) <= above and over_sites(job, work, board) <= above_sites:
            taken += 1
        else:
            shift(job, 1, work, board)
            board.level[job] = now
            shift(job, -1, work, board)
    return taken
