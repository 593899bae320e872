"""Do plans in whole nodes keep all limits, whatever the fleet, and is their bound below them?"""

import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.schemas.fleet import CloudShare, FleetLimits
from tasks.fleet.elastic import NoFleet
from tasks.fleet.feasible import broken_limits
from tasks.fleet.model import FleetModel, fleet_model
from tasks.fleet.programme import Placed, place_fleet
from tasks.fleet.programme_rows import write_programme
from tasks.fleet.programme_solve import NoValues, solve_relaxed
from tasks.fleet.service import first_cuts
from tests.tasks.fleet.test_programme import LIMITS, keeps
from tests.tasks.fleet.tiny import tiny

ANY_LIMITS = st.builds(
    FleetLimits,
    latency_ms=st.floats(40.0, 200.0),
    late_share=st.floats(0.0, 1.0),
    lost_regions=st.integers(0, 2),
    lost_cloud_share=st.sampled_from([0.0, 0.3, 0.8]),
    availability=st.sampled_from([0.0, 0.97, 0.98, 1.0]),
    spot_share=st.floats(0.0, 1.0),
    cloud_shares=st.sampled_from([(), (CloudShare("a", 0.7),), (CloudShare("b", 0.5),)]),
    carbon_kg_per_h=st.sampled_from([None, 2.0, 4.0]),
    max_regions=st.sampled_from([None, 2]),
    changed_nodes=st.sampled_from([None, 3, 8]),
    change_usd_per_node=st.sampled_from([0.0, 50.0]),
)


def attempt(model: FleetModel) -> Placed | None:
    """Return the plan, or None where there is none."""
    try:
        return place_fleet(model, gap=1e-3)
    except NoFleet:
        return None


def check(limits: FleetLimits, seed: int, demand: float) -> None:
    """Hold a plan, or the lack of one, to what is promised."""
    model = fleet_model(tiny(np.random.default_rng(seed), limits, demand=demand))
    placed = attempt(model)
    if placed is None:
        assert broken_limits(model, model.held)
        return
    assert keeps(model, placed.nodes)
    assert broken_limits(model, placed.nodes) == ()
    assert placed.bound_usd_per_h <= placed.cost_usd_per_h
    if not broken_limits(model, model.held):
        assert placed.cost_usd_per_h <= model.cost_usd_per_h(model.held)


DRAWN = {"limits": ANY_LIMITS, "seed": st.integers(0, 2**32 - 1), "demand": st.floats(0.2, 4.0)}


@settings(max_examples=8)
@given(**DRAWN)
def test_whatever_the_limits_plans_keep_them_and_cost_at_least_the_bound(
    limits: FleetLimits, seed: int, demand: float
) -> None:
    check(limits, seed, demand)


@pytest.mark.slow
@settings(max_examples=100)
@given(**DRAWN)
def test_and_so_in_many_more_fleets(limits: FleetLimits, seed: int, demand: float) -> None:
    check(limits, seed, demand)


@given(seed=st.integers(0, 2**32 - 1), name=st.sampled_from(sorted(LIMITS)))
@settings(max_examples=30)
def test_the_quick_check_agrees_with_the_definitions(seed: int, name: str) -> None:
    rng = np.random.default_rng(seed)
    model = fleet_model(tiny(rng, LIMITS[name]))
    nodes = rng.integers(0, model.quota + 1)
    assert (broken_limits(model, nodes) == ()) == keeps(model, nodes)


@pytest.mark.parametrize(
    ("limit", "limits"),
    [
        ("lost_regions", {"lost_regions": 1}),
        ("lost_regions", {"lost_regions": 2}),
        ("lost_cloud_share", {"lost_cloud_share": 0.8}),
        ("availability", {"availability": 0.99}),
        ("spot_share", {"spot_share": 0.1}),
        ("cloud_shares", {"cloud_shares": (CloudShare("a", 0.3), CloudShare("b", 0.8))}),
        ("carbon_kg_per_h", {"carbon_kg_per_h": 0.8}),
        ("max_regions", {"max_regions": 1}),
        ("changed_nodes", {"changed_nodes": 3}),
        ("late_share", {"late_share": 0.0, "latency_ms": 80.0}),
    ],
)
def test_without_its_row_a_limit_costs_nothing(limit: str, limits: dict[str, Any]) -> None:
    until = time.monotonic() + 60.0
    for seed in range(40):
        free = FleetLimits(lost_regions=0, spot_share=1.0, late_share=1.0)
        model = fleet_model(tiny(np.random.default_rng(seed), replace(free, **limits)))
        cuts = tuple(first_cuts(model))
        try:
            bound = solve_relaxed(model, write_programme(model, cuts), cuts, until).bound
        except NoValues:
            continue
        loose = replace(model, fleet=replace(model.fleet, limits=replace(model.limits, late_share=1.0)))
        programme = write_programme(loose if limit == "late_share" else model, cuts)
        keep = np.array([name.split(" of ")[0] != limit for name in programme.limit])
        assert not keep.all()
        without = replace(
            programme,
            rows=programme.rows[np.flatnonzero(keep)],
            low=programme.low[keep],
            high=programme.high[keep],
            limit=tuple(np.array(programme.limit)[keep].tolist()),
        )
        # without rows on service that were there from the start, later ones must not bring them back
        served = loose if limit == "late_share" else model
        if solve_relaxed(served, without, (), until).bound < bound * (1.0 - 1e-6):
            return
    pytest.fail(f"no fleet was found in which {limit} matters")
