"""How does a worker get a place that is taken? Those who stand there go elsewhere, as parts of the same move.

Ejection chains (Glover 1996, doi 10.1016/0166-218X(94)00037-E) of one link: whoever is displaced goes home, to the
place that was left, or to one that is free. While a proposal is made, ``state.free`` holds the free GPUs as it would
leave them; :func:`give_up` and :func:`complete` put that right again.
"""

import numpy as np

from tasks.problems.placement_kernel import Crew, Room, inner
from tasks.problems.placement_state import Proposal, State

TRIES = 4
"""Domains or workers that are drawn before a search for one that suits is given up."""


@inner
def draw(rng: np.random.Generator, count: int) -> int:
    """Return a number below ``count``, each about equally likely."""
    return int(rng.random() * count)


@inner
def model_of(worker: int, state: State, room: Room, crew: Crew) -> int:
    """Return the GPU model that a worker which moves by itself must keep, -1 for any."""
    node = state.node_of[worker]
    return int(room.model[node]) if crew.model[worker] < 0 and node >= 0 else int(crew.model[worker])


@inner
def may_stand(worker: int, node: int, model: int, room: Room, crew: Crew) -> bool:
    """Tell whether ``worker`` may go to ``node``: its home, or an open one of ``model`` unless that is -1."""
    return bool(node == crew.home[worker] or (room.open[node] == 1 and (model < 0 or room.model[node] == model)))


@inner
def put(worker: int, node: int, state: State, crew: Crew, move: Proposal) -> None:
    """Add ``worker`` to the proposal, going to ``node`` (-1: nowhere)."""
    count = move.length[0]
    move.worker[count] = worker
    move.node[count] = node
    move.length[0] = count + 1
    state.picked[worker] = 1
    old = state.node_of[worker]
    if old >= 0:
        state.free[old] += crew.size[worker]
    if node >= 0:
        state.free[node] -= crew.size[worker]


@inner
def complete(state: State, crew: Crew, move: Proposal) -> None:
    """End the making of a proposal: the books are as the placement is again."""
    for k in range(move.length[0]):
        worker = move.worker[k]
        state.picked[worker] = 0
        old = state.node_of[worker]
        if old >= 0:
            state.free[old] -= crew.size[worker]
        if move.node[k] >= 0:
            state.free[move.node[k]] += crew.size[worker]


@inner
def give_up(state: State, crew: Crew, move: Proposal) -> None:
    """End the making of a proposal that led nowhere."""
    complete(state, crew, move)
    move.length[0] = 0


@inner
def best_fit(worker: int, domain: int, model: int, state: State, room: Room, crew: Crew) -> int:
    """Return the fullest node of ``domain`` with room for ``worker``, of ``model`` unless that is -1; -1 for none."""
    best = -1
    for k in range(room.domain_first[domain], room.domain_first[domain + 1]):
        node = room.domain_nodes[k]
        if (
            state.free[node] >= crew.size[worker]
            and (best < 0 or state.free[node] < state.free[best])
            and may_stand(worker, node, model, room, crew)
        ):
            best = node
    return best


@inner
def evict(
    node: int, gang: int, refuge: int, state: State, room: Room, crew: Crew, rng: np.random.Generator, move: Proposal
) -> bool:
    """Displace workers of other gangs from ``node`` until it holds no more than it can; tell whether that succeeded.

    They go home, to ``refuge`` (-1: none), or to a domain that is drawn; a job that was waiting may have to wait again.
    """
    count = state.on_count[node]
    start = draw(rng, max(1, count))
    domains = room.domain_capacity.size
    for k in range(count):
        if state.free[node] >= 0:
            break
        worker = state.on_node[node, (start + k) % count]
        job = crew.job[worker]
        if state.picked[worker] == 1 or crew.movable[worker] == 0 or crew.job_gang[job] == gang:
            continue
        home = crew.home[worker]
        target = -1
        if home >= 0 and home != node and state.free[home] >= crew.size[worker]:
            target = home
        elif (
            refuge >= 0
            and state.free[refuge] >= crew.size[worker]
            and may_stand(worker, refuge, room.model[node], room, crew)
        ):
            target = refuge
        else:
            for _ in range(TRIES):
                target = best_fit(worker, draw(rng, domains), room.model[node], state, room, crew)
                if target >= 0 and target != node:
                    break
                target = -1
        if target >= 0:
            put(worker, target, state, crew, move)
        elif home < 0:
            free = True
            for other in range(crew.job_first[job], crew.job_first[job + 1]):
                free = free and state.picked[other] == 0
            if free:
                for other in range(crew.job_first[job], crew.job_first[job + 1]):
                    put(other, -1, state, crew, move)
    return bool(state.free[node] >= 0)


