"""How cheap could any schedule be? A lower bound from prices on power and GPUs."""

import numpy as np
from numba import njit

from tasks.problems.power_work import Floats, Ints, Work, beside_delay

PATIENCE = 12
"""Steps without a better bound after which the step is halved."""

MOMENTUM = 0.6
"""Share of the last direction that is kept."""


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
            shortest = work.duration[other, 0]  # a loop: whole-array statements take seconds to compile
            for level in range(1, work.levels[other]):
                shortest = min(shortest, work.duration[other, level])
            earliest[job] = max(earliest[job], min(slots, earliest[other] + shortest))
    return earliest


@njit(cache=True)
def priced(price: Floats, limit: Ints, earliest: Ints, work: Work, excess: Floats) -> float:
    """Return the bound that prices prove, and write by how much its relaxed schedule oversteps each limit.

    Every job takes its cheapest start and level by itself, paying for power and GPUs; what the limits leave
    is paid back. Caps of nodes and racks are left out: the bound holds without them.

    Args:
        price: of one GPU of each pool, of one GPU of all, and of one mW, during one slot, and in the first slot of the
            last row of one mJ, ``(pools + 3, slots)``; at least 0, and those of power and energy at most what
            being above the cap or the budget costs.
        limit: GPUs, and mW that jobs may draw, ``(pools + 2,)``.
        earliest: first start of each job.
        work: the jobs.
        excess: out, ``(pools + 3, slots)``.
    """
    power, slots = price.shape[0] - 2, price.shape[1]
    worth = price[power + 1, 0]
    spent = 0
    total = power - 1
    paid = np.zeros((power + 1, slots + 1))  # during all slots before
    for row in range(power + 1):
        for t in range(slots):
            paid[row, t + 1] = paid[row, t] + price[row, t]
            excess[row, t] = 0.0  # differences first
    tariff = work.tariff
    bound = 0.0
    for job in range(work.levels.size):
        pool, needs, running = work.pool[job], work.needs[job], work.running[job]
        due, late = work.due[job], work.late[job]
        timed = tariff.size > 0 or due < np.inf
        low, best_start, best_level = np.inf, 0, 0
        for level in range(work.levels[job]):
            own, draw, duration = work.own[job, level], work.draw[job, level], work.duration[job, level]
            thrift = worth * work.spend[job, level]
            slow, run, kwh = work.slow[job, level], work.run[job, level], work.kwh[job, level]
            for start in range(0 if running else earliest[job], 1 if running else slots + 1):
                cost = own + work.delay[job] * start
                if cost + thrift >= low:
                    break
                end = min(slots, start + duration)
                if timed:
                    cost += beside_delay(start, slow, due, late, run, kwh, tariff)
                gpu = paid[total, end] - paid[total, start]
                if pool != total:
                    gpu += paid[pool, end] - paid[pool, start]
                cost += draw * (paid[power, end] - paid[power, start]) + needs * gpu + thrift
                if cost < low:
                    low, best_start, best_level = cost, start, level
        bound += low
        spent += work.spend[job, best_level]
        end = min(slots, best_start + work.duration[job, best_level])
        for t, sign in ((best_start, 1), (end, -1)):
            if t < slots:
                excess[power, t] += sign * work.draw[job, best_level]
                excess[total, t] += sign * needs
                if pool != total:
                    excess[pool, t] += sign * needs
    for row in range(power + 1):
        used = 0.0
        for t in range(slots):
            used += excess[row, t]
            excess[row, t] = used - limit[row]
            bound -= limit[row] * price[row, t]
    excess[power + 1, 0] = spent - work.budget[0]
    return float(bound - worth * work.budget[0])


def ascend(
    earliest: Ints, limit: Ints, work: Work, slots: int, overload: float, target: float, steps: int
) -> tuple[float, Floats]:
    """Return the best bound of ``steps`` subgradient steps, and its prices, ``(pools + 3, slots)``.

    Lagrangian relaxation (Held, Wolfe and Crowder 1974, doi 10.1007/BF01580223): each set of prices that is not
    negative proves its bound, so the best of them holds.

    Args:
        earliest: first start of each job.
        limit: GPUs of each pool and of all, and mW that jobs may draw, ``(pools + 2,)``.
        work: the jobs.
        slots: of the horizon.
        overload: cost of one mW above the cap during one slot.
        target: cost of a known schedule.
        steps: taken.
    """
    price = np.zeros((limit.size + 1, slots))
    highest = np.full((limit.size + 1, 1), np.inf)
    highest[-2], highest[-1] = overload, work.over_budget[0]
    limits = np.append(limit, work.budget).astype(np.float64)
    scale = np.maximum(1.0, np.abs(limits))[:, None]  # limits differ in size: steps are shares
    excess, direction = np.zeros_like(price), np.zeros_like(price)
    best, best_price = -np.inf, price
    share, waited = 1.0, 0
    for _ in range(steps):
        bound = priced(price, limit, earliest, work, excess)
        waited = 0 if bound > best + 1e-5 * abs(target) else waited + 1
        if bound > best:
            best, best_price = bound, price
        if waited >= PATIENCE:
            share, waited = share / 2, 0
            bound, price = priced(best_price, limit, earliest, work, excess), best_price
            direction[:] = 0.0
        step = excess / scale
        step[(price <= 0.0) & (step < 0.0)] = 0.0
        direction = step + MOMENTUM * direction
        norm = float((direction**2).sum())
        if norm < 1e-18 or target <= bound:
            break
        price = np.clip(price + share * (target - bound) / norm * direction / scale, 0.0, highest)
    return best, best_price
