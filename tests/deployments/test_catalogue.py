"""What does the check of prefect.yaml find before a server would find it, or never would?"""

import copy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from flows.catalogue import document, entries, flow_of
from flows.catalogue_rules import problems

ROOT = Path(__file__).resolve().parents[2]
DELETE = object()
SCHEDULE = {"slug": "s", "timezone": "UTC", "active": False}


def changed(place: str, value: object) -> dict[str, Any]:
    """Return prefect.yaml cut to its first deployment, with ``value`` at ``place`` of it."""
    whole: dict[str, Any] = copy.deepcopy(document())  # type: ignore[assignment]
    whole["deployments"] = whole["deployments"][:1]
    *way, last = place.split("/")
    inner: Any = whole if way[:1] == ["."] else whole["deployments"][0]
    for step in way:
        if step != ".":
            inner = inner[int(step)] if step.isdigit() else inner[step]
    if value is DELETE:
        del inner[last]
    else:
        inner[int(last) if last.isdigit() else last] = value
    return whole


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        ("shedules", [], "periodic.shedules: Extra inputs are not permitted"),
        ("triggers", [], "periodic.triggers: Extra inputs are not permitted"),
        ("schedules/0/activ", True, "periodic.schedules.0.activ: Extra inputs"),
        ("schedules/0/slug", DELETE, "periodic.schedules.0.slug: Field required"),
        ("schedules/0/cron", "17 2 * * *", "expected cron or interval, one of the two"),
        ("schedules/0/interval", 30, "periodic.schedules.0.interval: Input should be greater than or equal to 60"),
        ("schedules/0/timezone", "Europe/Atlantis", "expected a name of the time zone database"),
        ("schedules/0", {**SCHEDULE, "cron": "61 2 * * *"}, "periodic.schedules.0.cron"),
        ("schedules/0", SCHEDULE, "expected cron or interval, one of the two"),
        ("concurrency_limit", DELETE, "expected a concurrency_limit, since it has schedules"),
        ("concurrency_limit/collision_strategy", "SKIP", "periodic.concurrency_limit.collision_strategy"),
        ("enforce_parameter_schema", False, "periodic.enforce_parameter_schema"),
        ("entrypoint", "flows/cluster.py:optimize_cluster", "periodic.entrypoint: String should match pattern"),
        ("entrypoint", "flows.cluster.optimise_cluster", "entrypoint flows.cluster.optimise_cluster:"),
        ("entrypoint", "flows.clusters.optimize_cluster", "entrypoint flows.clusters.optimize_cluster:"),
        ("description", "", "periodic.description"),
        ("tags", ["cluster", "periodic"], "expected the tag quantumflow"),
        ("parameters/params/efort", "quick", "Additional properties are not allowed ('efort' was unexpected)"),
        ("parameters/params/effort", "heroic", "parameters.params.effort: 'heroic' is not one of"),
        ("parameters/params/seed", -1, "parameters.params.seed: -1 is less than the minimum of 0"),
        ("parameters/params/source", {"kind": "sample", "name": "huge"}, "parameters.params.source"),
        ("parameters/parms", {}, "parms"),
        ("parameters/params/output", "/srv/runs", "parameters.params.output: expected a path relative"),
        ("parameters/params/output", "~/runs", "parameters.params.output: expected a path relative"),
        ("parameters/params/telemetry", {"url": "https://me:pw@metrics"}, "telemetry.url: this looks like a secret"),
        ("parameters/params/output", "{{ prefect.blocks.secret.folder }}", "expected {{ prefect.variables.NAME }}"),
        ("parameters/params/output", "{{ $HOME }}", "expected {{ prefect.variables.NAME }}"),
        ("work_pool/job_variables", {"env": {"SLURM_PASSWORD": "hunter2"}}, "env.SLURM_PASSWORD: secrets belong in"),
        ("work_pool/job_variables", {"env": {"SLURM_CONF": "/etc/slurm.conf"}}, "env.SLURM_CONF: expected a path"),
        ("work_pool/queue", "default", "periodic.work_pool.queue: Extra inputs"),
        ("./pull", DELETE, "pull: Field required"),
        ("./pull", None, "pull: Input should be a valid list"),
        ("./pull", [{"deployments.working_folder.enter_rot": {}}], "pull: deployments.working_folder.enter_rot:"),
        ("./pull", [{"prefect.deployments.steps.set_working_directory": {"directory": "/srv"}}], "directory: expected"),
        ("./prefect_version", "3.8.8", "prefect_version: Extra inputs"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_its_place(place: str, value: object, said: str) -> None:
    found = problems(changed(place, value))
    assert len(found) >= 1
    assert any(said in line for line in found), found


def test_the_first_deployment_alone_is_sound() -> None:
    assert problems(changed("description", "It plans, every now and then.")) == []


def test_what_is_started_by_hand_may_leave_fields_open_but_no_wrong_ones() -> None:
    whole = changed("parameters/params", {"effort": "quick"})
    entry = whole["deployments"][0]
    assert any("'source' is a required property" in line for line in problems(whole))
    entry["schedules"] = []
    assert problems(whole) == []
    entry["parameters"]["params"]["effort"] = "heroic"
    assert any("'heroic' is not one of" in line for line in problems(whole))


def test_a_variable_may_stand_for_a_value() -> None:
    assert problems(changed("parameters/params/output", "{{ prefect.variables.quantumflow_runs }}")) == []


def test_names_slugs_and_pools_are_compared() -> None:
    whole = changed("description", "It plans, every now and then.")
    whole["deployments"] *= 2
    assert problems(whole) == ["2 deployments are called periodic", "2 schedules have the slug every-15-minutes"]
    other = copy.deepcopy(whole["deployments"][0])
    other |= {"name": "other", "schedules": [], "work_pool": {**other["work_pool"], "name": "elsewhere"}}
    whole["deployments"] = [whole["deployments"][0], other]
    assert problems(whole) == ["expected one work pool, found elsewhere, quantumflow"]


@pytest.mark.parametrize("entry", entries(), ids=lambda entry: entry["name"])
def test_what_a_deployment_writes_by_default_lies_in_runs(entry: dict[str, Any]) -> None:
    """The units may write nowhere else, and on Kubernetes everything else is gone with the Job."""
    params = flow_of(entry).validate_parameters(entry["parameters"])["params"]
    assert getattr(params, "output", Path("runs")).parts[0] == "runs"


@pytest.mark.parametrize("whole", [None, [], "deployments", {}, {"deployments": [None, 3]}])
def test_what_is_no_such_file_is_told_and_never_crashes(whole: object) -> None:
    assert problems(whole)


@pytest.mark.slow
def test_the_command_says_that_nothing_is_wrong() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "flows.catalogue"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "nothing wrong" in done.stdout
