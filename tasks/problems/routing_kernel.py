"""What does a change of one layer's map cost, exactly? Differences in a few operations, and the change itself.

Compiled code; ``layer_cost`` computes from nothing what the differences must add up to. Numba's cache does not notice
when a function that another file calls has changed: after editing this file, remove the caches.
"""

import numpy as np
from numba import njit

from tasks.problems.routing_state import Floats, Integers, Layout, State

outer = njit(cache=True, error_model="numpy")
"""For what Python calls."""

inner = njit(cache=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
"""For what only compiled code calls: half of the time to compile went into the wrappers."""

fused = njit(cache=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True, inline="always")
"""For what is called in the innermost loops: a call hands over every field of layout and state, which takes 100 ns."""


@outer
def even_shares(placement: Integers, experts: int) -> Floats:
    """Return the share of its expert's tokens that each slot takes if they are split evenly, ``(layers, slots)``."""
    shares = np.empty(placement.shape)
    for layer in range(placement.shape[0]):
        counts = np.bincount(placement[layer], minlength=experts)
        for slot in range(placement.shape[1]):
            shares[layer, slot] = 1.0 / counts[placement[layer, slot]]
    return shares


@outer
def layer_cost(layout: Layout, placement: Integers, shares: Floats, layer: int) -> tuple[float, int, float, int]:
    """Return imbalance, moved replicas, cost of crossings into the next layer, and stray replicas of a layer.

    ``placement`` and ``shares`` are ``(layers, slots)``. An expert without a slot counts as no load; its tokens cross.
    """
    experts = layout.loads.shape[1]
    slots = placement.shape[1]
    expected, worst, moved, squares = 0.0, 0.0, 0, 0.0
    for scenario in range(layout.likelihood.size):
        longest = 1.0
        for first in range(0, slots, layout.per_rank):
            load = 0.0
            for slot in range(first, first + layout.per_rank):
                load += layout.loads[layer, placement[layer, slot], scenario] * shares[layer, slot]
            longest = max(longest, load * layout.slowness[first // layout.per_rank])
        expected += layout.likelihood[scenario] * (longest - 1.0)
        worst = max(worst, longest - 1.0)
    for first in range(0, slots, layout.per_rank):
        for slot in range(first, first + layout.per_rank):
            expert = placement[layer, slot]
            squares += (layout.mean_loads[layer, expert] * shares[layer, slot]) ** 2
            surplus = 1  # of this expert on this rank, counting only the slots up to this one
            for other in range(first, first + layout.per_rank):
                surplus += other < slot and placement[layer, other] == expert
                surplus -= layout.in_force[layer, other] == expert
            moved += surplus > 0
    crossing = 0.0
    first, last = layout.out_start[layer * experts], layout.out_start[(layer + 1) * experts]
    if last > first:
        here = np.zeros((experts, layout.domains))
        there = np.zeros((experts, layout.domains))
        for slot in range(slots):
            domain = layout.domain[slot // layout.per_rank]
            here[placement[layer, slot], domain] += shares[layer, slot]
            there[placement[layer + 1, slot], domain] = 1.0
        for source in range(experts):
            key = layer * experts + source
            for edge in range(layout.out_start[key], layout.out_start[key + 1]):
                target = layout.out_expert[edge]
                for domain in range(layout.domains):
                    if there[target, domain] == 0.0:
                        crossing += layout.out_cost[edge] * here[source, domain]
    strays = 0
    if layout.stray_weight > 0.0:
        gathered = np.zeros((experts // layout.group_size, layout.domains), np.int64)
        for slot in range(slots):
            group = placement[layer, slot] // layout.group_size
            gathered[group, layout.domain[slot // layout.per_rank]] += 1
        for group in range(gathered.shape[0]):
            strays += gathered[group].sum() - gathered[group].max()
    return expected + layout.risk * worst + layout.noise * np.sqrt(squares), moved, crossing, strays


@outer
def layer_costs(layout: Layout, placement: Integers, shares: Floats) -> Floats:
    """Return imbalance, moved replicas, cost of crossings into the next, and strays of each layer, ``(4, layers)``."""
    costs = np.zeros((4, placement.shape[0]))
    for layer in range(placement.shape[0]):
        found = layer_cost(layout, placement, shares, layer)
        costs[0, layer], costs[1, layer], costs[2, layer], costs[3, layer] = found
    return costs


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


def state_of(layout: Layout, placement: Integers) -> State:
    """Return the state of a map that serves every expert, ``(layers, slots)``; the map itself is copied."""
    shape = placement.shape
    layers, experts, scenarios = layout.loads.shape
    ranks = layout.domain.size
    by_domain = (layers, experts, layout.domains)
    state = State(
        slots=placement.astype(np.int64),
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
def surplus(layout: Layout, state: State, layer: int, rank: int, expert: int) -> int:
    """Return how many more slots of the rank hold the expert than in the map in force."""
    more = 0
    for slot in range(rank * layout.per_rank, (rank + 1) * layout.per_rank):
        more += int(state.slots[layer, slot] == expert) - int(layout.in_force[layer, slot] == expert)
    return more


@inner
def moved_change(layout: Layout, state: State, layer: int, rank: int, gone: int, come: int) -> int:
    """Return the change in moved replicas if a rank gives up one expert for another."""
    loses = surplus(layout, state, layer, rank, gone) > 0
    loads = surplus(layout, state, layer, rank, come) >= 0
    return int(loads) - int(loses)


@outer
def swap_change(layout: Layout, state: State, layer: int, slot: int, other: int) -> tuple[float, int]:
    """Return the exact change in cost, and in moved replicas, if two slots of different ranks swap experts."""
    one, two = state.slots[layer, slot], state.slots[layer, other]
    a, b = slot // layout.per_rank, other // layout.per_rank
    times, peaks, loads = state.rank_time[layer], state.peak_rank[layer], layout.loads[layer]
    counts = state.counts[layer]
    expected, worst_before, worst_after = 0.0, 0.0, 0.0
    for scenario in range(layout.likelihood.size):
        up = loads[two, scenario] / counts[two] - loads[one, scenario] / counts[one]
        top = peaks[scenario]
        peak = times[top, scenario]
        longer = max(times[a, scenario] + up * layout.slowness[a], times[b, scenario] - up * layout.slowness[b])
        if longer < peak:
            if top in (a, b):
                for rank in range(times.shape[0]):
                    if rank != a and rank != b:
                        longer = max(longer, times[rank, scenario])
            else:
                longer = peak
        expected += layout.likelihood[scenario] * (longer - peak)
        worst_before, worst_after = max(worst_before, peak), max(worst_after, longer)
    moved = moved_change(layout, state, layer, a, one, two) + moved_change(layout, state, layer, b, two, one)
    change = expected + layout.risk * (worst_after - worst_before) + layout.move_weight * moved
    here, there = layout.domain[a], layout.domain[b]
    if here != there:
        if layout.out_expert.size:
            change += _passage(state, layer, one, here, there) + _passage(state, layer, two, there, here)
        if layout.stray_weight > 0.0:
            change += layout.stray_weight * _swap_strays(layout, state, layer, one, two, here, there)
    return change, moved


@inner
def _swap_strays(layout: Layout, state: State, layer: int, one: int, two: int, here: int, there: int) -> int:
    """Return the change in stray replicas if one goes from ``here`` to ``there`` and two comes back for it."""
    first, second = one // layout.group_size, two // layout.group_size
    if first == second:
        return 0
    strays: int = -_most_change(state, layer, first, here, there) - _most_change(state, layer, second, there, here)
    return strays


@inner
def _most_change(state: State, layer: int, group: int, less: int, more: int) -> int:
    """Return the change in the largest number of the group's replicas in a domain if one leaves and one gains."""
    gathered = state.gathered[layer, group]
    before, after = 0, 0
    for domain in range(gathered.size):
        held = gathered[domain]
        before = max(before, held)
        after = max(after, held + (domain == more) - (domain == less))
    return after - before


@inner
def _passage(state: State, layer: int, expert: int, here: int, there: int) -> float:
    """Return the change in the cost of crossings if one replica goes from a domain to another."""
    leaving, arriving = state.leaving[layer, expert], state.arriving[layer, expert]
    change: float = (leaving[there] - leaving[here]) / state.counts[layer, expert]
    if state.presence[layer, expert, here] == 1:
        change += arriving[here]
    if state.presence[layer, expert, there] == 0:
        change -= arriving[there]
    return change


@fused
def make_room(layout: Layout, state: State, layer: int, slot: int, expert: int) -> None:
    """Write into ``rank_room`` by how much each rank's time changes if a slot takes another expert."""
    gone = state.slots[layer, slot]
    mine = slot // layout.per_rank
    held, comes = state.counts[layer, gone], state.counts[layer, expert]
    fewer, more = 1.0 / (held - 1), 1.0 / (comes + 1)
    _add_room(layout, state, layer, gone, fewer - 1.0 / held)
    _add_room(layout, state, layer, expert, more - 1.0 / comes)
    for scenario in range(state.tops.size):
        change = more * layout.loads[layer, expert, scenario] - fewer * layout.loads[layer, gone, scenario]
        state.rank_room[mine, scenario] += change * layout.slowness[mine]


@fused
def squares_change(layout: Layout, state: State, layer: int, gone: int, come: int) -> float:
    """Return the change in the sum of squared loads if a slot takes another expert."""
    held, comes = state.counts[layer, gone], state.counts[layer, come]
    less, more = layout.mean_loads[layer, gone], layout.mean_loads[layer, come]
    change: float = less * less / (held * (held - 1)) - more * more / (comes * (comes + 1))
    return change


@fused
def noise_change(layout: Layout, state: State, layer: int, gone: int, come: int) -> float:
    """Return the change in the cost of unforeseen loads if a slot takes another expert."""
    if layout.noise == 0.0:
        return 0.0
    squares = state.squares[layer]
    after = max(0.0, squares + squares_change(layout, state, layer, gone, come))
    change: float = layout.noise * (np.sqrt(after) - np.sqrt(squares))
    return change


@fused
def _add_room(layout: Layout, state: State, layer: int, expert: int, step: float) -> None:
    """Add what it takes each rank if every replica of the expert changes its share by ``step``."""
    at = state.head[layer, expert]
    while at >= 0:
        rank = at // layout.per_rank
        factor = step * layout.slowness[rank]
        for scenario in range(state.tops.size):
            state.rank_room[rank, scenario] += factor * layout.loads[layer, expert, scenario]
        at = state.following[layer, at]


@outer
def overwrite_change(layout: Layout, state: State, layer: int, slot: int, expert: int) -> tuple[float, int]:
    """Return the exact change in cost, and in moved replicas, if a slot takes another expert than it holds.

    The expert that it holds must have a further replica.
    """
    gone = state.slots[layer, slot]
    mine = slot // layout.per_rank
    make_room(layout, state, layer, slot, expert)
    expected, worst_before, worst_after = 0.0, 0.0, 0.0
    for scenario in range(state.tops.size):
        top = 0.0
        for rank in range(layout.domain.size):
            top = max(top, state.rank_time[layer, rank, scenario] + state.rank_room[rank, scenario])
            state.rank_room[rank, scenario] = 0.0
        peak = state.rank_time[layer, state.peak_rank[layer, scenario], scenario]
        expected += layout.likelihood[scenario] * (top - peak)
        worst_before, worst_after = max(worst_before, peak), max(worst_after, top)
    moved = moved_change(layout, state, layer, mine, gone, expert)
    change = expected + layout.risk * (worst_after - worst_before) + layout.move_weight * moved
    change += noise_change(layout, state, layer, gone, expert)
    if layout.out_expert.size:
        change += _recount(layout, state, layer, gone, mine, -1) + _recount(layout, state, layer, expert, mine, 1)
    if layout.stray_weight > 0.0:
        change += layout.stray_weight * _overwrite_strays(layout, state, layer, gone, expert, layout.domain[mine])
    return change, moved


@inner
def _overwrite_strays(layout: Layout, state: State, layer: int, gone: int, come: int, domain: int) -> int:
    """Return the change in stray replicas if a slot of a domain takes another expert."""
    first, second = gone // layout.group_size, come // layout.group_size
    if first == second:
        return 0
    strays: int = -_most_change(state, layer, first, domain, -1) - _most_change(state, layer, second, -1, domain)
    return strays


@inner
def _recount(layout: Layout, state: State, layer: int, expert: int, rank: int, step: int) -> float:
    """Return the change in the cost of crossings if a rank gains (1) or loses (-1) a replica of the expert."""
    change = 0.0
    count = state.counts[layer, expert]
    for domain in range(layout.domains):
        had = state.presence[layer, expert, domain]
        has = had + (step if domain == layout.domain[rank] else 0)
        change += (has / (count + step) - had / count) * state.leaving[layer, expert, domain]
        change += ((has == 0) - (had == 0)) * state.arriving[layer, expert, domain]
    return change


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
