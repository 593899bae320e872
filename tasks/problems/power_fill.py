"""How are jobs put on a board one after another? Where each is cheapest, or where it was before."""

from numba import njit

from tasks.problems.power_board import Board, cheapest, first_fit, lower_end, shift, upper_end
from tasks.problems.power_work import Ints, Work, extra


@njit(cache=True)
def build(order: Ints, ceiling: float, pull: float, work: Work, board: Board) -> None:
    """Put the waiting jobs of ``order``, which are off the board, back one after another, each where it is cheapest.

    Args:
        order: jobs, each after all that it waits for.
        ceiling: levels used, as a share of those that a job has.
        pull: how much prices count.
        work: the jobs.
        board: changed in place.
    """
    for job in order:
        high = max(0, int(ceiling * work.levels[job]) - 1)
        board.start[job], board.level[job], _ = cheapest(job, 0, high, pull, work, board)
        if board.start[job] < 0:  # none of these levels is within what is left of the energy budget
            board.start[job], board.level[job], _ = cheapest(job, 0, work.levels[job] - 1, pull, work, board)
        board.off[job] = 0
        shift(job, -1, work, board)


@njit(cache=True)
def settle(start: Ints, level: Ints, work: Work, board: Board) -> None:
    """Return jobs to the given start and level, or level, wherever that costs nothing and still fits."""
    slots = board.room.size
    for job in range(start.size):
        now, at = board.level[job], board.start[job]
        if now == level[job] and at == start[job]:
            continue
        shift(job, 1, work, board)
        upper, lower = upper_end(job, work, board), lower_end(job, work, board)
        for wanted in (start[job], at):
            more = work.own[job, level[job]] - work.own[job, now] + work.delay[job] * (wanted - at)
            more += extra(job, level[job], wanted, work) - extra(job, now, at, work)
            end = wanted + work.duration[job, level[job]]
            if more > 0.0 or work.spend[job, level[job]] > max(board.purse[0], work.spend[job, now]):
                continue
            if (wanted < lower and not work.running[job]) or (upper < slots and end > upper):
                continue
            if wanted == slots or first_fit(job, level[job], wanted, wanted, work, board) == wanted:
                board.start[job], board.level[job] = wanted, level[job]
                break
        shift(job, -1, work, board)
