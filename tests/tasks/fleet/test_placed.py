"""What does a plan's placement say beside its nodes, and what of fleets at the edges?"""

import time
from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array, hstack

from data.schemas.fleet import Fleet, FleetLimits, Holding, Offer
from tasks.fleet.feasible import broken_limits
from tasks.fleet.model import fleet_model
from tasks.fleet.programme import place_fleet
from tasks.fleet.programme_rows import write_programme
from tasks.fleet.programme_solve import solve_relaxed
from tasks.fleet.service import first_cuts, late_allowance, minimum_cut, serve
from tests.benchmarks.fleet.instances import instance
from tests.tasks.fleet.tiny import tiny

LOOSE = FleetLimits(latency_ms=170.0)
FREE = FleetLimits(lost_regions=0, spot_share=1.0, late_share=1.0)


def with_offers(fleet: Fleet, *more: Offer) -> Fleet:
    """Return ``fleet`` with further offers."""
    return replace(fleet, offers=(*fleet.offers, *more))


def test_commitments_are_used_first_and_no_further_than_they_go() -> None:
    fleet = with_offers(tiny(np.random.default_rng(5), FREE), Offer("b:1", "large", "reserved", 0.0, 1))
    placed = place_fleet(fleet_model(fleet), gap=0.0)
    assert placed.nodes[-1] == 1
    assert placed.nodes[:-1].sum() > 0


def test_offers_without_a_quota_are_bought_without_end() -> None:
    fleet = tiny(np.random.default_rng(5), FleetLimits(lost_regions=0, late_share=1.0, spot_share=0.5), demand=1e5)
    offers = tuple(replace(offer, quota_nodes=None) for offer in fleet.offers)
    placed = place_fleet(fleet_model(replace(fleet, offers=offers)), gap=1e-6)
    assert placed.gap <= 1e-6
    assert placed.nodes.max() > 50_000


def test_nobody_to_serve_needs_nothing() -> None:
    fleet = tiny(np.random.default_rng(5), FleetLimits(), demand=0.0)
    placed = place_fleet(fleet_model(replace(fleet, holdings=())), gap=0.0)
    assert not placed.nodes.any()
    assert placed.cost_usd_per_h == placed.bound_usd_per_h == 0.0
    assert placed.flows.sum() == 0.0


def test_what_is_held_stays_where_changes_cost_more_than_they_save() -> None:
    first = tiny(np.random.default_rng(6), replace(FREE, change_usd_per_node=1e4, horizon_h=1.0))
    cheap = place_fleet(fleet_model(replace(first, limits=FREE)), gap=0.0)
    # a fleet that serves, but not the cheapest
    offers = first.offers
    holdings = tuple(
        Holding(offer.region, offer.sku, offer.purchase, int(offer.quota_nodes or 0))
        for offer, nodes in zip(offers, cheap.nodes, strict=True)
        if nodes or offer.sku == "small"
    )
    model = fleet_model(replace(first, holdings=holdings))
    assert broken_limits(model, model.held) == ()
    placed = place_fleet(model, gap=0.0)
    assert (placed.nodes == model.held).all()


def test_holdings_that_break_limits_are_named() -> None:
    fleet = tiny(np.random.default_rng(5), replace(FREE, spot_share=0.0))
    fleet = replace(
        fleet,
        offers=tuple(replace(offer, purchase="spot") if offer.sku == "large" else offer for offer in fleet.offers),
    )
    held = Holding("b:1", "large", "spot", 1)
    placed = place_fleet(fleet_model(replace(fleet, holdings=(held,))), gap=0.0)
    assert any("what is held breaks spot_share" in note for note in placed.notes)


def test_shadow_prices_tell_what_a_little_more_would_save() -> None:
    limits = FleetLimits(latency_ms=90.0)
    fleet = instance(np.random.default_rng(3), regions=30, skus=3, zones=10, nodes=20_000, limits=limits)
    told = {each.limit: each.usd_per_h for each in place_fleet(fleet_model(fleet)).binds}
    relaxed = replace(fleet, limits=replace(limits, spot_share=limits.spot_share + 0.001))
    saved = place_fleet(fleet_model(fleet)).bound_usd_per_h - place_fleet(fleet_model(relaxed)).bound_usd_per_h
    assert told["spot_share"] == pytest.approx(10.0 * saved, rel=0.1)


