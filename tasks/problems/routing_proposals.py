"""Which change of an expert map shall be tried next? Proposals with some chance, most of them where a layer loses."""

from typing import Any

import numpy as np

from tasks.problems.routing_compiled import fused, inner, outer
from tasks.problems.routing_differences import overwrite_change, surplus, swap_change
from tasks.problems.routing_state import Floats, Integers, Layout, State

NONE: Any = np.int64(-1)
"""No slot, no expert; of this type, and no literal, lest numba compiles everything twice."""


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
