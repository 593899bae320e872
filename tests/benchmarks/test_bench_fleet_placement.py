"""Does the benchmark of fleets' plans run, and say what it should?"""

import json
from pathlib import Path

import pytest

from tests.benchmarks.fleet.placement import main


@pytest.mark.slow
def test_plans_are_within_the_gap_and_the_greedy_planner_is_no_cheaper(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["--instances", "1", "--goals", "1", "--no-large", "--output", str(tmp_path)])
    rows = json.loads((tmp_path / "placement.json").read_text())
    assert [row["size"] for row in rows] == ["goal", "middle", "middle"]
    assert all(row["gap"] <= 1e-3 for row in rows)
    assert rows[0]["nodes"] > 500_000
    assert rows[0]["checks"] == 30
    assert all(row["greedy_over_ours"] >= 1.0 - row["gap"] for row in rows[1:])
    assert "1 of 1 instances answered" in capsys.readouterr().out
