"""How shall an expert's tokens be split over its replicas, so that the slowest rank takes as little time as it can?

A linear programme for each layer, solved by HiGHS (Huangfu and Hall 2018, doi 10.1007/s12532-017-0130-5): shares of
the slots whose expert has another replica, under the same mixture of expected and worst scenario, and the same price of
crossings, as the map was searched for. Among splits that are as good, one near to an even one is preferred.
"""

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import coo_array

from tasks.problems.routing_kernel import even_shares, layer_costs
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
        found = _layer(layout, placement, even, layer)
        if found is not None:
            result[layer] = found
    before, after = (_lost(layer_costs(layout, placement, shares)) for shares in (even, result))
    result[after > before - GAIN] = even[after > before - GAIN]
    return np.asarray(result)


def _lost(terms: Floats) -> Floats:
    return np.asarray(terms[0] + terms[2])


def _layer(layout: Layout, placement: Integers, even: Floats, layer: int) -> Floats | None:
    """Return the shares of one layer, ``(slots,)``; None where no expert has two replicas, or there is no answer.

    Variables: the free shares, their distances from the even ones, the longest time of each scenario, and of all.
    """
    held, loads = placement[layer], layout.loads[layer]
    free = np.flatnonzero(even[layer] < 1.0)
    if not free.size:
        return None
    ranks, scenarios, count = layout.domain.size, layout.likelihood.size, free.size
    rank = np.arange(held.size) // layout.per_rank
    fixed = np.zeros((ranks, scenarios))
    kept = np.flatnonzero(even[layer] == 1.0)
    np.add.at(fixed, rank[kept], loads[held[kept]] * layout.slowness[rank[kept], None])
    width = 2 * count + scenarios + 1
    price = np.zeros(width)
    price[:count] = _crossing_prices(layout, placement, layer)[free]
    price[count : 2 * count] = EVENNESS
    price[2 * count : -1], price[-1] = layout.likelihood, layout.risk
    every, futures = np.arange(count), np.arange(scenarios)

    # rank by rank and scenario by scenario: time of the rank - longest time of the scenario <= - what is fixed
    row = (rank[free][:, None] * scenarios + futures).ravel()
    column = np.repeat(every, scenarios)
    value = (loads[held[free]] * layout.slowness[rank[free], None]).ravel()
    rows = [row, np.arange(ranks * scenarios)]
    columns = [column, np.tile(2 * count + futures, ranks)]
    values = [value, np.full(ranks * scenarios, -1.0)]
    limits = [-fixed.ravel()]
    below = ranks * scenarios
    # longest time of each scenario - that of all <= 0
    rows += [below + futures, below + futures]
    columns += [2 * count + futures, np.full(scenarios, width - 1)]
    values += [np.ones(scenarios), np.full(scenarios, -1.0)]
    limits.append(np.zeros(scenarios))
    below += scenarios
    # share - even share <= distance, and the other way round
    for sign in (1.0, -1.0):
        rows += [below + every, below + every]
        columns += [every, count + every]
        values += [np.full(count, sign), np.full(count, -1.0)]
        limits.append(sign * even[layer][free])
        below += count
    upper = coo_array((np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))), shape=(below, width))
    experts, of_expert = np.unique(held[free], return_inverse=True)
    whole = coo_array((np.ones(count), (of_expert, every)), shape=(experts.size, width))
    answer = linprog(
        price,
        A_ub=upper.tocsr(),
        b_ub=np.concatenate(limits),
        A_eq=whole.tocsr(),
        b_eq=np.ones(experts.size),
        bounds=(0.0, None),
        method="highs",
    )
    if answer.x is None:
        return None
    shares = np.round(np.clip(answer.x[:count], 0.0, 1.0), 6)
    shares /= np.bincount(of_expert, weights=shares)[of_expert]
    result = even[layer].copy()
    result[free] = shares
    return np.asarray(result)


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
