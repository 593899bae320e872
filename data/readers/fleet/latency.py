"""How long does it take from users to regions, where nobody measured it?

Measured tables know pairs of regions of one cloud. A pair that no table holds is looked up between the regions of the
tables that are nearest to both ends, in the same metro; where there are none, the distance must do. How far off either
way is, is measured on pairs that a table does hold, and carried along as the error of each figure.

Sources: Azure's table in its Cosmos SDK (github.com/Azure/azure-cosmos-dotnet-v3), as CSV ``src,dst,rtt_ms``; AWS's by
cloudping.co, as CSV ``src,dst,mean,std`` between cities.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from data.errors import BadRecord
from data.geography import distance_km
from data.readers.csv_file import Row, read_records
from data.readers.traces.rows import number
from data.schemas.fleet import DemandZone, Latencies, Region

SAME_METRO_KM = 150.0
"""How near to an end a region of a table must be to stand in for it."""

ACCESS_MS = 1.0
"""Least time from one place to another of the same metro and back."""

_AWS_CITIES = {
    "Central": "ca-central-1", "Frankfurt": "eu-central-1", "Hong Kong": "ap-east-1", "Ireland": "eu-west-1",
    "London": "eu-west-2", "Milan": "eu-south-1", "Mumbai": "ap-south-1", "N. California": "us-west-1",
    "N. Virginia": "us-east-1", "Ohio": "us-east-2", "Oregon": "us-west-2", "Osaka": "ap-northeast-3",
    "Paris": "eu-west-3", "Seoul": "ap-northeast-2", "Singapore": "ap-southeast-1", "Stockholm": "eu-north-1",
    "Sydney": "ap-southeast-2", "Tokyo": "ap-northeast-1",
}  # fmt: skip
"""AWS's names of its regions, as its console shows them."""

RttTable = Mapping[tuple[str, str], float]
"""Milliseconds there and back between two regions, ``cloud:name``."""


def read_azure_rtt(path: Path) -> tuple[RttTable, tuple[BadRecord, ...]]:
    """Return Azure's table, and rows that cannot be used.

    Raises:
        SourceUnavailable: the file cannot be read.
        BadSource: it is no such file.
    """

    def parse(place: str, _number: int, row: Row) -> tuple[tuple[str, str], float]:
        pair = f"azure:{row['src'].lower()}", f"azure:{row['dst'].lower()}"
        return pair, number(place, row, "rtt_ms", least=0.0, most=2_000.0)

    rows, bad = read_records(path, ("src", "dst", "rtt_ms"), parse)
    return _once(path, rows, bad)


def read_cloudping(path: Path) -> tuple[RttTable, tuple[BadRecord, ...]]:
    """Return AWS's table of means, and rows that cannot be used.

    Raises:
        SourceUnavailable: the file cannot be read.
        BadSource: it is no such file.
    """

    def parse(place: str, _number: int, row: Row) -> tuple[tuple[str, str], float]:
        for column in ("src", "dst"):
            if row[column] not in _AWS_CITIES:
                raise BadRecord(f"{place}.{column}", f"one of {', '.join(_AWS_CITIES)}", row[column])
        pair = f"aws:{_AWS_CITIES[row['src']]}", f"aws:{_AWS_CITIES[row['dst']]}"
        return pair, number(place, row, "mean", least=0.0, most=2_000.0)

    rows, bad = read_records(path, ("src", "dst", "mean"), parse)
    return _once(path, rows, bad)


def _once(
    path: Path, rows: Sequence[tuple[tuple[str, str], float]], bad: list[BadRecord]
) -> tuple[RttTable, tuple[BadRecord, ...]]:
    found: dict[tuple[str, str], float] = {}
    for pair, value in rows:
        if found.setdefault(pair, value) != value:
            bad.append(BadRecord(f"{path.name}: {' to '.join(pair)}", f"one figure, {found[pair]:g}", value))
    return found, tuple(bad)


@dataclass(frozen=True, slots=True, eq=False)
class LatencyModel:
    """What measured tables say of any two places.

    Args:
        table: all measured pairs.
        sites: regions of the tables that are on the map.
        latitude: of each, ``(sites,)``.
        longitude: likewise.
        base_ms: of a way of no length.
        ms_per_km: of each kilometre.
        distance_error_ms: how far off the distance is on the measured pairs, on average.
        metro_error_ms: how far off stand-ins of the same metro are, on average.
    """

    table: RttTable
    sites: tuple[str, ...]
    latitude: npt.NDArray[np.float64]
    longitude: npt.NDArray[np.float64]
    base_ms: float
    ms_per_km: float
    distance_error_ms: float
    metro_error_ms: float

    def between(self, start: "Place", end: "Place") -> "Told":
        """Return milliseconds there and back, how far off they may be, and what told them."""
        exact = _either_way(self.table, start.id, end.id)
        return self.guess(start, end) if exact is None else (max(exact, ACCESS_MS), 0.0, "measured")

    def guess(self, start: "Place", end: "Place", avoid: str = "") -> "Told":
        """As :meth:`between` where nobody measured; no site of the cloud ``avoid`` stands in."""
        for one in start.nearby:
            for other in end.nearby:
                found = _either_way(self.table, one, other)
                if found is not None and not (avoid and (one.startswith(avoid) or other.startswith(avoid))):
                    return max(found, ACCESS_MS), self.metro_error_ms, "metro"
        km = float(distance_km([start.latitude], [start.longitude], [end.latitude], [end.longitude])[0, 0])
        return max(ACCESS_MS, self.base_ms + self.ms_per_km * km), self.distance_error_ms, "distance"

    def place(self, id: str, latitude: float, longitude: float) -> "Place":  # noqa: A002 - as schemas call it
        """Return a place with the sites that can stand in for it, the nearest first."""
        km = distance_km([latitude], [longitude], self.latitude, self.longitude)[0]
        order = [int(at) for at in np.argsort(km, kind="stable") if km[at] <= SAME_METRO_KM]
        return Place(id, latitude, longitude, tuple(self.sites[at] for at in order))


