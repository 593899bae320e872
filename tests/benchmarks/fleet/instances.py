"""On which fleets are planners compared? Real regions where the data is at hand; prices, quotas and demand are made up.

Regions are the active ones of four clouds in a dump of Spare Cores (164 of them), with their coordinates; more than
that are the same ones again, moved by up to a degree. Nobody publishes quotas or who asks for what from where, so those
are drawn: a price level for each region (1 to 1.5 times the base price of a kind of machine), spot at 20 to 60 % of it,
log-normal quotas of on-demand machines that come to 1.7 times the demand, demand zones near to
regions with Pareto weights, and latency by distance (15.5 us for each kilometre and 4 ms, with an error of 10 %).
"""

import csv
import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from data.schemas.fleet import (
    DemandZone,
    Fleet,
    FleetLimits,
    Holding,
    Latencies,
    Offer,
    Outage,
    Region,
    Sku,
)

CLOUDS = ("alicloud", "aws", "azure", "gcp")
EU = frozenset({"AT", "BE", "DE", "DK", "ES", "FI", "FR", "IE", "IT", "NL", "PL", "SE"})
MACHINES = (
    ("l4x8", "L4", 2.0, 5.2, 900.0),
    ("a10x8", "A10", 2.4, 7.9, 1_500.0),
    ("v100x8", "V100", 2.9, 13.0, 2_900.0),
    ("l40sx8", "L40S", 5.1, 14.5, 3_100.0),
    ("a100-40x8", "A100-40GB", 6.5, 22.0, 4_200.0),
    ("a100-80x8", "A100-80GB", 8.0, 27.4, 4_600.0),
    ("h100x8", "H100", 19.0, 55.0, 8_400.0),
    ("h200x8", "H200", 24.0, 63.0, 8_700.0),
    ("b200x8", "B200", 44.0, 98.0, 13_000.0),
    ("mi300x8", "MI300X", 21.0, 48.0, 9_100.0),
)
"""Name, accelerator, capacity and USD per hour of a node of eight, watts."""

QUOTAS = 1.7
"""On-demand machines that may be had, in demands."""

CAPACITY_BOUGHT = 1.6
"""Capacity of a node that is bought, in mean capacities of a kind; so that nodes come to about what was asked for."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a cloud has a region."""

    cloud: str
    name: str
    country: str
    latitude_deg: float
    longitude_deg: float


def data_folder() -> Path:
    """Return where the real data is looked for."""
    return Path(os.environ.get("QUANTUMFLOW_DATA", Path(__file__).resolve().parents[4] / "shared" / "data"))


def places(rng: np.random.Generator, count: int) -> list[Place]:
    """Return ``count`` places: real regions as far as they reach, then the same again a little to the side."""
    path = data_folder() / "sparecores_regions" / "regions.csv"
    real: list[Place] = []
    if path.is_file():
        with path.open(newline="", encoding="utf-8") as lines:
            for row in csv.DictReader(lines):
                if row["status"] == "ACTIVE" and row["vendor_id"] in CLOUDS:
                    at = float(row["lat"]), float(row["lon"])
                    real.append(Place(row["vendor_id"], row["region_id"], row["country_id"], *at))
    if not real:
        for number in range(164):
            at = float(rng.uniform(-40.0, 60.0)), float(rng.uniform(-120.0, 150.0))
            real.append(Place(CLOUDS[number % 4], f"region-{number}", "DE" if number % 5 == 0 else "US", *at))
    first = [real[index] for index in rng.permutation(len(real))[:count]]
    moved = []
    for number in range(count - len(first)):
        like = real[number % len(real)]
        at = _on_earth(np.array([like.latitude_deg, like.longitude_deg]) + rng.uniform(-1.0, 1.0, 2))
        moved.append(Place(like.cloud, f"{like.name}-{number}", like.country, float(at[0]), float(at[1])))
    return first + moved


