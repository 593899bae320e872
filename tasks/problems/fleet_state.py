"""Which limits does a fleet keep while its nodes change one by one? Sums that follow each change, and their check.

The definitions are those of :class:`data.schemas.fleet.FleetLimits`. Service is held by cuts here, which are necessary;
:mod:`tasks.problems.fleet_flow` decides it.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from tasks.compiled import inner
from tasks.fleet.model import Flags, FleetModel, Floats, Integers
from tasks.fleet.programme_rows import groups
from tasks.problems.fleet_flow import TOLERANCE

MOST_LOST = 17
"""Room for the largest regions: ``lost_regions`` is at most 16."""


class Rules(NamedTuple):
    """A fleet's prices and limits as the compiled arithmetic takes them; infinite where there is no limit."""

    region: Integers  # (offers,)
    cloud: Integers  # (regions,)
    capacity: Floats  # (offers,) of a node
    usd_per_h: Floats  # (offers,)
    fixed_usd_per_h: Floats  # (regions,)
    change_usd_per_h: float  # of a node that is started or stopped
    quota: Integers  # (offers,)
    spot: Flags  # (offers,)
    carbon: Floats  # (offers,) kg per hour of a node
    held: Integers  # (offers,)
    group: Flags  # (groups, regions) whose loss is counted together
    group_need: Floats  # (groups,)
    lost_regions: int
    without_cloud: float  # capacity that must stay with any cloud lost
    cloud_share: Floats  # (clouds,)
    spot_share: float
    most_carbon: float
    most_regions: float
    most_changed: float
    down: Flags  # (offers, outages)
    outage_weight: Floats  # (outages,)
    most_down: float  # share of time
    demand: float
    slack: float


class State(NamedTuple):
    """Nodes and what they come to."""

    nodes: Integers  # (offers,)
    capacity: Floats  # (regions,)
    in_region: Integers  # (regions,) nodes
    cloud: Floats  # (clouds,) capacity
    up: Floats  # (outages,) capacity that is not down
    sums: Floats  # total capacity, spot capacity, carbon


def rules_of(model: FleetModel) -> Rules:
    """Return the arrays of a fleet; outages that last no time or take nothing down are left out."""
    limits, demand = model.limits, float(model.demand.sum())
    counted = [(has, need) for _, has, need in groups(model) if need > 0.0]
    share = np.full(len(model.clouds), np.inf)
    for bound in limits.cloud_shares:
        if bound.cloud in model.clouds:
            at = model.clouds.index(bound.cloud)
            share[at] = min(share[at], bound.most)
    matters = (model.outage_weight > 0.0) & (limits.availability > 0.0)
    return Rules(
        region=model.region,
        cloud=model.cloud,
        capacity=model.capacity,
        usd_per_h=model.usd_per_h,
        fixed_usd_per_h=model.fixed_usd_per_h,
        change_usd_per_h=limits.change_usd_per_node / limits.horizon_h,
        quota=model.quota,
        spot=model.spot,
        carbon=model.carbon_kg_per_h,
        held=model.held,
        group=np.array([has for has, _ in counted], np.bool_).reshape(len(counted), model.cloud.size),
        group_need=np.array([need for _, need in counted], np.float64),
        lost_regions=limits.lost_regions,
        without_cloud=limits.lost_cloud_share * demand,
        cloud_share=share,
        spot_share=limits.spot_share,
        most_carbon=np.inf if limits.carbon_kg_per_h is None else float(limits.carbon_kg_per_h),
        most_regions=np.inf if limits.max_regions is None else float(limits.max_regions),
        most_changed=np.inf if limits.changed_nodes is None else float(limits.changed_nodes),
        down=np.ascontiguousarray(model.outage_down[matters].T),
        outage_weight=model.outage_weight[matters],
        most_down=1.0 - limits.availability,
        demand=demand,
        slack=TOLERANCE * max(1.0, demand),
    )


