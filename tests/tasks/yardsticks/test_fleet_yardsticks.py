"""Do the fleet's yardsticks keep the limits, so that their cost may be compared?"""

from dataclasses import replace

import numpy as np
import pytest

from data.schemas.fleet import CloudShare, FleetLimits
from tasks.fleet.feasible import broken_limits
from tasks.fleet.model import fleet_model
from tasks.fleet.programme import place_fleet
from tasks.yardsticks.fleet import greedy_fleet, single_clouds
from tests.benchmarks.fleet.instances import instance
from tests.tasks.fleet.tiny import tiny

SMALL = {"regions": 24, "skus": 2, "zones": 6, "nodes": 500}


@pytest.mark.parametrize(
    "limits",
    [
        FleetLimits(latency_ms=150.0),
        FleetLimits(latency_ms=150.0, lost_regions=2, lost_cloud_share=0.8),
        FleetLimits(latency_ms=150.0, lost_regions=0, availability=0.999, spot_share=0.1),
    ],
    ids=["one region", "two regions and a cloud", "outages"],
)
def test_the_greedy_planner_keeps_all_limits_and_is_never_below_the_bound(limits: FleetLimits) -> None:
    model = fleet_model(instance(np.random.default_rng(3), limits=limits, outages=12, **SMALL))
    nodes = greedy_fleet(model)
    assert nodes is not None
    assert broken_limits(model, nodes) == ()
    assert model.cost_usd_per_h(nodes) >= place_fleet(model, gap=0.1).bound_usd_per_h


def test_without_enough_machines_the_greedy_planner_has_no_answer() -> None:
    assert greedy_fleet(fleet_model(tiny(np.random.default_rng(4), FleetLimits(), demand=8.0))) is None


def test_a_single_cloud_rents_nowhere_else_and_is_not_held_to_limits_on_clouds() -> None:
    limits = FleetLimits(lost_regions=0, late_share=1.0, lost_cloud_share=0.5, cloud_shares=(CloudShare("a", 0.5),))
    fleet = tiny(np.random.default_rng(4), limits)
    model = fleet_model(replace(fleet, zones=tuple(replace(zone, residency=()) for zone in fleet.zones)))
    a, b = single_clouds(model)
    assert (a.cloud, b.cloud) == ("a", "b")
    assert a.placed is not None
    assert not a.placed.nodes[model.cloud[model.region] == 1].any()
    assert b.placed is None or not b.placed.nodes[model.cloud[model.region] == 0].any()


def test_a_cloud_that_cannot_serve_alone_says_why() -> None:
    model = fleet_model(tiny(np.random.default_rng(4), FleetLimits(lost_regions=0, late_share=1.0), demand=1.8))
    found = {each.cloud: each for each in single_clouds(model)}
    assert found["b"].placed is None
    assert "lack capacity" in found["b"].why
