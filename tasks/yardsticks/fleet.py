"""What does a fleet cost that is planned zone by zone, or in one cloud? As platform teams do it, for comparison.

The greedy planner serves each zone from the cheapest offers near it, as SkyPilot's optimiser chooses for a single job
(Yang et al. 2023, https://www.usenix.org/conference/nsdi23/presentation/yang-zongheng); moves the dearest of what may
be late to the cheapest offers anywhere; buys reserves for lost regions, a lost cloud and outages at the cheapest
offers; and gives back what turns out to be needless. It keeps all limits, or has no answer.
"""

from dataclasses import dataclass, replace

import numpy as np

from tasks.fleet.elastic import NoFleet
from tasks.fleet.feasible import broken_limits
from tasks.fleet.model import Flags, FleetModel, Floats, Integers
from tasks.fleet.programme import Placed, place_fleet
from tasks.fleet.programme_rows import groups
from tasks.fleet.programme_solve import missing_cut

ROUNDS = 10_000
"""Purchases of reserves after which the planner gives up."""

TRIMS = 8
"""Passes over the offers in which it gives back what is needless."""


@dataclass(frozen=True, slots=True)
class SingleCloud:
    """What the cheapest fleet in one cloud is.

    Args:
        cloud: its name.
        placed: None where one cloud cannot keep the limits.
        why: what it lacks then.
    """

    cloud: str
    placed: Placed | None
    why: str = ""


def single_clouds(model: FleetModel, *, quota_times: int = 1, gap: float = 1e-3) -> tuple[SingleCloud, ...]:
    """Return the cheapest fleet in each single cloud, without limits that only several clouds can keep.

    Args:
        model: of the fleet.
        quota_times: by which quotas are raised, since who rents from one cloud alone would ask it for more.
        gap: relative, to which each is solved.
    """
    limits = replace(model.limits, lost_cloud_share=0.0, cloud_shares=())
    fleet = replace(model.fleet, limits=limits)
    found = []
    for number, cloud in enumerate(model.clouds):
        mine = model.cloud[model.region] == number
        alone = replace(model, fleet=fleet, quota=np.where(mine, model.quota * quota_times, 0))
        try:
            found.append(SingleCloud(cloud, place_fleet(alone, gap=gap)))
        except NoFleet as error:
            found.append(SingleCloud(cloud, None, error.shortages[0].detail))
    return tuple(found)


def greedy_fleet(model: FleetModel) -> Integers | None:
    """Return nodes of each offer, ``(offers,)``, as the greedy planner buys them; None where they break a limit.

    It tries the zones in two orders, most demand first and fewest near machines first, and keeps the cheaper fleet.
    """
    near_capacity = model.near @ model.region_capacity(model.quota)
    orders = (np.argsort(-model.demand, kind="stable"), np.argsort(near_capacity / np.maximum(model.demand, 1e-300)))
    best: Integers | None = None
    for order in orders:
        nodes = _Cart(model).planned(order)
        if broken_limits(model, nodes):
            continue
        if best is None or model.cost_usd_per_h(nodes) < model.cost_usd_per_h(best):
            best = nodes
    return best


