"""Which problems do the three columns get, and who stands beside our loop?"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tasks.problems.protocol import Problem
from tasks.problems.routing import ExpertMap, Routing, RoutingWeights
from tasks.yardsticks.eplb import Eplb, pair_swap
from tasks.yardsticks.expert_budget import within_budget
from tasks.yardsticks.expert_exact import BestMap, ExpertLayers, best_map
from tasks.yardsticks.expert_traffic import co_activated
from tests.benchmarks.routing.cases import Case, drifting, recorded, recordings, thinned
from tests.benchmarks.routing.methods import posed

Named = list[tuple[str, Problem[Any]]]

CP_SAT_WORKERS = 8
"""Searches that CP-SAT runs side by side, on as many cores as there are; our loop has one."""


def large(count: int, stride: int) -> Named:
    """Return problems of generated drift, ``count`` of them, and of the recordings with every ``stride``-th layer."""
    cases = drifting(range(count), layers=8, experts=64, ranks=16, slots=80, windows=6)
    loads = recordings()
    if loads:
        cases += thinned(recorded(loads, 32, 288, mixed=False, most=6), stride)
        mixed = thinned(recorded(loads, 32, 288, mixed=True, most=6), stride)
        cases += [_renamed(case, f"{case.name} mixed") for case in mixed]
    return _named(cases, moves_per_layer=10)


def small(count: int) -> Named:
    """Return ``count`` generated problems of two layers, eight experts and four GPUs in two domains."""
    cases = drifting(range(count), layers=2, experts=8, ranks=4, slots=12, windows=3, per_domain=2)
    return _without_error(_named(cases, moves_per_layer=3))


def provable(count: int) -> Named:
    """Return ``count`` problems on which CP-SAT has a proof in seconds; every other has slots for replicas."""
    bare = drifting(range(0, count, 2), layers=2, experts=6, ranks=3, slots=6, windows=3, per_domain=1)
    spare = drifting(range(1, count, 2), layers=2, experts=6, ranks=2, slots=8, windows=2, per_domain=2)
    return _without_error(_named([*bare, *spare], moves_per_layer=3))


def budgeted_eplb(problem: Routing, _seconds: float) -> ExpertMap:
    """Return the cheaper of EPLB's map for the expected loads, with and without pair swaps, within the budget."""
    ranks, slots = problem.domain.size, problem.in_force.shape[1]
    plain = Eplb(ranks, slots)(problem.loads)
    return _cheapest(problem, [plain, pair_swap(problem.loads, plain, ranks)])


def budgeted_greedy(problem: Routing, _seconds: float) -> ExpertMap:
    """Return the cheapest map of the greedy of load and co-activation, for several mixtures, within the budget."""
    slots, tokens = problem.in_force.shape[1], flow_of(problem)
    maps = [co_activated(problem.loads, tokens, problem.domain, slots, alpha) for alpha in (0.95, 0.8, 0.5)]
    return _cheapest(problem, maps)


class CpSat:
    """CP-SAT as a yardstick; it remembers on how many problems it had a proof."""

    def __init__(self) -> None:
        self.proofs = 0

    def __call__(self, problem: Routing, seconds: float) -> ExpertMap | None:
        """Return its best map; None if it has none in time."""
        found = exact(problem, seconds)
        self.proofs += found is not None and found.proven
        return None if found is None else ExpertMap(found.placement)


def exact(problem: Routing, seconds: float) -> BestMap | None:
    """Return CP-SAT's best map of a small problem."""
    scenarios = problem.loads[None] if problem.scenarios is None else problem.scenarios
    even = np.full(len(scenarios), 1.0 / len(scenarios))
    layers = ExpertLayers(
        scenarios=scenarios,
        likelihood=even if problem.likelihood is None else problem.likelihood,
        in_force=problem.in_force,
        domain=problem.domain,
        tokens=flow_of(problem),
        budget=problem.budget,
        risk=problem.weights.risk,
        traffic=problem.weights.traffic,
        move=problem.weights.move,
    )
    return best_map(layers, seconds, 1, CP_SAT_WORKERS)


def flow_of(problem: Routing) -> np.ndarray:
    """Return the tokens between layers, ``(layers - 1, experts, experts)``."""
    layers, experts = problem.loads.shape
    tokens = np.zeros((layers - 1, experts, experts))
    steps = problem.transitions
    np.add.at(tokens, (steps.layer, steps.source, steps.target), steps.tokens)
    return tokens


def _cheapest(problem: Routing, targets: Sequence[np.ndarray]) -> ExpertMap:
    ranks = problem.domain.size
    parts = [within_budget(problem.loads, each, problem.in_force, ranks, problem.budget) for each in targets]
    return min((ExpertMap(each) for each in (*parts, problem.in_force)), key=problem.cost)


def _named(cases: Sequence[Case], moves_per_layer: int) -> Named:
    return [(case.name, posed(case, moves_per_layer * len(case.in_force), RoutingWeights())) for case in cases]


def _without_error(problems: Named) -> Named:
    """Return ``problems`` without the forecast's own error, which CP-SAT's model does not hold."""
    return [(name, replace(problem, load_error=0.0)) for name, problem in problems]


def _renamed(case: Case, name: str) -> Case:
    return Case(name, case.history, case.held_out, case.in_force, case.domain, case.flow, case.next_flow)
