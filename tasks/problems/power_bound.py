"""How cheap could any schedule be? A lower bound from prices on power and GPUs."""

import numpy as np
from numba import njit

from tasks.problems.power_board import Floats, Ints, Work

PATIENCE = 12
"""Steps without a better bound after which the step is halved."""


@njit(cache=True)
def earliest_starts(order: Ints, work: Work, slots: int) -> Ints:
    """Return the slot before which no schedule starts a job, ``(jobs,)``, from chains of the shortest durations.

    Args:
        order: waiting jobs, each after all that it waits for.
        work: the jobs.
        slots: of the horizon.
    """
    earliest = work.earliest.copy()
    for job in order:
        for e in range(work.before_first[job], work.before_first[job + 1]):
            other = work.before[e]
            shortest = work.duration[other, : work.levels[other]].min()
            earliest[job] = max(earliest[job], min(slots, earliest[other] + shortest))
    return earliest


@njit(cache=True)
def priced(
    power_price: Floats, gpu_price: Floats, earliest: Ints, headroom: int, usable: Ints, work: Work, excess: Floats
) -> float:
    """Return the bound that prices prove, and write by how much its relaxed schedule oversteps each limit.

    Every job takes its cheapest start and level by itself, paying for power and GPUs; what the limits leave
    is paid back.

    Args:
        power_price: of one mW during one slot, ``(slots,)``, at least 0 and at most what overload costs.
        gpu_price: of one GPU during one slot, ``(pools + 1, slots)``, at least 0.
        earliest: first start of each job.
        headroom: mW that jobs may draw in each slot.
        usable: GPUs, ``(pools + 1,)``.
        work: the jobs.
        excess: out, ``(pools + 2, slots)``: GPUs of each row, then mW, beyond the limit.
    """
    slots, total = power_price.size, usable.size - 1
    power_sum, gpu_sum = np.zeros(slots + 1), np.zeros((total + 1, slots + 1))
    for t in range(slots):
        power_sum[t + 1] = power_sum[t] + power_price[t]
        for row in range(total + 1):
            gpu_sum[row, t + 1] = gpu_sum[row, t] + gpu_price[row, t]
    excess[:] = 0.0  # differences first
    bound = 0.0
    for job in range(work.levels.size):
        pool = work.pool[job]
        low, best_start, best_level = np.inf, 0, 0
        for level in range(work.levels[job]):
            own, draw, duration = work.own[job, level], work.draw[job, level], work.duration[job, level]
            last = 0 if work.running[job] else slots
            for start in range(0 if work.running[job] else earliest[job], last + 1):
                cost = own + work.delay[job] * start
                if cost >= low:
                    break
                end = min(slots, start + duration)
                cost += draw * (power_sum[end] - power_sum[start])
                gpu = gpu_sum[total, end] - gpu_sum[total, start]
                if pool != total:
                    gpu += gpu_sum[pool, end] - gpu_sum[pool, start]
                cost += work.needs[job] * gpu
                if cost < low:
                    low, best_start, best_level = cost, start, level
        bound += low
        if best_start < slots:
            end = min(slots, best_start + work.duration[job, best_level])
            draw, needs = work.draw[job, best_level], work.needs[job]
            excess[total + 1, best_start] += draw
            excess[total, best_start] += needs
            if pool != total:
                excess[pool, best_start] += needs
            if end < slots:
                excess[total + 1, end] -= draw
                excess[total, end] -= needs
                if pool != total:
                    excess[pool, end] -= needs
    for row in range(total + 2):
        limit = float(usable[row]) if row <= total else float(headroom)
        used = 0.0
        for t in range(slots):
            used += excess[row, t]
            excess[row, t] = used - limit
            bound -= limit * (gpu_price[row, t] if row <= total else power_price[t])
    return bound


@njit(cache=True)
def ascend(
    earliest: Ints, headroom: int, usable: Ints, work: Work, slots: int, overload: float, target: float, steps: int
) -> tuple[float, Floats, Floats]:
    """Return the best bound of ``steps`` subgradient steps, and its prices as :class:`Board` holds them.

    Lagrangian relaxation (Held, Wolfe and Crowder 1974, doi 10.1007/BF01580223): each set of prices that is not
    negative proves its bound, so the best of them holds.

    Args:
        earliest: first start of each job.
        headroom: mW that jobs may draw.
        usable: GPUs.
        work: the jobs.
        slots: of the horizon.
        overload: cost of one mW above the cap during one slot.
        target: cost of a known schedule.
        steps: taken.
    """
    rows = usable.size
    power_price, gpu_price = np.zeros(slots), np.zeros((rows, slots))
    best_power, best_gpu = power_price.copy(), gpu_price.copy()
    excess, direction = np.zeros((rows + 1, slots)), np.zeros((rows + 1, slots))
    scale = np.ones(rows + 1)  # limits are of different sizes: steps are taken on shares of them
    for row in range(rows):
        scale[row] = max(1.0, float(usable[row]))
    scale[rows] = max(1.0, float(abs(headroom)))
    best = -np.inf
    share, waited = 1.0, 0
    for _ in range(steps):
        bound = priced(power_price, gpu_price, earliest, headroom, usable, work, excess)
        if bound > best:
            gained = bound - best
            best = bound
            best_power[:], best_gpu[:] = power_price, gpu_price
            waited = 0 if gained > 1e-5 * abs(target) else waited + 1
        else:
            waited += 1
        if waited >= PATIENCE:
            share, waited = share / 2, 0
            power_price[:], gpu_price[:] = best_power, best_gpu
            priced(power_price, gpu_price, earliest, headroom, usable, work, excess)
            direction[:] = 0.0
        norm = 0.0
        for row in range(rows + 1):
            for t in range(slots):
                price = gpu_price[row, t] if row < rows else power_price[t]
                step = excess[row, t] / scale[row]
                if price <= 0.0 and step < 0.0:
                    step = 0.0
                direction[row, t] = step + 0.6 * direction[row, t]
                norm += direction[row, t] ** 2
        if norm < 1e-18 or target <= bound:
            break
        length = share * (target - bound) / norm
        for row in range(rows + 1):
            for t in range(slots):
                move = length * direction[row, t] / scale[row]
                if row < rows:
                    gpu_price[row, t] = max(0.0, gpu_price[row, t] + move)
                else:
                    power_price[t] = min(overload, max(0.0, power_price[t] + move))
    power_sum, gpu_sum = np.zeros(slots + 1), np.zeros((rows, slots + 1))
    for t in range(slots):
        power_sum[t + 1] = power_sum[t] + best_power[t]
        for row in range(rows):
            gpu_sum[row, t + 1] = gpu_sum[row, t] + best_gpu[row, t]
    return best, power_sum, gpu_sum
