"""A real server with the deployments of prefect.yaml and a real worker: from the command line to a verified plan.

And after an outage: of a backlog of late runs one plan is made.
"""

import json
import os
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from flows.catalogue import entries

pytestmark = pytest.mark.system

ROOT = Path(__file__).resolve().parents[2]
PREFECT = Path(sys.executable).with_name("prefect")
LIMIT_S = 900.0


@pytest.fixture(scope="module")
def environment(prefect_api, prefect_environment, tmp_path_factory):
    """What deployments/README.md tells to set, and a worker that asks for runs more often."""
    return {
        **prefect_environment,
        "PREFECT_API_URL": f"http://127.0.0.1:{prefect_api.port}/api",
        "PREFECT_SERVER_API_PORT": str(prefect_api.port),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "QUANTUMFLOW_ROOT": str(ROOT),
        "QUANTUMFLOW_ROOTS": f"{tmp_path_factory.getbasetemp()}{os.pathsep}{ROOT}",
        "PREFECT_WORKER_QUERY_SECONDS": "1",
    }


@pytest.fixture(scope="module")
def command(environment):
    """Return a function that runs a command in the project's folder to its end."""

    def run(*words):
        return subprocess.run(
            words, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=LIMIT_S, check=False
        )

    return run


@pytest.fixture(scope="module")
def server(prefect_api, environment, background, until, tmp_path_factory):
    """The API of a server."""
    log = tmp_path_factory.mktemp("server") / "server.log"
    with background([PREFECT, "server", "start"], log, environment):
        until(prefect_api.healthy, LIMIT_S, log)
        yield prefect_api


@pytest.fixture(scope="module")
def deployed(server, command):
    """The API of a server that has a work pool and the deployments."""
    for words in ((sys.executable, "-m", "deployments.provision"), (PREFECT, "--no-prompt", "deploy", "--all")):
        done = command(*words)
        assert done.returncode == 0, done.stdout + done.stderr
    return server


def working(environment, background, log):
    """A worker of the pool, while the block lasts."""
    return background([PREFECT, "worker", "start", "--pool", "quantumflow", "--type", "process"], log, environment)


@pytest.fixture(scope="module")
def worked(deployed, environment, background, tmp_path_factory):
    """The API of a server whose pool has a worker."""
    log = tmp_path_factory.mktemp("worker") / "worker.log"
    with working(environment, background, log) as it:
        yield deployed
    assert it.returncode == 0, log.read_text()


def started(command, *options):
    """Start a run of the manual deployment, and return its id."""
    done = command(PREFECT, "deployment", "run", "optimize-cluster/manual", *options)
    assert done.returncode == 0, done.stdout + done.stderr
    return next(line.split()[-1] for line in done.stdout.splitlines() if "UUID" in line)


def identities(api):
    return {
        name: (each["id"], {schedule["slug"]: schedule["id"] for schedule in each["schedules"]})
        for name, each in api.deployments().items()
    }


def test_every_deployment_is_there_with_its_schedules_off(deployed):
    found = deployed.deployments()
    assert set(found) == {entry["name"] for entry in entries()}
    for entry in entries():
        there = found[entry["name"]]
        slugs = [schedule["slug"] for schedule in entry["schedules"]]
        assert [schedule["slug"] for schedule in there["schedules"]] == slugs
        assert not any(schedule["active"] for schedule in there["schedules"])
        assert there["work_pool_name"] == "quantumflow"
        assert there["parameters"] == entry["parameters"]
        assert there["enforce_parameter_schema"] is True


def test_a_deployment_names_no_folder_of_the_machine_that_deployed_it(deployed):
    assert str(ROOT) not in json.dumps(deployed.deployments())


def test_deploying_again_keeps_deployments_and_schedules(deployed, command):
    before = identities(deployed)
    again = command(PREFECT, "--no-prompt", "deploy", "--all")
    assert again.returncode == 0, again.stdout + again.stderr
    assert identities(deployed) == before


def test_a_bad_parameter_is_refused_before_anything_runs(deployed, command):
    bad = {"source": {"kind": "sample"}, "effort": "heroic"}
    done = command(PREFECT, "deployment", "run", "optimize-cluster/manual", "-p", f"params={json.dumps(bad)}")
    assert done.returncode != 0
    assert "heroic" in done.stdout + done.stderr
    assert deployed.client.post("/api/flow_runs/count", json={}).json() == 0


