"""When was spot capacity there? Recordings of zones that somebody asked for machines again and again.

The recordings of Wu et al. 2024 (NSDI, "Can't Be Late"; github.com/skypilot-org/spot-traces), as run lengths:
``path, gap_seconds, points, rle_valuexcount`` with e.g. ``1x3 0x6``: there for three ticks, gone for six.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from data.errors import BadRecord
from data.readers.csv_file import Row, read_records
from data.readers.traces.rows import number, whole

_RUN = re.compile(r"(\d{1,6})x(\d{1,9})")
_PATH = re.compile(
    r"(?P<kind>availability|preemption)/(?P<nodes>\d+)-node/(?P<set>[\w-]+)/(?P<zone>[\w-]+?)_(?P<machine>[\w-]+)\.json"
)
MAX_POINTS = 10_000_000


@dataclass(frozen=True, slots=True, eq=False)
class SpotTrace:
    """One zone's recording.

    Args:
        recorded: name of the set that was recorded at one time, e.g. ``aws-02-15-2023``.
        kind: ``availability`` was probed without holding machines, ``preemption`` while holding them.
        zone: e.g. ``us-west-2a``.
        machine: e.g. ``v100_1``, of which each node has one.
        wanted: nodes that were asked for.
        tick_s: seconds between two looks.
        there: nodes that were there, ``(ticks,)``.
    """

    recorded: str
    kind: str
    zone: str
    machine: str
    wanted: int
    tick_s: float
    there: npt.NDArray[np.int64]

    @property
    def region(self) -> str:
        """The region that the zone is in."""
        return self.zone[:-1] if self.zone[-2:-1].isdigit() else self.zone.rsplit("-", 1)[0]


def read_spot_traces(path: Path) -> tuple[tuple[SpotTrace, ...], tuple[BadRecord, ...]]:
    """Read recordings, and the rows that cannot be used.

    Raises:
        SourceUnavailable: the file cannot be read.
        BadSource: it is no such file, or no row of it can be used.
    """
    rows, bad = read_records(path, ("path", "gap_seconds", "points", "rle_valuexcount"), _trace)
    return tuple(rows), tuple(bad)


def _trace(place: str, _number: int, row: Row) -> SpotTrace:
    named = _PATH.fullmatch(row["path"])
    if named is None:
        raise BadRecord(f"{place}.path", "kind/N-node/set/zone_machine.json", row["path"])
    tick_s = number(place, row, "gap_seconds", least=1.0, most=86_400.0)
    points = whole(place, row, "points", least=1, most=MAX_POINTS)
    runs = [_RUN.fullmatch(text) for text in row["rle_valuexcount"].split()]
    if any(run is None for run in runs):
        first = next(text for text, run in zip(row["rle_valuexcount"].split(), runs, strict=True) if run is None)
        raise BadRecord(f"{place}.rle_valuexcount", "runs such as 1x3", first)
    values = np.array([int(run[1]) for run in runs if run], np.int64)
    lengths = np.array([int(run[2]) for run in runs if run], np.int64)
    if lengths.sum() != points or values.max(initial=0) > int(named["nodes"]):
        expected = f"runs of {points} ticks in all, of at most {named['nodes']} nodes"
        raise BadRecord(f"{place}.rle_valuexcount", expected, f"{lengths.sum()} ticks, {values.max(initial=0)} nodes")
    there = np.repeat(values, lengths)
    there.flags.writeable = False
    return SpotTrace(
        named["set"], named["kind"], named["zone"], named["machine"], int(named["nodes"]), tick_s, there
    )  # fmt: skip
