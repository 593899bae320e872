"""Which fleet do price lists, regions, latencies and demand make together? From the clouds' files to one fleet."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from data.errors import BadRecord, BadSource
from data.fleet_crosscheck import cross_check_fleet
from data.readers.bounded import read_bounded
from data.readers.csv_file import MAX_BYTES, Row, read_records
from data.readers.fleet.carbon import read_emission_factors, read_google_carbon
from data.readers.fleet.fleet_file import FleetReading
from data.readers.fleet.latency import RttTable, latencies, learn_latency, read_azure_rtt, read_cloudping
from data.readers.fleet.prices import Price, read_prices
from data.readers.fleet.regions import read_regions
from data.readers.traces.rows import number, whole
from data.schemas.fleet import DemandZone, Fleet, FleetLimits, Holding, Offer, Purchase, Sku

PURCHASES: tuple[Purchase, ...] = ("reserved", "on_demand", "spot")


@dataclass(frozen=True, slots=True)
class CatalogueFiles:
    """The files that a fleet is made of; see the readers beside this one for their columns.

    Args:
        prices: lists as SkyPilot's; the cloud of a list without such a column is the name of its folder.
        regions: as Spare Cores'.
        demand: CSV with ``zone,country,latitude,longitude,demand`` and, where data must stay, ``residency`` (tags
            between semicolons).
        zones: of regions, as Spare Cores'.
        azure_rtt: Azure's table.
        cloudping: AWS's table.
        google_carbon: one year of Google's file.
        emission_factors: by cloud, Cloud Carbon Footprint's files.
        machines: CSV with ``machine,capacity,node_power_w``; without it an accelerator counts as one.
        quotas: CSV with ``region,machine,purchase,nodes``; without a row there is no quota.
        holdings: CSV with the same columns: what is rented now.
    """

    prices: tuple[Path, ...]
    regions: Path
    demand: Path
    zones: Path | None = None
    azure_rtt: Path | None = None
    cloudping: Path | None = None
    google_carbon: Path | None = None
    emission_factors: Mapping[str, Path] = field(default_factory=dict)
    machines: Path | None = None
    quotas: Path | None = None
    holdings: Path | None = None


def read_catalogue(files: CatalogueFiles, *, taken_at: str, limits: FleetLimits | None = None) -> FleetReading:
    """Read a fleet from the clouds' files; rows that cannot be used are set aside by name.

    Args:
        files: which.
        taken_at: ISO 8601 with offset; the files do not say.
        limits: what the fleet must keep to.

    Raises:
        SourceUnavailable: a file cannot be read.
        BadSource: one is no such file, demand or holdings have a row that cannot be used, or nothing can be rented.
    """
    listed = read_regions(files.regions, files.zones)
    set_aside, notes = list(listed.set_aside), list(listed.notes)
    prices: list[Price] = []
    for path in files.prices:
        found = read_prices(path, cloud=path.parent.name)
        prices += found.prices
        set_aside += found.set_aside
        notes += found.notes
    carbon, bad = _carbon(files)
    set_aside += bad
    used = {f"{price.cloud}:{price.region}" for price in prices}
    unknown = sorted(used - {region.id for region in listed.regions})
    if unknown:
        notes.append(
            f"{len(unknown)} places of the price lists are no region of {files.regions.name}: {', '.join(unknown[:5])}"
        )
    regions = tuple(
        replace(region, carbon_g_per_kwh=carbon.get(region.id)) for region in listed.regions if region.id in used
    )
    if not regions:
        raise BadSource(str(files.regions), [*set_aside, BadRecord(files.regions.name, "a region with prices", "none")])
    dark = sum(region.carbon_g_per_kwh is None for region in regions)
    if dark:
        notes.append(f"the grid's carbon is not known in {dark} of {len(regions)} regions, and counts as none there")
    skus, known, bad = _skus(prices, files.machines)
    set_aside += bad
    assumed = [sku.id for sku in skus if sku.id not in known]
    if assumed:
        notes.append(
            f"nothing is known of {', '.join(assumed[:5])}{' and others' if len(assumed) > 5 else ''}: an accelerator "
            "counts as one, of whatever kind, and draws no power, so that it causes no carbon; name a file of machines"
        )
    quotas = _counts(files.quotas) if files.quotas else {}
    offers = _offers(prices, {region.id for region in regions}, quotas)
    zones = _demand(files.demand)
    tables: list[RttTable] = []
    for rtt, read in ((files.azure_rtt, read_azure_rtt), (files.cloudping, read_cloudping)):
        if rtt is not None:
            measured, rows = read(rtt)
            tables.append(measured)
            set_aside += rows
    table, told = latencies(zones, regions, learn_latency(tables, listed.regions))
    notes += told
    fleet = Fleet(
        name="catalogue",
        taken_at=taken_at,
        regions=regions,
        skus=skus,
        offers=offers,
        zones=zones,
        latencies=table,
        holdings=tuple(
            Holding(*key, nodes) for key, nodes in (_counts(files.holdings) if files.holdings else {}).items()
        ),
        limits=limits or FleetLimits(),
        catalogue_sha256=_digest(files),
    )
    wrong = cross_check_fleet(fleet)
    if wrong:
        raise BadSource("catalogue", [each.record("catalogue") for each in wrong])
    return FleetReading(fleet, tuple(set_aside), tuple(notes))


def _carbon(files: CatalogueFiles) -> tuple[dict[str, float], list[BadRecord]]:
    found: dict[str, float] = {}
    bad: list[BadRecord] = []
    for cloud, path in files.emission_factors.items():
        factors, rows = read_emission_factors(path, cloud)
        found |= factors
        bad += rows
    if files.google_carbon is not None:
        grams, rows = read_google_carbon(files.google_carbon)
        found |= grams  # newer, and Google's own
        bad += rows
    return found, bad


def _skus(prices: Sequence[Price], machines: Path | None) -> tuple[tuple[Sku, ...], frozenset[str], list[BadRecord]]:
    """Return the machines of the price lists, those of them that the file knows, and its rows that cannot be used."""
    known: dict[str, tuple[float, float]] = {}
    bad: list[BadRecord] = []
    if machines is not None:

        def parse(place: str, _number: int, row: Row) -> tuple[str, tuple[float, float]]:
            power = number(place, row, "node_power_w", least=0.0, most=200_000.0)
            return row["machine"], (number(place, row, "capacity", least=1e-9), power)

        rows, bad = read_records(machines, ("machine", "capacity", "node_power_w"), parse)
        known = dict(rows)
    found: dict[str, Sku] = {}
    for price in prices:
        capacity, power = known.get(price.machine, (float(max(1, price.accelerators)), 0.0))
        found.setdefault(
            price.machine,
            Sku(price.machine, price.accelerator or price.machine, price.accelerators, capacity, power),
        )
    return tuple(found.values()), frozenset(known), bad


def _offers(
    prices: Sequence[Price], regions: set[str], quotas: Mapping[tuple[str, str, Purchase], int]
) -> tuple[Offer, ...]:
    """Return the cheapest zone's price of each machine in each region, bought in each way."""
    cheapest: dict[tuple[str, str, Purchase], float] = {}
    for price in prices:
        region = f"{price.cloud}:{price.region}"
        if region not in regions:
            continue
        for purchase, usd in (("on_demand", price.on_demand_usd_per_h), ("spot", price.spot_usd_per_h)):
            if usd is not None:
                key: tuple[str, str, Purchase] = (region, price.machine, "spot" if purchase == "spot" else "on_demand")
                cheapest[key] = min(usd, cheapest.get(key, usd))
    return tuple(Offer(*key, usd, quotas.get(key)) for key, usd in cheapest.items())


