"""Prices of dimensions: what a table may say, and that one bad row refuses all of it by name."""

from pathlib import Path

import pytest

from data.errors import BadSource
from data.readers.scaling.prices_csv import read_prices
from data.schemas.dimension_price import DimensionPrice

HEAD = "dimension,usd_per_unit,growth,least,most,levels\n"


def test_a_table_says_prices_ranges_and_levels(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text(f"{HEAD}compute,10,0.9,4,64,5\nmemory, 2.5 ,,,,8;16;64\ncost,1,,,,\n")
    compute, memory, cost = read_prices(path)
    assert compute == DimensionPrice("compute", 10.0, 0.9, 4.0, 64.0, 5, (), "p.csv: line 2")
    assert (memory.usd_per_unit, memory.growth, memory.levels, memory.steps) == (2.5, 1.0, 0, (8.0, 16.0, 64.0))
    assert (cost.least, cost.most, cost.levels, cost.steps) == (None, None, 0, ())


def test_two_columns_are_enough(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text("usd_per_unit,dimension\n3,energy\n")
    assert read_prices(path)[0].usd_per_unit == 3.0


@pytest.mark.parametrize(
    ("row", "named"),
    [
        ("compute,-1,,,,", r"line 2\.usd_per_unit: expected USD, a number above 0, found -1"),
        ("compute,0,,,,", r"line 2\.usd_per_unit: expected USD, a number above 0, found 0"),
        ("compute,,,,,", r"line 2\.usd_per_unit: .* for compute, found nothing"),
        ("compute,nan,,,,", r"usd_per_unit: .* found nan"),
        ("compute,inf,,,,", r"usd_per_unit: .* found inf"),
        ("compute,1 USD,,,,", r"usd_per_unit: .* found 1 USD"),
        (",1,,,,", r"line 2\.dimension: expected the name of a dimension"),
        ("compute,1,0,,,", r"line 2\.growth: .* found 0"),
        ("compute,1,9,,,", r"line 2\.growth: .* at most 4, found 9"),
        ("compute,1,,-3,,", r"line 2\.least: expected a scale above 0, found -3"),
        ("compute,1,,8,4,", r"line 2\.most: expected a scale of at least 8, the least, found 4"),
        ("compute,1,,,,1", r"line 2\.levels: expected a count from 2"),
        ("compute,1,,,,few", r"line 2\.levels: .* found few"),
        ("compute,1,,,,4;2", r"line 2\.levels: expected .* rising scales"),
        ("compute,1,,,,;", r"line 2\.levels"),
        ("compute,1,,,,0;nan", r"line 2\.levels"),
        ("compute,1", r"line 2: expected 6 cells"),
        ("compute,1,,,,\ncompute,2,,,,", r"line 3\.dimension: expected one price .* line 2 has one"),
    ],
)
def test_one_bad_row_refuses_all(tmp_path: Path, row: str, named: str) -> None:
    path = tmp_path / "p.csv"
    path.write_text(f"{HEAD}{row}\nmemory,1,,,,\n")
    with pytest.raises(BadSource, match=named):
        read_prices(path)


@pytest.mark.parametrize(
    ("text", "named"),
    [("", "line 1: expected columns dimension, usd_per_unit"), (HEAD, "expected at least one row"), ("a\n1\n", "no ")],
)
def test_a_table_without_prices_is_refused(tmp_path: Path, text: str, named: str) -> None:
    path = tmp_path / "p.csv"
    path.write_text(text)
    with pytest.raises(BadSource, match=named):
        read_prices(path)


@pytest.mark.parametrize(
    "fields",
    [
        {"usd_per_unit": 0.0},
        {"usd_per_unit": float("nan")},
        {"growth": 0.0},
        {"levels": 1},
        {"levels": 3, "steps": (1.0, 2.0)},
    ],
)
def test_a_price_out_of_range_is_no_value(fields: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="compute: expected"):
        DimensionPrice(**{"dimension": "compute", "usd_per_unit": 1.0, **fields})  # type: ignore[arg-type]
