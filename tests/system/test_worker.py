"""A real server with the deployments of prefect.yaml and a real worker: from the command line to a verified plan."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from flows.catalogue import entries

pytestmark = pytest.mark.system

ROOT = Path(__file__).resolve().parents[2]
PREFECT = Path(sys.executable).with_name("prefect")
LIMIT_S = 240.0


@pytest.fixture(scope="module")
def environment(prefect_api, prefect_environment):
    """What deployments/README.md tells to set, and a worker that asks for runs more often."""
    return {
        **prefect_environment,
        "PREFECT_API_URL": f"http://127.0.0.1:{prefect_api.port}/api",
        "PREFECT_SERVER_API_PORT": str(prefect_api.port),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "QUANTUMFLOW_ROOT": str(ROOT),
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
    for words in (("work-pool", "create", "quantumflow", "--type", "process"), ("--no-prompt", "deploy", "--all")):
        done = command(PREFECT, *words)
        assert done.returncode == 0, done.stdout + done.stderr
    return server


@pytest.fixture(scope="module")
def worked(deployed, environment, background, tmp_path_factory):
    """The API of a server whose pool has a worker."""
    log = tmp_path_factory.mktemp("worker") / "worker.log"
    with background([PREFECT, "worker", "start", "--pool", "quantumflow", "--type", "process"], log, environment) as it:
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


def test_the_worker_makes_a_plan_that_verifies(worked, command, until, tmp_path):
    output = os.path.relpath(tmp_path, ROOT)  # so that it also shows in which folder the worker runs
    params = {"source": {"kind": "sample", "name": "over-cap"}, "effort": "quick", "output": output}
    run = started(command, "-p", f"params={json.dumps(params)}")
    until(lambda: worked.ended(run), LIMIT_S)
    assert worked.state(run) == "COMPLETED", worked.of_run("logs", run)
    verified = command(sys.executable, "-m", "flows", "plan", "verify", str(tmp_path / "latest"))
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert "optimize-cluster-summary" in {artifact["key"] for artifact in worked.of_run("artifacts", run)}


def test_a_worker_that_does_not_know_the_folder_says_what_to_set(worked, command, until):
    run = started(command, "--job-variable", 'env={"QUANTUMFLOW_ROOT": ""}')
    until(lambda: worked.ended(run), LIMIT_S)
    assert worked.state(run) == "CRASHED"
    until(lambda: any("QUANTUMFLOW_ROOT: expected" in line["message"] for line in worked.of_run("logs", run)))
