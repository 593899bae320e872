"""Are a fleet's nodes feasible exactly when the definitions say so, its costs exact, and its plans never worse?"""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from data.schemas.fleet import CloudShare, FleetLimits, Holding
from qiskit_solvers.exact import Exact
from qiskit_solvers.ising import energies
from tasks.fleet.elastic import NoFleet
from tasks.fleet.feasible import broken_limits
from tasks.fleet.model import FleetModel, fleet_model
from tasks.fleet.programme import place_fleet
from tasks.problems.fleet import FleetProblem, Rented
from tasks.problems.fleet_bound import capacity_bound
from tasks.problems.fleet_flow import cheapest_flow, cut_need, network_of
from tasks.problems.fleet_moves import draw
from tasks.problems.fleet_proposals import choices_of
from tasks.problems.fleet_service import Service
from tasks.problems.fleet_start import start_of
from tasks.problems.fleet_state import keeps, rules_of
from tasks.refine import Effort, refine
from tests.benchmarks.fleet.instances import instance
from tests.tasks.fleet.tiny import tiny

SEEDS = st.integers(0, 2**32 - 1)
EASY = FleetLimits(lost_regions=0, spot_share=1.0, late_share=0.5)


NEAR = FleetLimits(latency_ms=150.0, late_share=0.1)


def small(seed: int, limits: FleetLimits = NEAR) -> FleetModel:
    """Ten regions of four clouds, with 150 nodes or so."""
    rng = np.random.default_rng(seed)
    return fleet_model(instance(rng, regions=10, skus=3, zones=8, nodes=150, outages=6, limits=limits))


def least_late(model: FleetModel, capacity: np.ndarray) -> float | None:
    """Return the least that is served late, by a plain linear programme; None where not all can be served."""
    zone, region = np.nonzero(model.allowed)
    to_zone = (zone == np.arange(model.demand.size)[:, None]).astype(float)
    to_region = (region == np.arange(capacity.size)[:, None]).astype(float)
    late = (~model.near[zone, region]).astype(float)
    found = linprog(late, A_ub=to_region, b_ub=capacity, A_eq=to_zone, b_eq=model.demand)
    return float(found.fun) if found.status == 0 else None


def capacities(model: FleetModel, rng: np.random.Generator) -> np.ndarray:
    """Return capacities of regions that are enough about every other time."""
    most = model.region_capacity(np.minimum(model.quota, 10**6))
    drawn = most * rng.random(most.size) ** rng.choice([0.3, 1.0, 3.0])
    return drawn * rng.uniform(0.9, 2.0) * model.demand.sum() / max(1e-9, drawn.sum())


@settings(max_examples=30, deadline=None)
@given(SEEDS, st.sampled_from([0.0, 0.1, 0.4]), st.sampled_from([80.0, 120.0, 200.0]))
def test_users_can_be_served_exactly_where_a_linear_programme_serves_them(
    seed: int, late_share: float, latency_ms: float
) -> None:
    rng = np.random.default_rng(seed)
    model = small(seed % 7, FleetLimits(latency_ms=latency_ms, late_share=late_share))
    total = float(model.demand.sum())
    service = Service(model)
    for _ in range(4):
        capacity = capacities(model, rng)
        least = least_late(model, capacity)
        margin = -np.inf if least is None else late_share * total - least
        if abs(margin) < 1e-6 * total:
            continue
        assert service(capacity) is bool(margin > 0)
        assert (service.cut(capacity) is None) is bool(margin > 0)


@settings(max_examples=30, deadline=None)
@given(SEEDS)
def test_a_cut_holds_for_whatever_can_serve_and_not_for_what_left_it(seed: int) -> None:
    rng = np.random.default_rng(seed)
    model = small(seed % 5, FleetLimits(latency_ms=120.0, late_share=0.3))
    service = Service(model)
    able = [each for each in (capacities(model, rng) for _ in range(12)) if service.cut(each) is None]
    for _ in range(4):
        capacity = capacities(model, rng)
        if (found := service.cut(capacity)) is None:
            continue
        weight, need = found
        assert weight @ capacity < need
        assert all(weight @ each >= need - 1e-9 * model.demand.sum() for each in able)


