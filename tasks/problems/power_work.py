"""What do jobs ask for, and what does each start and level of one cost? What the compiled parts read."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


class Work(NamedTuple):
    """What the jobs ask for; columns are cap levels, dependencies are rows of neighbours behind offsets."""

    levels: Ints  # (jobs,)
    duration: Ints  # (jobs, columns) slots
    draw: Ints  # (jobs, columns) mW above idle
    own: Floats  # (jobs, columns) cost if it starts at slot 0
    delay: Floats  # (jobs,) cost of each slot of delay
    earliest: Ints  # (jobs,)
    running: Ints  # (jobs,) 1 where the start is fixed
    needs: Ints  # (jobs,) GPUs
    pool: Ints  # (jobs,) row of Board.free
    before_first: Ints  # (jobs + 1,)
    before: Ints  # (edges,) jobs that must end first
    after_first: Ints  # (jobs + 1,)
    after: Ints  # (edges,) jobs that wait
    site_room: Ints  # (sites,) mW above idle on a node or rack with a cap
    site_first: Ints  # (jobs + 1,)
    site: Ints  # (entries,) where a job draws
    site_draw: Ints  # (entries, columns) mW
    site_jobs_first: Ints  # (sites + 1,)
    site_jobs: Ints  # (entries,) jobs of each site
    due: Floats  # (jobs,) slots from now on, infinite without a deadline
    slow: Floats  # (jobs, columns) slots that it runs as deadlines count them
    late: Floats  # (jobs,) cost of each slot after the deadline
    run: Floats  # (jobs, columns) slots that it is expected to run
    kwh: Floats  # (jobs, columns) in each slot
    tariff: Floats  # (slots with a price + 1,) USD per kWh of all slots before; empty where own holds the energy
    spend: Ints  # (jobs, columns) mJ until it has ended, above its level that needs least
    budget: Ints  # (1,) mJ that all jobs may spend so
    over_budget: Floats  # (1,) cost of one mJ above that


@njit(cache=True, inline="always")
def beside_delay(start: int, slow: float, due: float, late: float, run: float, kwh: float, tariff: Floats) -> float:
    """Return what a start costs beside delay: being late, and energy where its price changes; never negative.

    Handed numbers and one array, since each array of a tuple that is passed costs time.

    Args:
        start: slot.
        slow: slots that the job runs as deadlines count them.
        due: deadline in slots, infinite without one.
        late: cost of each slot after it.
        run: slots that it is expected to run.
        kwh: in each slot.
        tariff: USD per kWh of all slots before; the last price holds on; empty where it does not change.
    """
    cost = 0.0
    if start + slow > due:
        cost += late * (start + slow - due)
    last = tariff.size - 2
    if last >= 0:
        end = start + run
        first, slot = min(start, last), min(int(end), last)
        begun = tariff[first] + (start - first) * (tariff[first + 1] - tariff[first])
        cost += kwh * (tariff[slot] + (end - slot) * (tariff[slot + 1] - tariff[slot]) - begun)
    return float(cost)


@njit(cache=True)
def extra(job: int, level: int, start: int, work: Work) -> float:
    """Return :func:`beside_delay` of a job."""
    if not work.tariff.size and work.due[job] == np.inf:
        return 0.0
    slow, run, kwh = work.slow[job, level], work.run[job, level], work.kwh[job, level]
    return float(beside_delay(start, slow, work.due[job], work.late[job], run, kwh, work.tariff))


@njit(cache=True)
def extras(work: Work, start: Ints, level: Ints) -> Floats:
    """Return :func:`extra` of each job of a schedule, ``(jobs,)``."""
    cost = np.empty(start.size)
    for job in range(start.size):
        cost[job] = extra(job, level[job], start[job], work)
    return cost


@njit(cache=True)
def cost_of(job: int, level: int, start: int, work: Work) -> float:
    """Return what a job costs at a level and start, limits aside."""
    return float(work.own[job, level] + work.delay[job] * start + extra(job, level, start, work))
