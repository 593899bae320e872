"""What does a change of a placement cost? Books that are kept up to date beside it, and exact differences."""

from typing import NamedTuple

import numpy as np

from tasks.problems.placement_kernel import (
    Crew,
    Ints,
    Room,
    domain_free,
    free_gpus,
    gang_cost,
    held_counts,
    in_the_way,
    inner,
    job_cost,
    moved_gpus,
    moved_workers,
    spare_nodes,
    stranded,
)


class State(NamedTuple):
    """What the moves keep up to date beside the placement, and room to compute in."""

    node_of: Ints
    free: Ints
    domain_free: Ints
    domain_spare: Ints
    held_counts: Ints
    moved: Ints  # (jobs,)
    budget_used: Ints  # (1,)
    domain_count: Ints
    rack_count: Ints
    seen_gang: Ints
    seen_job: Ints
    seen_domain: Ints
    touched: Ints  # scratch list
    picked: Ints  # (workers,) 1 while a proposal that is being made names the worker
    on_node: Ints  # (nodes, twice the largest capacity) workers on each node
    on_count: Ints  # (nodes,)


class Proposal(NamedTuple):
    """A move: ``worker[k]`` goes to ``node[k]`` for k below ``length[0]``."""

    worker: Ints
    node: Ints
    length: Ints  # (1,)


@inner
def new_state(node_of: Ints, room: Room, crew: Crew) -> State:
    """Return the state that belongs to ``node_of``, which it copies."""
    free = free_gpus(node_of, room, crew)
    free_in_domain = domain_free(free, room)
    # half-way through a swap a node may hold the workers of both: twice its GPUs at most
    on_node = np.zeros((room.capacity.size, 2 * max(1, room.capacity.max())), np.int64)
    on_count = np.zeros(room.capacity.size, np.int64)
    for worker in range(node_of.size):
        node = node_of[worker]
        if node >= 0:
            on_node[node, on_count[node]] = worker
            on_count[node] += 1
    return State(
        node_of.copy(),
        free,
        free_in_domain,
        spare_nodes(node_of, room),
        held_counts(free_in_domain, room),
        moved_workers(node_of, crew),
        np.full(1, moved_gpus(node_of, crew), np.int64),
        np.zeros(room.domain_capacity.size, np.int64),
        np.zeros(room.racks, np.int64),
        np.zeros(crew.gang_traffic.size, np.int64),
        np.zeros(crew.job_gang.size, np.int64),
        np.zeros(room.domain_capacity.size, np.int64),
        np.zeros(4 * node_of.size + 8, np.int64),
        np.zeros(node_of.size, np.int64),
        on_node,
        on_count,
    )


@inner
def add_free(state: State, room: Room, node: int, size: int) -> None:
    """Add ``size`` free GPUs on an open node to its domain's."""
    domain = room.domain[node]
    if room.domain_full_size[domain] == 1:
        held = room.domain_capacity[domain] - state.domain_free[domain]
        # half-way through a swap a domain may hold more than it has: such a state is never priced
        if held < state.held_counts.size:
            state.held_counts[held] -= 1
        if held - size < state.held_counts.size:
            state.held_counts[held - size] += 1
    state.domain_free[domain] += size


@inner
def set_node(state: State, room: Room, crew: Crew, worker: int, node: int) -> None:
    """Put ``worker`` on ``node`` (-1: nowhere) and keep the books."""
    size = crew.size[worker]
    old = state.node_of[worker]
    home = crew.home[worker]
    if old >= 0:
        state.free[old] += size
        if room.open[old] == 1:
            add_free(state, room, old, size)
        last = state.on_count[old] - 1
        for k in range(last):
            if state.on_node[old, k] == worker:
                state.on_node[old, k] = state.on_node[old, last]
                break
        state.on_count[old] = last
        if last == 0 and room.open[old] == 1:
            state.domain_spare[room.domain[old]] += 1
    if node >= 0:
        if state.on_count[node] == 0 and room.open[node] == 1:
            state.domain_spare[room.domain[node]] -= 1
        state.free[node] -= size
        state.on_node[node, state.on_count[node]] = worker
        state.on_count[node] += 1
        if room.open[node] == 1:
            add_free(state, room, node, -size)
    if home >= 0:
        change = int(node != home) - int(old != home)
        state.moved[crew.job[worker]] += change
        state.budget_used[0] += change * size
    state.node_of[worker] = node


@inner
def difference(state: State, room: Room, crew: Crew, move: Proposal) -> float:
    """Make ``move`` and return the exact cost difference; on infinity the move was impossible and nothing changed."""
    count = move.length[0]
    gangs = jobs = domains = 0
    base = state.node_of.size
    for k in range(count):
        worker = move.worker[k]
        job = crew.job[worker]
        if state.seen_job[job] == 0:
            state.seen_job[job] = 1
            state.touched[jobs] = job
            jobs += 1
    before = 0.0
    for k in range(jobs):
        job = state.touched[k]
        state.seen_job[job] = 0
        before += job_cost(job, state.moved[job], state.node_of, crew)
        gang = crew.job_gang[job]
        if state.seen_gang[gang] == 0:
            state.seen_gang[gang] = 1
            state.touched[base + gangs] = gang
            gangs += 1
    for k in range(gangs):
        gang = state.touched[base + k]
        state.seen_gang[gang] = 0
        before += gang_cost(gang, state.node_of, room, crew, state.domain_count, state.rack_count)
    for k in range(count):
        for node in (state.node_of[move.worker[k]], move.node[k]):
            if node >= 0 and state.seen_domain[room.domain[node]] == 0:
                state.seen_domain[room.domain[node]] = 1
                state.touched[2 * base + domains] = room.domain[node]
                domains += 1
    for k in range(domains):
        domain = state.touched[2 * base + k]
        state.seen_domain[domain] = 0
        before += crew.stranded_weight * stranded(state.domain_free[domain], room.domain_capacity[domain])
    before += crew.next_weight * in_the_way(state.held_counts, crew.next_gangs)
    for k in range(count):
        worker = move.worker[k]
        old = state.node_of[worker]
        set_node(state, room, crew, worker, move.node[k])
        move.node[k] = old  # the proposal becomes its own inverse
    possible = state.budget_used[0] <= crew.budget
    for k in range(count):
        node = state.node_of[move.worker[k]]
        if node >= 0 and state.free[node] < 0:
            possible = False
    for k in range(domains):
        domain = state.touched[2 * base + k]
        if state.domain_spare[domain] < room.domain_spare[domain]:
            possible = False
    if not possible:
        undo(state, room, crew, move)
        return np.inf
    after = 0.0
    for k in range(jobs):
        job = state.touched[k]
        after += job_cost(job, state.moved[job], state.node_of, crew)
    for k in range(gangs):
        gang = state.touched[base + k]
        after += gang_cost(gang, state.node_of, room, crew, state.domain_count, state.rack_count)
    for k in range(domains):
        domain = state.touched[2 * base + k]
        after += crew.stranded_weight * stranded(state.domain_free[domain], room.domain_capacity[domain])
    after += crew.next_weight * in_the_way(state.held_counts, crew.next_gangs)
    return float(after - before)


@inner
def undo(state: State, room: Room, crew: Crew, move: Proposal) -> None:
    """Take back a move that :func:`difference` made."""
    for k in range(move.length[0] - 1, -1, -1):
        worker = move.worker[k]
        old = state.node_of[worker]
        set_node(state, room, crew, worker, move.node[k])
        move.node[k] = old
