"""Is a fleet's decision never worse than what is held or what the programme found, and are its fallbacks named?"""

from dataclasses import replace

import numpy as np
import pytest

from data.generators.fleet import sample_fleet
from data.schemas.fleet import FleetLimits, Holding
from qiskit_solvers.anneal import Anneal
from qiskit_solvers.errors import SolverFailed
from qiskit_solvers.exact import Exact
from qiskit_solvers.ising import Ising
from qiskit_solvers.solver import Solver, Spins
from tasks import plan_fleet as verb
from tasks.fleet.elastic import NoFleet
from tasks.fleet.feasible import broken_limits
from tasks.fleet.model import FleetModel, fleet_model
from tasks.fleet.programme import place_fleet
from tasks.plan_fleet import INCUMBENT, MENDED, PROGRAMME, FleetDecision, Sought, plan_fleet
from tasks.problems.fleet_start import start_of
from tasks.refine import Effort
from tests.benchmarks.fleet.instances import instance
from tests.tasks.fleet.tiny import tiny

EFFORT = Effort(evaluations=4_000, rounds=3, window=8, patience=3)
COARSE = Sought(gap=0.05, seconds=20.0)


@pytest.fixture(scope="module")
def model() -> FleetModel:
    return fleet_model(sample_fleet(np.random.default_rng(0)))


def decided(model: FleetModel, sought: Sought = COARSE, solver: Solver = Exact()) -> FleetDecision:  # noqa: B008 -- frozen
    rng = np.random.default_rng(1)
    return plan_fleet(model, solver, rng, effort=EFFORT, sought=sought, twins=(Anneal(),))


@pytest.fixture(scope="module")
def decision(model: FleetModel) -> FleetDecision:
    return decided(model)


def test_a_decision_keeps_all_limits_and_serves_everybody(model: FleetModel, decision: FleetDecision) -> None:
    assert not broken_limits(model, decision.nodes)
    assert decision.cost_usd_per_h == model.cost_usd_per_h(decision.nodes)
    assert np.asarray(decision.flows.sum(axis=1)) == pytest.approx(model.demand)


def test_each_method_has_a_row_and_none_is_worse_than_the_programme(decision: FleetDecision) -> None:
    methods = [row.method for row in decision.rows]
    held, programme, *refined = decision.rows
    assert held.method == INCUMBENT
    assert programme.method == PROGRAMME
    assert methods[2:] == ["classical search", "anneal on windows", "exact on windows"]
    assert all(row.cost <= programme.cost for row in refined)
    assert [row.cost for row in decision.rows if row.chosen] == [decision.cost_usd_per_h]
    assert decision.cost_usd_per_h == min(row.cost for row in (programme, *refined))


def test_the_programmes_bound_is_kept(decision: FleetDecision) -> None:
    assert decision.bound.method == "relaxed programme"
    assert decision.bound.value <= decision.cost_usd_per_h
    assert decision.bound.gap == pytest.approx(1.0 - decision.bound.value / decision.cost_usd_per_h)


def test_what_is_held_stays_where_nothing_is_better(model: FleetModel) -> None:
    best = place_fleet(model, gap=1e-4, seconds=3.0).nodes
    offers = zip(model.fleet.offers, best.tolist(), strict=True)
    held = tuple(Holding(offer.region, offer.sku, offer.purchase, nodes) for offer, nodes in offers if nodes)
    kept = fleet_model(replace(model.fleet, holdings=held))
    decision = decided(kept)
    assert decision.rows[0].method == INCUMBENT
    assert decision.cost_usd_per_h <= decision.rows[0].cost


def test_a_programme_that_fails_is_replaced_and_named() -> None:
    limits = FleetLimits(latency_ms=90.0)
    fleet = instance(np.random.default_rng(1), regions=60, skus=6, zones=24, nodes=20_000, limits=limits)
    larger = fleet_model(fleet)  # nothing is held, and no time is left to find anything
    decision = decided(larger, Sought(seconds=1e-9))
    start = start_of(larger)
    assert start is not None
    assert not broken_limits(larger, decision.nodes)
    assert [row.method for row in decision.rows[:2]] == [INCUMBENT, MENDED]
    assert decision.rows[0].cost == larger.cost_usd_per_h(larger.held)
    assert decision.rows[1].cost == larger.cost_usd_per_h(start.nodes)
    assert decision.cost_usd_per_h < decision.rows[1].cost
    assert (decision.fallbacks[0].wanted, decision.fallbacks[0].stage) == (PROGRAMME, "place fleet")
    assert decision.bound.method == "closed-form relaxation"
    assert decision.notes == ("compared with cheapest purchases, which keep all limits",)


def test_a_solver_that_fails_is_replaced_and_named(model: FleetModel) -> None:
    class Broken:
        kind = "broken"

        def __call__(self, ising: Ising, rng: np.random.Generator) -> Spins:
            raise SolverFailed("it is broken")

    decision = decided(model, solver=Broken())
    assert [fallback.reason for fallback in decision.fallbacks] == ["it is broken"]
    assert decision.fallbacks[0].used == "exact"


def test_demand_that_cannot_be_met_is_refused_by_name() -> None:
    limits = FleetLimits(lost_regions=0, spot_share=1.0)
    with pytest.raises(NoFleet, match="no nodes keep all limits"):
        decided(fleet_model(tiny(np.random.default_rng(1), limits, demand=100.0)))


def test_the_task_returns_what_the_function_does(model: FleetModel, decision: FleetDecision) -> None:
    told = verb.decide_fleet.fn(
        model,
        Exact(),
        effort=EFFORT,
        sought=COARSE,
        twins=(Anneal(),),
        seed=1,
        expired=lambda: False,
        progress=lambda _phase, _share: None,
    )
    assert told.cost_usd_per_h == decision.cost_usd_per_h
