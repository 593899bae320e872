"""The main job on what real clusters left behind: a Slurm capture with a topology, and the Philly trace."""

from pathlib import Path

import pytest

from data.errors import SourceUnavailable
from data.readers.plan import read_plan
from data.readers.snapshot import read_snapshot
from data.readers.sources import PhillyTrace, Prometheus, SlurmFiles
from data.schemas.cluster import Snapshot
from data.schemas.plan import Plan
from flows.cluster import optimize_cluster
from flows.params import OptimizeParams
from flows.run_folder import PLAN, SNAPSHOT
from qiskit_solvers.exact import Exact
from tasks.validate import validate


def planned(output: Path, **form: object) -> tuple[Plan, Snapshot]:
    """Run the main job with little effort; return its plan, which is verified again, and what it was made from."""
    params = OptimizeParams.model_validate({"effort": "quick", "solver": Exact(), "output": output, **form})
    folder = Path(optimize_cluster(params))
    plan, snapshot = read_plan(folder / PLAN), read_snapshot(folder / SNAPSHOT).snapshot
    assert validate(plan, snapshot, folder).passed
    return plan, snapshot


@pytest.mark.slow
def test_a_slurm_capture_with_a_topology_is_planned_for(real_data: Path, tmp_path: Path) -> None:
    capture = real_data / "slurm_22.05.8_debian12_capture"
    plan, snapshot = planned(
        tmp_path,
        source=SlurmFiles(capture / "squeue.json", capture / "sinfo.json"),
        topology=real_data / "topologies" / "topograph_models_nvl72.yaml",
        topology_match="order",
    )
    assert len(snapshot.nodes) == 36
    assert {node.nvlink_domain for node in snapshot.nodes} == {"nvl-1-1", "nvl-1-2"}
    assert any("matched 36 of 36 nodes by order" in note for note in plan.notes)
    assert any("GRES" in note for note in plan.notes)


@pytest.mark.slow
def test_a_slurm_capture_with_its_own_topology_is_planned_for(real_data: Path, tmp_path: Path) -> None:
    capture = real_data / "slurm_22.05.8_debian12_capture"
    topology = capture / "scontrol_show_topology.txt"
    source = SlurmFiles(capture / "squeue.json", capture / "sinfo.json", topology)
    _, snapshot = planned(tmp_path, source=source)
    assert {node.rack for node in snapshot.nodes} == {"rack1", "rack2"}


@pytest.mark.slow
def test_five_hundred_jobs_of_philly_on_a_thousand_gpus_are_planned_for(real_data: Path, tmp_path: Path) -> None:
    path = real_data / "philly_sia" / "philly_sorted_rows20000_40000.csv"
    plan, snapshot = planned(tmp_path, source=PhillyTrace(path), nouns=("placement", "power"))
    assert len(snapshot.jobs) == 500
    assert sum(node.gpus for node in snapshot.nodes) == 1024
    assert plan.actions


def test_a_monitor_that_does_not_answer_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flows.pipeline.RETRIES", 0)  # the waits between retries are Prefect's to test
    with pytest.raises(SourceUnavailable, match="no answer"):
        planned(tmp_path, source={"kind": "sample"}, telemetry=Prometheus("http://127.0.0.1:9"))
    assert not list(tmp_path.iterdir())
