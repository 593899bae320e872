"""How much does a placement cost, and what does a change add? The compiled arithmetic of the placement noun.

The cluster and the jobs are flat arrays in two records (named tuples, which numba takes as they are):
``Room`` for nodes, ``Crew`` for workers, jobs and gangs. A placement is ``node_of``, ``(workers,)``: the
node of each worker, -1 for a worker without one.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

inner = njit(cache=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
"""For what only compiled functions call: the way in from Python, which unpacks every array, takes long to compile."""

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


class Room(NamedTuple):
    """Nodes: GPUs that may be used, and where each stands; nodes of a domain are listed in ``domain_nodes``."""

    capacity: Ints  # (nodes,)
    open: Ints  # (nodes,) 1 where newcomers are allowed
    model: Ints  # (nodes,)
    domain: Ints  # (nodes,)
    rack: Ints  # (nodes,)
    domain_capacity: Ints  # (domains,) GPUs of open nodes
    domain_first: Ints  # (domains + 1,) offsets into domain_nodes
    domain_nodes: Ints  # (nodes,)
    domain_full_size: Ints  # (domains,) 1 where a whole-domain gang could be expected: more than half of the largest
    domain_spare: Ints  # (domains,) nodes that must stay wholly free
    racks: int


class Crew(NamedTuple):
    """Workers, the jobs that they belong to, and the gangs that these form."""

    size: Ints  # (workers,) GPUs
    job: Ints  # (workers,)
    home: Ints  # (workers,) node in force, -1 for none
    movable: Ints  # (workers,)
    model: Ints  # (workers,) -1 for any
    job_first: Ints  # (jobs + 1,) offsets of each job's workers, which are contiguous
    job_gang: Ints  # (jobs,)
    job_restart: Floats  # (jobs,) cost of moving any part of a running job
    job_wait: Floats  # (jobs,) cost of leaving a pending job without GPUs
    job_ready: Ints  # (jobs,) 1 where a pending job may be placed
    gang_first: Ints  # (gangs + 1,) offsets into gang_workers
    gang_workers: Ints  # (workers,)
    gang_traffic: Floats  # (gangs,) cost if every pair of its GPUs were in different domains
    gang_racks: Ints  # (gangs,) fewest racks that could hold it
    gang_domains: Ints  # (gangs,) fewest NVLink domains that could hold it
    gang_uneven: Floats  # (gangs,) cost of each GPU by which its largest slice exceeds its smallest
    rack_weight: float
    domain_weight: float
    drain_weight: float
    stranded_weight: float
    next_weight: float
    next_gangs: int
    budget: int  # GPUs of running jobs that may stand elsewhere than at home


@njit(cache=True)
def gang_cost(gang: int, node_of: Ints, room: Room, crew: Crew, domain_count: Ints, rack_count: Ints) -> float:
    """Return traffic, slices, racks and drained GPUs of one gang; the counters must be zero and are left zero."""
    first, last = crew.gang_first[gang], crew.gang_first[gang + 1]
    total = 0
    racks = 0
    domains = 0
    drained = 0
    for k in range(first, last):
        worker = crew.gang_workers[k]
        node = node_of[worker]
        if node >= 0:
            size = crew.size[worker]
            total += size
            if domain_count[room.domain[node]] == 0:
                domains += 1
            domain_count[room.domain[node]] += size
            if rack_count[room.rack[node]] == 0:
                racks += 1
            rack_count[room.rack[node]] += 1
            if room.open[node] == 0:
                drained += size
    if total == 0:
        return 0.0
    together = 0.0
    largest = 0
    smallest = total
    for k in range(first, last):
        node = node_of[crew.gang_workers[k]]
        if node >= 0:
            count = domain_count[room.domain[node]]
            if count > 0:
                together += count * count
                largest = max(largest, count)
                smallest = min(smallest, count)
            domain_count[room.domain[node]] = 0
            rack_count[room.rack[node]] = 0
    cost = crew.gang_traffic[gang] * (1.0 - together / (total * total))
    cost += crew.gang_uneven[gang] * (largest - smallest)
    cost += crew.domain_weight * max(0, domains - crew.gang_domains[gang])
    cost += crew.rack_weight * max(0, racks - crew.gang_racks[gang])
    return float(cost + crew.drain_weight * drained)


@njit(cache=True)
def stranded(free: int, capacity: int) -> float:
    """Return the free GPUs of a domain that a next gang of random size up to the domain's finds too few."""
    if capacity <= 0:
        return 0.0
    return free * (1.0 - free / capacity)


