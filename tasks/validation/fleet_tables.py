"""What does a fleet's record say, as numbers? The validator's own reading of it, offer by offer."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from data.schemas.fleet import FLEET, Fleet

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class FleetTables:
    """A fleet in numbers; offers, regions and zones are in the order of the record.

    Args:
        fleet: the record.
        offer_at: number of each offer, by ``region/sku/purchase``.
        region_at: number of each region, by its id.
        zone_at: number of each zone, by its id.
        region: of each offer, ``(offers,)``.
        node_capacity: a node's capacity for as much of the time as it is there, ``(offers,)``.
        usd_per_h: of a node, ``(offers,)``.
        most: nodes that may be held, ``(offers,)``; infinite without a quota.
        spot: ``(offers,)``.
        carbon_kg_per_h: of a node, ``(offers,)``.
        held: nodes in force, ``(offers,)``.
        demand: ``(zones,)``.
        allowed: whether a region has every tag that a zone asks for, ``(zones, regions)``.
        rtt_ms: with its error where that counts, ``(zones, regions)``.
        residencies: sets of tags that are asked for, nothing among them; regions that have them, ``(regions,)``, and
            the demand of zones that ask for every one of them.
    """

    fleet: Fleet
    offer_at: dict[str, int]
    region_at: dict[str, int]
    zone_at: dict[str, int]
    region: Integers
    node_capacity: Floats
    usd_per_h: Floats
    most: Floats
    spot: Flags
    carbon_kg_per_h: Floats
    held: Integers
    demand: Floats
    allowed: Flags
    rtt_ms: Floats
    residencies: tuple[tuple[tuple[str, ...], Flags, float], ...]

    @property
    def near(self) -> Flags:
        """Whether a zone may be served by a region, and in time, ``(zones, regions)``."""
        return self.allowed & (self.rtt_ms <= self.fleet.limits.latency_ms)

    def capacity(self, nodes: Integers) -> Floats:
        """Return the capacity of each region, ``(regions,)``."""
        found = np.zeros(len(self.fleet.regions))
        np.add.at(found, self.region, self.node_capacity * nodes)
        return found

    def used(self, nodes: Integers) -> Flags:
        """Return which regions have nodes, ``(regions,)``."""
        found = np.zeros(len(self.fleet.regions), np.bool_)
        found[self.region[nodes > 0]] = True
        return found

    def rent_usd_per_h(self, nodes: Integers) -> float:
        """Return what nodes, and regions that have any, cost by the hour."""
        standing = [region.fixed_usd_per_h for region in self.fleet.regions]
        return float(self.usd_per_h @ nodes) + float(np.array(standing) @ self.used(nodes))

    def cost_usd_per_h(self, nodes: Integers) -> float:
        """Return the rent, and what starting and stopping costs, spread over the hours until the next plan."""
        limits = self.fleet.limits
        moved = int(np.abs(nodes - self.held).sum())
        return self.rent_usd_per_h(nodes) + moved * limits.change_usd_per_node / limits.horizon_h


def fleet_sha256(fleet: Fleet) -> str:
    """Return the SHA-256 of a fleet's canonical JSON."""
    return hashlib.sha256(FLEET.dump_json(fleet)).hexdigest()


def fleet_tables(fleet: Fleet) -> FleetTables:
    """Return the numbers of a fleet that does not contradict itself."""
    skus = {sku.id: sku for sku in fleet.skus}
    region_at = {region.id: number for number, region in enumerate(fleet.regions)}
    offer_at = {f"{each.region}/{each.sku}/{each.purchase}": number for number, each in enumerate(fleet.offers)}
    held = np.zeros(len(fleet.offers), np.int64)
    for holding in fleet.holdings:
        held[offer_at[f"{holding.region}/{holding.sku}/{holding.purchase}"]] += holding.nodes
    carbon = []
    for offer in fleet.offers:
        place = fleet.regions[region_at[offer.region]]
        grams = 0.0 if place.carbon_g_per_kwh is None else place.carbon_g_per_kwh
        carbon.append(skus[offer.sku].node_power_w * 1e-3 * place.pue * grams * 1e-3)
    return FleetTables(
        fleet=fleet,
        offer_at=offer_at,
        region_at=region_at,
        zone_at={zone.id: number for number, zone in enumerate(fleet.zones)},
        region=np.array([region_at[offer.region] for offer in fleet.offers], np.int64),
        node_capacity=np.array([skus[each.sku].capacity * (1.0 - each.interruption) for each in fleet.offers]),
        usd_per_h=np.array([offer.usd_per_h for offer in fleet.offers]),
        most=np.array([np.inf if each.quota_nodes is None else float(each.quota_nodes) for each in fleet.offers]),
        spot=np.array([offer.purchase == "spot" for offer in fleet.offers], np.bool_),
        carbon_kg_per_h=np.array(carbon),
        held=held,
        demand=np.array([zone.demand for zone in fleet.zones]),
        allowed=_allowed(fleet),
        rtt_ms=_rtt_ms(fleet),
        residencies=tuple(_residencies(fleet)),
    )


def _allowed(fleet: Fleet) -> Flags:
    tags = [frozenset(region.tags) for region in fleet.regions]
    rows: dict[frozenset[str], list[bool]] = {}
    for zone in fleet.zones:
        asked = frozenset(zone.residency)
        rows.setdefault(asked, [asked <= there for there in tags])
    return np.array([rows[frozenset(zone.residency)] for zone in fleet.zones], np.bool_)


def _residencies(fleet: Fleet) -> Iterator[tuple[tuple[str, ...], Flags, float]]:
    for tags in sorted({(), *(tuple(sorted(set(zone.residency))) for zone in fleet.zones)}):
        inside = np.array([set(tags) <= set(region.tags) for region in fleet.regions], np.bool_)
        yield tags, inside, float(sum(zone.demand for zone in fleet.zones if set(tags) <= set(zone.residency)))


def _rtt_ms(fleet: Fleet) -> Floats:
    table = fleet.latencies
    row = {zone: number for number, zone in enumerate(table.zones)}
    column = {region: number for number, region in enumerate(table.regions)}
    ms = np.array(table.rtt_ms, np.float64)
    if fleet.limits.count_error and table.error_ms:
        ms = ms + np.array(table.error_ms, np.float64)
    ordered = ms[[row[zone.id] for zone in fleet.zones]][:, [column[region.id] for region in fleet.regions]]
    return np.asarray(ordered, np.float64)
