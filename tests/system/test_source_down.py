"""A schedule whose source is away for many intervals, then back: failures with a reason, and no storm."""

import shutil
from datetime import datetime

import pytest

from data.readers.plan import read_plan
from data.readers.snapshot import write_snapshot
from data.readers.sources import Sample
from tests.soak import running

pytestmark = [pytest.mark.system, pytest.mark.long]

INTERVAL_S = 20.0
LIMIT_S = 1_200.0
MISSED = 4
"""Runs that must have failed before the source comes back."""


def runs_of(service):
    """All runs that have begun, in the order in which they were due."""
    asked = {"sort": "EXPECTED_START_TIME_ASC", "limit": 200}
    runs = service.api.post("/flow_runs/filter", json=asked).raise_for_status().json()
    assert len(runs) < 200
    return [run for run in runs if run["state_type"] not in ("SCHEDULED", "PENDING")]


def test_a_source_that_is_away_and_back_leaves_reasons_and_no_storm(tmp_path, until, record_property):
    cluster, away, runs = tmp_path / "cluster.json", tmp_path / "away.json", tmp_path / "runs"
    write_snapshot(Sample(name="over-cap")().snapshot, cluster)
    params = {
        "source": {"kind": "snapshot", "path": str(cluster)},
        "nouns": ["power"], "effort": "quick", "output": str(runs),
    }  # fmt: skip
    with running(tmp_path, params, INTERVAL_S) as service:

        def ended(name):
            return [run for run in runs_of(service) if run["state_name"] == name]

        until(lambda: ended("Completed"), LIMIT_S)
        cluster.rename(away)
        until(lambda: len(ended("Failed")) >= MISSED, LIMIT_S)
        plan = read_plan(runs / "latest" / "plan.json")
        before = len(ended("Completed"))
        shutil.copy(away, cluster)
        back = datetime.now().astimezone()
        until(lambda: len(ended("Completed")) > before, LIMIT_S)
        first = ended("Completed")[before]
        seconds = (datetime.fromisoformat(first["end_time"]) - back).total_seconds()
        until(lambda: len(ended("Completed")) >= before + 2, LIMIT_S)
        told = runs_of(service)
        plans = [path for path in runs.glob("[0-9]*") if path.is_dir()]

    happened = "each run Failed and names it, one at a time; the last plan stayed; the first run after it planned"
    record_property("fault", ("source away for many intervals of a schedule", happened, "nothing", seconds))
    assert plan.cluster == "over-cap", "what was planned last stayed while the source was away"
    failed = [run for run in told if run["state_name"] == "Failed"]
    assert all("cluster.json" in run["state"]["message"] for run in failed), [run["state"] for run in failed]
    ran = [run for run in told if run["state_name"] in ("Completed", "Failed")]
    ends = [datetime.fromisoformat(run["end_time"]) for run in ran]
    begins = [datetime.fromisoformat(run["start_time"]) for run in ran]
    assert all(end <= begin for end, begin in zip(ends[:-1], begins[1:], strict=True)), "never two at once"
    due = [datetime.fromisoformat(run["expected_start_time"]) for run in ran]
    late = [(begin - at).total_seconds() for begin, at in zip(begins, due, strict=True)]
    assert max(late) < 3 * INTERVAL_S, "none was made up for"
    completed = sum(run["state_name"] == "Completed" for run in ran)
    assert completed <= len(plans) <= completed + 1, "one plan of each run, and perhaps of one that goes on"
