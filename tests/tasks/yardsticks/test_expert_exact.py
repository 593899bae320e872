"""Is CP-SAT's map the best, in the noun's own cost, and does the noun's search reach it?"""

from itertools import product

import numpy as np
import pytest

from tasks.problems.routing import ExpertMap, Routing, RoutingWeights
from tasks.problems.routing_state import Transitions
from tasks.yardsticks.eplb import contiguous
from tasks.yardsticks.expert_budget import moved_experts
from tasks.yardsticks.expert_exact import ExpertLayers, best_map


def posed(rng, *, layers=2, experts=4, slots=6, ranks=2, scenarios=2, budget=100, risk=0.25, traffic=0.2):
    """Return the same small problem for the noun and for CP-SAT."""
    windows = rng.lognormal(0.0, 1.0, size=(scenarios, layers, experts))
    tokens = rng.random((layers - 1, experts, experts))
    start, domain = contiguous(experts, slots, layers), np.arange(ranks)
    likelihood = np.full(scenarios, 1.0 / scenarios)
    layer, source, target = np.nonzero(tokens)
    flow = Transitions(layer, source, target, tokens[layer, source, target])
    weights = RoutingWeights(traffic=traffic, move=1e-3, risk=risk)
    mean = windows.mean(axis=0)
    noun = Routing("d", mean, mean, start, domain, flow, budget, weights, (), windows, likelihood)
    return noun, ExpertLayers(windows, likelihood, start, domain, tokens, budget, risk, traffic, 1e-3)


@pytest.mark.parametrize(("slots", "budget", "risk"), [(4, 100, 0.25), (4, 2, 1.0), (4, 0, 0.5), (6, 3, 0.0)])
def test_no_other_map_is_cheaper(rng, slots, budget, risk):
    noun, small = posed(rng, experts=3, slots=slots, budget=budget, risk=risk)
    found = best_map(small, 20.0, 1)
    assert found is not None
    assert found.proven
    assert moved_experts(small.in_force, found.placement, 2) <= budget
    rows = [row for row in product(range(3), repeat=slots) if set(row) == set(range(3))]
    rows = [row for row in rows if list(row) == [*sorted(row[: slots // 2]), *sorted(row[slots // 2 :])]]
    maps = (np.array(pair) for pair in product(rows, repeat=2))
    allowed = (each for each in maps if moved_experts(small.in_force, each, 2) <= budget)
    best = min(noun.cost(ExpertMap(each)) for each in allowed)
    assert noun.cost(ExpertMap(found.placement)) == pytest.approx(best, abs=1e-3)
    assert found.bound <= best + 1e-9


def test_the_nouns_search_reaches_the_proven_optimum(rng):
    noun, small = posed(rng, layers=2, experts=6, slots=6, ranks=3, scenarios=2, traffic=0.0)
    found = best_map(small, 20.0, 1)
    assert found is not None
    assert found.proven
    searched = noun.search(noun.incumbent(), 100_000, np.random.default_rng(0)).decision
    assert noun.cost(searched) <= noun.cost(ExpertMap(found.placement)) + 2e-3
    assert found.bound <= noun.cost(searched) + 1e-9


def test_no_answer_in_no_time_is_none(rng):
    _, small = posed(rng, experts=12, slots=16, ranks=4)
    assert best_map(small, 1e-6, 1) is None
