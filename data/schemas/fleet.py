"""What can be rented where, for whom, and what is rented now? The fleet's snapshot: the one input of its planner.

Demand and the capacity of machines are counted in the same unit, which the user chooses (requests per second, tokens
per second, accelerators of a reference model); ``capacity_unit`` names it.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, with_config

from data.schemas.units import RECORD, Count, Fraction, Id, Sha256

FLEET_VERSION = "1.0"

UsdPerHour = Annotated[float, Field(ge=0.0, le=1e5, description="US dollars per hour")]
Capacity = Annotated[float, Field(ge=0.0, le=1e12, description="in the fleet's capacity unit")]
Milliseconds = Annotated[float, Field(ge=0.0, le=5_000.0, description="milliseconds, there and back")]
Latitude = Annotated[float, Field(ge=-90.0, le=90.0)]
Longitude = Annotated[float, Field(ge=-180.0, le=180.0)]
GramsPerKwh = Annotated[float, Field(ge=0.0, le=5_000.0, description="grams of carbon dioxide per kWh")]
Country = Annotated[str, Field(pattern=r"^[A-Z]{2}$", description="ISO 3166-1 alpha-2")]
Purchase = Literal["reserved", "on_demand", "spot"]


@with_config(RECORD)
@dataclass(frozen=True, slots=True)
class Region:
    """A place where a cloud rents machines out, or an edge location of it.

    Args:
        id: ``cloud:name``, e.g. ``aws:us-east-1``.
        metro: what is near one another, e.g. ``frankfurt``; regions of one metro are taken to fail and to be reached
            alike where nothing better is known.
        zones: its availability zones; empty where unknown.
        tags: what may be said of data that is kept there, e.g. ``eu``, ``hipaa``.
        fixed_usd_per_h: of being there at all: control plane, gateways.
        carbon_g_per_kwh: of its grid; None where unknown.
        pue: watts that the building draws for each watt of its machines.
        edge: whether it is an edge location, which holds few machines near to users.
    """

    id: Id
    cloud: Id
    country: Country
    latitude_deg: Latitude
    longitude_deg: Longitude
    metro: Annotated[str, Field(max_length=128)] = ""
    zones: tuple[Id, ...] = ()
    tags: tuple[Id, ...] = ()
    fixed_usd_per_h: UsdPerHour = 0.0
    carbon_g_per_kwh: GramsPerKwh | None = None
    pue: Annotated[float, Field(ge=1.0, le=3.0)] = 1.2
    edge: bool = False


@with_config(RECORD)
@dataclass(frozen=True, slots=True)
class Sku:
    """A kind of machine.

    Args:
        capacity: what one node serves, in the fleet's unit.
        node_power_w: what one node draws at work.
    """

    id: Id
    accelerator: Annotated[str, Field(min_length=1, max_length=128)]
    accelerators: Annotated[int, Field(ge=0, le=1024)]
    capacity: Annotated[float, Field(gt=0.0, le=1e9)]
    node_power_w: Annotated[float, Field(ge=0.0, le=200_000.0)] = 0.0


@with_config(RECORD)
@dataclass(frozen=True, slots=True)
class Offer:
    """Machines of one kind, in one region, bought in one way.

    Args:
        usd_per_h: of one node; of reserved ones what a further hour of use costs, since the commitment itself is paid.
        quota_nodes: most that may be held; None means as many as one likes. Of reserved ones the number committed.
        interruption: share of time in which a spot node is not there, 0 to 1; others are there.
    """

    region: Id
    sku: Id
    purchase: Purchase
    usd_per_h: UsdPerHour
    quota_nodes: Count | None = None
    interruption: Fraction = 0.0


@with_config(RECORD)
@dataclass(frozen=True, slots=True)
class DemandZone:
    """Users who are near to one another.

    Args:
        demand: in the fleet's unit, what is to be served at any time.
        residency: tags of which a region must have every one to serve these users.
    """

    id: Id
    country: Country
    latitude_deg: Latitude
    longitude_deg: Longitude
    demand: Capacity
    residency: tuple[Id, ...] = ()


@with_config(RECORD)
@dataclass(frozen=True, slots=True)
class Latencies:
    """How long it takes from users to regions and back.

    Args:
        zones: ids of demand zones, one for each row.
        regions: ids of regions, one for each column.
        rtt_ms: ``(zones, regions)``.
        error_ms: likewise, by how much the figure is off on average; 0 where it was measured.
        told_by: likewise, what the figure was taken from.
    """

    zones: tuple[Id, ...]
    regions: tuple[Id, ...]
    rtt_ms: tuple[tuple[Milliseconds, ...], ...]
    error_ms: tuple[tuple[Milliseconds, ...], ...] = ()
    told_by: tuple[tuple[Literal["measured", "metro", "distance"], ...], ...] = ()


@with_config(RECORD)
@dataclass(frozen=True, slots=True)
class Outage:
    """Regions that are down together for a share of the time, as it was seen; what fails together is one record.

    Args:
        weight: share of time, 0 to 1; of all records together at most 1, the rest is without outages.
        regions: ids of those that are down.
        spot_only: whether only their spot machines are.
    """

    weight: Fraction
    regions: tuple[Id, ...]
    spot_only: bool = False


@with_config(RECORD)
@dataclass(frozen=True, slots=True)
class Holding:
    """Nodes that are rented now."""

    region: Id
    sku: Id
    purchase: Purchase
    nodes: Annotated[int, Field(ge=0, le=10_000_000)]


@with_config(RECORD)
@dataclass(frozen=True, slots=True)
class CloudShare:
    """Most of all capacity that one cloud may hold."""

    cloud: Id
    most: Fraction


@with_config(RECORD)
@dataclass(frozen=True, slots=True)
class FleetLimits:
    """What a fleet must keep to.

    Args:
        latency_ms: within which users are served.
        late_share: share of all demand that may be served beyond it; 0.05 holds the 95th percentile.
        count_error: whether the error of a latency counts as latency.
        lost_regions: that many regions, whichever they are, may be lost at once and the rest has capacity for all.
        lost_cloud_share: share of demand for which there is capacity with any one cloud lost; 0 asks for nothing.
        availability: share of time, by the outages that are known, in which there is capacity for all; 0 asks for
            nothing.
        spot_share: most of all capacity that may be spot.
        cloud_shares: most that single clouds may hold.
        carbon_kg_per_h: most that all nodes may cause; None means no cap.
        max_regions: most regions; None means any number.
        changed_nodes: most nodes that one plan may start and stop; None means any number.
        change_usd_per_node: what starting or stopping a node costs once.
        horizon_h: hours over which that is spread, until the next plan.
        wave_share: most of the capacity in force that one wave of the rollout may start and stop.
    """

    latency_ms: Annotated[float, Field(gt=0.0, le=5_000.0)] = 120.0
    late_share: Fraction = 0.05
    count_error: bool = False
    lost_regions: Annotated[int, Field(ge=0, le=16)] = 1
    lost_cloud_share: Fraction = 0.0
    availability: Fraction = 0.0
    spot_share: Fraction = 0.3
    cloud_shares: tuple[CloudShare, ...] = ()
    carbon_kg_per_h: Annotated[float, Field(ge=0.0, le=1e9)] | None = None
    max_regions: Annotated[int, Field(ge=1, le=100_000)] | None = None
    changed_nodes: Count | None = None
    change_usd_per_node: Annotated[float, Field(ge=0.0, le=1e5)] = 0.0
    horizon_h: Annotated[float, Field(gt=0.0, le=87_600.0)] = 168.0
    wave_share: Annotated[float, Field(gt=0.0, le=1.0)] = 0.1


@with_config(RECORD)
@dataclass(frozen=True, slots=True)
class Fleet:
    """A fleet at one moment: what can be rented, what is, and for whom; everything that its plan is made from.

    Args:
        taken_at: ISO 8601 with offset.
        catalogue_sha256: digest of the files that offers were read from; zeros where they were generated.
    """

    name: Id
    taken_at: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$")]
    regions: tuple[Region, ...]
    skus: tuple[Sku, ...]
    offers: tuple[Offer, ...]
    zones: tuple[DemandZone, ...]
    latencies: Latencies
    outages: tuple[Outage, ...] = ()
    holdings: tuple[Holding, ...] = ()
    limits: FleetLimits = FleetLimits()
    capacity_unit: Annotated[str, Field(max_length=64)] = "accelerators"
    catalogue_sha256: Sha256 = "0" * 64
    fleet_version: Literal["1.0"] = "1.0"


FLEET: TypeAdapter[Fleet] = TypeAdapter(Fleet)
