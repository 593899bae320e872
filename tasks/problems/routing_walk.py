"""How does a search walk through expert maps? Proposals, annealing, and descents, compiled.

Numba's cache does not notice when :mod:`tasks.problems.routing_kernel` changes: after editing it, remove the caches.
"""

from typing import Any

import numpy as np

from tasks.problems.routing_kernel import (
    change_slots,
    fused,
    inner,
    make_room,
    moved_change,
    noise_change,
    outer,
    overwrite_change,
    surplus,
    swap_change,
)
from tasks.problems.routing_state import Floats, Integers, Layout, State

UNCHANGED = 1e-12
"""Smaller differences in cost than this are rounding."""

NONE: Any = np.int64(-1)
"""No slot, no expert; of this type, and no literal, lest numba compiles everything twice."""


@inner
def total_moved(state: State) -> int:
    """Return the moved replicas of all layers."""
    moved = 0
    for layer in range(state.moved.size):
        moved += state.moved[layer]
    return moved


@fused
def drawn_scenario(layout: Layout, state: State, layer: int, rng: np.random.Generator) -> int:
    """Return a scenario, as likely as its peak weighs in the cost; the risk's part falls to the worst one."""
    count = layout.likelihood.size
    if count == 1:
        return 0
    draw = rng.random()
    for scenario in range(count):
        draw -= layout.likelihood[scenario]
        if draw < 0.0:
            return scenario
    worst: int = worst_scenario(state, layer)
    return worst


@inner
def worst_scenario(state: State, layer: int) -> int:
    """Return the scenario in which the layer takes longest."""
    worst, longest = 0, -1.0
    for scenario in range(state.tops.size):
        peak = state.rank_time[layer, state.peak_rank[layer, scenario], scenario]
        if peak > longest:
            worst, longest = scenario, peak
    return worst


@inner
def propose(layout: Layout, state: State, layer: int, rng: np.random.Generator) -> tuple[int, int, int]:
    """Return a possible change of a layer as (slot, other or -1, expert or -1); slot is -1 where none was hit upon.

    Half of the proposals relieve the fullest rank; the others swap at random, spend a replica elsewhere, or bring an
    expert back to a rank that held it. Where tokens cross, a third of all bring an expert to where its tokens are.
    """
    if layout.out_expert.size and rng.random() < 0.33:
        attracted: tuple[int, int, int] = _attract(layout, state, layer, rng)
        return attracted
    slots, room = state.slots.shape[1], layout.per_rank
    full = state.peak_rank[layer, drawn_scenario(layout, state, layer, rng)]
    draw = rng.random()
    slot = int(rng.random() * slots)
    if draw < 0.55:  # swap, mostly with the fullest rank
        other = int(rng.random() * slots)
        if draw < 0.4:
            other = full * room + int(rng.random() * room)
        apart = slot // room != other // room and state.slots[layer, slot] != state.slots[layer, other]
        return (slot, other, NONE) if apart else (NONE, NONE, NONE)
    if draw < 0.85:  # a replica of another expert instead of a second one of this
        if draw < 0.62:
            slot = full * room + int(rng.random() * room)
        tries = 0
        while state.counts[layer, state.slots[layer, slot]] < 2:
            slot = int(rng.random() * slots)
            tries += 1
            if tries > 8:
                return NONE, NONE, NONE
        expert = state.slots[layer, full * room + int(rng.random() * room)]
        if draw > 0.79 or slot // room == full:
            expert = state.slots[layer, int(rng.random() * slots)]
        return (NONE, NONE, NONE) if expert == state.slots[layer, slot] else (slot, NONE, expert)
    rank = slot // room
    tries = 0
    while surplus(layout, state, layer, rank, state.slots[layer, slot]) <= 0:
        slot = int(rng.random() * slots)
        rank = slot // room
        tries += 1
        if tries > 8:
            return NONE, NONE, NONE
    for home in range(rank * room, (rank + 1) * room):
        expert = layout.in_force[layer, home]
        if surplus(layout, state, layer, rank, expert) < 0:
            if state.counts[layer, state.slots[layer, slot]] > 1 and rng.random() < 0.5:
                return slot, NONE, expert
            other = state.head[layer, expert]
            for _ in range(int(rng.random() * state.counts[layer, expert])):
                other = state.following[layer, other]
            return (slot, other, NONE) if other // room != rank else (NONE, NONE, NONE)
    return NONE, NONE, NONE


