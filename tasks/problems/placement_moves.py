"""Which changes of a placement are worth a look? Relocations, swaps, whole slices, rooms cleared for one another.

A move names workers and the nodes that they go to.
"""

import numpy as np

from tasks.problems.placement_ejection import (
    TRIES,
    bring_slice,
    complete,
    draw,
    give_up,
    may_stand,
    model_of,
    put,
    send_home,
    squeeze_in,
)
from tasks.problems.placement_kernel import Crew, Room, inner
from tasks.problems.placement_state import Proposal, State


@inner
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
                    and may_stand(worker, target, model, room, crew)
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


@inner
def exchange(a: int, b: int, state: State, room: Room, crew: Crew, move: Proposal) -> None:
    """Propose to exchange everything that stands on nodes ``a`` and ``b``, where all of it may move."""
    count = 0
    for node, other in ((a, b), (b, a)):
        for k in range(state.on_count[node]):
            worker = state.on_node[node, k]
            if crew.movable[worker] == 0 or not may_stand(worker, other, room.model[node], room, crew):
                move.length[0] = 0
                return
            move.worker[count] = worker
            move.node[count] = other
            count += 1
    move.length[0] = count


@inner
def away(state: State, crew: Crew, rng: np.random.Generator) -> int:
    """Return a running job that is not at home, -1 where none was drawn."""
    workers = state.node_of.size
    for _ in range(4 * TRIES):
        worker = draw(rng, workers)
        if crew.home[worker] >= 0 and crew.home[worker] != state.node_of[worker]:
            return int(crew.job[worker])
    return -1


@inner
def propose_chain(worker: int, state: State, room: Room, crew: Crew, rng: np.random.Generator, move: Proposal) -> None:
    """Draw a move of ``worker`` that makes room for itself."""
    job = crew.job[worker]
    node = state.node_of[worker]
    domains = room.domain_capacity.size
    gang = crew.job_gang[job]
    first, last = crew.gang_first[gang], crew.gang_first[gang + 1]
    if state.budget_used[0] + crew.size[worker] > crew.budget or rng.random() < 0.05:
        other = away(state, crew, rng)  # what it takes of the budget, another one gives back
        if other >= 0 and other != job:
            send_home(other, state, room, crew, rng, move)
            if state.picked[worker] == 1:
                complete(state, crew, move)
                return
    if node < 0:
        taken = crew.job[draw(rng, state.node_of.size)]
        if crew.home[crew.job_first[taken]] < 0 and state.node_of[crew.job_first[taken]] >= 0:
            free = True
            for other in range(crew.job_first[taken], crew.job_first[taken + 1]):
                free = free and state.picked[other] == 0
            if free:
                for other in range(crew.job_first[taken], crew.job_first[taken + 1]):
                    put(other, -1, state, crew, move)
        domain = draw(rng, domains)
        mate = crew.gang_workers[first + draw(rng, last - first)]
        if state.node_of[mate] >= 0 and rng.random() < 0.7:
            domain = room.domain[state.node_of[mate]]
        squeeze_in(job, domain, state, room, crew, rng, move)
        complete(state, crew, move)
        return
    domain = draw(rng, domains)
    if rng.random() < 0.8:
        for _ in range(TRIES):
            mate = crew.gang_workers[first + draw(rng, last - first)]
            if state.node_of[mate] >= 0 and room.domain[state.node_of[mate]] != room.domain[node]:
                domain = room.domain[state.node_of[mate]]
                break
    most = last - first if rng.random() < 0.7 else 1 + draw(rng, last - first)
    if domain != room.domain[node]:
        bring_slice(worker, domain, most, state, room, crew, rng, move)
        complete(state, crew, move)
    else:
        give_up(state, crew, move)


@inner
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
        if crew.job_ready[job] == 1 and kind < 0.5:
            propose_chain(worker, state, room, crew, rng, move)
        elif crew.job_ready[job] == 1:
            anywhere = draw(rng, nodes)  # its domain comes first, and its model counts where the job names none
            model = crew.model[worker] if crew.model[worker] >= 0 else room.model[anywhere]
            gather(job, room.domain[anywhere], model, state, room, crew, move)
        return
    if crew.movable[worker] == 0:
        return
    if kind < 0.25:  # relocate, preferably to where its gang already is
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
        if target != node and fits and may_stand(worker, target, model_of(worker, state, room, crew), room, crew):
            move.worker[0] = worker
            move.node[0] = target
            move.length[0] = 1
    elif kind < 0.50:  # swap with a worker that stands where its gang already is
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
            and may_stand(worker, there, model_of(worker, state, room, crew), room, crew)
            and may_stand(other, node, model_of(other, state, room, crew), room, crew)
        ):
            move.worker[0] = worker
            move.node[0] = there
            move.worker[1] = other
            move.node[1] = node
            move.length[0] = 2
    elif kind < 0.60:  # bring the job together
        domain = room.domain[node] if rng.random() < 0.5 else draw(rng, room.domain_capacity.size)
        gather(job, domain, model_of(worker, state, room, crew), state, room, crew, move)
    elif kind < 0.64:  # exchange two nodes
        other = draw(rng, nodes)
        if other != node and room.domain[other] != room.domain[node]:
            exchange(node, other, state, room, crew, move)
    elif kind < 0.88:  # bring a slice, whoever stands there
        for _ in range(TRIES):  # rather one of a gang that is split
            gang = crew.job_gang[crew.job[worker]]
            first, last = crew.gang_first[gang], crew.gang_first[gang + 1]
            mate = state.node_of[crew.gang_workers[first + draw(rng, last - first)]]
            if mate >= 0 and room.domain[mate] != room.domain[state.node_of[worker]]:
                break
            other = draw(rng, workers)
            if crew.movable[other] == 1 and state.node_of[other] >= 0:
                worker = other
        propose_chain(worker, state, room, crew, rng, move)
    elif kind < 0.94:  # a whole job goes home
        other = away(state, crew, rng)
        if other >= 0:
            send_home(other, state, room, crew, rng, move)
            complete(state, crew, move)
    elif crew.home[worker] < 0 and rng.random() < 0.5:  # give a pending job other GPUs, of another model even
        squeeze_in(job, draw(rng, room.domain_capacity.size), state, room, crew, rng, move)
        complete(state, crew, move)
    elif crew.home[worker] < 0:  # take a pending job's GPUs back
        for k in range(crew.job_first[job], crew.job_first[job + 1]):
            move.worker[move.length[0]] = k
            move.node[move.length[0]] = -1
            move.length[0] += 1
    elif crew.home[worker] != node and state.free[crew.home[worker]] >= crew.size[worker]:  # back home
        move.worker[0] = worker
        move.node[0] = crew.home[worker]
        move.length[0] = 1
