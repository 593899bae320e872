"""Which placement is better? Annealing over relocations, swaps, consolidations and placements with exact differences.

Metropolis acceptance under geometric cooling (Kirkpatrick et al. 1983, doi 10.1126/science.220.4598.671).
Every move keeps each node within its capacity, each running job placed and the migration budget held.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from tasks.problems.placement_kernel import (
    Crew,
    Floats,
    Ints,
    Room,
    domain_free,
    free_gpus,
    gang_cost,
    held_counts,
    in_the_way,
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
    on_node: Ints  # (nodes, twice the largest capacity) workers on each node
    on_count: Ints  # (nodes,)


class Proposal(NamedTuple):
    """A move: ``worker[k]`` goes to ``node[k]`` for k below ``length[0]``."""

    worker: Ints
    node: Ints
    length: Ints  # (1,)


@njit(cache=True)
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
        on_node,
        on_count,
    )


@njit(cache=True)
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


@njit(cache=True)
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


@njit(cache=True)
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
    return after - before


@njit(cache=True)
def undo(state: State, room: Room, crew: Crew, move: Proposal) -> None:
    """Take back a move that :func:`difference` made."""
    for k in range(move.length[0] - 1, -1, -1):
        worker = move.worker[k]
        old = state.node_of[worker]
        set_node(state, room, crew, worker, move.node[k])
        move.node[k] = old


@njit(cache=True)
def draw(rng: np.random.Generator, count: int) -> int:
    """Return a number below ``count``, each about equally likely."""
    return int(rng.random() * count)


@njit(cache=True)
def may_stand(worker: int, node: int, node_of: Ints, room: Room, crew: Crew) -> bool:
    """Tell whether ``worker`` may go to ``node``: open or its home, and of the right GPU model."""
    if node == crew.home[worker]:
        return True
    if room.open[node] == 0:
        return False
    model = crew.model[worker]
    if model < 0 and node_of[worker] >= 0:
        model = room.model[node_of[worker]]
    return bool(model < 0 or room.model[node] == model)


@njit(cache=True)
def gather(job: int, domain: int, model: int, state: State, room: Room, crew: Crew, move: Proposal) -> None:
    """Propose to bring as many workers of ``job`` as possible into ``domain``, fullest nodes that fit first.

    A job without GPUs is placed whole or not at all, on GPUs of ``model`` (-1: any); what does not fit
    in the domain goes to the domains after it.
    """
    first, last = crew.job_first[job], crew.job_first[job + 1]
    waiting = state.node_of[first] < 0
    domains = room.domain_capacity.size
    count = 0
    # capacity taken by this very proposal, kept in state.free and put back at the end
    for step in range(domains if waiting else 1):
        here = (domain + step) % domains
        for worker in range(first, last):
            node = state.node_of[worker]
            if (node >= 0 and room.domain[node] == here) or crew.movable[worker] == 0:
                continue
            taken = False
            for k in range(count):
                if move.worker[k] == worker:
                    taken = True
            if taken:
                continue
            best = -1
            for k in range(room.domain_first[here], room.domain_first[here + 1]):
                target = room.domain_nodes[k]
                if (
                    state.free[target] >= crew.size[worker]
                    and (model < 0 or room.model[target] == model)
                    and may_stand(worker, target, state.node_of, room, crew)
                    and (best < 0 or state.free[target] < state.free[best])
                ):
                    best = target
            if best >= 0:
                model = room.model[best]
                state.free[best] -= crew.size[worker]
                move.worker[count] = worker
                move.node[count] = best
                count += 1
            elif waiting:
                break  # equal workers: the next one does not fit here either
        if count == last - first:
            break
    for k in range(count):
        state.free[move.node[k]] += crew.size[move.worker[k]]
    move.length[0] = 0 if waiting and count < last - first else count


@njit(cache=True)
def exchange(a: int, b: int, state: State, room: Room, crew: Crew, move: Proposal) -> None:
    """Propose to exchange everything that stands on nodes ``a`` and ``b``, where all of it may move."""
    count = 0
    for node, other in ((a, b), (b, a)):
        for k in range(state.on_count[node]):
            worker = state.on_node[node, k]
            if crew.movable[worker] == 0 or not may_stand(worker, other, state.node_of, room, crew):
                move.length[0] = 0
                return
            move.worker[count] = worker
            move.node[count] = other
            count += 1
    move.length[0] = count


@njit(cache=True)
def propose(state: State, room: Room, crew: Crew, rng: np.random.Generator, move: Proposal) -> None:
    """Draw one move; a length of 0 means that the draw led nowhere."""
    workers = state.node_of.size
    nodes = room.capacity.size
    move.length[0] = 0
    worker = draw(rng, workers)
    job = crew.job[worker]
    kind = rng.random()
    node = state.node_of[worker]
    if node < 0:
        if crew.job_ready[job] == 1:
            anywhere = draw(rng, nodes)  # its domain comes first, and its model counts where the job names none
            model = crew.model[worker] if crew.model[worker] >= 0 else room.model[anywhere]
            gather(job, room.domain[anywhere], model, state, room, crew, move)
        return
    if crew.movable[worker] == 0:
        return
    if kind < 0.35:  # relocate, preferably to where its gang already is
        target = draw(rng, nodes)
        if rng.random() < 0.6:
            gang = crew.job_gang[job]
            first, last = crew.gang_first[gang], crew.gang_first[gang + 1]
            mate = crew.gang_workers[first + draw(rng, last - first)]
            if state.node_of[mate] >= 0:
                domain = room.domain[state.node_of[mate]]
                low, high = room.domain_first[domain], room.domain_first[domain + 1]
                target = room.domain_nodes[low + draw(rng, high - low)]
        fits = state.free[target] >= crew.size[worker]
        if target != node and fits and may_stand(worker, target, state.node_of, room, crew):
            move.worker[0] = worker
            move.node[0] = target
            move.length[0] = 1
    elif kind < 0.75:  # swap with a worker that stands where its gang already is
        gang = crew.job_gang[job]
        first, last = crew.gang_first[gang], crew.gang_first[gang + 1]
        mate = crew.gang_workers[first + draw(rng, last - first)]
        other = draw(rng, workers)
        if state.node_of[mate] >= 0:
            domain = room.domain[state.node_of[mate]]
            low, high = room.domain_first[domain], room.domain_first[domain + 1]
            there = room.domain_nodes[low + draw(rng, high - low)]
            if state.on_count[there] > 0:
                other = state.on_node[there, draw(rng, state.on_count[there])]
        there = state.node_of[other]
        if (
            there >= 0
            and there != node
            and crew.movable[other] == 1
            and crew.job[other] != job
            and may_stand(worker, there, state.node_of, room, crew)
            and may_stand(other, node, state.node_of, room, crew)
        ):
            move.worker[0] = worker
            move.node[0] = there
            move.worker[1] = other
            move.node[1] = node
            move.length[0] = 2
    elif kind < 0.90:  # bring the job together
        domain = room.domain[node] if rng.random() < 0.5 else draw(rng, room.domain_capacity.size)
        gather(job, domain, crew.model[worker], state, room, crew, move)
    elif kind < 0.95:  # exchange two nodes
        other = draw(rng, nodes)
        if other != node and room.domain[other] != room.domain[node]:
            exchange(node, other, state, room, crew, move)
    elif crew.home[worker] < 0:  # take a pending job's GPUs back
        for k in range(crew.job_first[job], crew.job_first[job + 1]):
            move.worker[move.length[0]] = k
            move.node[move.length[0]] = -1
            move.length[0] += 1
    elif crew.home[worker] != node and state.free[crew.home[worker]] >= crew.size[worker]:  # back home
        move.worker[0] = worker
        move.node[0] = crew.home[worker]
        move.length[0] = 1


@njit(cache=True)
def anneal(
    start: Ints, room: Room, crew: Crew, evaluations: int, hottest: Floats, cold: float, rng: np.random.Generator
) -> tuple[Ints, int]:
    """Return the best placement seen in ``evaluations`` draws, and how often the best improved.

    There are as many coolings as entries of ``hottest``: the first has four fifths of the draws, the
    others share the rest. Each begins at the best placement so far and at its own temperature: hot ones pass
    barriers, cold ones polish.
    """
    best = start.copy()
    best_cost = 0.0
    improved = 0
    move = Proposal(np.zeros(start.size + 2, np.int64), np.zeros(start.size + 2, np.int64), np.zeros(1, np.int64))
    for number, hot in enumerate(hottest):
        steps = evaluations * 4 // 5 if number == 0 else evaluations // 5 // (hottest.size - 1)
        state = new_state(best, room, crew)
        cost = best_cost
        for step in range(steps):
            temperature = hot * (cold / hot) ** (step / steps)
            propose(state, room, crew, rng, move)
            if move.length[0] == 0:
                continue
            delta = difference(state, room, crew, move)
            if delta == np.inf:
                continue
            if delta <= 0.0 or rng.random() < np.exp(-delta / temperature):
                cost += delta
                if cost < best_cost - 1e-9:
                    best_cost = cost
                    best[:] = state.node_of
                    improved += 1
            else:
                undo(state, room, crew, move)
    return best, improved


@njit(cache=True)
def sample_moves(
    start: Ints, room: Room, crew: Crew, draws: int, rng: np.random.Generator
) -> tuple[Ints, Ints, Ints, Floats]:
    """Draw moves from ``start`` and price each.

    Returns:
        Offsets ``(moves + 1,)``, the workers and nodes of all moves one after another, and the exact
        cost difference of each, ``(moves,)``; impossible draws are left out.
    """
    state = new_state(start, room, crew)
    size = start.size + 2
    move = Proposal(np.zeros(size, np.int64), np.zeros(size, np.int64), np.zeros(1, np.int64))
    offsets = [0]
    workers = [0 for _ in range(0)]
    nodes = [0 for _ in range(0)]
    deltas = [0.0 for _ in range(0)]
    for _ in range(draws):
        propose(state, room, crew, rng, move)
        if move.length[0] == 0:
            continue
        for k in range(move.length[0]):
            workers.append(move.worker[k])
            nodes.append(move.node[k])
        delta = difference(state, room, crew, move)
        if delta == np.inf:
            for _k in range(move.length[0]):
                workers.pop()
                nodes.pop()
            continue
        undo(state, room, crew, move)
        offsets.append(len(workers))
        deltas.append(delta)
    return np.array(offsets), np.array(workers), np.array(nodes), np.array(deltas)
