"""Series from a user's table: units and runs kept, bad rows and repeats named, nothing dropped without a word."""

from pathlib import Path

import numpy as np
import pytest

from data.errors import BadSource, SourceUnavailable
from data.readers.scaling.series_csv import read_series
from data.schemas.scaling import Series


def table(folder: Path, text: str) -> Path:
    path = folder / "scaling.csv"
    path.write_text(text)
    return path


def test_series_keep_units_runs_and_direction(tmp_path: Path) -> None:
    text = (
        "dimension,scale,performance,run,scale_unit,performance_unit,better\n"
        "compute,8,100,a,GPUs,samples/s,\ncompute,16,190,b,GPUs,samples/s,\nenergy,5,3,a,kW,minutes,lower\n"
    )
    reading = read_series(table(tmp_path, text))
    compute, energy = reading.series
    assert (compute.name, compute.scale.tolist(), compute.runs) == ("compute", [8.0, 16.0], ("a", "b"))
    assert (compute.scale_unit, compute.performance_unit, compute.better) == ("GPUs", "samples/s", "higher")
    assert (energy.better, energy.performance.tolist()) == ("lower", [3.0])
    assert reading.set_aside == reading.repeated == reading.notes == ()


def test_bad_rows_are_set_aside_by_name(tmp_path: Path) -> None:
    text = (
        "dimension,scale,performance\ncompute,1,2\ncompute,0,2\ncompute,2,-3\ncompute,nan,3\n"
        "compute,4,inf\ncompute,five,3\nspeed,1,1\ncompute,8\nCompute,16,9\n"
    )
    reading = read_series(table(tmp_path, text))
    assert reading.series[0].scale.tolist() == [1.0, 16.0]
    told = "\n".join(map(str, reading.set_aside))
    for named in ("line 3.scale", "line 4.performance", "line 5.scale", "line 6.performance", "line 7.scale"):
        assert f"scaling.csv: {named}: expected a number above 0" in told
    assert "line 8.dimension: expected one of compute, memory" in told
    assert "line 9: expected 3 cells" in told


def test_repeated_rows_are_named_and_left_out(tmp_path: Path) -> None:
    text = "dimension,scale,performance,run\ncompute,8,100,a\ncompute,8,100,a\ncompute,8,100,b\ncompute,16,180,a\n"
    reading = read_series(table(tmp_path, text))
    assert reading.series[0].points == 3
    assert str(reading.repeated[0]) == (
        "scaling.csv: line 3: expected a measurement of its own, not that of scaling.csv: line 2, "
        "found compute 100 at 8"
    )
    assert reading.notes == (
        "compute: 1 point(s) equal another run's to the last digit; copies are no second measurement",
    )


def test_a_unit_that_changes_is_set_aside(tmp_path: Path) -> None:
    text = "dimension,scale,performance,scale_unit\ncompute,8,100,GPUs\ncompute,1,180,nodes\n"
    reading = read_series(table(tmp_path, text))
    assert reading.series[0].points == 1
    assert "line 3.scale_unit: expected 'GPUs', as in scaling.csv: line 2, found nodes" in str(reading.set_aside[0])


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "columns dimension, scale, performance"),
        ("dimension,scale\ncompute,1\n", "no performance"),
        ("dimension,scale,performance\n", "at least one row"),
        ("dimension,scale,performance\ncompute,-1,2\n", "line 2.scale: expected a number above 0"),
    ],
)
def test_a_file_without_a_usable_row_is_refused(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(BadSource, match=named):
        read_series(table(tmp_path, text))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceUnavailable, match=r"none\.csv"):
        read_series(tmp_path / "none.csv")


@pytest.mark.parametrize(
    ("scale", "performance", "runs", "named"),
    [
        ([1.0, 2.0], [1.0], (), "as many scales"),
        ([1.0, 2.0], [1.0, 2.0], ("a",), "as many scales"),
        ([], [], (), "points"),
        ([1.0, 0.0], [1.0, 2.0], (), "scale above 0"),
        ([1.0, 2.0], [1.0, np.nan], (), "performance above 0"),
    ],
)
def test_a_series_that_is_none_is_refused(
    scale: list[float], performance: list[float], runs: tuple[str, ...], named: str
) -> None:
    with pytest.raises(ValueError, match=named):
        Series("s", "compute", np.array(scale), np.array(performance), runs=runs)


def test_a_series_cannot_be_changed() -> None:
    scale = np.array([1.0, 2.0])
    series = Series("s", "compute", scale, np.array([1.0, 2.0]))
    scale[0] = 9.0
    assert series.scale[0] == 1.0
    with pytest.raises(ValueError, match="read-only"):
        series.performance[0] = 3.0