def distances_km(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return great-circle distances between ``(n, 2)`` and ``(m, 2)`` latitudes and longitudes, ``(n, m)``."""
    a, b = np.radians(one)[:, None, :], np.radians(other)[None, :, :]
    chord = np.sin((a[..., 0] - b[..., 0]) / 2) ** 2
    chord = chord + np.cos(a[..., 0]) * np.cos(b[..., 0]) * np.sin((a[..., 1] - b[..., 1]) / 2) ** 2
    distances: np.ndarray = 2.0 * 6371.0 * np.arcsin(np.sqrt(np.clip(chord, 0.0, 1.0)))
    return distances


def instance(
    rng: np.random.Generator,
    *,
    regions: int = 164,
    skus: int = 10,
    zones: int = 60,
    nodes: int = 847_000,
    limits: FleetLimits | None = None,
    outages: int = 0,
    held: bool = False,
) -> Fleet:
    """Return a fleet of about ``nodes`` nodes.

    Args:
        rng: of all that is made up.
        regions: how many; the real ones first.
        skus: kinds of machines in each region.
        zones: of users.
        nodes: that are rented in the end, roughly.
        limits: one region may be lost, and 95 % are within 90 ms, where None.
        outages: regions, and metros' spot machines, that are down together for some of the time.
        held: whether about as much as the demand is held now, at dear places too.
    """
    spots = places(rng, regions)
    at = np.array([(place.latitude_deg, place.longitude_deg) for place in spots])
    table = tuple(
        Region(
            id=f"{place.cloud}:{place.name}",
            cloud=place.cloud,
            country=place.country,
            latitude_deg=place.latitude_deg,
            longitude_deg=place.longitude_deg,
            tags=("eu",) if place.country in EU else (),
            fixed_usd_per_h=round(float(rng.lognormal(4.5, 0.7)), 2),
            carbon_g_per_kwh=round(float(rng.uniform(10.0, 750.0)), 1),
            pue=round(float(rng.uniform(1.1, 1.3)), 3),
        )
        for place in spots
    )
    kinds = []
    for number in range(skus):
        name, accelerator, capacity, usd, watts = MACHINES[number % len(MACHINES)]
        again = 1.0 + 0.13 * (number // len(MACHINES))
        suffix = "" if number < len(MACHINES) else f"-{number // len(MACHINES)}"
        kinds.append((Sku(name + suffix, accelerator, 8, capacity * again, watts), usd * again))
    mean_capacity = float(np.mean([sku.capacity for sku, _ in kinds]))
    demand = CAPACITY_BOUGHT * nodes * mean_capacity
    level = rng.uniform(1.0, 1.5, regions)
    quota = rng.lognormal(0.0, 0.8, (regions, skus)) * (rng.random((regions, skus)) < 0.8)
    capacities = np.array([sku.capacity for sku, _ in kinds])
    quota *= QUOTAS * demand / max(1e-9, float((quota * capacities).sum()))
    offers = []
    for region, place in enumerate(table):
        for sku, (kind, usd) in enumerate(kinds):
            most = int(np.ceil(quota[region, sku]))
            if not most:
                continue
            price = usd * level[region] * float(rng.uniform(0.95, 1.05))
            offers.append(Offer(place.id, kind.id, "on_demand", round(price, 4), most))
            share, lost = float(rng.uniform(0.2, 0.6)), float(rng.uniform(0.02, 0.2))
            offers.append(Offer(place.id, kind.id, "spot", round(share * price, 4), most // 3, round(lost, 3)))
    home = rng.choice(regions, zones, replace=zones > regions)
    users = _on_earth(at[home] + rng.uniform(-5.0, 5.0, (zones, 2)))
    weight = rng.pareto(1.1, zones) + 0.1
    asked = tuple(
        DemandZone(
            id=f"zone-{number}",
            country=table[home[number]].country,
            latitude_deg=float(users[number, 0]),
            longitude_deg=float(users[number, 1]),
            demand=round(float(demand * weight[number] / weight.sum()), 3),
            residency=("eu",) if table[home[number]].country in EU and rng.random() < 0.5 else (),
        )
        for number in range(zones)
    )
    rtt = (4.0 + 0.0155 * distances_km(users, at)) * rng.lognormal(0.0, 0.1, (zones, regions))
    latencies = Latencies(
        tuple(zone.id for zone in asked),
        tuple(region.id for region in table),
        tuple(tuple(round(float(value), 2) for value in row) for row in rtt),
    )
    fleet = Fleet(
        name="instance",
        taken_at="2026-01-31T12:00:00+00:00",
        regions=table,
        skus=tuple(sku for sku, _ in kinds),
        offers=tuple(offers),
        zones=asked,
        latencies=latencies,
        outages=_outages(rng, table, outages),
        limits=limits or FleetLimits(latency_ms=90.0),
    )
    return replace(fleet, holdings=_holdings(rng, fleet)) if held else fleet


def _on_earth(at: np.ndarray) -> np.ndarray:
    """Return latitudes and longitudes, ``(..., 2)``, within their ranges."""
    return np.clip(at, (-89.0, -179.9), (89.0, 179.9))


def _outages(rng: np.random.Generator, regions: tuple[Region, ...], count: int) -> tuple[Outage, ...]:
    """Return outages of one to three regions, every other one of spot machines only; 2 % of the time together."""
    weights = rng.dirichlet(np.ones(max(1, count))) * 0.02
    made = []
    for number in range(count):
        down = rng.choice(len(regions), min(len(regions), int(rng.integers(1, 4))), replace=False)
        made.append(Outage(float(weights[number]), tuple(regions[index].id for index in sorted(down)), number % 2 == 1))
    return tuple(made)


def _holdings(rng: np.random.Generator, fleet: Fleet) -> tuple[Holding, ...]:
    """Return nodes that are held now: a draw of two fifths of each quota, in half of the offers."""
    return tuple(
        Holding(offer.region, offer.sku, offer.purchase, int(0.4 * (offer.quota_nodes or 0) * rng.random() * 2))
        for offer in fleet.offers
        if rng.random() < 0.5
    )
