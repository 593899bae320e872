"""Is a fleet's plan the cheapest one, feasible in whole nodes, and its bound below it?"""

import itertools

import numpy as np
import pytest
from scipy.optimize import linprog

from data.schemas.fleet import CloudShare, FleetLimits
from tasks.fleet.elastic import NoFleet
from tasks.fleet.model import FleetModel, fleet_model
from tasks.fleet.programme import place_fleet
from tests.tasks.fleet.tiny import tiny


def keeps(model: FleetModel, nodes: np.ndarray) -> bool:
    """Tell whether ``nodes`` keep all limits, from their definitions and by one plain transport problem."""
    limits, capacity = model.limits, np.zeros(len(model.fleet.regions))
    for number, count in enumerate(nodes):
        capacity[model.region[number]] += model.capacity[number] * count
    demand, small = model.demand.sum(), 1e-7
    asked = {frozenset(zone.residency) for zone in model.fleet.zones} | {frozenset[str]()}
    for tags in asked:
        inside = sorted(
            (c for c, region in zip(capacity, model.fleet.regions, strict=True) if tags <= set(region.tags)),
            reverse=True,
        )
        needs = sum(zone.demand for zone in model.fleet.zones if tags <= set(zone.residency))
        if needs and sum(inside[limits.lost_regions :]) < needs - small:
            return False
    for cloud in range(len(model.clouds)):
        mine = capacity[model.cloud == cloud].sum()
        if capacity.sum() - mine < limits.lost_cloud_share * demand - small:
            return False
        for share in limits.cloud_shares:
            if share.cloud == model.clouds[cloud] and mine > share.most * capacity.sum() + small:
                return False
    down = 0.0
    for weight, out in zip(model.outage_weight, model.outage_down, strict=True):
        if (model.capacity * nodes)[~out].sum() < demand - small:
            down += weight
    if limits.availability and down > 1.0 - limits.availability + 1e-9:
        return False
    if (model.capacity * nodes)[model.spot].sum() > limits.spot_share * capacity.sum() + small:
        return False
    if limits.carbon_kg_per_h is not None and model.carbon_kg_per_h @ nodes > limits.carbon_kg_per_h + small:
        return False
    if limits.max_regions is not None and len(set(model.region[nodes > 0].tolist())) > limits.max_regions:
        return False
    if limits.changed_nodes is not None and np.abs(nodes - model.held).sum() > limits.changed_nodes:
        return False
    return served(model, capacity)


def served(model: FleetModel, capacity: np.ndarray) -> bool:
    """Tell whether flows exist: one column for each allowed pair."""
    zone, region = np.nonzero(model.allowed)
    if not zone.size:
        return bool(model.demand.sum() == 0.0)
    every = np.arange(zone.size)
    to_zone, to_region = np.zeros((model.demand.size, zone.size)), np.zeros((capacity.size, zone.size))
    to_zone[zone, every] = 1.0
    to_region[region, every] = 1.0
    late = (~model.near[zone, region]).astype(float)
    found = linprog(late, A_ub=to_region, b_ub=capacity + 1e-9, A_eq=to_zone, b_eq=model.demand)
    return bool(found.status == 0 and found.fun <= model.limits.late_share * model.demand.sum() + 1e-7)


def cheapest(model: FleetModel) -> tuple[float, np.ndarray | None]:
    """Return the least cost of any nodes that keep all limits, by trying all of them, cheapest first."""
    choices = np.array(list(itertools.product(*(range(int(most) + 1) for most in model.quota))))
    if not served(model, model.region_capacity(model.quota)):
        return np.inf, None
    enough = choices @ model.capacity >= model.demand.sum() - 1e-9
    choices = choices[enough]
    costs = np.array([model.cost_usd_per_h(nodes) for nodes in choices])
    for place in np.argsort(costs, kind="stable"):
        if keeps(model, choices[place]):
            return float(costs[place]), choices[place]
    return np.inf, None


LIMITS = {
    "service alone": FleetLimits(lost_regions=0, spot_share=1.0, late_share=0.2),
    "nobody late": FleetLimits(lost_regions=0, spot_share=1.0, late_share=0.0, latency_ms=60.0),
    "one region lost": FleetLimits(lost_regions=1, spot_share=1.0, late_share=0.5),
    "two regions lost": FleetLimits(lost_regions=2, spot_share=1.0, late_share=1.0),
    "a cloud lost": FleetLimits(lost_regions=0, spot_share=1.0, lost_cloud_share=0.5, late_share=0.5),
    "little spot": FleetLimits(lost_regions=0, spot_share=0.2, late_share=0.5),
    "a cloud's share": FleetLimits(
        lost_regions=0, spot_share=1.0, late_share=1.0, cloud_shares=(CloudShare("b", 0.4),)
    ),
    "carbon": FleetLimits(lost_regions=0, spot_share=1.0, late_share=1.0, carbon_kg_per_h=3.0),
    "two regions": FleetLimits(lost_regions=0, spot_share=1.0, late_share=0.5, max_regions=2),
    "few changes": FleetLimits(lost_regions=0, spot_share=1.0, late_share=0.5, changed_nodes=4),
    "changes cost": FleetLimits(
        lost_regions=0, spot_share=1.0, late_share=0.5, change_usd_per_node=100.0, horizon_h=50.0
    ),
    "outages": FleetLimits(lost_regions=0, spot_share=1.0, late_share=1.0, availability=0.97),
    "no outages": FleetLimits(lost_regions=0, spot_share=1.0, late_share=1.0, availability=1.0),
}


@pytest.mark.parametrize("name", LIMITS)
@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow), pytest.param(3, marks=pytest.mark.slow)])
def test_tiny_fleets_are_placed_at_least_cost(name: str, seed: int) -> None:
    model = fleet_model(tiny(np.random.default_rng(seed), LIMITS[name]))
    least, _ = cheapest(model)
    if not np.isfinite(least):
        with pytest.raises(NoFleet):
            place_fleet(model, gap=0.0)
        return
    placed = place_fleet(model, gap=0.0)
    assert keeps(model, placed.nodes)
    assert placed.cost_usd_per_h == pytest.approx(least, rel=1e-7)
    assert placed.bound_usd_per_h <= least * (1.0 + 1e-7)
    assert np.asarray(placed.flows.sum(axis=1)) == pytest.approx(model.demand, abs=1e-6)
    assert (np.asarray(placed.flows.sum(axis=0)) <= model.region_capacity(placed.nodes) + 1e-6).all()
    assert not placed.flows.toarray()[~model.allowed].any()
    late = placed.flows.toarray()[~model.near].sum()
    assert late <= model.limits.late_share * model.demand.sum() + 1e-6
