"""Which series does a user's table hold? A CSV with a row for each measurement: dimension, scale, performance."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast, get_args

import numpy as np

from data.errors import BadRecord, BadSource
from data.readers.csv_file import Row, read_csv
from data.schemas.scaling import DIMENSIONS, Better, Dimension, Series, SeriesReading

COLUMNS = ("dimension", "scale", "performance")


@dataclass(frozen=True, slots=True)
class _Point:
    place: str
    series: str
    dimension: Dimension
    scale: float
    performance: float
    run: str
    scale_unit: str
    performance_unit: str
    better: str

    @property
    def measured(self) -> tuple[str, float, float, str]:
        return (self.series, self.scale, self.performance, self.run)


def read_series(path: Path) -> SeriesReading:
    """Read a table of measurements.

    Columns: ``dimension,scale,performance``, and if wanted ``series`` (default: the dimension), ``run``,
    ``scale_unit``, ``performance_unit``, ``better`` (higher or lower; default higher). A row that repeats another
    word for word (series, scale, performance, run) is left out and named; where only the run differs it stays, and a
    note says so, since a copied result is no second measurement.

    Raises:
        SourceUnavailable: the file is missing or cannot be read.
        BadSource: it is no such CSV file, or no row of it can be used.
    """
    table = read_csv(path, COLUMNS)
    set_aside, points = list(table.set_aside), []
    for place, row in table.rows:
        try:
            points.append(_point(place, row))
        except BadRecord as error:
            set_aside.append(error)
    kept, repeated = _without_repeats(points)
    series: list[Series] = []
    notes: list[str] = []
    for name in dict.fromkeys(point.series for point in kept):
        own = [point for point in kept if point.series == name]
        agreed, odd = _agreeing(own)
        set_aside += odd
        series.append(_series(name, agreed))
        notes += _copies(name, agreed)
    if not series:
        raise BadSource(str(path), set_aside or [BadRecord(path.name, "at least one row", "none")])
    return SeriesReading(tuple(series), tuple(set_aside), tuple(repeated), tuple(notes))


def _point(place: str, row: Row) -> _Point:
    dimension = row["dimension"].strip().lower()
    if dimension not in DIMENSIONS:
        raise BadRecord(f"{place}.dimension", f"one of {', '.join(DIMENSIONS)}", row["dimension"])
    better = row.get("better", "").strip().lower() or "higher"
    if better not in get_args(Better):
        raise BadRecord(f"{place}.better", "higher or lower", row["better"])
    return _Point(
        place,
        row.get("series", "").strip() or dimension,
        dimension,
        positive(place, row, "scale"),
        positive(place, row, "performance"),
        row.get("run", "").strip(),
        row.get("scale_unit", "").strip(),
        row.get("performance_unit", "").strip(),
        better,
    )


def positive(place: str, row: Row, column: str) -> float:
    """Return the number in ``column``.

    Raises:
        BadRecord: there is none, or it is not finite and above 0.
    """
    expected = "a number above 0, since laws are fitted to logarithms"
    try:
        value = float(row[column])
    except ValueError:
        raise BadRecord(f"{place}.{column}", expected, row[column] or "nothing") from None
    if not 0.0 < value < float("inf"):
        raise BadRecord(f"{place}.{column}", expected, row[column])
    return value


def _without_repeats(points: Sequence[_Point]) -> tuple[list[_Point], list[BadRecord]]:
    first: dict[tuple[str, float, float, str], _Point] = {}
    repeated = []
    for point in points:
        earlier = first.setdefault(point.measured, point)
        if earlier is not point:
            what = f"{point.series} {point.performance:g} at {point.scale:g}"
            repeated.append(BadRecord(point.place, f"a measurement of its own, not that of {earlier.place}", what))
    return list(first.values()), repeated


def _agreeing(points: Sequence[_Point]) -> tuple[list[_Point], list[BadRecord]]:
    """Split off points whose dimension, units or direction are not those of the series' first."""
    head = points[0]
    good, odd = [], []
    for point in points:
        for field in ("dimension", "scale_unit", "performance_unit", "better"):
            expected, found = getattr(head, field), getattr(point, field)
            if expected != found:
                odd.append(BadRecord(f"{point.place}.{field}", f"{expected!r}, as in {head.place}", found))
                break
        else:
            good.append(point)
    return good, odd


def _series(name: str, points: Sequence[_Point]) -> Series:
    head = points[0]
    named = any(point.run for point in points)
    # a point without a run, among points that have one, is a run by itself
    runs = tuple(point.run or f"({point.place})" for point in points) if named else ()
    return Series(
        name,
        head.dimension,
        np.array([point.scale for point in points]),
        np.array([point.performance for point in points]),
        head.scale_unit,
        head.performance_unit,
        cast("Better", head.better),
        runs,
    )


def _copies(name: str, points: Sequence[_Point]) -> list[str]:
    """Say where another run reports the very same number at the same scale."""
    count = len(points) - len({(point.scale, point.performance) for point in points})
    if not count:
        return []
    return [f"{name}: {count} point(s) equal another run's to the last digit; copies are no second measurement"]
