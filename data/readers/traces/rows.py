"""What does one row of a job trace say? When a job came, for how long, and with how many GPUs."""

import math
from dataclasses import dataclass

from data.errors import BadRecord
from data.readers.csv_file import Row

LONGEST_S = 1e9


@dataclass(frozen=True, slots=True)
class TraceJob:
    """One usable row: when it came, for how long, with how many GPUs; ``path`` is its place in the file."""

    path: str
    name: str
    arrival_s: float
    duration_s: float
    gpus: int


def number(place: str, row: Row, column: str, *, least: float, most: float = LONGEST_S) -> float:
    """Return the number in ``column``.

    Raises:
        BadRecord: there is none, or it is out of range.
    """
    try:
        value = float(row[column])
    except ValueError:
        value = math.nan
    if not least <= value <= most:
        raise BadRecord(f"{place}.{column}", f"a number from {least:g} to {most:g}", row[column])
    return value


def whole(place: str, row: Row, column: str, *, least: int, most: float = LONGEST_S) -> int:
    """Return the whole number in ``column``.

    Raises:
        BadRecord: there is none, or it is out of range.
    """
    value = number(place, row, column, least=least, most=most)
    if value != int(value):
        raise BadRecord(f"{place}.{column}", "a whole number", row[column])
    return int(value)