@inner
def _attract(layout: Layout, state: State, layer: int, rng: np.random.Generator) -> tuple[int, int, int]:
    """Return a change that brings a random expert to the domain where that saves most crossings."""
    slots = state.slots.shape[1]
    slot = int(rng.random() * slots)
    expert = state.slots[layer, slot]
    home = layout.domain[slot // layout.per_rank]
    goal, lowest = home, np.inf
    for domain in range(layout.domains):
        saved = 0.0 if state.presence[layer, expert, domain] else state.arriving[layer, expert, domain]
        cost = state.leaving[layer, expert, domain] / state.counts[layer, expert] - saved
        if domain != home and cost < lowest:
            goal, lowest = domain, cost
    for _ in range(4 * layout.domains):
        other = int(rng.random() * slots)
        theirs = state.slots[layer, other]
        if layout.domain[other // layout.per_rank] == goal and theirs != expert:
            if state.counts[layer, theirs] > 1 and rng.random() < 0.5:
                return other, NONE, expert
            return slot, other, NONE
    return NONE, NONE, NONE


@outer
def anneal(
    layout: Layout,
    state: State,
    active: Integers,
    budget: int,
    evaluations: int,
    hot: float,
    cold: float,
    rng: np.random.Generator,
) -> tuple[Integers, int]:
    """Anneal from ``state`` (Kirkpatrick et al. 1983, doi 10.1126/science.220.4598.671), which it changes.

    Args:
        layout: the deployment.
        state: where it starts.
        active: layers to work on.
        budget: moved replicas allowed.
        evaluations: changes to evaluate.
        hot: first temperature, in cost units.
        cold: last temperature.
        rng: all chance.

    Returns:
        The best map seen, ``(layers, slots)``, and how often the best improved.
    """
    best = state.slots.copy()
    stale = np.zeros(state.slots.shape[0], np.bool_)  # layers where the best map and the state may differ
    total, lowest, moved, accepted = 0.0, 0.0, total_moved(state), 0
    cooling = (cold / hot) ** (1.0 / max(1, evaluations))
    temperature = hot
    for _ in range(evaluations):
        temperature *= cooling
        layer = active[int(rng.random() * active.size)]
        slot, other, expert = propose(layout, state, layer, rng)
        if slot < 0:
            continue
        if other >= 0:
            change, more = swap_change(layout, state, layer, slot, other)
        else:
            change, more = overwrite_change(layout, state, layer, slot, expert)
        if more > 0 and moved + more > budget:
            continue
        if change > 0.0 and rng.random() >= np.exp(-change / temperature):
            continue
        change_slots(layout, state, layer, slot, other, expert)
        moved += more
        total += change
        stale[layer] = True
        if total < lowest - UNCHANGED:
            lowest = total
            accepted += 1
            for touched in active:
                if stale[touched]:
                    best[touched] = state.slots[touched]
                    stale[touched] = False
    return best, accepted


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


@outer
def sample(layout: Layout, state: State, layers: Integers, rng: np.random.Generator) -> tuple[Integers, Floats]:
    """Return one proposed change for each entry of ``layers`` as far as one is hit upon, with its exact cost.

    Returns:
        (layer, slot, other or -1, expert or -1, change in moved replicas), ``(changes, 5)``, and the changes in cost.
    """
    changes = np.zeros((layers.size, 5), np.int64)
    costs = np.zeros(layers.size)
    count = 0
    for layer in layers:
        slot, other, expert = propose(layout, state, layer, rng)
        if slot < 0:
            continue
        if other >= 0:
            cost, moved = swap_change(layout, state, layer, slot, other)
        else:
            cost, moved = overwrite_change(layout, state, layer, slot, expert)
        changes[count, 0], changes[count, 1], changes[count, 2] = layer, slot, other
        changes[count, 3], changes[count, 4] = expert, moved
        costs[count] = cost
        count += 1
    return changes[:count], costs[:count]
