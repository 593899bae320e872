"""Does the benchmark of the power noun run, and tell every table?"""

import json
from pathlib import Path

import pytest

from tests.benchmarks.bench_power import run


@pytest.mark.slow
def test_the_quick_benchmark_writes_its_tables(real_data: Path, tmp_path: Path) -> None:
    run(real_data, tmp_path, 0.2, 2, quick=True)
    tables = json.loads((tmp_path / "tables.json").read_text())
    assert {row["margin"] for row in tables["forecast_error"]} == {False, True}
    assert {row["budget"] for row in tables["beside_cp_sat"]} == {False, True}
    assert (tmp_path / "columns.png").stat().st_size > 0