def test_any_weights_make_a_cut_that_holds() -> None:
    rng = np.random.default_rng(5)
    model = small(3, FleetLimits(latency_ms=120.0, late_share=0.3))
    network, service = network_of(model), Service(model)
    able = [each for each in (capacities(model, rng) for _ in range(60)) if service.cut(each) is None]
    assert able
    for _ in range(50):
        weight = rng.random(len(model.fleet.regions)) * rng.integers(0, 2, len(model.fleet.regions))
        for late in (False, True):
            assert all(weight @ each >= cut_need(network, weight, late) - 1e-6 for each in able)


def test_what_a_flow_uses_is_enough_for_it() -> None:
    model = small(1)
    network = network_of(model)
    flow = cheapest_flow(network, model.region_capacity(model.quota), 0.0)
    again = cheapest_flow(network, flow.used, 1e-9)
    assert (flow.missing, again.missing) == pytest.approx((0.0, 0.0), abs=1e-9)
    assert again.late == pytest.approx(flow.late)


LIMITS = {
    "plain": EASY,
    "regions": replace(EASY, lost_regions=1),
    "two regions": replace(EASY, lost_regions=2, late_share=1.0),
    "a cloud": replace(EASY, lost_cloud_share=0.5),
    "little spot": replace(EASY, spot_share=0.2),
    "shares": replace(EASY, cloud_shares=(CloudShare("b", 0.4),)),
    "carbon": replace(EASY, carbon_kg_per_h=3.0),
    "few regions": replace(EASY, max_regions=2),
    "few changes": replace(EASY, changed_nodes=4, change_usd_per_node=100.0, horizon_h=50.0),
    "outages": replace(EASY, availability=0.97),
}


@pytest.mark.parametrize("name", LIMITS)
def test_sums_agree_with_the_definitions(name: str) -> None:
    rng = np.random.default_rng(8)
    told = {True: 0, False: 0}
    for _fleet in range(4):
        model = fleet_model(tiny(rng, LIMITS[name]))
        rules, service = rules_of(model), Service(model)
        for _ in range(8):
            nodes = rng.integers(0, model.quota + 1)
            mine = keeps(rules, nodes) and service(model.region_capacity(nodes))
            told[mine] += 1
            assert mine is (not broken_limits(model, nodes))
    assert min(told.values()) > 0


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_search_gains_what_it_says_and_keeps_all_limits(seed: int) -> None:
    limits = replace(NEAR, lost_cloud_share=0.4, availability=0.999, change_usd_per_node=3.0)
    problem = FleetProblem.from_model(small(seed, limits))
    before = problem.cost(problem.incumbent())
    found = problem.search(problem.incumbent(), 6_000, np.random.default_rng(seed))
    assert problem.cost(found.decision) < before
    assert not broken_limits(problem.model, found.decision.nodes)
    assert problem.bound() <= problem.cost(found.decision)
    again = problem.search(problem.incumbent(), 6_000, np.random.default_rng(seed))
    assert found.decision.nodes.tolist() == again.decision.nodes.tolist()


@pytest.mark.slow
def test_changes_are_priced_exactly_and_limits_followed() -> None:
    limits = replace(NEAR, max_regions=9, change_usd_per_node=3.0, carbon_kg_per_h=2_000.0, lost_cloud_share=0.3)
    model = small(2, limits)
    rng = np.random.default_rng(4)
    nodes = np.minimum(model.quota, rng.integers(0, 20, model.quota.size)) * (rng.random(model.quota.size) < 0.5)
    drawn = draw(nodes, rules_of(model), choices_of(rules_of(model)), 400, rng)
    kinds = set()
    for size, offers, counts, more, alone in zip(*drawn[:4], drawn.alone, strict=True):
        after = nodes.copy()
        np.add.at(after, offers[:size], counts[:size])
        assert ((after >= 0) & (after <= model.quota)).all()
        assert model.cost_usd_per_h(after) - model.cost_usd_per_h(nodes) == pytest.approx(more, abs=1e-7)
        assert bool(alone) is keeps(rules_of(model), after)
        kinds.add(min(4, int(size)))
    assert kinds >= {1, 2, 3, 4}


