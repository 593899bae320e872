"""How are a fleet's nodes annealed, every end proved to serve all users? By sums and cuts, and a flow now and then.

A flow for each step would take nearly all of the time. So steps keep to the cuts that are known, and after a number of
accepted ones the nodes are proved by a flow. Where that fails the cut is noted and all goes back to the nodes that were
proved last. The number doubles with each success, and shrinks with each failure.
"""

import numpy as np
from numba import njit

from tasks.compiled import inner
from tasks.fleet.model import Floats, Integers
from tasks.problems.fleet_flow import Network, cheapest_flow, cut_need
from tasks.problems.fleet_proposals import MOST, Choices, propose
from tasks.problems.fleet_state import Rules, holds, place_nodes, state_of, sum_nodes

CUTS = 64
"""Cuts that are kept; the oldest goes first."""

PROVED_AFTER = 128
"""Accepted steps after which nodes are proved at the latest."""

CLOSING = 0.02
"""Share of steps that close a region."""


@inner
def _served(weight: Floats, need: Floats, cuts: int, capacity: Floats, slack: float) -> bool:
    """Tell whether ``capacity`` keeps the cuts."""
    for cut in range(cuts):
        value = 0.0
        for region in range(capacity.size):
            value += weight[cut, region] * capacity[region]
        if value < need[cut] - slack:
            return False
    return True


@inner
def _enough(used: Floats, capacity: Floats) -> bool:
    """Tell whether ``capacity`` has room for a flow that is known."""
    return bool((capacity >= used).all())


@njit(cache=True, nogil=True)  # heartbeats and logs leave while it runs
def anneal(
    start: Integers,
    rules: Rules,
    choices: Choices,
    network: Network,
    evaluations: int,
    hot: float,
    cold: float,
    rng: np.random.Generator,
) -> tuple[Integers, int, int]:
    """Anneal from ``start`` (Kirkpatrick et al. 1983, doi 10.1126/science.220.4598.671).

    Args:
        start: nodes of each offer that keep all limits, ``(offers,)``.
        rules: prices and limits.
        choices: offers in order.
        network: of users and regions.
        evaluations: changes that are priced.
        hot: first temperature, USD per hour.
        cold: last temperature.
        rng: all chance.

    Returns:
        The cheapest nodes that were proved to keep all limits, how often they improved, and the flows that were needed.
    """
    regions = rules.cloud.size
    state = state_of(rules, start)
    proved, best = start.copy(), start.copy()
    change, proved_change, lowest, improved = 0.0, 0.0, 0.0, 0
    weight, need, cuts, oldest = np.zeros((CUTS, regions)), np.zeros(CUTS), 0, 0
    used = np.full(regions, np.inf)
    offers, counts = np.empty(MOST, np.int64), np.empty(MOST, np.int64)
    cooling = (cold / hot) ** (1.0 / max(1, evaluations))
    temperature, accepted, prove_after, flows = hot, 0, 8, 0
    for number in range(evaluations + 1):
        last = number == evaluations
        if accepted >= prove_after or (last and accepted > 0):
            accepted = 0
            good = _enough(used, state.capacity)
            if not good:
                flow = cheapest_flow(network, state.capacity, rules.slack)
                flows += 1
                good = flow.missing <= rules.slack and not flow.counts_late
                if good:
                    used[:] = flow.used
                else:
                    weight[oldest] = flow.weight
                    need[oldest] = cut_need(network, flow.weight, flow.counts_late)
                    oldest = (oldest + 1) % CUTS
                    cuts = min(CUTS, cuts + 1)
            if good:
                prove_after = min(PROVED_AFTER, 2 * prove_after)
                proved[:] = state.nodes
                proved_change = change
                if change < lowest - 1e-9:
                    lowest = change
                    improved += 1
                    best[:] = proved
            else:
                prove_after = max(1, prove_after // 2)
                change = proved_change
            state = state_of(rules, proved)  # so that rounding does not pile up either
        if last:
            break
        temperature *= cooling
        size = propose(rules, state, choices, CLOSING, offers, counts, rng)
        if size == 0:
            continue
        more = 0.0
        for place in range(size):
            more += place_nodes(rules, state, offers[place], counts[place])
        if more > 0.0 and rng.random() >= np.exp(-more / temperature):
            for place in range(size):
                place_nodes(rules, state, offers[place], -counts[place])
            continue
        for place in range(size):
            sum_nodes(rules, state, offers[place], counts[place])
        if holds(rules, state) and _served(weight, need, cuts, state.capacity, rules.slack):
            change += more
            accepted += 1
            continue
        for place in range(size):
            place_nodes(rules, state, offers[place], -counts[place])
            sum_nodes(rules, state, offers[place], -counts[place])
    return best, improved, flows
