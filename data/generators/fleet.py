"""Which fleets are there to plan for, when nobody's catalogue is at hand?

Clouds with made-up names and prices rent machines out in real cities, and users live in real cities; who is where, what
costs how much and what is rented already is drawn. Prices within a cloud go along with a factor of each region, spot is
cheaper and interrupted, and regions of one metro fail together.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from data.geography import distance_km
from data.schemas.fleet import (
    DemandZone,
    Fleet,
    FleetLimits,
    Holding,
    Latencies,
    Offer,
    Outage,
    Purchase,
    Region,
    Sku,
)

CITIES: tuple[tuple[str, str, float, float, float], ...] = (
    ("tokyo", "JP", 35.68, 139.77, 37.0), ("delhi", "IN", 28.61, 77.21, 32.0), ("shanghai", "CN", 31.23, 121.47, 28.0),
    ("sao-paulo", "BR", -23.55, -46.63, 22.0), ("mexico-city", "MX", 19.43, -99.13, 22.0),
    ("mumbai", "IN", 19.08, 72.88, 21.0), ("osaka", "JP", 34.69, 135.50, 19.0), ("new-york", "US", 40.71, -74.01, 19.0),
    ("buenos-aires", "AR", -34.60, -58.38, 15.0), ("istanbul", "TR", 41.01, 28.98, 15.0),
    ("lagos", "NG", 6.52, 3.38, 15.0), ("manila", "PH", 14.60, 120.98, 14.0),
    ("los-angeles", "US", 34.05, -118.24, 12.0), ("paris", "FR", 48.86, 2.35, 11.0),
    ("jakarta", "ID", -6.21, 106.85, 11.0), ("lima", "PE", -12.05, -77.04, 11.0),
    ("bangkok", "TH", 13.76, 100.50, 10.0), ("seoul", "KR", 37.57, 126.98, 10.0), ("london", "GB", 51.51, -0.13, 9.5),
    ("chicago", "US", 41.88, -87.63, 8.9), ("hong-kong", "HK", 22.32, 114.17, 7.5),
    ("dallas", "US", 32.78, -96.80, 7.6),
    ("madrid", "ES", 40.42, -3.70, 6.7), ("toronto", "CA", 43.65, -79.38, 6.3), ("santiago", "CL", -33.45, -70.67, 6.9),
    ("singapore", "SG", 1.35, 103.82, 6.0), ("johannesburg", "ZA", -26.20, 28.05, 6.1),
    ("washington", "US", 38.91, -77.04, 5.4), ("sydney", "AU", -33.87, 151.21, 5.1),
    ("berlin", "DE", 52.52, 13.41, 3.6),
    ("frankfurt", "DE", 50.11, 8.68, 2.7), ("milan", "IT", 45.46, 9.19, 3.1), ("warsaw", "PL", 52.23, 21.01, 1.8),
    ("stockholm", "SE", 59.33, 18.07, 1.7), ("dublin", "IE", 53.35, -6.26, 1.3), ("amsterdam", "NL", 52.37, 4.90, 1.2),
    ("zurich", "CH", 47.38, 8.54, 1.4), ("portland", "US", 45.52, -122.68, 2.2), ("phoenix", "US", 33.45, -112.07, 4.7),
    ("dubai", "AE", 25.20, 55.27, 3.0), ("tel-aviv", "IL", 32.08, 34.78, 4.4), ("montreal", "CA", 45.50, -73.57, 4.3),
)  # fmt: skip
"""Metro, country, latitude, longitude, and millions of people who live around it, roughly."""

EU = frozenset({"FR", "ES", "DE", "IT", "PL", "SE", "IE", "NL"})
CLOUDS = ("altus", "boreas", "cirro", "dorado")
KINDS: tuple[tuple[str, str, int, float, float], ...] = (
    ("h100x8", "H100", 8, 55.0, 10_200.0), ("a100x8", "A100", 8, 25.0, 6_500.0), ("l4x8", "L4", 8, 5.5, 1_400.0),
    ("h200x8", "H200", 8, 63.0, 10_800.0), ("gb200x4", "GB200", 4, 48.0, 6_600.0),
    ("mi300x8", "MI300X", 8, 46.0, 9_600.0),
    ("v100x8", "V100", 8, 16.0, 3_300.0), ("l40sx8", "L40S", 8, 14.0, 4_000.0),
    ("gaudi3x8", "Gaudi 3", 8, 38.0, 9_000.0),
    ("a10gx8", "A10G", 8, 9.0, 2_600.0),
)  # fmt: skip
"""Name, accelerator, accelerators, a round price in US dollars per hour, watts of a node."""

CAPACITY = {"H100": 1.0, "A100": 0.42, "L4": 0.11, "H200": 1.2, "GB200": 2.2, "MI300X": 1.05, "V100": 0.16,
            "L40S": 0.3, "Gaudi 3": 0.8, "A10G": 0.12}  # fmt: skip
"""What an accelerator serves, of an H100; round figures that only samples are made with."""

SAMPLE_SEED = 2

FIBRE_KM_PER_MS = 100.0
"""There and back, light takes a millisecond for as much fibre."""

DETOUR, BASE_MS = 1.6, 4.0
"""Fibre does not run straight, and networks take their time at both ends."""


def generate_fleet(
    rng: np.random.Generator,
    *,
    regions: int = 12,
    skus: int = 3,
    zones: int = 8,
    demand: float = 4_000.0,
    limits: FleetLimits | None = None,
    name: str = "generated",
) -> Fleet:
    """Draw a fleet whose holdings were rented greedily: they have capacity for all, at a price that a plan can better.

    Args:
        rng: all chance.
        regions: at least 4; they are spread over four clouds, several to a metro where there are more than metros.
        skus: 1 to 100 kinds of machines; more than ten make later generations of the ten.
        zones: of demand, at least 1; more than there are metros make suburbs of them.
        demand: of all zones together, in accelerators of an H100's speed.
        limits: what the fleet must keep to; None takes the defaults.
        name: of the fleet.

    Raises:
        ValueError: a number is out of range.
    """
    if regions < 4 or not 1 <= skus <= 100 or zones < 1 or not demand > 0.0:
        raise ValueError(
            "expected at least 4 regions, 1 to 100 skus, a zone and demand above 0, "
            f"got {regions}, {skus}, {zones} and {demand}"
        )
    limits = limits or FleetLimits()
    places = _regions(regions, rng)
    kinds = tuple(_kind(number) for number in range(skus))
    users = _zones(zones, demand, rng)
    if sum("eu" in region.tags for region in places) > limits.lost_regions + 1:
        users = tuple(replace(zone, residency=("eu",)) if zone.country in EU else zone for zone in users)
    offers = _offers(places, kinds, demand, rng)
    latencies = _latencies(users, places, rng)
    holdings = _greedy_holdings(places, kinds, offers, users, latencies, limits)
    return Fleet(
        name=name,
        taken_at="2026-01-31T12:00:00+00:00",
        regions=places,
        skus=kinds,
        offers=offers,
        zones=users,
        latencies=latencies,
        outages=_outages(places, rng),
        holdings=holdings,
        limits=limits,
    )


def sample_fleet(rng: np.random.Generator) -> Fleet:
    """Draw the fleet that ships in ``data/samples/fleet``; ``default_rng(SAMPLE_SEED)`` gives the very one."""
    limits = FleetLimits(lost_cloud_share=0.7, availability=0.999, change_usd_per_node=2.0)
    return generate_fleet(rng, regions=24, skus=4, zones=24, demand=6_000.0, limits=limits, name="sample")


def _kind(number: int) -> Sku:
    name, accelerator, count, _, watts = KINDS[number % len(KINDS)]
    generation = number // len(KINDS)
    suffix = f"-{1 + generation}" if generation else ""
    return Sku(f"{name}{suffix}", accelerator, count, count * CAPACITY[accelerator] * 1.1**generation, watts)


def _regions(count: int, rng: np.random.Generator) -> tuple[Region, ...]:
    order = rng.permutation(len(CITIES))
    clouds = rng.permutation(len(CLOUDS))
    found = []
    for number in range(count):
        metro, country, latitude, longitude, _ = CITIES[order[number % len(CITIES)]]
        cloud = CLOUDS[clouds[number % len(CLOUDS)]]
        tags = ("eu",) if country in EU else ()
        found.append(
            Region(
                id=f"{cloud}:{metro}-{1 + number // len(CITIES)}",
                cloud=cloud,
                country=country,
                latitude_deg=round(float(np.clip(latitude + rng.normal(0.0, 0.2), -89.0, 89.0)), 4),
                longitude_deg=round(float(longitude + rng.normal(0.0, 0.2)), 4),
                metro=metro,
                zones=tuple(f"{cloud}:{metro}-{1 + number // len(CITIES)}{letter}" for letter in "abc"),
                tags=tags,
                fixed_usd_per_h=round(float(rng.uniform(5.0, 40.0)), 2),
                carbon_g_per_kwh=round(float(rng.gamma(3.0, 130.0)), 1) if rng.random() < 0.9 else None,
                pue=round(float(rng.uniform(1.08, 1.4)), 3),
            )
        )
    return tuple(found)


def _zones(count: int, demand: float, rng: np.random.Generator) -> tuple[DemandZone, ...]:
    people = np.array([CITIES[number % len(CITIES)][4] for number in range(count)])
    shares = people * rng.lognormal(0.0, 0.4, count)
    shares /= shares.sum()
    found = []
    for number in range(count):
        metro, country, latitude, longitude, _ = CITIES[number % len(CITIES)]
        found.append(
            DemandZone(
                id=metro if number < len(CITIES) else f"{metro}-{1 + number // len(CITIES)}",
                country=country,
                latitude_deg=round(latitude, 4),
                longitude_deg=round(longitude, 4),
                demand=round(float(demand * shares[number]), 3),
            )
        )
    return tuple(found)


def _offers(
    regions: Sequence[Region], kinds: Sequence[Sku], demand: float, rng: np.random.Generator
) -> tuple[Offer, ...]:
    found = []
    cloud_factor = {cloud: float(rng.uniform(0.92, 1.08)) for cloud in CLOUDS}
    enough = 6.0 * demand / len(regions) / len(kinds)
    for region in regions:
        factor = cloud_factor[region.cloud] * float(rng.lognormal(0.0, 0.13))
        for number, kind in enumerate(kinds):
            if number and rng.random() < 0.15:
                continue
            price = round(
                KINDS[number % len(KINDS)][3]
                * 1.1 ** (number // len(KINDS))
                * factor
                * float(rng.lognormal(0.0, 0.04)),
                4,
            )
            quota = 1 + math.ceil(enough / kind.capacity * float(rng.uniform(0.6, 1.6)))
            found.append(Offer(region.id, kind.id, "on_demand", price, quota))
            if rng.random() < 0.8:
                spot = round(price * float(rng.uniform(0.25, 0.6)), 4)
                interruption = round(float(rng.beta(1.5, 9.0)), 4)
                found.append(Offer(region.id, kind.id, "spot", spot, max(1, quota // 4), interruption))
    return tuple(found)


def _latencies(zones: Sequence[DemandZone], regions: Sequence[Region], rng: np.random.Generator) -> Latencies:
    km = distance_km(
        [zone.latitude_deg for zone in zones],
        [zone.longitude_deg for zone in zones],
        [region.latitude_deg for region in regions],
        [region.longitude_deg for region in regions],
    )
    rtt = BASE_MS + km * DETOUR / FIBRE_KM_PER_MS * rng.lognormal(0.0, 0.12, km.shape)
    return Latencies(
        zones=tuple(zone.id for zone in zones),
        regions=tuple(region.id for region in regions),
        rtt_ms=tuple(tuple(round(float(value), 2) for value in row) for row in np.minimum(rtt, 900.0)),
    )


def _outages(regions: Sequence[Region], rng: np.random.Generator) -> tuple[Outage, ...]:
    metros = sorted({region.metro for region in regions})
    found = [
        Outage(round(float(rng.uniform(1e-4, 4e-4)), 7), tuple(each.id for each in regions if each.metro == metro))
        for metro in metros
        if rng.random() < 0.6
    ]
    for cloud in sorted({region.cloud for region in regions}):
        of_cloud = [region.id for region in regions if region.cloud == cloud]
        together = tuple(region for region in of_cloud if rng.random() < 0.5)
        if together:
            found.append(Outage(round(float(rng.uniform(0.005, 0.02)), 6), together, spot_only=True))
    return tuple(found)


def _greedy_holdings(
    regions: Sequence[Region],
    kinds: Sequence[Sku],
    offers: Sequence[Offer],
    zones: Sequence[DemandZone],
    latencies: Latencies,
    limits: FleetLimits,
) -> tuple[Holding, ...]:
    """Rent on demand for each zone in the nearest region with room, and once more for the loss of any of them.

    So do teams that add regions as users come; where quotas bind, some users are served from far away.
    """
    capacity = {kind.id: kind.capacity for kind in kinds}
    room: dict[tuple[str, str, Purchase], int] = {}
    by_region: dict[str, list[Offer]] = {region.id: [] for region in regions}
    for offer in offers:
        if offer.purchase == "on_demand" and offer.quota_nodes:
            room[offer.region, offer.sku, offer.purchase] = offer.quota_nodes
            by_region[offer.region].append(offer)
    taken: dict[tuple[str, str, Purchase], int] = {}

    def rent(region: str, wanted: float) -> float:
        """Take machines in ``region`` in the order of the catalogue; return what is still wanted."""
        for offer in by_region[region]:
            key = (offer.region, offer.sku, offer.purchase)
            nodes = min(room[key], math.ceil(wanted / capacity[offer.sku])) if wanted > 0.0 else 0
            if nodes:
                room[key] -= nodes
                taken[key] = taken.get(key, 0) + nodes
                wanted -= nodes * capacity[offer.sku]
        return wanted

    def pad(inside: set[str], needed: float) -> None:
        """Rent in the smallest of these regions until any ``lost_regions`` of them can be lost."""
        while True:
            held = dict.fromkeys(sorted(inside), 0.0)
            for (region, sku, _), nodes in taken.items():
                if region in held:
                    held[region] += nodes * capacity[sku]
            left = sum(held.values()) - sum(sorted(held.values(), reverse=True)[: limits.lost_regions])
            with_room = [each for each in held if any(room[o.region, o.sku, o.purchase] for o in by_region[each])]
            if left >= needed or not with_room:
                return
            rent(min(with_room, key=held.__getitem__), min(needed - left, max(needed / len(held), 1.0)))

    spare_for = 1.0 + (1 + limits.lost_regions) / max(3, min(len(regions), len(zones)))
    tags = [set(region.tags) for region in regions]
    for zone, row in zip(zones, latencies.rtt_ms, strict=True):
        wanted = zone.demand * spare_for
        for column in sorted(range(len(regions)), key=row.__getitem__):
            if tags[column] >= set(zone.residency):
                wanted = rent(regions[column].id, wanted)
            if wanted <= 0.0:
                break
    for asked in sorted({zone.residency for zone in zones}, key=len, reverse=True):
        inside = {region.id for region, tag in zip(regions, tags, strict=True) if tag >= set(asked)}
        needed = sum(zone.demand for zone in zones if set(zone.residency) >= set(asked))
        pad(inside, needed)
    return tuple(Holding(*key, nodes) for key, nodes in taken.items())