@dataclass(frozen=True, slots=True)
class Place:
    """A place, and the sites of the tables that can stand in for it."""

    id: str
    latitude: float
    longitude: float
    nearby: tuple[str, ...]


Told = tuple[float, float, Literal["measured", "metro", "distance"]]
"""Milliseconds there and back, how far off they may be, and what told them."""


def learn_latency(tables: Sequence[RttTable], regions: Sequence[Region]) -> LatencyModel:
    """Return what tables say, with errors measured on themselves.

    The distance's line goes through the medians (Theil 1950; Sen 1968, doi 10.1080/01621459.1968.10480934), so that a
    few detours do not bend it. Without a table, light in fibre must do, and no error is known to be small.

    Args:
        tables: measured pairs.
        regions: where the regions of the tables are.
    """
    at = {region.id: region for region in regions}
    table = {pair: value for each in tables for pair, value in each.items()}
    sites = tuple(sorted({site for pair in table for site in pair if site in at}))
    latitude = np.array([at[site].latitude_deg for site in sites])
    longitude = np.array([at[site].longitude_deg for site in sites])
    pairs = sorted(pair for pair in table if pair[0] in at and pair[1] in at and pair[0] < pair[1])
    if len(pairs) < 8:
        return LatencyModel(table, sites, latitude, longitude, 4.0, 0.016, 60.0, 60.0)
    km_of = distance_km(latitude, longitude, latitude, longitude)
    number_of = {site: number for number, site in enumerate(sites)}
    km = np.array([km_of[number_of[a], number_of[b]] for a, b in pairs])
    ms = np.array([table[pair] for pair in pairs])
    rise = _median_slope(km, ms)
    base = float(max(0.0, np.median(ms - rise * km)))
    off = float(np.mean(np.abs(base + rise * km - ms)))
    model = LatencyModel(table, sites, latitude, longitude, base, rise, off, off)
    places = {site: model.place(site, at[site].latitude_deg, at[site].longitude_deg) for site in sites}
    misses = []
    for a, b in pairs:
        found, _, told_by = model.guess(places[a], places[b], avoid=a.split(":")[0] + ":")
        if told_by == "metro":
            misses.append(abs(found - table[a, b]))
    metro = float(np.mean(misses)) if len(misses) >= 8 else off
    return LatencyModel(table, sites, latitude, longitude, base, rise, off, metro)


def latencies(
    zones: Sequence[DemandZone], regions: Sequence[Region], model: LatencyModel
) -> tuple[Latencies, tuple[str, ...]]:
    """Return what it takes from each zone to each region, and in words where the figures come from."""
    starts, ends = (
        [model.place(each.id, each.latitude_deg, each.longitude_deg) for each in group] for group in (zones, regions)
    )
    cells = [[model.between(start, end) for end in ends] for start in starts]
    told = [cell[2] for row in cells for cell in row]
    note = (
        f"latencies: {told.count('measured')} pairs measured, {told.count('metro')} by regions of the same metro "
        f"(off by {model.metro_error_ms:.1f} ms on average), {told.count('distance')} by distance "
        f"(off by {model.distance_error_ms:.1f} ms)"
    )
    table = Latencies(
        zones=tuple(zone.id for zone in zones),
        regions=tuple(region.id for region in regions),
        rtt_ms=tuple(tuple(round(cell[0], 3) for cell in row) for row in cells),
        error_ms=tuple(tuple(round(cell[1], 3) for cell in row) for row in cells),
        told_by=tuple(tuple(cell[2] for cell in row) for row in cells),
    )
    return table, (note,)


def _either_way(table: RttTable, start: str, end: str) -> float | None:
    """Return what a table says of a pair, of the way back where it does not know the way there."""
    return table.get((start, end), table.get((end, start)))


def _median_slope(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> float:
    """Return the median of the slopes between points, of at most 400 of them, evenly taken."""
    take = np.unique(np.linspace(0, x.size - 1, min(x.size, 400)).astype(np.int64))
    first, second = np.triu_indices(take.size, 1)
    run = x[take][second] - x[take][first]
    rise = y[take][second] - y[take][first]
    far = np.abs(run) > 100.0
    return float(np.median(rise[far] / run[far]))
