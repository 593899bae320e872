"""Which regions were down together, and for how much of the time? A list of incidents as records of outages.

CSV with ``region,down,up`` and, if wanted, ``spot_only`` (yes or no): when each region went down and came back, in
ISO 8601 with offset. What was down at one time is one record, so regions that fail together are seen to.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path

from data.errors import BadRecord, BadSource
from data.readers.csv_file import Row, read_records
from data.schemas.fleet import Fleet, Outage

DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Incident:
    """One region, down from one moment to another, in seconds since 1970."""

    region: str
    down_s: float
    up_s: float
    spot_only: bool


@dataclass(frozen=True, slots=True)
class OutageReading:
    """Records of outages, what was set aside, and what was assumed."""

    outages: tuple[Outage, ...]
    set_aside: tuple[BadRecord, ...]
    notes: tuple[str, ...]


def read_outages(path: Path, fleet: Fleet, *, watched_days: float | None = None) -> OutageReading:
    """Read incidents of the regions of ``fleet``; rows that cannot be used are set aside by name.

    Args:
        path: the file; rows need not be in order of time.
        fleet: whose regions count; rows of others are set aside.
        watched_days: days over which the list was kept. None takes the time from the first incident to the end of the
            last one, which makes outages look more frequent than they are, and says so.

    Raises:
        SourceUnavailable: the file cannot be read.
        BadSource: it is no such file, no row of it can be used, or incidents last longer than ``watched_days``.
    """
    known = {region.id for region in fleet.regions}

    def parse(place: str, _number: int, row: Row) -> Incident:
        if row["region"] not in known:
            raise BadRecord(f"{place}.region", "a region of the fleet", row["region"])
        down, up = (_moment(place, row, column) for column in ("down", "up"))
        if up <= down:
            raise BadRecord(f"{place}.up", f"a time after {row['down']}: dates are out of order", row["up"])
        said = row.get("spot_only", "").strip().lower()
        if said not in ("", "no", "yes"):
            raise BadRecord(f"{place}.spot_only", "yes or no", row["spot_only"])
        return Incident(row["region"], down, up, said == "yes")

    rows, bad = read_records(path, ("region", "down", "up"), parse)
    notes = []
    ordered = sorted(rows, key=lambda each: (each.down_s, each.up_s, each.region))
    if ordered != rows:
        notes.append(f"{path.name}: rows were not in order of time, and were put into it")
    last = max(each.up_s for each in ordered)
    span_s = last - ordered[0].down_s
    if watched_days is None:
        notes.append(
            f"{path.name}: outages are taken as shares of the {span_s / DAY_S:.1f} days from the first to the last; "
            "over a longer time they would be rarer"
        )
    elif watched_days * DAY_S < span_s:
        problem = BadRecord(f"{path.name}: days watched", f"at least {span_s / DAY_S:.4g}", f"{watched_days:g}")
        raise BadSource(str(path), [problem])
    whole_s = span_s if watched_days is None else watched_days * DAY_S
    return OutageReading(together(ordered, whole_s), tuple(bad), tuple(notes))


def _moment(place: str, row: Row, column: str) -> float:
    try:
        found = datetime.fromisoformat(row[column].strip())
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        expected = "a time as 2026-01-31T12:00:00+00:00, with its offset"
        raise BadRecord(f"{place}.{column}", expected, row[column])
    return found.timestamp()


def together(incidents: Sequence[Incident], whole_s: float) -> tuple[Outage, ...]:
    """Return what was down at the same time as one record each, the most frequent first.

    Where one region has lost its spot machines and another everything at the same time, both count as wholly down.

    Args:
        incidents: at least one.
        whole_s: seconds of which shares are taken.
    """
    moments = sorted({moment for each in incidents for moment in (each.down_s, each.up_s)})
    seconds: dict[tuple[frozenset[str], bool], float] = defaultdict(float)
    for start, end in pairwise(moments):
        now = [each for each in incidents if each.down_s <= start and end <= each.up_s]
        wholly = frozenset(each.region for each in now if not each.spot_only)
        spot = frozenset(each.region for each in now)
        if wholly and spot != wholly:  # one record cannot say both; all of them wholly down is no less than there was
            seconds[spot, False] += end - start
        elif spot:
            seconds[spot, not wholly] += end - start
    found = [
        Outage(min(1.0, spent / whole_s), tuple(sorted(regions)), spot_only)
        for (regions, spot_only), spent in seconds.items()
        if spent > 0.0
    ]
    return tuple(sorted(found, key=lambda each: (-each.weight, each.regions, each.spot_only)))
