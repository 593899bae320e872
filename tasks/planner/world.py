"""What becomes of gangs as jobs come and go, and what does moving them back together bring and cost?

A fast stand-in for a cluster, in which a planner can be taught: NVLink domains of eight GPUs, jobs of a trace, a
scheduler that places each job once (best fit into one domain, else spread over those with most room) and never again.
Achieved bandwidth is a surrogate, not the flow-level model of ``data.generators.flow_level``: of a gang's pairs of GPUs
those within a domain use NVLink, the others the domain's uplink, which all gangs on it share in proportion. Jobs end
when the trace says, however they are placed, so that all planners see the same arrivals and departures.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

Ints = npt.NDArray[np.int64]
Counts = npt.NDArray[np.int16]
Floats = npt.NDArray[np.float64]

DOMAIN_GPUS = 8
TICK_S = 600.0
"""Between two decisions."""

NVLINK_GB_PER_S, NIC_GB_PER_S, UPLINK_GB_PER_S = 450.0, 50.0, 200.0
"""Of a GPU inside its domain, of a GPU that sends outside, and of all eight together: two GPUs share a NIC."""

NVLINK_US, FABRIC_US = 3.0, 12.0
"""Latency of a message inside a domain, and between domains where nobody else sends; it grows with the queue."""

LONGEST_QUEUE = 256
"""Waiting jobs that the scheduler looks at, in order of arrival; later ones may overtake those that do not fit."""


class Jobs(NamedTuple):
    """The jobs of a trace, in order of arrival; all ``(jobs,)``."""

    arrival_s: Floats
    duration_s: Floats
    gpus: Ints


class State(NamedTuple):
    """The cluster now; changed in place.

    Args:
        held: GPUs of each job in each domain, ``(jobs, domains)``.
        free: GPUs of each domain, ``(domains,)``.
        end_s: when each job ends; infinite while it waits, ``(jobs,)``.
        start_s: when it started, ``(jobs,)``.
        running: jobs that run, the first ``numbers[0]`` of it, ``(jobs,)``.
        waiting: jobs that wait, the first ``numbers[1]``, ``(jobs,)``.
        numbers: how many run, wait and have arrived, ``(3,)``.
    """

    held: Counts
    free: Ints
    end_s: Floats
    start_s: Floats
    running: Ints
    waiting: Ints
    numbers: Ints


def empty_state(jobs: Jobs, domains: int) -> State:
    """Return a cluster of ``domains`` on which nothing runs yet."""
    count = jobs.gpus.size
    return State(
        held=np.zeros((count, domains), np.int16),
        free=np.full(domains, DOMAIN_GPUS, np.int64),
        end_s=np.full(count, np.inf),
        start_s=np.full(count, np.inf),
        running=np.zeros(count, np.int64),
        waiting=np.zeros(count, np.int64),
        numbers=np.zeros(3, np.int64),
    )


@njit(cache=True)
def copied(state: State) -> State:
    """Return a copy that can be changed by itself."""
    return State(
        state.held.copy(),
        state.free.copy(),
        state.end_s.copy(),
        state.start_s.copy(),
        state.running.copy(),
        state.waiting.copy(),
        state.numbers.copy(),
    )


@njit(cache=True)
def advance(now_s: float, jobs: Jobs, state: State) -> None:
    """Let jobs end and come until ``now_s``, and place those that fit."""
    held, free, numbers = state.held, state.free, state.numbers
    domains = free.size
    left = 0
    for i in range(numbers[0]):
        job = state.running[i]
        if state.end_s[job] <= now_s:
            for d in range(domains):
                free[d] += held[job, d]
                held[job, d] = 0
        else:
            state.running[left] = job
            left += 1
    numbers[0] = left
    while numbers[2] < jobs.gpus.size and jobs.arrival_s[numbers[2]] <= now_s:
        state.waiting[numbers[1]] = numbers[2]
        numbers[1] += 1
        numbers[2] += 1
    room = free.sum()
    left = 0
    for i in range(numbers[1]):
        job = state.waiting[i]
        if i >= LONGEST_QUEUE or jobs.gpus[job] > room:
            state.waiting[left] = job
            left += 1
            continue
        place(job, jobs.gpus[job], held, free)
        room -= jobs.gpus[job]
        state.start_s[job] = now_s
        state.end_s[job] = now_s + jobs.duration_s[job]
        state.running[numbers[0]] = job
        numbers[0] += 1
    numbers[1] = left


@njit(cache=True)
def place(job: int, gpus: int, held: Counts, free: Ints) -> None:
    """Give a job its GPUs: the fullest domain that has room for all, else from the emptiest domains on."""
    left = gpus
    while left > 0:
        best = -1
        for d in range(free.size):
            if free[d] < left:
                continue
            if best < 0 or free[d] < free[best]:
                best = d
        if best < 0:
            best = int(np.argmax(free))
        step = min(left, free[best])
        held[job, best] += step
        free[best] -= step
        left -= step


@njit(cache=True)
def inside(job: int, gpus: int, held: Counts) -> float:
    """Return the share of a gang's pairs of GPUs that are within one domain."""
    squares = 0
    for d in range(held.shape[1]):
        squares += held[job, d] * held[job, d]
    return (squares - gpus) / (gpus * gpus - gpus)


@njit(cache=True)
def uplinks(jobs: Jobs, state: State) -> Floats:
    """Return what gangs ask of each domain's uplink, over its bandwidth, ``(domains,)``."""
    asked = np.zeros(state.free.size)
    for i in range(state.numbers[0]):
        job = state.running[i]
        if jobs.gpus[job] > 1:
            out = 1.0 - inside(job, jobs.gpus[job], state.held)
            if out > 0.0:
                for d in range(asked.size):
                    asked[d] += state.held[job, d] * out * NIC_GB_PER_S / UPLINK_GB_PER_S
    return asked


@njit(cache=True)
def gang_score(job: int, gpus: int, held: Counts, asked: Floats) -> float:
    """Return a gang's bandwidth over its latency, as the GPUs at full NVLink speed that it is worth."""
    share = inside(job, gpus, held)
    busiest = 0.0
    for d in range(asked.size):
        if held[job, d] > 0:
            busiest = max(busiest, asked[d])
    outside = NIC_GB_PER_S / max(1.0, busiest)
    bandwidth = 1.0 / (share / NVLINK_GB_PER_S + (1.0 - share) / outside)
    queue = min(busiest, 0.9)
    latency = share * NVLINK_US + (1.0 - share) * FABRIC_US / (1.0 - queue)
    return float(gpus * (bandwidth / NVLINK_GB_PER_S) * (NVLINK_US / latency))


@njit(cache=True)
def score(jobs: Jobs, state: State) -> float:
    """Return the sum over running gangs."""
    asked = uplinks(jobs, state)
    total = 0.0
    for i in range(state.numbers[0]):
        job = state.running[i]
        if jobs.gpus[job] > 1:
            total += gang_score(job, jobs.gpus[job], state.held, asked)
    return total
