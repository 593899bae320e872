"""Does the benchmark of replays run, and tell every table?"""

import json
from pathlib import Path

import pytest

from tests.benchmarks.fleet.replay import CLAIMS, OURS, POLICIES, main


@pytest.mark.slow
def test_two_days_write_every_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    main(["--days", "2", "--quick", "--output", str(tmp_path)])
    told = json.loads((tmp_path / "replay.json").read_text())
    assert set(told["replay"]["policies"]) == set(POLICIES)
    assert [row["claim"] for row in told["claims"]] == [name for name, _ in CLAIMS]
    assert all(one["demand_served"] <= 1.0 for one in told["replay"]["policies"].values())
    assert (tmp_path / "replay.png").stat().st_size > 0
    assert OURS in capsys.readouterr().out
