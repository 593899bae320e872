"""The plan is the same to the byte whoever computes it, and workers that die or differ leave their trace in the log."""

import json
import math
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Timer
from typing import Any

import pytest
import typer
from pydantic import TypeAdapter, ValidationError

from data.readers.sources import Sample
from data.schemas.cluster import Snapshot
from flows.cluster import optimize_cluster
from flows.options import workers_of
from flows.params import OptimizeParams, Workers
from flows.refining import Posed, refining
from flows.run_folder import PLAN, TIMINGS
from flows.watch import Watch
from qiskit_solvers.exact import Exact
from tasks.fan_out.dask import Dask
from tasks.fan_out.processes import Processes, started
from tasks.fan_out.workers import Cancelled, Local, NoTeam, Step, Team
from tasks.problems.placement import Placement
from tasks.refine import Effort

NOUNS = ("placement", "power", "routing")
EFFORT = Effort(evaluations=3_000, rounds=2, window=8, patience=2, tries=4)


def planned(output: Path, model: Path, **form: Any) -> Path:
    """Run the main job with little effort and return the folder of the run."""
    asked = {"solver": Exact(), "custom_effort": EFFORT, "power_model": model, "nouns": NOUNS, **form}
    return Path(optimize_cluster(OptimizeParams(output=output, **asked)))


@pytest.mark.slow
@pytest.mark.parametrize(("sample", "seed"), [("small", 0), ("fragmented", 3), ("over-cap", 5)])
def test_processes_write_the_same_plan(sample: Any, seed: int, power_model: Path, tmp_path: Path) -> None:
    source = Sample(name=sample)
    runs = [
        planned(tmp_path / workers.kind, power_model, source=source, seed=seed, workers=workers)
        for workers in (Local(), Processes(count=2))
    ]
    one, other = ((run / PLAN).read_bytes() for run in runs)
    assert one == other
    assert b"workers" not in json.dumps(json.loads(one)["options"]).encode()


@pytest.mark.slow
def test_dask_writes_the_same_plan_with_a_plan_before_it(power_model: Path, tmp_path: Path) -> None:
    pytest.importorskip("distributed", reason="Dask is not installed: make setup")
    before = planned(tmp_path / "before", power_model, source=Sample(), seed=1)
    plans = [
        planned(tmp_path / workers.kind, power_model, source=Sample(), previous_plan=before, workers=workers)
        for workers in (Local(), Dask(count=2))
    ]
    assert (plans[0] / PLAN).read_bytes() == (plans[1] / PLAN).read_bytes()
    assert {"refine placement", "refine placement: classical search"} <= set(
        json.loads((plans[1] / TIMINGS).read_text())
    )


@contextmanager
def _killed_soon(workers: Processes) -> Iterator[Team]:
    """Start processes, of which one is killed while it works."""
    with started(workers.count) as team:
        killer = Timer(0.5, lambda: os.kill(team.pids()[0], signal.SIGKILL))
        killer.start()
        yield team
        killer.cancel()
        killer.join()


@contextmanager
def _not_there(workers: Processes) -> Iterator[Team]:
    raise NoTeam("expected a Dask scheduler at tls://10.0.0.5:8786, found silence")
    yield


@pytest.mark.slow
@pytest.mark.parametrize("team", [_killed_soon, _not_there])
def test_workers_that_die_or_are_not_there_change_nothing(
    team: Any, power_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = planned(tmp_path / "whole", power_model, source=Sample(), seed=2)
    monkeypatch.setattr(Processes, "team", team)  # a hook for the fault, not a stand-in: real processes die
    hurt = planned(tmp_path / "hurt", power_model, source=Sample(), seed=2, workers=Processes(count=2))
    assert (whole / PLAN).read_bytes() == (hurt / PLAN).read_bytes()


def test_a_run_that_ends_while_it_waits_drops_its_steps(cluster: Snapshot) -> None:
    def away(phase: str, share: float) -> None:
        if ":" in phase:
            raise ConnectionError("the server is away")

    params = OptimizeParams(source=Sample(), workers=Processes(count=1), custom_effort=EFFORT)
    posed = Posed(Placement.from_snapshot(cluster), 0, None)
    with ExitStack() as run:
        work = run.enter_context(refining(params, Watch(600.0, away)))
        work.begin("placement", 0, posed)
        (begun,) = work._begun.values()
        with pytest.raises(ConnectionError):
            work.refined("placement", 0, posed, (0.0, 1.0))
    with pytest.raises(Cancelled):
        begun.errand.begin(Step("root", math.sqrt, (4.0,), lambda _: True))


@pytest.mark.parametrize(
    ("text", "workers"),
    [
        ("1", Local()),
        ("4", Processes(count=4)),
        ("dask:3", Dask(count=3)),
        ("tls://localhost:1", Dask(address="tls://localhost:1")),
    ],
)
def test_the_option_means_a_field_of_the_form(text: str, workers: Workers) -> None:
    assert TypeAdapter(Workers).validate_python(workers_of(text)) == workers


@pytest.mark.parametrize("text", ["", "many", "ray:2", "-1", "dask:", "2.5"])
def test_an_option_that_means_nothing_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="dask:NUMBER"):
        workers_of(text)


def test_a_form_cannot_name_a_scheduler_that_nobody_vouches_for() -> None:
    with pytest.raises(ValidationError, match="QUANTUMFLOW_DASK_SCHEDULERS"):
        OptimizeParams(source=Sample(), workers=Dask(address="tcp://10.1.2.3:8786"))
    with pytest.raises(ValidationError, match="1 to 256"):
        OptimizeParams.model_validate({"source": {"kind": "sample"}, "workers": {"kind": "processes", "count": 0}})
