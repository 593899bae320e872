"""How shall an expert's tokens be split over its replicas, so that the slowest rank takes as little time as it can?

A linear programme for each layer, solved exactly by :mod:`tasks.problems.routing_simplex`: shares of the slots whose
expert has another replica, under the same mixture of expected and worst scenario, and the same price of crossings, as
the map was searched for. Among splits that are as good, one near to an even one is preferred.
"""

import numpy as np

from tasks.problems.routing_costs import even_shares, layer_costs
from tasks.problems.routing_simplex import Shares, best_shares
from tasks.problems.routing_state import Floats, Integers, Layout

EVENNESS = 1e-4
"""Price of a share that differs from an even one by 1, in layers' worth of time: it only breaks ties."""

GAIN = 1e-6
"""Gain of a layer below which its tokens stay split evenly."""


def split(layout: Layout, placement: Integers) -> Floats:
    """Return the share of its expert's tokens that each slot takes, ``(layers, slots)``.

    Args:
        layout: the deployment.
        placement: expert in each slot, each expert at least once, ``(layers, slots)``.
    """
    even = even_shares(placement, layout.loads.shape[1])
    result = even.copy()
    for layer in np.flatnonzero(layout.loaded).tolist():
        free = free_slots(layout, placement, even, layer)
        if not free.size:
            continue
        given = posed(layout, placement, even, layer, free)
        found = np.round(np.clip(best_shares(given), 0.0, 1.0), 6)  # so that a plan does not state rounding
        result[layer, free] = found / np.bincount(given.first, weights=found)[given.first]
    before, after = (_lost(layer_costs(layout, placement, shares)) for shares in (even, result))
    result[after > before - GAIN] = even[after > before - GAIN]
    return np.asarray(result)


def free_slots(layout: Layout, placement: Integers, even: Floats, layer: int) -> Integers:
    """Return the slots of a layer whose expert has several replicas, and tokens; replicas side by side."""
    held = placement[layer]
    busy = layout.loads[layer].max(axis=1) > 0.0
    free = np.flatnonzero((even[layer] < 1.0) & busy[held])
    return np.asarray(free[np.argsort(held[free], kind="stable")])


def posed(layout: Layout, placement: Integers, even: Floats, layer: int, free: Integers) -> Shares:
    """Return the programme for the ``free`` slots of a layer; ``placement`` and ``even`` are ``(layers, slots)``."""
    held, rank = placement[layer], np.arange(placement.shape[1]) // layout.per_rank
    time = layout.loads[layer, held] * layout.slowness[rank, None]
    fixed = time * even[layer, :, None]
    fixed[free] = 0.0
    expert = held[free]
    return Shares(
        first=np.searchsorted(expert, expert),
        last=np.searchsorted(expert, expert, side="right"),
        rank=rank[free],
        time=time[free],
        price=_crossing_prices(layout, placement, layer)[free],
        even=even[layer, free],
        evenness=EVENNESS,
        fixed=fixed.reshape(layout.domain.size, layout.per_rank, -1).sum(axis=1),
        likelihood=layout.likelihood,
        risk=layout.risk,
    )


def _lost(terms: Floats) -> Floats:
    return np.asarray(terms[0] + terms[2])


def _crossing_prices(layout: Layout, placement: Integers, layer: int) -> Floats:
    """Return what it costs in crossings if a slot takes all tokens of its expert, ``(slots,)``."""
    experts, domain = layout.loads.shape[1], np.repeat(layout.domain, layout.per_rank)
    first, last = layout.out_start[layer * experts], layout.out_start[(layer + 1) * experts]
    if first == last:
        return np.zeros(domain.size)
    there = np.zeros((experts, layout.domains), np.bool_)
    there[placement[layer + 1], domain] = True
    source = np.repeat(np.arange(experts), np.diff(layout.out_start[layer * experts : (layer + 1) * experts + 1]))
    leaving = np.zeros((experts, layout.domains))
    absent = ~there[layout.out_expert[first:last]]
    np.add.at(leaving, source, absent * layout.out_cost[first:last, None])
    return np.asarray(leaving[placement[layer], domain])