class _Cart:
    """Nodes while they are bought. Mutable; lives within :func:`greedy_fleet`."""

    def __init__(self, model: FleetModel) -> None:
        self.model = model
        self.nodes: Integers = np.zeros(model.capacity.size, np.int64)
        spread = model.limits.change_usd_per_node / model.limits.horizon_h
        # what is held costs less to keep than to buy anew
        kept = np.minimum(1.0, model.held / np.maximum(1, model.quota))
        self.price: Floats = (model.usd_per_h + spread * (1.0 - 2.0 * kept)) / model.capacity
        self.by_price: Integers = np.argsort(self.price, kind="stable")
        self.demand = float(model.demand.sum())
        self.groups = groups(model)

    def planned(self, order: Integers) -> Integers:
        """Return the nodes that serve all users and keep the reserves."""
        for zone in order.tolist():
            missing = self.buy(float(self.model.demand[zone]), self.model.near[zone][self.model.region])
            if missing > 0.0:
                self.buy(missing, self.model.allowed[zone][self.model.region])
        self.move_late()
        self.reserve()
        self.trim()
        return self.nodes

    def spot_room(self) -> float:
        """Return how much spot capacity may still be bought."""
        model, share = self.model, self.model.limits.spot_share
        bought = model.capacity * self.nodes
        return share * max(self.demand, float(bought.sum())) - float(bought[model.spot].sum())

    def buy(self, need: float, offers: Flags) -> float:
        """Buy ``need`` of capacity at the cheapest of ``offers``, ``(offers,)``; return what was not to be had."""
        model = self.model
        spot = min(self.spot_room(), need * model.limits.spot_share)
        for at in self.by_price[offers[self.by_price]].tolist():
            if need <= 1e-9 * self.demand:
                return 0.0
            each = float(model.capacity[at])
            count = min(int(np.ceil(need / each - 1e-9)), int(model.quota[at] - self.nodes[at]))
            if model.spot[at]:
                count = min(count, int(max(0.0, spot) / each))
                spot -= count * each
            self.nodes[at] += count
            need -= count * each
        return max(0.0, need)

    def move_late(self) -> None:
        """Give back the dearest machines that late service can do without, and buy the cheapest anywhere instead."""
        model = self.model
        allowance = model.limits.late_share * self.demand
        everywhere: Flags = np.asarray(model.allowed.all(axis=0))[model.region]
        for at in self.by_price[::-1].tolist():
            each = float(model.capacity[at])
            count = min(int(self.nodes[at]), int(allowance / each))
            if not count:
                continue
            able = everywhere & (self.nodes < model.quota) & ~model.spot
            if np.min(self.price, where=able, initial=np.inf) >= self.price[at]:
                return
            before = self.nodes.copy()
            self.nodes[at] -= count
            left = self.buy(count * each, everywhere)
            if left > 0.0 or model.cost_usd_per_h(self.nodes) >= model.cost_usd_per_h(before) or self.late():
                self.nodes = before
                return
            allowance -= count * each

    def late(self) -> bool:
        """Tell whether more is late than may be, or not served."""
        return missing_cut(self.model, self.model.region_capacity(self.nodes)) is not None

    def reserve(self) -> None:
        """Buy at the cheapest offers what lost regions, a lost cloud and outages ask for."""
        for _ in range(ROUNDS):
            short, offers = self.shortage()
            if short <= 0.0 or self.buy(short, offers) >= short:
                return

    def shortage(self) -> tuple[float, Flags]:
        """Return a reserve that is short, and the offers that could add to it, ``(offers,)``."""
        model, limits = self.model, self.model.limits
        capacity = model.region_capacity(self.nodes)
        slack = 1e-9 * max(1.0, self.demand)
        for _, has, needed in self.groups:
            largest = np.argsort(np.where(has, -capacity, np.inf), kind="stable")[: min(limits.lost_regions, has.sum())]
            short = needed - float(capacity[has].sum() - capacity[largest].sum())
            if needed > 0.0 and short > slack:
                able = has.copy()
                able[largest] = False
                # little by little, since another region may become the largest
                return max(short / 8.0, min(short, 1e-3 * self.demand)), able[model.region]
        if limits.lost_cloud_share > 0.0:
            for cloud in range(len(model.clouds)):
                others = model.cloud != cloud
                short = limits.lost_cloud_share * self.demand - float(capacity[others].sum())
                if short > slack:
                    return short, others[model.region]
        if limits.availability > 0.0:
            up = (~model.outage_down) @ (model.capacity * self.nodes)
            broken = np.flatnonzero(up < self.demand - slack)
            if float(model.outage_weight[broken].sum()) - (1.0 - limits.availability) > 1e-9:
                each = (self.demand - up[broken]) / np.maximum(1e-12, model.outage_weight[broken])
                first = broken[int(np.argmin(each))]
                return float(self.demand - up[first]), ~model.outage_down[first]
        return 0.0, np.zeros(model.capacity.size, np.bool_)

    def trim(self) -> None:
        """Give back, dearest first, what no limit needs."""
        model = self.model
        if broken_limits(model, self.nodes):
            return
        for _ in range(TRIMS):
            given_back = False
            for at in self.by_price[::-1][:200].tolist():
                for count in (int(self.nodes[at]), int(self.nodes[at]) // 2, 1):
                    if 0 < count <= self.nodes[at]:
                        self.nodes[at] -= count
                        if broken_limits(model, self.nodes, service=False) or self.late():
                            self.nodes[at] += count
                        else:
                            given_back = True
                            break
            if not given_back:
                return
