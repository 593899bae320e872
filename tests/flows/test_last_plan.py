"""A run that begins at the last plan says which one and keeps to it; where there is none yet, it goes on without."""

from pathlib import Path

import pytest

from data.readers.plan import read_plan
from data.readers.snapshot import read_snapshot
from data.schemas.plan import Plan
from flows.params import PlacementParams
from flows.placement import optimize_placement
from flows.run_folder import PLAN, SNAPSHOT
from qiskit_solvers.anneal import Anneal
from tasks.refine import Effort
from tasks.validate import validate

EFFORT = Effort(evaluations=5_000, rounds=2, window=8, patience=2)


def planned(output: Path, last: Path) -> Plan:
    """Plan with little effort, check the plan from its files, and return it."""
    params = PlacementParams.model_validate(
        {
            "source": {"kind": "sample", "name": "small"},
            "solver": Anneal(),
            "custom_effort": EFFORT,
            "output": output,
            "previous_plan": last,
        }
    )
    folder = Path(optimize_placement(params))
    plan = read_plan(folder / PLAN)
    assert validate(plan, read_snapshot(folder / SNAPSHOT).snapshot, folder).passed
    return plan


@pytest.mark.system
def test_a_run_begins_at_the_newest_plan_for_its_cluster(tmp_path: Path) -> None:
    first = planned(tmp_path / "runs", last=tmp_path / "runs")
    assert any("without the last plan" in note for note in first.notes)
    second = planned(tmp_path / "second", last=tmp_path / "runs")
    assert any(first.sha256[:12] in note for note in second.notes)
    assert any(note.startswith("placement: kept from the last plan") for note in second.notes)
    assert "last plan" in {row.method for row in second.solvers}
