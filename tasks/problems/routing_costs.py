"""What does an expert map cost, layer by layer? Computed from nothing; all differences must add up to it."""

import numpy as np

from tasks.problems.routing_compiled import outer
from tasks.problems.routing_state import Floats, Integers, Layout


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