@inner
def place_nodes(rules: Rules, state: State, offer: int, count: int) -> float:
    """Add ``count`` nodes of an offer, which may be below 0, and return what that adds to the cost; no sums follow."""
    region, before = rules.region[offer], state.nodes[offer]
    state.nodes[offer] = before + count
    changed = abs(before + count - rules.held[offer]) - abs(before - rules.held[offer])
    more = rules.usd_per_h[offer] * count + rules.change_usd_per_h * changed
    used = state.in_region[region] > 0
    state.in_region[region] += count
    uses = state.in_region[region] > 0
    if uses and not used:
        more += rules.fixed_usd_per_h[region]
    elif used and not uses:
        more -= rules.fixed_usd_per_h[region]
    return float(more)


@inner
def sum_nodes(rules: Rules, state: State, offer: int, count: int) -> None:
    """Let the sums follow ``count`` nodes of an offer that were placed; changed nodes and regions are counted later."""
    region = rules.region[offer]
    capacity = rules.capacity[offer] * count
    state.capacity[region] += capacity
    state.cloud[rules.cloud[region]] += capacity
    state.sums[0] += capacity
    if rules.spot[offer]:
        state.sums[1] += capacity
    state.sums[2] += rules.carbon[offer] * count
    for outage in range(state.up.size):
        if not rules.down[offer, outage]:
            state.up[outage] += capacity


@inner
def state_of(rules: Rules, nodes: Integers) -> State:
    """Return the sums of ``nodes``, ``(offers,)``, summed anew."""
    regions = rules.cloud.size
    state = State(
        np.zeros(nodes.size, np.int64),
        np.zeros(regions),
        np.zeros(regions, np.int64),
        np.zeros(rules.cloud_share.size),
        np.zeros(rules.outage_weight.size),
        np.zeros(3),
    )
    for offer in range(nodes.size):
        if nodes[offer] != 0:
            place_nodes(rules, state, offer, nodes[offer])
            sum_nodes(rules, state, offer, nodes[offer])
    return state


@inner
def _largest(rules: Rules, state: State, group: int) -> tuple[float, float]:
    """Return the capacity of a group of regions, and that of the largest of them."""
    top = np.zeros(MOST_LOST)
    total, lost = 0.0, rules.lost_regions
    for region in range(state.capacity.size):
        if not rules.group[group, region]:
            continue
        capacity = state.capacity[region]
        total += capacity
        if lost > 0 and capacity > top[lost - 1]:
            place = lost - 1
            while place > 0 and top[place - 1] < capacity:
                top[place] = top[place - 1]
                place -= 1
            top[place] = capacity
    return total, top[:lost].sum()


@inner
def _counts_hold(rules: Rules, state: State) -> bool:
    """Tell whether few enough nodes change, and few enough regions are in use."""
    if rules.most_changed < np.inf:
        changed = 0
        for offer in range(state.nodes.size):
            changed += abs(state.nodes[offer] - rules.held[offer])
        if changed > rules.most_changed:
            return False
    if rules.most_regions < np.inf:
        used = 0
        for region in range(state.in_region.size):
            used += state.in_region[region] > 0
        return bool(used <= rules.most_regions)
    return True


@inner
def holds(rules: Rules, state: State) -> bool:
    """Tell whether all limits but the service of users are kept; quotas are looked at where nodes are added."""
    total, slack = state.sums[0], rules.slack
    if state.sums[1] > rules.spot_share * total + slack:
        return False
    if state.sums[2] > rules.most_carbon + TOLERANCE * max(1.0, rules.most_carbon):
        return False
    if not _counts_hold(rules, state):
        return False
    for cloud in range(state.cloud.size):
        if total - state.cloud[cloud] < rules.without_cloud - slack:
            return False
        if state.cloud[cloud] > rules.cloud_share[cloud] * total + slack:
            return False
    down = 0.0
    for outage in range(state.up.size):
        if state.up[outage] < rules.demand - slack:
            down += rules.outage_weight[outage]
    if down > rules.most_down + TOLERANCE:
        return False
    for group in range(rules.group_need.size):
        whole, lost = _largest(rules, state, group)
        if whole - lost < rules.group_need[group] - slack:
            return False
    return True


@njit(cache=True)
def keeps(rules: Rules, nodes: Integers) -> bool:
    """Tell whether ``nodes``, ``(offers,)``, keep all limits but quotas and the service of users."""
    return bool(holds(rules, state_of(rules, nodes)))
