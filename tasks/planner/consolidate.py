"""Which gangs would a re-optimisation bring together, for how many moved GPUs, and what would that gain?

One greedy pass stands in for the placement's refine loop: gangs that are in more domains than they need go, best gain
for the price first, into domains where they mostly are; jobs of one GPU make room and take the places that gangs leave.
A smaller budget is a prefix of a larger one's moves, so one pass shows the planner what every budget would do.
"""

import numpy as np
from numba import njit

from tasks.compiled import inner
from tasks.planner.world import (
    DOMAIN_GPUS,
    Counts,
    Floats,
    Ints,
    Jobs,
    State,
    gang_score,
    inside,
    uplinks,
)

COLUMNS = 4
"""Of a move: GPUs that change their domain, score gained, GPUs of jobs that stop for it, gain times age in hours."""


@inner
def targets(job: int, gpus: int, held: Counts, free: Ints, singles: Ints, chosen: Ints, take: Ints) -> int:
    """Fill in the domains that hold the gang with fewest moves, and how much each takes; 0 if there are too few."""
    needed = (gpus + DOMAIN_GPUS - 1) // DOMAIN_GPUS
    left = gpus
    for k in range(needed):
        best, most, own = -1, 0, -1
        for d in range(free.size):
            again = False
            for earlier in range(k):
                again = again or chosen[earlier] == d
            if again:
                continue
            can = min(left, held[job, d] + free[d] + singles[d], DOMAIN_GPUS)
            here = min(left, held[job, d])
            whole = min(left, held[job, d] + free[d])
            if can > most or (can == most and 2 * here + whole > own):
                best, most, own = d, can, 2 * here + whole
        if best < 0:
            return 0
        chosen[k], take[k] = best, most
        left -= most
    return needed if left == 0 else 0


@inner
def single_counts(jobs: Jobs, state: State) -> Ints:
    """Return the jobs of one GPU in each domain, ``(domains,)``."""
    singles = np.zeros(state.free.size, np.int64)
    for i in range(state.numbers[0]):
        job = state.running[i]
        if jobs.gpus[job] == 1:
            for d in range(singles.size):
                singles[d] += state.held[job, d]
    return singles


@inner
def evict(domain: int, count: int, jobs: Jobs, state: State, singles: Ints) -> None:
    """Move ``count`` jobs of one GPU out of ``domain`` to where there is room."""
    held, free = state.held, state.free
    for i in range(state.numbers[0]):
        if count == 0:
            return
        job = state.running[i]
        if jobs.gpus[job] == 1 and held[job, domain] == 1:
            best = -1
            for d in range(free.size):
                if d != domain and free[d] > 0 and (best < 0 or free[d] < free[best]):
                    best = d
            held[job, domain], held[job, best] = 0, 1
            free[domain] += 1
            free[best] -= 1
            singles[domain] -= 1
            singles[best] += 1
            count -= 1


@inner
def gather(job: int, needed: int, chosen: Ints, take: Ints, jobs: Jobs, state: State, singles: Ints) -> tuple[int, int]:
    """Move a gang to its chosen domains, and return the GPUs of it that move and of others that make room."""
    held, free = state.held, state.free
    stays = 0
    for k in range(needed):
        stays += min(held[job, chosen[k]], take[k])
    for d in range(free.size):
        free[d] += held[job, d]
        held[job, d] = 0
    # the gang's places are taken before anyone is evicted, so that nobody is sent where it goes
    evicted = 0
    for k in range(needed):
        held[job, chosen[k]] = take[k]
        free[chosen[k]] -= take[k]
    for k in range(needed):
        if free[chosen[k]] < 0:
            short = -free[chosen[k]]
            evict(chosen[k], short, jobs, state, singles)
            evicted += short
    return jobs.gpus[job] - stays, evicted


@njit(cache=True)
def consolidate(now_s: float, budget: int, jobs: Jobs, state: State) -> Floats:
    """Bring gangs together until ``budget`` GPUs have moved; changes the state, and returns what each move did.

    Args:
        now_s: the time.
        budget: GPUs that may change their domain.
        jobs: of the trace.
        state: changed in place.

    Returns:
        ``(moves, 4)``, see :data:`COLUMNS`; in the order in which they were made.
    """
    asked = uplinks(jobs, state)
    singles = single_counts(jobs, state)
    count = state.numbers[0]
    ratio, gang = np.zeros(count), np.zeros(count, np.int64)
    chosen, take = np.zeros(64, np.int64), np.zeros(64, np.int64)
    gangs = 0
    for i in range(count):
        job = state.running[i]
        size = jobs.gpus[job]
        if size < 2 or (size + DOMAIN_GPUS - 1) // DOMAIN_GPUS > 64:
            continue
        spread = 0
        for d in range(asked.size):
            spread += state.held[job, d] > 0
        if spread * DOMAIN_GPUS < size + DOMAIN_GPUS:  # in no more domains than it needs
            continue
        needed = targets(job, size, state.held, state.free, singles, chosen, take)
        if needed == 0:
            continue
        moved = size
        for k in range(needed):
            moved -= min(state.held[job, chosen[k]], take[k])
        gain = together(size, needed, take, asked) - gang_score(job, size, state.held, asked)
        ratio[gangs], gang[gangs] = gain / (size + moved), job
        gangs += 1
    done = np.zeros((gangs, COLUMNS))
    made, used = 0, 0
    for place in np.argsort(-ratio[:gangs], kind="mergesort"):
        job = gang[place]
        size = jobs.gpus[job]
        needed = targets(job, size, state.held, state.free, singles, chosen, take)
        if needed == 0:
            continue
        moves, clear = size, 0
        for k in range(needed):
            own = state.held[job, chosen[k]]
            moves -= min(own, take[k])
            clear += max(0, take[k] - own - state.free[chosen[k]])
        if used + moves + clear > budget:
            break  # a prefix: what follows would be another plan, not a larger one
        gain = together(size, needed, take, asked) - gang_score(job, size, state.held, asked)
        if gain <= 0.0:
            continue
        moved, evicted = gather(job, needed, chosen, take, jobs, state, singles)
        used += moved + evicted
        done[made, 0] = moved + evicted
        done[made, 1] = gain
        done[made, 2] = size + evicted
        done[made, 3] = gain * (now_s - state.start_s[job]) / 3600.0
        made += 1
    return done[:made]


@inner
def together(size: int, needed: int, take: Ints, asked: Floats) -> float:
    """Return the score of a gang once it is in as few domains as it needs, at the uplinks' load of now."""
    held = np.zeros((1, needed), np.int16)
    for k in range(needed):
        held[0, k] = take[k]
    if needed == 1:
        return float(size)
    return float(gang_score(0, size, held, np.full(needed, asked.mean())))


@inner
def spread_gangs(jobs: Jobs, state: State) -> tuple[int, int]:
    """Return how many gangs run, and how many of them have pairs outside a domain."""
    gangs = apart = 0
    for i in range(state.numbers[0]):
        job = state.running[i]
        if jobs.gpus[job] > 1:
            gangs += 1
            apart += inside(job, jobs.gpus[job], state.held) < 1.0
    return gangs, apart
