"""Fleets so small that all of their nodes can be counted out."""

import numpy as np

from data.schemas.fleet import DemandZone, Fleet, FleetLimits, Holding, Latencies, Offer, Outage, Region, Sku


def tiny(rng: np.random.Generator, limits: FleetLimits, *, demand: float = 1.0) -> Fleet:
    """Return three regions of two clouds, six offers and three zones of users.

    One zone has residency, unless as many regions may be lost as have its tag.

    Args:
        rng: of prices, demand and latencies.
        limits: that it must keep to.
        demand: in about four nodes' capacities.
    """
    clouds = ("a", "b", "a")
    regions = tuple(
        Region(
            id=f"{cloud}:{number}",
            cloud=cloud,
            country="DE" if number < 2 else "US",
            latitude_deg=0.0,
            longitude_deg=0.0,
            tags=("eu",) if number < 2 else (),
            fixed_usd_per_h=float(rng.uniform(0.0, 2.0)),
            carbon_g_per_kwh=float(rng.uniform(100.0, 500.0)),
        )
        for number, cloud in enumerate(clouds)
    )
    skus = (Sku("small", "L4", 1, 1.0, 500.0), Sku("large", "H100", 8, float(rng.uniform(1.8, 2.6)), 1_500.0))
    offers = []
    for region in regions:
        offers.append(Offer(region.id, "small", "on_demand", float(rng.uniform(1.0, 3.0)), 3))
        price = float(rng.uniform(2.0, 6.0))
        if rng.random() < 0.5:
            offers.append(Offer(region.id, "large", "spot", 0.5 * price, 2, 0.1))
        else:
            offers.append(Offer(region.id, "large", "on_demand", price, 2))
    shares = demand * rng.dirichlet(np.full(3, 4.0)) * 4.0
    zones = tuple(
        DemandZone(
            f"zone-{number}", "DE", 0.0, 0.0, float(share), ("eu",) if number == 0 and limits.lost_regions < 2 else ()
        )
        for number, share in enumerate(shares)
    )
    rtt = rng.uniform(20.0, 160.0, (3, 3))
    held = tuple(
        Holding(offer.region, offer.sku, offer.purchase, int(rng.integers(0, 3)))
        for offer in offers
        if rng.random() < 0.6
    )
    return Fleet(
        name="tiny",
        taken_at="2026-01-31T12:00:00+00:00",
        regions=regions,
        skus=skus,
        offers=tuple(offers),
        zones=zones,
        latencies=Latencies(
            tuple(zone.id for zone in zones),
            tuple(region.id for region in regions),
            tuple(tuple(float(value) for value in row) for row in rtt),
        ),
        outages=(
            Outage(0.02, (regions[0].id,)),
            Outage(0.015, (regions[1].id, regions[2].id)),
            Outage(0.01, (regions[1].id,), spot_only=True),
        ),
        holdings=held,
        limits=limits,
    )