@njit(cache=True)
def held_counts(free: Ints, room: Room) -> Ints:
    """Return how many domains of full size hold 0, 1, ... GPUs, by the free GPUs of each domain's open nodes."""
    counts = np.zeros(room.domain_capacity.max() + 1 if room.domain_capacity.size else 1, np.int64)
    for domain in range(free.size):
        if room.domain_full_size[domain] == 1:
            counts[room.domain_capacity[domain] - free[domain]] += 1
    return counts


@njit(cache=True)
def in_the_way(counts: Ints, gangs: int) -> int:
    """Return the GPUs held in the ``gangs`` domains of full size that hold the fewest."""
    left = gangs
    total = 0
    for held in range(counts.size):
        taken = min(left, counts[held])
        total += taken * held
        left -= taken
        if left == 0:
            break
    return total


@njit(cache=True)
def spare_nodes(node_of: Ints, room: Room) -> Ints:
    """Return the open nodes of each domain that have GPUs, all of them free, ``(domains,)``."""
    held = np.zeros(room.capacity.size, np.bool_)
    for node in node_of:
        if node >= 0:
            held[node] = True
    result = np.zeros(room.domain_capacity.size, np.int64)
    for node in range(held.size):
        if room.open[node] == 1 and room.capacity[node] > 0 and not held[node]:
            result[room.domain[node]] += 1
    return result


@njit(cache=True)
def keeps_limits(node_of: Ints, room: Room, crew: Crew) -> bool:
    """Tell whether a placement keeps to every node's GPUs, the migration budget and the spare nodes."""
    if moved_gpus(node_of, crew) > crew.budget:
        return False
    for left in free_gpus(node_of, room, crew):
        if left < 0:
            return False
    return bool((spare_nodes(node_of, room) >= room.domain_spare).all())


@njit(cache=True)
def job_cost(job: int, moved: int, node_of: Ints, crew: Crew) -> float:
    """Return the cost of moving a job (``moved`` of its workers are not at home) or of leaving it waiting."""
    first = crew.job_first[job]
    if crew.home[first] >= 0:
        return crew.job_restart[job] if moved > 0 else 0.0
    return crew.job_wait[job] if node_of[first] < 0 else 0.0


@njit(cache=True)
def free_gpus(node_of: Ints, room: Room, crew: Crew) -> Ints:
    """Return the free GPUs of each node, ``(nodes,)``; negative where a placement holds too many."""
    free = room.capacity.copy()
    for worker in range(node_of.size):
        if node_of[worker] >= 0:
            free[node_of[worker]] -= crew.size[worker]
    return free


@njit(cache=True)
def domain_free(free: Ints, room: Room) -> Ints:
    """Return the free GPUs of the open nodes of each domain, ``(domains,)``."""
    result = np.zeros(room.domain_capacity.size, np.int64)
    for node in range(free.size):
        if room.open[node] == 1:
            result[room.domain[node]] += free[node]
    return result


@njit(cache=True)
def moved_workers(node_of: Ints, crew: Crew) -> Ints:
    """Return how many workers of each running job are not at home, ``(jobs,)``."""
    moved = np.zeros(crew.job_gang.size, np.int64)
    for worker in range(node_of.size):
        if crew.home[worker] >= 0 and node_of[worker] != crew.home[worker]:
            moved[crew.job[worker]] += 1
    return moved


@njit(cache=True)
def moved_gpus(node_of: Ints, crew: Crew) -> int:
    """Return the GPUs of running jobs that are not at home."""
    total = 0
    for worker in range(node_of.size):
        if crew.home[worker] >= 0 and node_of[worker] != crew.home[worker]:
            total += crew.size[worker]
    return total


@njit(cache=True)
def total_cost(node_of: Ints, room: Room, crew: Crew) -> float:
    """Return the exact cost of a placement."""
    domain_count = np.zeros(room.domain_capacity.size, np.int64)
    rack_count = np.zeros(room.racks, np.int64)
    cost = 0.0
    for gang in range(crew.gang_traffic.size):
        cost += gang_cost(gang, node_of, room, crew, domain_count, rack_count)
    free = domain_free(free_gpus(node_of, room, crew), room)
    for domain in range(free.size):
        cost += crew.stranded_weight * stranded(free[domain], room.domain_capacity[domain])
    cost += crew.next_weight * in_the_way(held_counts(free, room), crew.next_gangs)
    moved = moved_workers(node_of, crew)
    for job in range(moved.size):
        cost += job_cost(job, moved[job], node_of, crew)
    return float(cost)
