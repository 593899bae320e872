"""Who plans the maps that are compared, and how long does each take?"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tasks.forecasters.load import Ewma
from tasks.problems.routing import Routing, RoutingWeights
from tasks.problems.routing_state import Floats, Integers, Transitions
from tasks.yardsticks.eplb import Eplb, pair_swap
from tasks.yardsticks.expert_budget import Path, along, paths_to
from tasks.yardsticks.expert_traffic import alternating, at_home, co_activated, partitioned
from tasks.yardsticks.replica_split import even_shares, lp_split
from tests.benchmarks.routing.cases import Case

PLENTY = 10**9
EVALUATIONS_PER_SLOT = 60


@dataclass(frozen=True, slots=True, eq=False)
class Planned:
    """A map, ``(layers, slots)``, the shares that slots take, and the processor seconds that both took."""

    placement: Integers
    shares: Floats
    seconds: float


Planner = Callable[[Case, int], Planned]
"""Plans a case within a budget of moves."""


def expected(case: Case) -> Floats:
    """Return the EWMA of the history, as forgetful as the history calls for, ``(layers, experts)``."""
    return np.asarray(Ewma()(case.history).tokens)


def as_it_is(case: Case, _budget: int) -> Planned:
    """Keep the map in force."""
    return _even(case, case.in_force, time.process_time())


def eplb(expect: Callable[[Case], Floats], *, swaps: bool = False) -> Planner:
    """Return EPLB for what ``expect`` expects, as far as the budget leads towards its map.

    ``swaps`` adds a search of pair swaps to the map before it is laid over the one in force.
    """
    last: list[tuple[Case, tuple[Path, ...], float]] = []

    def plan(case: Case, budget: int) -> Planned:
        started = time.process_time()
        loads = expect(case)
        target = Eplb(case.ranks, case.in_force.shape[1])(loads)
        if swaps:
            target = pair_swap(loads, target, case.ranks)
        if budget >= PLENTY:
            return _even(case, target, started)
        if not last or last[0][0] is not case:  # the same way there serves every budget; its time counts each time
            paths = paths_to(loads, target, case.in_force, case.ranks)
            last[:] = [(case, paths, time.process_time() - started)]
        _, paths, seconds = last[0]
        started = time.process_time()
        made = along(paths, case.in_force, case.ranks, budget)
        return _even(case, made, started - seconds)

    return plan


def split(planner: Planner) -> Planner:
    """Return ``planner`` with tokens split over its replicas by a linear programme for the whole history."""

    def plan(case: Case, budget: int) -> Planned:
        made = planner(case, budget)
        started = time.process_time()
        parts = lp_split(case.history, made.placement, case.ranks)
        return Planned(made.placement, parts, made.seconds + time.process_time() - started)

    return plan


def foreseen(planner: Planner) -> Planner:
    """Return ``planner`` with tokens split for the held-out window itself, as a dispatcher could at best."""

    def plan(case: Case, budget: int) -> Planned:
        made = planner(case, budget)
        started = time.process_time()
        parts = lp_split(case.held_out, made.placement, case.ranks)
        return Planned(made.placement, parts, made.seconds + time.process_time() - started)

    return plan


def greedy(alpha: float) -> Planner:
    """Return the greedy of load and co-activation, as far as the budget leads."""

    def plan(case: Case, budget: int) -> Planned:
        started = time.process_time()
        loads = expected(case)
        target = co_activated(loads, case.flow, case.domain, case.in_force.shape[1], alpha)
        if budget < PLENTY:
            target = along(paths_to(loads, target, case.in_force, case.ranks), case.in_force, case.ranks, budget)
        return _even(case, target, started)

    return plan


def by_assignment(case: Case, _budget: int) -> Planned:
    """Give each expert a home by alternating assignments; needs a slot for each expert and no more."""
    started = time.process_time()
    home = alternating(case.flow, int(case.domain.max()) + 1, np.random.default_rng(0))
    return _even(case, at_home(expected(case), home, case.domain), started)


def by_partition(case: Case, _budget: int) -> Planned:
    """Give each expert a home by METIS with repair; needs a slot for each expert and no more."""
    started = time.process_time()
    home = partitioned(case.flow, int(case.domain.max()) + 1, 1)
    return _even(case, at_home(expected(case), home, case.domain), started)


def ours(weights: RoutingWeights, evaluations_per_slot: int = EVALUATIONS_PER_SLOT) -> Planner:
    """Return the noun's classical search for several futures."""

    def plan(case: Case, budget: int) -> Planned:
        started = time.process_time()
        problem = posed(case, budget, weights)
        found = problem.search(problem.incumbent(), evaluations_per_slot * case.in_force.size, np.random.default_rng(0))
        placement, parts = found.decision.expert_of, found.decision.shares
        if parts is None:
            return _even(case, placement, started)
        return Planned(placement, parts, time.process_time() - started)

    return plan


def posed(case: Case, budget: int, weights: RoutingWeights) -> Routing:
    """Return the problem that a case poses; its figures are those of the held-out window's loads."""
    forecast = Ewma()(case.history)
    layer, source, target = np.nonzero(case.flow)
    flow = Transitions(layer, source, target, case.flow[layer, source, target])
    return Routing(
        deployment=case.name.replace(" ", "-"),
        loads=forecast.tokens,
        last_loads=case.held_out,
        in_force=case.in_force,
        domain=case.domain,
        transitions=flow,
        budget=min(budget, case.in_force.size),
        weights=weights,
        scenarios=forecast.scenarios.tokens,
        likelihood=forecast.scenarios.likelihood,
        load_error=forecast.scenarios.load_error,
    )


def _even(case: Case, placement: Integers, started: float) -> Planned:
    seconds = time.process_time() - started
    return Planned(placement, even_shares(placement, case.held_out.shape[1]), seconds)