def backlog(api, environment, deployment, output, minutes):
    """Leave late runs behind as an outage does, due so many minutes ago; return their ids.

    The scheduler makes none for the past, so the runs are made by hand, and then marked as its own in the database.
    """
    source = {"kind": "sample", "name": "small"}
    params = {"source": source, "effort": "quick", "output": os.path.relpath(output, ROOT)}
    made = []
    for ago in minutes:
        due = (datetime.now(UTC) - timedelta(minutes=ago)).isoformat()
        run = {
            "parameters": {"params": params},
            "state": {"type": "SCHEDULED", "name": "Late", "state_details": {"scheduled_time": due}},
        }
        made.append(api.begin(deployment, **run))
    with closing(sqlite3.connect(Path(environment["PREFECT_HOME"]) / "prefect.db", timeout=30.0)) as database, database:
        marks = ", ".join("?" * len(made))
        done = database.execute(f"UPDATE flow_run SET auto_scheduled = 1 WHERE id IN ({marks})", made)  # noqa: S608
        assert done.rowcount == len(made)
    return made


def plans(folder):
    return [each for each in folder.glob("*/plan.json") if not each.parent.is_symlink()]


def test_of_a_backlog_one_plan_is_made(deployed, environment, background, until, tmp_path, record_property):
    """Where one run at a time is allowed: the first takes the place, the others are cancelled, it stands for them."""
    runs = backlog(deployed, environment, "power", tmp_path / "runs", [61, 46, 31, 16, 1])
    begun = time.monotonic()
    with working(environment, background, tmp_path / "worker.log"):
        until(lambda: all(map(deployed.ended, runs)), LIMIT_S, tmp_path / "worker.log")
    seconds = time.monotonic() - begun
    names = sorted(deployed.client.get(f"/api/flow_runs/{run}").json()["state_name"] for run in runs)
    assert len(plans(tmp_path / "runs")) == 1, names
    assert names.count("Completed") == 1
    assert set(names) <= {"Completed", "Cancelled", "Skipped"}
    happened = "of five late runs one planned, the others were cancelled or skipped, and say why"
    record_property("fault", ("worker away for an hour, then back", happened, "nothing", seconds))


@pytest.mark.slow
def test_of_a_backlog_that_queues_the_youngest_is_made(deployed, environment, background, until, tmp_path):
    runs = backlog(deployed, environment, "nightly", tmp_path / "runs", [61, 31, 1])
    with working(environment, background, tmp_path / "worker.log"):
        until(lambda: all(map(deployed.ended, runs)), LIMIT_S, tmp_path / "worker.log")
    names = [deployed.client.get(f"/api/flow_runs/{run}").json()["state_name"] for run in runs]
    assert names == ["Skipped", "Skipped", "Completed"]
    assert len(plans(tmp_path / "runs")) == 1
    why = deployed.client.get(f"/api/flow_runs/{runs[0]}").json()["state"]["message"]
    assert "makes the plan" in why


def test_a_worker_that_does_not_know_the_folder_says_what_to_set(
    deployed, command, environment, background, until, tmp_path
):
    run = started(command)
    told = {**environment, "QUANTUMFLOW_ROOT": ""}
    with working(told, background, tmp_path / "worker.log"):
        until(lambda: deployed.ended(run), LIMIT_S, tmp_path / "worker.log")
    assert deployed.state(run) == "CRASHED"
    until(lambda: any("QUANTUMFLOW_ROOT: expected" in line["message"] for line in deployed.of_run("logs", run)))


@pytest.mark.parametrize(
    "said",
    [{"command": "id"}, {"working_dir": "/"}, {"env": {"QUANTUMFLOW_ROOTS": "/"}}, {"env.QUANTUMFLOW_ROOTS": "/"}],
)
def test_a_run_cannot_change_how_it_is_started(deployed, said):
    """Whoever may only fill in the parameters could otherwise run anything, or widen what they may name."""
    manual = deployed.deployments()["manual"]
    assert not manual["job_variables"]
    answer = deployed.client.post(f"/api/deployments/{manual['id']}/create_flow_run", json={"job_variables": said})
    assert answer.status_code == 422
    assert "Additional properties are not allowed" in answer.text


def test_the_worker_makes_a_plan_that_verifies(worked, command, until, tmp_path):
    output = os.path.relpath(tmp_path, ROOT)  # so that it also shows in which folder the worker runs
    params = {"source": {"kind": "sample", "name": "over-cap"}, "effort": "quick", "output": output}
    run = started(command, "-p", f"params={json.dumps(params)}")
    until(lambda: worked.ended(run), LIMIT_S)
    assert worked.state(run) == "COMPLETED", worked.of_run("logs", run)
    verified = command(sys.executable, "-m", "flows", "plan", "verify", str(tmp_path / "latest"))
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert "optimize-cluster-summary" in {artifact["key"] for artifact in worked.of_run("artifacts", run)}
    plan = json.loads((tmp_path / "latest" / "plan.json").read_text())
    asked = {"event": {"name": ["quantumflow.plan.ready"]}, "related": {"id": [f"prefect.flow-run.{run}"]}}

    def told():
        return worked.client.post("/api/events/filter", json={"filter": asked}).json()["events"]

    until(told, LIMIT_S)
    assert [event["payload"]["sha256"] for event in told()] == [plan["sha256"]]
    assert Path(told()[0]["payload"]["folder"]).samefile(tmp_path / "latest")
