"""The main job on a real Prefect server: files that verify, and the same bytes for a seed."""

import json
from pathlib import Path
from typing import Any

import pytest

from data.crosscheck import cross_check
from data.readers.plan import check_fresh, read_plan
from data.readers.snapshot import read_snapshot
from data.readers.sources import Sample
from data.schemas.plan import Plan
from data.transition import apply_actions, inverse
from flows.cluster import optimize_cluster
from flows.logs import EVENTS
from flows.params import OptimizeParams, PlacementParams, PowerParams, RoutingParams
from flows.placement import optimize_placement
from flows.power import optimize_power
from flows.publish import POWER, RENDERINGS
from flows.routing import optimize_routing
from flows.run_folder import EXPERTS, PLAN, REPORT, SNAPSHOT, TIMINGS
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
    written = {PLAN, SNAPSHOT, REPORT, TIMINGS, EVENTS, "checkpoints", EXPERTS}
    assert files == {*written, *RENDERINGS.values(), *POWER.values()}
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


@pytest.mark.slow
def test_the_same_seed_gives_the_same_plan_byte_for_byte(run: Path, tmp_path: Path) -> None:
    again = planned(tmp_path)
    assert (again / PLAN).read_bytes() == (run / PLAN).read_bytes()
    assert json.loads((again / TIMINGS).read_text())["total"] > 0


@pytest.mark.slow
def test_another_seed_is_told_apart(run: Path, power_model: Path, tmp_path: Path) -> None:
    other = planned(tmp_path, seed=1, nouns=("placement",), power_model=power_model)
    assert plan_of(other).seed == 1
    assert plan_of(other).sha256 != plan_of(run).sha256


def test_checkpoints_are_archived_and_verified(run: Path) -> None:
    compress = [action for action in plan_of(run).actions if action.kind == "compress"]
    assert len(compress) == 2
    for action in compress:
        assert action.after is not None
        assert (run / action.after.path).stat().st_size == action.after.size_bytes


def test_an_over_cap_cluster_is_brought_under_its_cap(power_model: Path, tmp_path: Path) -> None:
    plan = plan_of(planned(tmp_path, source=Sample(name="over-cap"), nouns=("power",), power_model=power_model))
    metrics = {metric.name: metric for metric in plan.metrics}
    assert metrics["power.overload_kwh"].before > 0
    assert metrics["power.overload_kwh"].after == 0


@pytest.mark.slow
def test_an_energy_budget_is_kept_and_its_price_is_shown(power_model: Path, tmp_path: Path) -> None:
    asked = {"nouns": ("power",), "power_model": power_model, "custom_effort": Effort(20_000, 1, 8, 1, 4)}
    run = planned(tmp_path, energy_budget_kwh=3000.0, energy_frontier=3, **asked)
    energy = {metric.name: metric for metric in plan_of(run).metrics}["power.jobs_energy_kwh"]
    assert energy.after <= 3000.0 < energy.before
    assert "Energy against time" in (run / "report.html").read_text()


@pytest.mark.parametrize(
    ("flow", "params", "noun"),
    [
        (optimize_placement, PlacementParams, "placement"),
        (optimize_routing, RoutingParams, "routing"),
        (optimize_power, PowerParams, "power"),
    ],
)
def test_each_capability_has_a_flow_of_its_own(
    flow: Any, params: Any, noun: str, power_model: Path, tmp_path: Path
) -> None:
    effort = Effort(20_000, 1, 8, 1, 4)
    asked = params(source=Sample(), output=tmp_path, solver=Exact(), custom_effort=effort, power_model=power_model)
    plan = plan_of(Path(flow(asked)))
    assert {row.problem.split(":")[0] for row in plan.solvers} == {noun}
    assert {metric.name.split(".")[0] for metric in plan.metrics} == {noun}
