"""How is a change of an expert map made, so that all that its cost needs stays up to date? And that from nothing."""

import numpy as np

from tasks.problems.routing_compiled import fused, inner, outer
from tasks.problems.routing_costs import even_shares, layer_cost
from tasks.problems.routing_differences import moved_change, squares_change
from tasks.problems.routing_state import Integers, Layout, State


def state_of(layout: Layout, placement: Integers) -> State:
    """Return the state of a map that serves every expert, ``(layers, slots)``; the map itself is copied."""
    shape = placement.shape
    layers, experts, scenarios = layout.loads.shape
    ranks = layout.domain.size
    by_domain = (layers, experts, layout.domains)
    state = State(
        slots=placement.astype(np.int64, order="C"),  # another order would compile the whole search again
        counts=np.zeros((layers, experts), np.int64),
        head=np.zeros((layers, experts), np.int64),
        following=np.full(shape, -1),
        preceding=np.full(shape, -1),
        rank_time=np.zeros((layers, ranks, scenarios)),
        peak_rank=np.zeros((layers, scenarios), np.int64),
        presence=np.zeros(by_domain, np.int64),
        gathered=np.zeros((layers, experts // layout.group_size, layout.domains), np.int64),
        leaving=np.zeros(by_domain),
        arriving=np.zeros(by_domain),
        moved=np.zeros(layers, np.int64),
        squares=np.zeros(layers),
        rank_room=np.zeros((ranks, scenarios)),
        tops=np.zeros(scenarios),
    )
    fill(layout, state)
    return state


@outer
def fill(layout: Layout, state: State) -> None:
    """Compute everything in ``state`` from its ``slots``; sums come in as zeros."""
    layers, slots = state.slots.shape
    experts = layout.loads.shape[1]
    shares = even_shares(state.slots, experts)
    state.head[:] = -1
    for layer in range(layers):
        for slot in range(slots):
            expert, domain = state.slots[layer, slot], layout.domain[slot // layout.per_rank]
            link(state, layer, slot, expert)
            state.counts[layer, expert] += 1
            state.presence[layer, expert, domain] += 1
            state.gathered[layer, expert // layout.group_size, domain] += 1
            state.squares[layer] += (layout.mean_loads[layer, expert] * shares[layer, slot]) ** 2
        for rank in range(layout.domain.size):
            weigh(layout, state, layer, rank)
        find_peaks(state, layer)
    for layer in range(layers):
        state.moved[layer] = layer_cost(layout, state.slots, shares, layer)[1]
        for source in range(experts):
            key = layer * experts + source
            for edge in range(layout.out_start[key], layout.out_start[key + 1]):
                target = layout.out_expert[edge]
                for domain in range(layout.domains):
                    share = state.presence[layer, source, domain] / state.counts[layer, source]
                    state.arriving[layer + 1, target, domain] += layout.out_cost[edge] * share
                    if state.presence[layer + 1, target, domain] == 0:
                        state.leaving[layer, source, domain] += layout.out_cost[edge]


@inner
def weigh(layout: Layout, state: State, layer: int, rank: int) -> None:
    """Compute a rank's time in each scenario from its slots, so that no rounding piles up."""
    for scenario in range(layout.likelihood.size):
        load = 0.0
        for slot in range(rank * layout.per_rank, (rank + 1) * layout.per_rank):
            expert = state.slots[layer, slot]
            load += layout.loads[layer, expert, scenario] / state.counts[layer, expert]
        state.rank_time[layer, rank, scenario] = load * layout.slowness[rank]


@fused
def find_peaks(state: State, layer: int) -> None:
    """Find the rank that takes longest in each scenario."""
    times = state.rank_time[layer]
    for scenario in range(times.shape[1]):
        peak = 0
        for rank in range(1, times.shape[0]):
            if times[rank, scenario] > times[peak, scenario]:
                peak = rank
        state.peak_rank[layer, scenario] = peak


@inner
def link(state: State, layer: int, slot: int, expert: int) -> None:
    """Put a slot at the head of an expert's list."""
    head = state.head[layer, expert]
    state.following[layer, slot] = head
    state.preceding[layer, slot] = -1
    if head >= 0:
        state.preceding[layer, head] = slot
    state.head[layer, expert] = slot


@inner
def unlink(state: State, layer: int, slot: int) -> None:
    """Take a slot out of its expert's list."""
    before, after = state.preceding[layer, slot], state.following[layer, slot]
    if before >= 0:
        state.following[layer, before] = after
    else:
        state.head[layer, state.slots[layer, slot]] = after
    if after >= 0:
        state.preceding[layer, after] = before


@inner
def put(layout: Layout, state: State, layer: int, slot: int, expert: int) -> None:
    """Let a slot hold an expert; ranks' times, moves and the neighbours' crossings are left to ``settle``."""
    gone = state.slots[layer, slot]
    domain = layout.domain[slot // layout.per_rank]
    unlink(state, layer, slot)
    state.slots[layer, slot] = expert
    link(state, layer, slot, expert)
    state.counts[layer, gone] -= 1
    state.counts[layer, expert] += 1
    state.presence[layer, gone, domain] -= 1
    state.presence[layer, expert, domain] += 1
    state.gathered[layer, gone // layout.group_size, domain] -= 1
    state.gathered[layer, expert // layout.group_size, domain] += 1


@outer
def change_slots(layout: Layout, state: State, layer: int, slot: int, other: int, expert: int) -> None:
    """Swap ``slot`` with ``other``, or let it take ``expert`` if ``other`` is -1; everything is kept up to date."""
    gone = state.slots[layer, slot]
    come = expert if other < 0 else state.slots[layer, other]
    mine = slot // layout.per_rank
    theirs = mine if other < 0 else other // layout.per_rank
    routed = layout.out_expert.size > 0 and (other < 0 or layout.domain[mine] != layout.domain[theirs])
    if routed:
        _lift(layout, state, layer, gone, mine, theirs, other < 0, -1.0)
        _lift(layout, state, layer, come, mine, theirs, other < 0, -1.0)
    state.moved[layer] += moved_change(layout, state, layer, mine, gone, come)
    if other < 0:
        state.squares[layer] += squares_change(layout, state, layer, gone, come)
    put(layout, state, layer, slot, come)
    if other >= 0:
        state.moved[layer] += moved_change(layout, state, layer, theirs, come, gone)
        put(layout, state, layer, other, gone)
        weigh(layout, state, layer, mine)
        weigh(layout, state, layer, theirs)
    else:
        weigh(layout, state, layer, mine)
        for changed in (gone, come):
            at = state.head[layer, changed]
            while at >= 0:
                weigh(layout, state, layer, at // layout.per_rank)
                at = state.following[layer, at]
    find_peaks(state, layer)
    if routed:
        _lift(layout, state, layer, gone, mine, theirs, other < 0, 1.0)
        _lift(layout, state, layer, come, mine, theirs, other < 0, 1.0)


@inner
def _lift(
    layout: Layout, state: State, layer: int, expert: int, mine: int, theirs: int, recounted: bool, sign: float
) -> None:
    """Take an expert's part out of what the neighbouring layers keep (-1), or put it back (+1).

    Only where it can change: in the two ranks' domains, and everywhere if the number of replicas does.
    """
    key = layer * layout.loads.shape[1] + expert
    a, b = layout.domain[mine], layout.domain[theirs]
    for domain in range(layout.domains):
        here, touched = state.presence[layer, expert, domain], domain in (a, b)
        if here == 0 and touched:
            for edge in range(layout.in_start[key], layout.in_start[key + 1]):
                state.leaving[layer - 1, layout.in_expert[edge], domain] += sign * layout.in_cost[edge]
        elif here > 0 and (recounted or touched):
            share = sign * here / state.counts[layer, expert]
            for edge in range(layout.out_start[key], layout.out_start[key + 1]):
                state.arriving[layer + 1, layout.out_expert[edge], domain] += share * layout.out_cost[edge]


@outer
def replay(placement: Integers, layer: int, steps: Integers) -> None:
    """Make changes (slot, other or -1, expert, ...), ``(steps, at least 3)``, in one layer of a map."""
    for step in range(steps.shape[0]):
        slot, other = steps[step, 0], steps[step, 1]
        if other >= 0:
            placement[layer, slot], placement[layer, other] = placement[layer, other], placement[layer, slot]
        else:
            placement[layer, slot] = steps[step, 2]
