"""How is the fullest rank of a layer relieved, step by step, where moved replicas are scarce?

Strain is the sum over ranks of their time to the 16th power: it orders maps nearly as the fullest rank does, and tells
ties apart that the fullest rank leaves.
"""

import numpy as np

from tasks.problems.routing_compiled import fused, inner, outer
from tasks.problems.routing_differences import (
    make_room,
    moved_change,
    noise_change,
    overwrite_change,
    swap_change,
)
from tasks.problems.routing_kernel import change_slots
from tasks.problems.routing_proposals import NONE, worst_scenario
from tasks.problems.routing_state import UNCHANGED, Floats, Integers, Layout, State


@outer
def descend(
    layout: Layout,
    state: State,
    layer: int,
    share: float,
    swaps_only: bool,
    allowance: int,
    steps: Integers,
    costs: Floats,
    rng: np.random.Generator,
) -> tuple[int, int]:
    """Relieve the fullest rank of a layer, each time by the change that lowers the strain most per moved replica.

    The scenarios take turns in saying which rank is the fullest; the descent ends when none of them finds a change.

    Args:
        layout: the deployment.
        state: where it starts; it is changed.
        layer: where.
        share: how many of the fullest rank's changes to look at in each step, as a share of one; more where none of
            them helps.
        swaps_only: leave the number of replicas of each expert as it is.
        allowance: changes to evaluate at most; those that plainly do not help are not evaluated and do not count.
        steps: receives (slot, other, expert, moved replicas of the layer afterwards), ``(steps, 4)``.
        costs: receives the change in cost since the start, ``(steps,)``.
        rng: all chance.

    Returns:
        The number of steps made and of changes evaluated.
    """
    slots, room, experts = state.slots.shape[1], layout.per_rank, layout.loads.shape[1]
    evaluations, change = 0, 0.0
    step, misses = 0, 0
    scenarios = layout.likelihood.size
    leverage = np.zeros(scenarios)
    focus = worst_scenario(state, layer)
    set_leverage(layout, state, layer, leverage)
    while step < costs.size:
        full, times, loads = state.peak_rank[layer, focus], state.rank_time[layer], layout.loads[layer]
        peak = times[full, focus]
        best, at, partner, take = -UNCHANGED, NONE, NONE, NONE
        for slot in range(full * room, (full + 1) * room):
            mine = state.slots[layer, slot]
            weight = loads[mine, focus] / state.counts[layer, mine]
            lighter = loads[mine, focus] / (state.counts[layer, mine] + 1)
            for candidate in range(slots if swaps_only else 2 * slots + experts):
                if share < 1.0 and rng.random() >= share:
                    continue
                if evaluations >= allowance:
                    return step, evaluations
                other = candidate % slots
                theirs = state.slots[layer, other]
                rank = other // room
                share_there = loads[theirs, focus] / state.counts[layer, theirs]
                if candidate < slots:  # swap with a lighter replica elsewhere that leaves that rank below the peak
                    if share_there >= weight:
                        continue
                    if times[rank, focus] + (weight - share_there) * layout.slowness[rank] >= peak:
                        continue
                    strain = swap_strain(layout, state, layer, slot, other, leverage)
                    gone, come, expert = theirs, mine, NONE
                elif candidate < 2 * slots:  # a further replica of what weighs here, instead of one that is spare
                    if theirs == mine or state.counts[layer, theirs] < 2:
                        continue
                    if rank != full and times[rank, focus] + (lighter - share_there) * layout.slowness[rank] >= peak:
                        continue
                    strain = overwrite_strain(layout, state, layer, other, mine, leverage)
                    gone, come, expert = theirs, mine, mine
                else:  # something lighter in its place
                    expert = candidate - 2 * slots
                    if expert == mine or state.counts[layer, mine] < 2:
                        continue
                    if loads[expert, focus] / (state.counts[layer, expert] + 1) >= weight:
                        continue
                    strain = overwrite_strain(layout, state, layer, slot, expert, leverage)
                    rank, gone, come, other = full, mine, expert, slot
                evaluations += 1
                if strain < 0.0:
                    moved = moved_change(layout, state, layer, rank, gone, come)
                    if expert < 0:
                        moved += moved_change(layout, state, layer, full, mine, theirs)
                    if strain / max(moved, 0.5) < best:
                        best, at, partner, take = strain / max(moved, 0.5), other, slot if expert < 0 else NONE, expert
        if at < 0 and share >= 1.0:
            misses += 1
            if misses >= scenarios:
                return step, evaluations
            focus = (focus + 1) % scenarios
            continue
        if at < 0:  # improvements have become rare: look at more
            share = min(1.0, 3.0 * share)
            continue
        if partner >= 0:
            change += swap_change(layout, state, layer, at, partner)[0]
        else:
            change += overwrite_change(layout, state, layer, at, take)[0]
        change_slots(layout, state, layer, at, partner, take)
        steps[step, 0], steps[step, 1], steps[step, 2] = at, partner, take
        steps[step, 3] = state.moved[layer]
        costs[step] = change
        step += 1
        misses = 0
        if scenarios > 1:
            focus = (focus + 1) % scenarios
        set_leverage(layout, state, layer, leverage)
    return step, evaluations


