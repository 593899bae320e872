"""The main job when something goes wrong: solvers that die or stall, little memory or time, input that is bad."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from data.errors import BadRecord, BadSource, SourceUnavailable
from data.readers.plan import read_plan
from data.readers.snapshot import read_snapshot, write_snapshot
from data.readers.sources import Sample, SnapshotFile
from data.schemas.checkpoint import Checkpoint
from data.schemas.cluster import Limits, Snapshot
from data.schemas.plan import Plan
from flows.cluster import optimize_cluster
from flows.params import OptimizeParams
from flows.run_folder import PLAN, SNAPSHOT
from qiskit_solvers import sandbox
from qiskit_solvers.qaoa import Qaoa
from tasks.refine import Effort
from tasks.validate import validate


def planned(output: Path, **form: object) -> Path:
    """Run the main job with little effort and return the folder of the run."""
    params = OptimizeParams.model_validate(
        {"source": Sample(), "effort": "quick", "output": output, "solver": Qaoa(layers=4, shots=64), **form}
    )
    return Path(optimize_cluster(params))


def plan_of(folder: Path) -> Plan:
    return read_plan(folder / PLAN)


# faults


@contextmanager
def harassed(act: Callable[[int], None]) -> Iterator[list[int]]:
    """Do ``act`` to every solver process that shows itself while the block runs."""
    stop, hit = threading.Event(), []

    def hunt() -> None:
        while not stop.is_set():
            for pid in sandbox.children():
                if pid not in hit:
                    hit.append(pid)
                    act(pid)
            time.sleep(0.001)

    hunter = threading.Thread(target=hunt)
    hunter.start()
    try:
        yield hit
    finally:
        stop.set()
        hunter.join()
        for pid in hit:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue


def send(number: signal.Signals) -> Callable[[int], None]:
    def act(pid: int) -> None:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return

    return act


def assert_planned_with_stand_in(folder: Path, reason: str) -> None:
    plan = plan_of(folder)
    assert validate(plan, read_snapshot(folder / SNAPSHOT).snapshot, folder).passed
    named = [fallback for fallback in plan.fallbacks if fallback.wanted == "qaoa"]
    assert named
    assert any(reason in fallback.reason for fallback in named), named
    assert any("standing in for qaoa" in row.method for row in plan.solvers)


@pytest.mark.slow
def test_a_plan_is_written_though_the_simulator_is_killed(
    power_model: Path, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    # slow circuits, so that the process is at work when it is hit
    begun = time.monotonic()
    with harassed(send(signal.SIGKILL)) as hit:
        folder = planned(tmp_path, nouns=("placement",), solver=Qaoa(layers=400, shots=64), power_model=power_model)
    assert hit
    assert_planned_with_stand_in(folder, "SIGKILL")
    happened = "annealing stood in for QAOA, as the plan says; the run ended well"
    record_property("fault", ("kill -9 of the simulator", happened, "nothing", time.monotonic() - begun))


@pytest.mark.slow
def test_a_plan_is_written_though_the_simulator_stalls(power_model: Path, tmp_path: Path) -> None:
    solver = Qaoa(layers=4, shots=64, deadline_s=1.0)
    with harassed(send(signal.SIGSTOP)) as hit:
        folder = planned(tmp_path, nouns=("placement",), solver=solver, power_model=power_model)
    assert hit
    assert_planned_with_stand_in(folder, "no answer within 1")


def test_a_plan_is_written_though_the_circuits_do_not_fit(power_model: Path, tmp_path: Path) -> None:
    """Windows shrink until the simulator's memory holds them, and the report says so."""
    wide = Effort(evaluations=10, rounds=3, window=18)
    solver = Qaoa(layers=4, shots=64, memory_mb=1)
    form = {"solver": solver, "custom_effort": wide, "power_model": power_model}
    folder = planned(tmp_path, nouns=("placement",), **form)
    plan = plan_of(folder)
    assert validate(plan, read_snapshot(folder / SNAPSHOT).snapshot, folder).passed
    named = [fallback for fallback in plan.fallbacks if fallback.wanted == "qaoa"]
    assert named[0].used == "windows of 9 moves"
    assert "expected at most 1 MiB" in named[0].reason


