"""What does a fleet come to in arrays? One column for each offer, one row for each region, and who can serve whom."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from data.schemas.fleet import Fleet, FleetLimits

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
UNLIMITED = 2**40
"""Quota, in nodes, of an offer without one."""


@dataclass(frozen=True, slots=True, eq=False)
class FleetModel:
    """A fleet as the planners, the replay and the plan take it; all arrays are read-only.

    Decisions are nodes of each offer, ``(offers,)`` int64.

    Args:
        fleet: as it was read; the order of its regions, offers and zones is that of the arrays.
        region: of each offer, ``(offers,)``.
        cloud: of each region, ``(regions,)``, a number in ``clouds``.
        clouds: their names, sorted.
        capacity: of one node, what is lost to interruptions taken off, ``(offers,)``.
        usd_per_h: of one node, ``(offers,)``.
        fixed_usd_per_h: of each region that is used, ``(regions,)``.
        quota: in nodes, ``(offers,)``.
        spot: which offers are spot, ``(offers,)``.
        carbon_kg_per_h: of one node, ``(offers,)``; 0 where the grid's figure is unknown.
        demand: ``(zones,)``.
        allowed: whether a zone's data may go to a region, ``(zones, regions)``.
        near: whether it is allowed and within the latency, ``(zones, regions)``.
        rtt_ms: ``(zones, regions)``, with its error where that counts.
        held: nodes in force, ``(offers,)``.
        outage_weight: share of time of each outage, ``(outages,)``.
        outage_down: whether the offer is down in it, ``(outages, offers)``.
    """

    fleet: Fleet
    region: Integers
    cloud: Integers
    clouds: tuple[str, ...]
    capacity: Floats
    usd_per_h: Floats
    fixed_usd_per_h: Floats
    quota: Integers
    spot: Flags
    carbon_kg_per_h: Floats
    demand: Floats
    allowed: Flags
    near: Flags
    rtt_ms: Floats
    held: Integers
    outage_weight: Floats
    outage_down: Flags

    @property
    def limits(self) -> FleetLimits:
        """What the fleet must keep to."""
        return self.fleet.limits

    def region_capacity(self, nodes: npt.NDArray[np.int64] | Floats) -> Floats:
        """Return the capacity of each region, ``(regions,)``, with ``nodes`` of each offer."""
        held = np.asarray(self.capacity * nodes, np.float64)
        return np.bincount(self.region, held, minlength=len(self.fleet.regions)).astype(np.float64)

    def cost_usd_per_h(self, nodes: npt.NDArray[np.int64] | Floats) -> float:
        """Return what ``nodes`` cost per hour: rent, the regions that are used, and the changes spread over time."""
        used = np.bincount(self.region, nodes, minlength=len(self.fleet.regions)) > 0
        changed = float(np.abs(nodes - self.held).sum())
        spread = self.limits.change_usd_per_node / self.limits.horizon_h
        return float(self.usd_per_h @ nodes + self.fixed_usd_per_h @ used + spread * changed)


def fleet_model(fleet: Fleet) -> FleetModel:
    """Return the arrays of a fleet that is free of contradictions (:mod:`data.fleet_crosscheck`)."""
    region_at = {region.id: number for number, region in enumerate(fleet.regions)}
    skus = {sku.id: sku for sku in fleet.skus}
    clouds = tuple(sorted({region.cloud for region in fleet.regions}))
    offers = fleet.offers
    of = np.array([region_at[offer.region] for offer in offers], np.int64)
    node_kw = np.array([skus[offer.sku].node_power_w / 1000.0 for offer in offers])
    grid = np.array([(region.carbon_g_per_kwh or 0.0) * region.pue / 1000.0 for region in fleet.regions])
    rows = {zone: number for number, zone in enumerate(fleet.latencies.zones)}
    columns = {region: number for number, region in enumerate(fleet.latencies.regions)}
    order = np.ix_([rows[zone.id] for zone in fleet.zones], [columns[region.id] for region in fleet.regions])
    rtt_ms = np.array(fleet.latencies.rtt_ms, np.float64)[order]
    if fleet.limits.count_error and fleet.latencies.error_ms:
        rtt_ms = rtt_ms + np.array(fleet.latencies.error_ms, np.float64)[order]
    tags = [set(region.tags) for region in fleet.regions]
    allowed = np.array([[tag >= set(zone.residency) for tag in tags] for zone in fleet.zones], np.bool_)
    offer_at = {(offer.region, offer.sku, offer.purchase): number for number, offer in enumerate(offers)}
    held = np.zeros(len(offers), np.int64)
    for holding in fleet.holdings:
        held[offer_at[holding.region, holding.sku, holding.purchase]] += holding.nodes
    spot = np.array([offer.purchase == "spot" for offer in offers], np.bool_)
    down = np.zeros((len(fleet.outages), len(offers)), np.bool_)
    for number, outage in enumerate(fleet.outages):
        hit = np.isin(of, [region_at[region] for region in outage.regions])
        down[number] = hit & spot if outage.spot_only else hit
    arrays = FleetModel(
        fleet=fleet,
        region=of,
        cloud=np.array([clouds.index(region.cloud) for region in fleet.regions], np.int64),
        clouds=clouds,
        capacity=np.array([skus[offer.sku].capacity * (1.0 - offer.interruption) for offer in offers]),
        usd_per_h=np.array([offer.usd_per_h for offer in offers]),
        fixed_usd_per_h=np.array([region.fixed_usd_per_h for region in fleet.regions]),
        quota=np.array([UNLIMITED if offer.quota_nodes is None else offer.quota_nodes for offer in offers], np.int64),
        spot=spot,
        carbon_kg_per_h=node_kw * grid[of],
        demand=np.array([zone.demand for zone in fleet.zones]),
        allowed=allowed,
        near=allowed & (rtt_ms <= fleet.limits.latency_ms),
        rtt_ms=rtt_ms,
        held=held,
        outage_weight=np.array([outage.weight for outage in fleet.outages]),
        outage_down=down,
    )
    for name in arrays.__slots__:
        value = getattr(arrays, name)
        if isinstance(value, np.ndarray):
            value.flags.writeable = False
    return arrays