def test_what_there_is_when_the_time_is_over_keeps_all_limits_and_says_its_gap() -> None:
    limits = FleetLimits(latency_ms=150.0, availability=0.9995)
    model = fleet_model(instance(np.random.default_rng(3), regions=30, skus=3, zones=9, outages=40, limits=limits))
    placed = place_fleet(model, gap=0.0, seconds=1.0)
    assert broken_limits(model, placed.nodes) == ()
    assert placed.gap > 0.0
    assert any("was not reached" in note for note in placed.notes)


def test_equal_fleets_get_equal_plans() -> None:
    fleet = instance(np.random.default_rng(2), regions=20, skus=3, zones=8, nodes=2_000, limits=LOOSE)
    one, two = (place_fleet(fleet_model(fleet), gap=0.01) for _ in range(2))
    assert (one.nodes == two.nodes).all()
    assert one.bound_usd_per_h == two.bound_usd_per_h


@pytest.mark.parametrize("seed", [5, 6, 7])
def test_cuts_come_to_the_same_bound_as_columns_for_all_flows(seed: int) -> None:
    limits = FleetLimits(latency_ms=110.0)
    model = fleet_model(instance(np.random.default_rng(seed), regions=40, skus=2, zones=12, nodes=500, limits=limits))
    cuts = tuple(first_cuts(model))
    bound = solve_relaxed(model, write_programme(model, cuts), cuts, time.monotonic() + 60.0).bound
    programme = write_programme(model, ())
    zone, region = np.nonzero(model.allowed)
    size, pairs = programme.cost.size, zone.size
    every = np.arange(pairs)
    served = csr_array((np.ones(pairs), (zone, size + every)), shape=(model.demand.size, size + pairs))
    held = np.concatenate([np.ones(pairs), np.full(model.near.shape[1], -programme.unit)])
    place = (
        np.concatenate([region, np.arange(model.near.shape[1])]),
        np.concatenate([size + every, programme.capacity_at + np.arange(model.near.shape[1])]),
    )
    within = csr_array((held, place), shape=(model.near.shape[1], size + pairs))
    late = csr_array(np.concatenate([np.zeros(size), ~model.near[zone, region]])[None, :])
    limits_on = [
        LinearConstraint(
            hstack([programme.rows, csr_array((programme.low.size, pairs))]), programme.low, programme.high
        ),
        LinearConstraint(served, model.demand, model.demand),
        LinearConstraint(within, -np.inf, 0.0),
        LinearConstraint(late, -np.inf, late_allowance(model)),
    ]
    found = milp(
        np.concatenate([programme.cost, np.zeros(pairs)]),
        bounds=Bounds(
            np.concatenate([programme.lower, np.zeros(pairs)]),
            np.concatenate([programme.upper, np.full(pairs, np.inf)]),
        ),
        constraints=limits_on,
    )
    assert found.fun == pytest.approx(bound, rel=1e-6)


def test_every_cut_holds_for_every_capacity_that_serves(rng: np.random.Generator) -> None:
    model = fleet_model(instance(rng, regions=12, skus=2, zones=9, nodes=500, limits=LOOSE))
    most = model.region_capacity(model.quota)
    drawn = [most * rng.uniform(0.1, 0.7) * rng.uniform(0.5, 1.5, most.size) for _ in range(30)]
    cuts, able = list(first_cuts(model)), []
    for capacity in drawn:
        service = serve(model, capacity, by_latency=False)
        cuts.extend(cut for cut in (minimum_cut(model, capacity), service.cut) if cut is not None)
        if service.cut is None:
            able.append(capacity)
            assert service.late <= late_allowance(model) * (1.0 + 1e-6)
            assert np.asarray(service.flows.sum(axis=1)) == pytest.approx(model.demand, rel=1e-6)
        else:
            assert service.cut.missing(model, capacity) > 0.0
    assert able
    assert len(cuts) > len(first_cuts(model))
    slack = 1e-6 * float(model.demand.sum())
    assert all(cut.missing(model, capacity) <= slack for cut in cuts for capacity in able)