def test_a_plan_that_met_the_time_guard_says_so(power_model: Path, tmp_path: Path) -> None:
    plan = plan_of(planned(tmp_path, nouns=("placement",), guard_s=0.001, power_model=power_model))
    assert any("time guard" in fallback.reason for fallback in plan.fallbacks)


# bad input


def refused(output: Path, error: type[Exception], match: str, **form: object) -> None:
    """Run on bad input: the error is the expected one, and nothing is left in the output folder."""
    with pytest.raises(error, match=match):
        planned(output, **form)
    assert not output.exists() or not list(output.iterdir())


def test_a_truncated_snapshot_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cut.json").write_bytes((Sample().folder / "cluster.json").read_bytes()[:5000])
    refused(tmp_path / "runs", BadSource, "cut.json: expected JSON", source=SnapshotFile(tmp_path / "cut.json"))


def test_a_missing_snapshot_is_refused(tmp_path: Path) -> None:
    refused(tmp_path / "runs", SourceUnavailable, "No such file", source=SnapshotFile(tmp_path / "none.json"))


def test_a_cluster_without_nodes_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.json").write_text('{"cluster": "c", "taken_at": "2026-01-31T12:00:00Z", "nodes": []}')
    source = SnapshotFile(tmp_path / "empty.json")
    refused(tmp_path / "runs", BadSource, "at least one usable node", source=source)


def test_a_cap_in_kilowatts_is_refused(tmp_path: Path) -> None:
    refused(tmp_path / "runs", BadSource, "kilowatts", power_cap_w=210.0)


def test_an_output_that_cannot_be_written_is_refused_before_anything_is_computed(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(BadRecord, match="a folder that can be written"):
        planned(tmp_path / "file")


def test_a_cluster_without_jobs_gives_an_empty_plan(cluster: Snapshot, tmp_path: Path) -> None:
    write_snapshot(replace(cluster, jobs=()), tmp_path / "idle.json")
    folder = planned(tmp_path / "runs", source=SnapshotFile(tmp_path / "idle.json"))
    assert plan_of(folder).actions == ()


def test_jobs_that_cannot_fit_are_set_aside_and_named(cluster: Snapshot, tmp_path: Path) -> None:
    huge = replace(cluster.jobs[3], id="huge", workers=500)
    write_snapshot(replace(cluster, jobs=(*cluster.jobs, huge)), tmp_path / "cluster.json")
    plan = plan_of(planned(tmp_path / "runs", source=SnapshotFile(tmp_path / "cluster.json")))
    assert [record.path for record in plan.set_aside] == ["cluster.json: jobs[5].workers"]


def test_bad_checkpoints_are_set_aside_and_the_rest_is_planned(cluster: Snapshot, tmp_path: Path) -> None:
    bomb = b"cposix\nsystem\n(S'touch " + bytes(tmp_path / "exploded") + b"'\ntR."
    (tmp_path / "bomb.pt").write_bytes(bomb)
    whole = (Sample().folder / "checkpoints" / "digits-mlp.safetensors").read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(whole[: len(whole) // 2])
    checkpoints = (
        Checkpoint("bomb", "red", "bomb.pt", "torch"),
        Checkpoint("cut", "red", "cut.safetensors", "safetensors"),
        Checkpoint("outside", "red", "../../etc/passwd", "torch"),
        Checkpoint("gone", "red", "gone.pt", "torch"),
    )
    write_snapshot(replace(cluster, checkpoints=checkpoints), tmp_path / "cluster.json")
    plan = plan_of(planned(tmp_path / "runs", source=SnapshotFile(tmp_path / "cluster.json")))
    assert len(plan.set_aside) == 4
    assert not (tmp_path / "exploded").exists()
    assert plan.actions
    assert all(action.kind != "compress" for action in plan.actions)


def test_the_limits_of_the_form_go_before_the_snapshot_s(cluster: Snapshot, tmp_path: Path) -> None:
    write_snapshot(replace(cluster, limits=Limits(migration_budget_gpus=16)), tmp_path / "cluster.json")
    source = SnapshotFile(tmp_path / "cluster.json")
    plan = plan_of(planned(tmp_path / "runs", source=source, migration_budget_gpus=0, nouns=("placement",)))
    assert all(action.kind != "migrate" for action in plan.actions)