def _demand(path: Path) -> tuple[DemandZone, ...]:
    def parse(place: str, _number: int, row: Row) -> DemandZone:
        if not row["zone"] or len(row["country"]) != 2 or not row["country"].isupper():
            raise BadRecord(place, "a zone, and a country as two capital letters", f"{row['zone']}, {row['country']}")
        return DemandZone(
            id=row["zone"],
            country=row["country"],
            latitude_deg=number(place, row, "latitude", least=-90.0, most=90.0),
            longitude_deg=number(place, row, "longitude", least=-180.0, most=180.0),
            demand=number(place, row, "demand", least=0.0, most=1e12),
            residency=tuple(tag.strip() for tag in row.get("residency", "").split(";") if tag.strip()),
        )

    rows, bad = read_records(path, ("zone", "country", "latitude", "longitude", "demand"), parse)
    if bad:  # users who are left out are not served
        raise BadSource(str(path), bad)
    return tuple(rows)


def _counts(path: Path) -> dict[tuple[str, str, Purchase], int]:
    def parse(place: str, _number: int, row: Row) -> tuple[tuple[str, str, Purchase], int]:
        purchase = next((each for each in PURCHASES if each == row["purchase"]), None)
        if purchase is None:
            raise BadRecord(f"{place}.purchase", f"one of {', '.join(PURCHASES)}", row["purchase"])
        return (row["region"], row["machine"], purchase), whole(place, row, "nodes", least=0, most=10_000_000)

    rows, bad = read_records(path, ("region", "machine", "purchase", "nodes"), parse)
    twice = sorted({"/".join(key) for key, _ in rows if sum(key == other for other, _ in rows) > 1})
    if twice:
        bad.append(BadRecord(path.name, "each machine of a region once", ", ".join(twice)))
    if bad:
        raise BadSource(str(path), bad)
    return dict(rows)


def _digest(files: CatalogueFiles) -> str:
    digest = hashlib.sha256()
    for path in (*files.prices, files.regions):
        digest.update(hashlib.sha256(read_bounded(path, MAX_BYTES)).digest())
    return digest.hexdigest()
