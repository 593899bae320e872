"""What does a change of one layer's map cost, exactly? Differences in a few operations, without making the change."""

import numpy as np

from tasks.problems.routing_compiled import fused, inner, outer
from tasks.problems.routing_state import Layout, State


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
def _add_room(layout: Layout, state: State, layer: int, expert: int, step: float) -> None:
    """Add what it takes each rank if every replica of the expert changes its share by ``step``."""
    at = state.head[layer, expert]
    while at >= 0:
        rank = at // layout.per_rank
        factor = step * layout.slowness[rank]
        for scenario in range(state.tops.size):
            state.rank_room[rank, scenario] += factor * layout.loads[layer, expert, scenario]
        at = state.following[layer, at]


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
