"""Which limits do given nodes break, and by how much? The exact check that a plan's nodes pass before it is made.

The definitions are those of :class:`data.schemas.fleet.FleetLimits`; amounts below a billionth of all demand count as
nothing.
"""

from dataclasses import dataclass

import numpy as np

from tasks.fleet.model import FleetModel, Integers
from tasks.fleet.programme_rows import groups
from tasks.fleet.service import first_cuts, late_allowance, minimum_cut, serve

TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True)
class Broken:
    """A limit that is not kept.

    Args:
        limit: its field in ``FleetLimits``, ``quota`` or ``demand``, with what it is about.
        found: in the limit's own unit.
        wanted: likewise.
    """

    limit: str
    found: float
    wanted: float

    def __str__(self) -> str:
        return f"{self.limit}: {self.found:,.6g} where {self.wanted:,.6g} is the limit"


def broken_limits(model: FleetModel, nodes: Integers, *, service: bool = True) -> tuple[Broken, ...]:
    """Return the limits that ``nodes``, ``(offers,)``, break.

    Args:
        model: of the fleet.
        nodes: of each offer, ``(offers,)``.
        service: whether flows are looked for too, which takes longest.
    """
    limits, fleet = model.limits, model.fleet
    demand = float(model.demand.sum())
    slack = TOLERANCE * max(1.0, demand)
    capacity = model.region_capacity(nodes)
    total = float(capacity.sum())
    found: list[Broken] = []

    def most(limit: str, value: float, bound: float, allowed: float = slack) -> None:
        if value > bound + allowed:
            found.append(Broken(limit, value, bound))

    def least(limit: str, value: float, bound: float) -> None:
        if value < bound - slack:
            found.append(Broken(limit, value, bound))

    for number in np.flatnonzero((nodes > model.quota) | (nodes < 0)):
        offer = fleet.offers[number]
        name = f"quota of {offer.region}/{offer.sku}/{offer.purchase}"
        found.append(Broken(name, float(nodes[number]), float(model.quota[number])))
    for tags, has, needed in groups(model):
        if needed > 0.0:
            largest = np.sort(capacity[has])[::-1][: limits.lost_regions].sum()
            name = "lost_regions" if limits.lost_regions else "demand"
            least(name + (" of " + "+".join(tags) if tags else ""), float(capacity[has].sum() - largest), needed)
    cloud = np.bincount(model.cloud, capacity, minlength=len(model.clouds))
    if limits.lost_cloud_share > 0.0:
        for at, name in enumerate(model.clouds):
            least(f"lost_cloud_share of {name}", total - float(cloud[at]), limits.lost_cloud_share * demand)
    if model.outage_weight.size and limits.availability > 0.0:
        up = (~model.outage_down) @ (model.capacity * nodes)
        down = float(model.outage_weight[up < demand - slack].sum())
        most("availability", down, 1.0 - limits.availability, TOLERANCE)
    most("spot_share", float((model.capacity * nodes)[model.spot].sum()), limits.spot_share * total)
    for share in limits.cloud_shares:
        if share.cloud in model.clouds:
            value = float(cloud[model.clouds.index(share.cloud)])
            most(f"cloud_shares of {share.cloud}", value, share.most * total)
    if limits.carbon_kg_per_h is not None:
        carbon = float(model.carbon_kg_per_h @ nodes)
        most("carbon_kg_per_h", carbon, limits.carbon_kg_per_h, TOLERANCE * max(1.0, limits.carbon_kg_per_h))
    if limits.max_regions is not None:
        used = int((np.bincount(model.region, nodes, minlength=capacity.size) > 0).sum())
        most("max_regions", float(used), float(limits.max_regions), 0.0)
    if limits.changed_nodes is not None:
        most("changed_nodes", float(np.abs(nodes - model.held).sum()), float(limits.changed_nodes), 0.0)
    if service and demand > 0.0:
        cuts = [*first_cuts(model), minimum_cut(model, capacity)]
        worst = max((cut for cut in cuts if cut is not None), key=lambda cut: cut.missing(model, capacity))
        served = None if worst.missing(model, capacity) > slack else serve(model, capacity, by_latency=False)
        if served is None:
            found.append(_service(model, worst.late, worst.missing(model, capacity)))
        elif served.cut is not None:
            found.append(_service(model, served.cut.late, served.cut.missing(model, capacity)))
    return tuple(found)


def _service(model: FleetModel, late: float, missing: float) -> Broken:
    """Return that demand cannot be served, or not in time."""
    if late:
        total = max(1e-300, float(model.demand.sum()))
        return Broken("late_share", (late_allowance(model) + missing / late) / total, model.limits.late_share)
    return Broken("demand", float(model.demand.sum()) - missing, float(model.demand.sum()))