@inner
def push_in(
    worker: int, domain: int, model: int, state: State, room: Room, crew: Crew, rng: np.random.Generator, move: Proposal
) -> bool:
    """Add to the proposal that ``worker`` goes to ``domain``, into free room or into that of others."""
    node = best_fit(worker, domain, model, state, room, crew)
    if node >= 0:
        put(worker, node, state, crew, move)
        return True
    low, high = room.domain_first[domain], room.domain_first[domain + 1]
    start = draw(rng, high - low)
    refuge = state.node_of[worker]
    gang = crew.job_gang[crew.job[worker]]
    tries = 0
    for k in range(high - low):
        node = room.domain_nodes[low + (start + k) % (high - low)]
        if room.capacity[node] < crew.size[worker] or not may_stand(worker, node, model, room, crew):
            continue
        mark = move.length[0]
        put(worker, node, state, crew, move)
        if evict(node, gang, refuge, state, room, crew, rng, move):
            return True
        for back in range(move.length[0] - 1, mark - 1, -1):
            other = move.worker[back]
            state.picked[other] = 0
            if state.node_of[other] >= 0:
                state.free[state.node_of[other]] -= crew.size[other]
            if move.node[back] >= 0:
                state.free[move.node[back]] += crew.size[other]
        move.length[0] = mark
        tries += 1
        if tries == TRIES:
            break
    return False


@inner
def bring_slice(
    worker: int, domain: int, most: int, state: State, room: Room, crew: Crew, rng: np.random.Generator, move: Proposal
) -> None:
    """Propose that the slice of ``worker``'s gang in its domain goes to ``domain``, at most ``most`` workers of it."""
    here = room.domain[state.node_of[worker]]
    gang = crew.job_gang[crew.job[worker]]
    first, last = crew.gang_first[gang], crew.gang_first[gang + 1]
    start = draw(rng, last - first)
    brought = 0
    for k in range(last - first):
        mate = crew.gang_workers[first + (start + k) % (last - first)]
        node = state.node_of[mate]
        if node < 0 or room.domain[node] != here or crew.movable[mate] == 0 or state.picked[mate] == 1:
            continue
        if not push_in(mate, domain, room.model[node], state, room, crew, rng, move):
            give_up(state, crew, move)
            return
        brought += 1
        if brought == most:
            return


@inner
def send_home(job: int, state: State, room: Room, crew: Crew, rng: np.random.Generator, move: Proposal) -> None:
    """Propose that all workers of a running job that are away go home, whoever stands there."""
    for worker in range(crew.job_first[job], crew.job_first[job + 1]):
        home, old = crew.home[worker], state.node_of[worker]
        if home < 0 or old == home or state.picked[worker] == 1:
            continue
        put(worker, home, state, crew, move)
        if state.free[home] < 0 and not evict(home, crew.job_gang[job], old, state, room, crew, rng, move):
            give_up(state, crew, move)
            return


@inner
def squeeze_in(
    job: int, domain: int, state: State, room: Room, crew: Crew, rng: np.random.Generator, move: Proposal
) -> None:
    """Propose that a waiting job gets GPUs, in ``domain`` first, from others if need be."""
    model = crew.model[crew.job_first[job]]
    domains = room.domain_capacity.size
    for worker in range(crew.job_first[job], crew.job_first[job + 1]):
        done = False
        for _ in range(TRIES):
            done = push_in(worker, domain, model, state, room, crew, rng, move)
            if done:
                break
            domain = draw(rng, domains)
        if not done:
            give_up(state, crew, move)
            return
        if model < 0:
            for k in range(move.length[0]):
                if move.worker[k] == worker:
                    model = room.model[move.node[k]]
