"""The main job on a real Prefect server: files that verify, the same bytes for a seed, and faults that are survived."""

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from data.crosscheck import cross_check
from data.errors import BadRecord, BadSource, SourceUnavailable
from data.readers.plan import check_fresh, read_plan
from data.readers.snapshot import read_snapshot, write_snapshot
from data.readers.sources import Sample, SnapshotFile
from data.schemas.checkpoint import Checkpoint
from data.schemas.cluster import Limits, Snapshot
from data.schemas.plan import Plan
from data.transition import apply_actions, inverse
from flows.cluster import optimize_cluster
from flows.params import OptimizeParams, PlacementParams, PowerParams, RoutingParams
from flows.placement import optimize_placement
from flows.power import optimize_power
from flows.publish import EXPERTS, PLAN, POWER, RENDERINGS, REPORT, SNAPSHOT, TIMINGS
from flows.routing import optimize_routing
from qiskit_solvers import sandbox
from qiskit_solvers.exact import Exact
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


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return planned(tmp_path_factory.mktemp("runs"))


def test_a_run_leaves_every_file_and_nothing_else(run: Path) -> None:
    files = {path.name for path in run.iterdir()}
    assert files == {PLAN, SNAPSHOT, REPORT, TIMINGS, "checkpoints", EXPERTS, *RENDERINGS.values(), *POWER.values()}
    assert {path.name for path in run.parent.iterdir()} == {run.name, "latest"}
    assert (run.parent / "latest").resolve() == run.resolve()


def test_the_plan_verifies_from_its_files(run: Path) -> None:
    plan, snapshot = plan_of(run), read_snapshot(run / SNAPSHOT).snapshot
    check_fresh(plan, snapshot)
    verdict = validate(plan, snapshot, run)
    assert verdict.passed, [check for check in verdict.checks if not check.passed]


def test_the_plan_leads_to_a_sound_state_and_back(run: Path) -> None:
    plan, snapshot = plan_of(run), read_snapshot(run / SNAPSHOT).snapshot
    after = apply_actions(snapshot, plan.actions)
    assert after != snapshot
    assert cross_check(after) == ()
    assert apply_actions(after, plan.inverse) == snapshot
    assert plan.inverse == inverse(plan.actions)


def test_no_problem_got_worse_and_every_solver_is_accounted_for(run: Path) -> None:
    rows = plan_of(run).solvers
    for problem in {row.problem for row in rows}:
        ours = [row for row in rows if row.problem == problem]
        chosen = [row for row in ours if row.chosen]
        assert len(chosen) == 1
        assert chosen[0].cost == min(row.cost for row in ours)
        assert {"incumbent", "classical search", "qaoa on windows"} <= {row.method for row in ours}


def test_the_same_seed_gives_the_same_plan_byte_for_byte(run: Path, tmp_path: Path) -> None:
    again = planned(tmp_path)
    assert (again / PLAN).read_bytes() == (run / PLAN).read_bytes()
    assert json.loads((again / TIMINGS).read_text())["total"] > 0


def test_another_seed_is_told_apart(run: Path, tmp_path: Path) -> None:
    other = planned(tmp_path, seed=1, nouns=("placement",))
    assert plan_of(other).seed == 1
    assert plan_of(other).sha256 != plan_of(run).sha256


def test_checkpoints_are_archived_and_verified(run: Path) -> None:
    compress = [action for action in plan_of(run).actions if action.kind == "compress"]
    assert len(compress) == 2
    for action in compress:
        assert action.after is not None
        assert (run / action.after.path).stat().st_size == action.after.size_bytes


def test_an_over_cap_cluster_is_brought_under_its_cap(tmp_path: Path) -> None:
    plan = plan_of(planned(tmp_path, source=Sample(name="over-cap"), nouns=("power",)))
    metrics = {metric.name: metric for metric in plan.metrics}
    assert metrics["power.overload_kwh"].before > 0
    assert metrics["power.overload_kwh"].after == 0


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


def test_a_plan_is_written_though_the_simulator_is_killed(tmp_path: Path) -> None:
    # slow circuits, so that the process is at work when it is hit
    with harassed(send(signal.SIGKILL)) as hit:
        folder = planned(tmp_path, nouns=("placement",), solver=Qaoa(layers=400, shots=64))
    assert hit
    assert_planned_with_stand_in(folder, "SIGKILL")


def test_a_plan_is_written_though_the_simulator_stalls(tmp_path: Path) -> None:
    with harassed(send(signal.SIGSTOP)) as hit:
        folder = planned(tmp_path, nouns=("placement",), solver=Qaoa(layers=4, shots=64, deadline_s=1.0))
    assert hit
    assert_planned_with_stand_in(folder, "no answer within 1")


def test_a_plan_is_written_though_the_circuits_do_not_fit(tmp_path: Path) -> None:
    """Windows shrink until the simulator's memory holds them, and the report says so."""
    wide = Effort(evaluations=10, rounds=3, window=18)
    solver = Qaoa(layers=4, shots=64, memory_mb=1)
    folder = planned(tmp_path, nouns=("placement",), solver=solver, custom_effort=wide)
    plan = plan_of(folder)
    assert validate(plan, read_snapshot(folder / SNAPSHOT).snapshot, folder).passed
    named = [fallback for fallback in plan.fallbacks if fallback.wanted == "qaoa"]
    assert named[0].used == "windows of 9 moves"
    assert "expected at most 1 MiB" in named[0].reason


def test_a_plan_that_met_the_time_guard_says_so(tmp_path: Path) -> None:
    plan = plan_of(planned(tmp_path, nouns=("placement",), guard_s=0.001))
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


@pytest.mark.parametrize(
    ("flow", "params", "noun"),
    [
        (optimize_placement, PlacementParams, "placement"),
        (optimize_routing, RoutingParams, "routing"),
        (optimize_power, PowerParams, "power"),
    ],
)
def test_each_capability_has_a_flow_of_its_own(flow: Any, params: Any, noun: str, tmp_path: Path) -> None:
    asked = params(source=Sample(), output=tmp_path, solver=Exact(), custom_effort=Effort(20_000, 1, 8, 1, 4))
    plan = plan_of(Path(flow(asked)))
    assert {row.problem.split(":")[0] for row in plan.solvers} == {noun}
    assert {metric.name.split(".")[0] for metric in plan.metrics} == {noun}