@fused
def _strain(time: float) -> float:
    """Return the 16th power: summed over ranks it orders maps nearly as the fullest rank does, but breaks its ties."""
    for _ in range(4):
        time *= time
    return time


@inner
def set_leverage(layout: Layout, state: State, layer: int, leverage: Floats) -> None:
    """Write how much a scenario's strain counts, ``(scenarios,)``: the slope of its 16-norm, times its weight."""
    for scenario in range(leverage.size):
        peak = max(1.0, state.rank_time[layer, state.peak_rank[layer, scenario], scenario])
        leverage[scenario] = layout.likelihood[scenario] * peak / _strain(peak)
    if layout.risk > 0.0:
        worst = worst_scenario(state, layer)
        peak = max(1.0, state.rank_time[layer, state.peak_rank[layer, worst], worst])
        leverage[worst] += layout.risk * peak / _strain(peak)


@inner
def swap_strain(layout: Layout, state: State, layer: int, slot: int, other: int, leverage: Floats) -> float:
    """Return the change in the sum over ranks and scenarios of leverage * time ** 16 if two slots swap."""
    one, two = state.slots[layer, slot], state.slots[layer, other]
    a, b = slot // layout.per_rank, other // layout.per_rank
    loads, times, counts = layout.loads[layer], state.rank_time[layer], state.counts[layer]
    change = 0.0
    for scenario in range(leverage.size):
        up = loads[two, scenario] / counts[two] - loads[one, scenario] / counts[one]
        here, there = times[a, scenario], times[b, scenario]
        strain = _strain(here + up * layout.slowness[a]) - _strain(here)
        strain += _strain(there - up * layout.slowness[b]) - _strain(there)
        change += leverage[scenario] * strain
    return change


@inner
def overwrite_strain(layout: Layout, state: State, layer: int, slot: int, expert: int, leverage: Floats) -> float:
    """Return the same change if a slot takes another expert; unforeseen loads count as much as they cost."""
    gone = state.slots[layer, slot]
    make_room(layout, state, layer, slot, expert)
    change: float = _settled(state, layer, slot // layout.per_rank, leverage)
    change += 16.0 * noise_change(layout, state, layer, gone, expert)
    at = state.head[layer, gone]
    while at >= 0:
        change += _settled(state, layer, at // layout.per_rank, leverage)
        at = state.following[layer, at]
    at = state.head[layer, expert]
    while at >= 0:
        change += _settled(state, layer, at // layout.per_rank, leverage)
        at = state.following[layer, at]
    return change


@fused
def _settled(state: State, layer: int, rank: int, leverage: Floats) -> float:
    """Return a rank's part of the change in strain, and clear its room, so that it counts once."""
    change = 0.0
    for scenario in range(leverage.size):
        time, more = state.rank_time[layer, rank, scenario], state.rank_room[rank, scenario]
        change += leverage[scenario] * (_strain(time + more) - _strain(time))
        state.rank_room[rank, scenario] = 0.0
    return change