def test_every_string_of_a_window_keeps_all_limits_and_pairs_are_exact() -> None:
    problem = FleetProblem.from_model(small(2))
    start = problem.search(problem.incumbent(), 6_000, np.random.default_rng(0)).decision
    window = problem.window(start, 6, np.random.default_rng(1))
    assert window.ising.spins > 3
    for code in range(2**window.ising.spins):
        string = np.array([-1 if code >> bit & 1 else 1 for bit in range(window.ising.spins)], np.int8)
        sewn = window.sew(string)
        assert not broken_limits(problem.model, sewn.nodes)
        if (string < 0).sum() <= 2:
            assert energies(window.ising, string)[0] == pytest.approx(problem.cost(sewn), rel=1e-12)


def test_windows_add_to_what_the_search_found() -> None:
    problem = FleetProblem.from_model(small(2))
    effort = Effort(evaluations=1_500, rounds=20, patience=20, window=10)
    refined = refine(problem, Exact(), np.random.default_rng(0), effort=effort)
    assert refined.rows[-1].accepted > 0
    assert refined.costs[-1] == refined.rows[-1].cost


@pytest.mark.parametrize("name", LIMITS)
def test_the_closed_bound_is_below_the_cheapest_fleet(name: str) -> None:
    for seed in (1, 2):
        model = fleet_model(tiny(np.random.default_rng(seed), LIMITS[name]))
        try:
            placed = place_fleet(model, gap=0.0)
        except NoFleet:
            continue
        assert 0.0 <= capacity_bound(model) <= placed.cost_usd_per_h * (1.0 + 1e-9)


def test_holdings_that_keep_all_limits_are_where_it_begins() -> None:
    model = small(2)
    bought = start_of(model)
    assert bought is not None
    offers = zip(model.fleet.offers, bought.nodes.tolist(), strict=True)
    held = tuple(Holding(offer.region, offer.sku, offer.purchase, nodes) for offer, nodes in offers if nodes)
    start = start_of(fleet_model(replace(model.fleet, holdings=held)))
    assert start is not None
    assert (start.how, start.notes) == ("holdings", ())
    assert start.nodes.tolist() == bought.nodes.tolist()


def test_holdings_that_break_limits_are_mended_and_it_is_said_how() -> None:
    model = small(2)
    bought = start_of(model)
    assert bought is not None
    offers = zip(model.fleet.offers, (bought.nodes // 2).tolist(), strict=True)
    held = tuple(Holding(offer.region, offer.sku, offer.purchase, nodes) for offer, nodes in offers if nodes)
    half = fleet_model(replace(model.fleet, holdings=held))
    problem = FleetProblem.from_model(half)
    assert not broken_limits(half, problem.incumbent().nodes)
    assert (problem.incumbent().nodes >= half.held).all()
    assert "what is held breaks lost_regions" in problem.notes[0]
    assert problem.notes[-1] == "compared with mended holdings, which keep all limits"


def test_where_nothing_keeps_the_limits_it_says_so() -> None:
    model = fleet_model(tiny(np.random.default_rng(1), EASY, demand=100.0))
    with pytest.raises(ValueError, match="neither what is held nor what purchases make of it keeps all limits"):
        FleetProblem.from_model(model)
    with pytest.raises(ValueError, match="expected nodes that keep all limits, got"):
        FleetProblem(model, Rented(np.zeros(model.capacity.size, np.int64)))
    with pytest.raises(ValueError, match=r"in_force: expected shape \(6,\), got \(2,\)"):
        FleetProblem(model, Rented(np.zeros(2, np.int64)))


def test_figures_are_those_of_the_nodes() -> None:
    problem = FleetProblem.from_model(small(2))
    nodes, model = problem.incumbent().nodes, problem.model
    told = {figure.name: figure.value for figure in problem.figures(problem.incumbent())}
    assert told["fleet.usd_per_h"] == problem.cost(problem.incumbent())
    assert told["fleet.nodes"] == nodes.sum() == told["fleet.changed_nodes"]
    late = least_late(model, model.region_capacity(nodes))
    assert late is not None
    assert told["fleet.near_share"] == pytest.approx(1.0 - late / model.demand.sum())
