"""What does each dimension cost? A CSV with a row for each: dimension, USD per unit, and what may be chosen."""

from itertools import pairwise
from pathlib import Path

from data.errors import BadRecord, BadSource
from data.readers.csv_file import Row, read_records
from data.schemas.dimension_price import MOST_GROWTH, DimensionPrice

COLUMNS = ("dimension", "usd_per_unit")
MOST_LEVELS = 1000


def read_prices(path: Path) -> tuple[DimensionPrice, ...]:
    """Read a table of prices, in the order of the file.

    Columns: ``dimension,usd_per_unit``, and if wanted ``growth`` (exponent of the scale, default 1), ``least`` and
    ``most`` (scales), ``levels``: a count of scales at equal ratios, or the scales themselves with semicolons between.
    An empty cell is the default. A budget that leaves a dimension out is another budget, so one bad row refuses all.

    Raises:
        SourceUnavailable: the file is missing or cannot be read.
        BadSource: it is no such CSV file, has no row, or a row is wrong; every wrong one is named.
    """
    prices, bad = read_records(path, COLUMNS, lambda place, _, row: _price(place, row))
    first: dict[str, DimensionPrice] = {}
    for price in prices:
        earlier = first.setdefault(price.dimension, price)
        if earlier is not price:
            expected = f"one price for each dimension; {earlier.place} has one already"
            bad.append(BadRecord(f"{price.place}.dimension", expected, price.dimension))
    if bad:
        raise BadSource(str(path), bad)
    return tuple(prices)


def _price(place: str, row: Row) -> DimensionPrice:
    name = row["dimension"].strip()
    if not name:
        raise BadRecord(f"{place}.dimension", "the name of a dimension", "nothing")
    usd = _above_zero(place, row, "usd_per_unit", "USD, a number above 0")
    if usd is None:
        raise BadRecord(f"{place}.usd_per_unit", f"USD, a number above 0, for {name}", "nothing")
    growth = _above_zero(place, row, "growth", f"an exponent above 0, at most {MOST_GROWTH:g}")
    if growth is not None and growth > MOST_GROWTH:
        raise BadRecord(f"{place}.growth", f"an exponent above 0, at most {MOST_GROWTH:g}", row["growth"])
    least = _above_zero(place, row, "least", "a scale above 0")
    most = _above_zero(place, row, "most", "a scale above 0")
    if least is not None and most is not None and least > most:
        raise BadRecord(f"{place}.most", f"a scale of at least {least:g}, the least", row["most"])
    count, steps = _levels(place, row)
    return DimensionPrice(name, usd, 1.0 if growth is None else growth, least, most, count, steps, place)


def _above_zero(place: str, row: Row, column: str, expected: str) -> float | None:
    cell = row.get(column, "").strip()
    if not cell:
        return None
    try:
        value = float(cell)
    except ValueError:
        raise BadRecord(f"{place}.{column}", expected, cell) from None
    if not 0.0 < value < float("inf"):
        raise BadRecord(f"{place}.{column}", expected, cell)
    return value


def _levels(place: str, row: Row) -> tuple[int, tuple[float, ...]]:
    cell = row.get("levels", "").strip()
    expected = f"a count from 2 to {MOST_LEVELS}, or rising scales above 0 with ; between"
    if not cell:
        return 0, ()
    try:
        if ";" not in cell:
            count = int(cell)
            if not 2 <= count <= MOST_LEVELS:
                raise BadRecord(f"{place}.levels", expected, cell)
            return count, ()
        steps = tuple(float(part) for part in cell.split(";") if part.strip())
    except ValueError:
        raise BadRecord(f"{place}.levels", expected, cell) from None
    rising = all(early < late for early, late in pairwise(steps))
    if not (1 <= len(steps) <= MOST_LEVELS and rising and steps[0] > 0.0 and steps[-1] < float("inf")):
        raise BadRecord(f"{place}.levels", expected, cell)
    return 0, steps
