"""Which limits of a fleet does a state break, and by how much? Once more from the definitions of ``FleetLimits``."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from tasks.validation.fleet_service import ServiceProof
from tasks.validation.fleet_tables import FleetTables, Floats, Integers

Limit = Literal[
    "quota",
    "service",
    "lost_regions",
    "lost_cloud_share",
    "availability",
    "spot_share",
    "cloud_shares",
    "carbon_kg_per_h",
    "max_regions",
    "changed_nodes",
]

MORE_HELPS: tuple[Limit, ...] = ("service", "lost_regions", "lost_cloud_share", "availability")
"""Limits that further nodes never break; they hold at each moment of a rollout, or nothing is promised."""

SERVICE = "demand served in time"

ROUNDING = 1e-9
"""Relative to what is compared; differences below it come of adding up in another order."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How a state stands with one limit.

    Args:
        limit: its kind.
        name: with what it is about, as plans call it.
        found: in the limit's own unit.
        wanted: likewise.
        short: by how much it is broken; 0 where it is kept.
    """

    limit: Limit
    name: str
    found: float
    wanted: float
    short: float

    def __str__(self) -> str:
        return f"{self.name}: expected {self.wanted:.9g}, found {self.found:.9g}"


def standings(
    tables: FleetTables, nodes: Integers, proof: ServiceProof | None, missing: float = 0.0
) -> tuple[Standing, ...]:
    """Return how ``nodes``, ``(offers,)``, stand with every limit that is set; without ``proof`` all but service.

    Args:
        tables: the fleet.
        nodes: ``(offers,)``.
        proof: of service; None leaves it out.
        missing: demand that may be; where no more is, service is judged no further.
    """
    capacity = tables.capacity(nodes)
    found = [
        *_quotas(tables, nodes),
        *_lost_regions(tables, capacity),
        *_clouds(tables, capacity),
        *_availability(tables, nodes),
        *_nodes(tables, nodes, float(capacity.sum())),
    ]
    if proof is not None:
        demand = float(tables.demand.sum())
        missing = proof.missing(capacity, missing)
        found.append(Standing("service", SERVICE, demand - missing, demand, missing))
    return tuple(found)


def _at_most(limit: Limit, name: str, found: float, wanted: float, scale: float) -> Standing:
    over = found - wanted
    return Standing(limit, name, found, wanted, over if over > ROUNDING * max(1.0, scale) else 0.0)


def _at_least(limit: Limit, name: str, found: float, wanted: float, scale: float) -> Standing:
    under = wanted - found
    return Standing(limit, name, found, wanted, under if under > ROUNDING * max(1.0, scale) else 0.0)


def _quotas(tables: FleetTables, nodes: Integers) -> Iterator[Standing]:
    for at in np.flatnonzero((nodes > tables.most) | (nodes < 0)):
        offer = tables.fleet.offers[at]
        name = f"quota of {offer.region}/{offer.sku}/{offer.purchase}"
        count, most = float(nodes[at]), float(tables.most[at])
        yield Standing("quota", name, count, most, max(count - most, -count))


def _lost_regions(tables: FleetTables, capacity: Floats) -> Iterator[Standing]:
    """Yield for everybody, and for every set of tags that is asked for, the room left by the largest regions."""
    fleet = tables.fleet
    for tags, inside, need in tables.residencies:
        rest = np.sort(capacity[inside])
        left = float(rest[: max(0, rest.size - fleet.limits.lost_regions)].sum())
        if need > 0.0:
            name = "lost_regions" + (f" of {'+'.join(tags)}" if tags else "")
            yield _at_least("lost_regions", name, left, need, float(tables.demand.sum()))


def _clouds(tables: FleetTables, capacity: Floats) -> Iterator[Standing]:
    fleet, limits = tables.fleet, tables.fleet.limits
    total, demand = float(capacity.sum()), float(tables.demand.sum())
    of_cloud: dict[str, float] = {}
    for region, size in zip(fleet.regions, capacity.tolist(), strict=True):
        of_cloud[region.cloud] = of_cloud.get(region.cloud, 0.0) + size
    if limits.lost_cloud_share > 0.0:
        for cloud in sorted(of_cloud):
            left, need = total - of_cloud[cloud], limits.lost_cloud_share * demand
            yield _at_least("lost_cloud_share", f"lost_cloud_share of {cloud}", left, need, demand)
    for share in limits.cloud_shares:
        held = of_cloud.get(share.cloud, 0.0)
        yield _at_most("cloud_shares", f"cloud_shares of {share.cloud}", held, share.most * total, demand)


def _availability(tables: FleetTables, nodes: Integers) -> Iterator[Standing]:
    wanted = tables.fleet.limits.availability
    if wanted <= 0.0:
        return
    demand = float(tables.demand.sum())
    every, of_spot = tables.capacity(nodes), tables.capacity(np.where(tables.spot, nodes, 0))
    total = float(every.sum())
    down = 0.0
    for outage in tables.fleet.outages:
        hit = sorted({tables.region_at[region] for region in outage.regions})
        left = total - float((of_spot if outage.spot_only else every)[hit].sum())
        if left < demand - ROUNDING * max(1.0, demand):
            down += outage.weight
    yield _at_least("availability", "availability", 1.0 - down, wanted, 1.0)


def _nodes(tables: FleetTables, nodes: Integers, total: float) -> Iterator[Standing]:
    limits = tables.fleet.limits
    demand = float(tables.demand.sum())
    spot = float((tables.node_capacity * nodes)[tables.spot].sum())
    yield _at_most("spot_share", "spot_share", spot, limits.spot_share * total, demand)
    if limits.carbon_kg_per_h is not None:
        carbon = float(tables.carbon_kg_per_h @ nodes)
        yield _at_most("carbon_kg_per_h", "carbon_kg_per_h", carbon, limits.carbon_kg_per_h, limits.carbon_kg_per_h)
    if limits.max_regions is not None:
        used = float(tables.used(nodes).sum())
        yield _at_most("max_regions", "max_regions", used, float(limits.max_regions), 1.0)
    if limits.changed_nodes is not None:
        moved = float(np.abs(nodes - tables.held).sum())
        yield _at_most("changed_nodes", "changed_nodes", moved, float(limits.changed_nodes), 1.0)
