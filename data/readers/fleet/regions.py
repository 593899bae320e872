"""Which regions do clouds have, and where are they? As Spare Cores' dumps tell it.

Source: github.com/SpareCores/sc-data-dumps, tables ``region`` and ``zone`` as CSV (CC BY-SA 4.0).
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from data.errors import BadRecord
from data.geography import distance_km
from data.readers.csv_file import Row, read_records
from data.readers.traces.rows import number
from data.schemas.fleet import Region

EUROPEAN_UNION = frozenset({
    "AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU",
    "IE", "IT", "LT", "LU", "LV", "MT", "NL", "PL", "PT", "RO", "SE", "SI", "SK",
})  # fmt: skip

PUE = {"aws": 1.135, "azure": 1.185, "gcp": 1.1}
"""Watts a building draws for one of its machines: AWS and Azure by cloudcarbonfootprint.org, Google's own figure."""

OTHER_PUE = 1.58
"""Of other buildings, by cloudcarbonfootprint.org."""

SAME_METRO_KM = 100.0
FAR_FROM_HOME_KM = 4_000.0
"""A region farther from every other one of its country than this most likely has a wrong country."""


@dataclass(frozen=True, slots=True, eq=False)
class RegionList:
    """Regions in use, rows that cannot be used, and what was noticed."""

    regions: tuple[Region, ...]
    set_aside: tuple[BadRecord, ...]
    notes: tuple[str, ...]


def read_regions(path: Path, zones: Path | None = None, *, clouds: frozenset[str] | None = None) -> RegionList:
    """Read regions; those that are not active are left out.

    Args:
        path: CSV with ``vendor_id, region_id, country_id, city, lon, lat, status``, and ``api_reference``, where a
            cloud's API calls a region otherwise than the table.
        zones: CSV with ``vendor_id, region_id, name, status``; None where there is none.
        clouds: which clouds to keep; None keeps all.

    Raises:
        SourceUnavailable: a file cannot be read.
        BadSource: one is no such file, or no row of it can be used.
    """
    columns = ("vendor_id", "region_id", "country_id", "city", "lon", "lat", "status")
    rows, bad = read_records(path, columns, _region)
    active = [
        (key, region)
        for key, region, status in rows
        if status == "ACTIVE" and (clouds is None or region.cloud in clouds)
    ]
    of_region: dict[str, list[str]] = {}
    if zones is not None:
        named, bad_zones = read_records(zones, ("vendor_id", "region_id", "name", "status"), _zone)
        bad += bad_zones
        for key, zone, status in named:
            if status == "ACTIVE":
                of_region.setdefault(key, []).append(zone)
    notes = [f"{len(rows) - len(active)} regions that are not active or not asked for were left out"]
    once: dict[str, Region] = {}
    for key, region in active:
        if region.id in once:
            notes.append(f"{region.id} is there more than once; the first row counts")
        once.setdefault(region.id, replace(region, zones=tuple(of_region.get(key, ()))))
    regions = _with_metros(tuple(once.values()))
    doubtful = _far_from_home(regions)
    if doubtful:
        notes.append(
            "the country looks wrong, so that nothing is promised of where data stays: " + ", ".join(sorted(doubtful))
        )
    tagged = tuple(replace(each, tags=() if each.id in doubtful else _tags(each.country)) for each in regions)
    return RegionList(tagged, tuple(bad), tuple(notes))


def _region(place: str, _number: int, row: Row) -> tuple[str, Region, str]:
    """Return the key that zones name a region by, the region, and its status."""
    cloud, key, country = row["vendor_id"].strip(), row["region_id"].strip(), row["country_id"].strip()
    name = row.get("api_reference", "").strip() or key
    if not cloud or not name:
        raise BadRecord(place, "a vendor and a region", "an empty cell")
    if len(country) != 2 or not country.isalpha() or not country.isupper():
        raise BadRecord(f"{place}.country_id", "a country as two capital letters", country)
    latitude = number(place, row, "lat", least=-90.0, most=90.0)
    longitude = number(place, row, "lon", least=-180.0, most=180.0)
    if latitude == 0.0 == longitude:
        raise BadRecord(place, "where the region is", "latitude and longitude 0")
    pue = PUE.get(cloud, OTHER_PUE)
    region = Region(f"{cloud}:{name}", cloud, country, latitude, longitude, metro=row["city"].strip(), pue=pue)
    return f"{cloud}:{key}", region, row["status"].strip()


def _zone(place: str, _number: int, row: Row) -> tuple[str, str, str]:
    if not row["vendor_id"] or not row["region_id"] or not row["name"]:
        raise BadRecord(place, "vendor, region and zone", "an empty cell")
    return (
        f"{row['vendor_id']}:{row['region_id']}", f"{row['vendor_id']}:{row['name']}", row["status"].strip()
    )  # fmt: skip


def _tags(country: str) -> tuple[str, ...]:
    return (country.lower(), "eu") if country in EUROPEAN_UNION else (country.lower(),)


def _distances_km(regions: tuple[Region, ...]) -> np.ndarray:
    latitude = [region.latitude_deg for region in regions]
    longitude = [region.longitude_deg for region in regions]
    return distance_km(latitude, longitude, latitude, longitude)


def _with_metros(regions: tuple[Region, ...]) -> tuple[Region, ...]:
    """Give regions that are near one another one metro, named after the first of them that has a city."""
    if not regions:
        return ()
    near = _distances_km(regions) < SAME_METRO_KM
    metro = [-1] * len(regions)
    for first in range(len(regions)):
        reached = [first] if metro[first] < 0 else []
        while reached:
            at = reached.pop()
            if metro[at] < 0:
                metro[at] = first
                reached += [int(other) for other in np.flatnonzero(near[at]) if metro[other] < 0]
    names: dict[int, str] = {}
    for first, region in zip(metro, regions, strict=True):
        if region.metro:
            names.setdefault(first, region.metro)
    return tuple(
        replace(region, metro=names.get(first, regions[first].id)) for first, region in zip(metro, regions, strict=True)
    )


def _far_from_home(regions: tuple[Region, ...]) -> frozenset[str]:
    km = _distances_km(regions)
    found = []
    for at, region in enumerate(regions):
        others = [other for other, each in enumerate(regions) if each.country == region.country and other != at]
        if others and min(km[at, other] for other in others) > FAR_FROM_HOME_KM:
            found.append(region.id)
    return frozenset(found)
