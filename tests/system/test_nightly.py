"""The nightly script beside a real server that serves the deployments: once a day, failures, no server."""

import json
import os
import secrets
import subprocess
import sys
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

from deployments.nightly import main

pytestmark = pytest.mark.system

ROOT = Path(__file__).resolve().parents[2]
PREFECT = Path(sys.executable).with_name("prefect")
PASSWORD = f"somebody:{secrets.token_urlsafe(12)}"
LIMIT_S = 900.0


@pytest.fixture(scope="module")
def environment(prefect_api, prefect_environment, tmp_path_factory):
    """What a job on GitHub Actions has, and a server with a password."""
    return {
        **prefect_environment,
        "PREFECT_API_URL": f"http://127.0.0.1:{prefect_api.port}/api",
        "PREFECT_SERVER_API_PORT": str(prefect_api.port),
        "PREFECT_SERVER_API_AUTH_STRING": PASSWORD,
        "PREFECT_API_AUTH_STRING": PASSWORD,
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_RUNNER_POLL_FREQUENCY": "2",
        "QUANTUMFLOW_ROOTS": f"{tmp_path_factory.getbasetemp()}{os.pathsep}{ROOT}",
        "GITHUB_ACTIONS": "true",
        "GITHUB_STEP_SUMMARY": str(tmp_path_factory.mktemp("job") / "summary.md"),
    }


@pytest.fixture(scope="module")
def served(prefect_api, environment, background, until, tmp_path_factory):
    """The API of a server whose deployments are served."""
    folder = tmp_path_factory.mktemp("server")
    prefect_api.client.auth = tuple(PASSWORD.split(":"))
    with background([PREFECT, "server", "start"], folder / "server.log", environment):
        until(prefect_api.healthy, LIMIT_S, folder / "server.log")
        with background([sys.executable, "-m", "flows.served"], folder / "served.log", environment):
            until(lambda: "nightly" in prefect_api.deployments(), LIMIT_S, folder / "served.log")
            yield prefect_api


@pytest.fixture(scope="module")
def command(environment):
    """Return a function that runs the script as a job does."""

    def run(*options):
        words = [sys.executable, "-m", "deployments.nightly", "--poll", "1", "--timeout", str(LIMIT_S), *options]
        done = subprocess.run(
            words, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=LIMIT_S + 60.0, check=False
        )
        assert PASSWORD.split(":")[1] not in done.stdout + done.stderr
        return done

    return run


@pytest.fixture
def nightly(environment, monkeypatch, capsys):
    """Return a function that runs the script in this process, with other settings if wanted: exit code and log."""
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", environment["GITHUB_STEP_SUMMARY"])

    def run(*options, url=None, password=PASSWORD):
        settings = {PREFECT_API_URL: url or environment["PREFECT_API_URL"], PREFECT_API_AUTH_STRING: password}
        with temporary_settings(settings):
            code = main(["--poll", "1", "--timeout", str(LIMIT_S), *options])
        return code, capsys.readouterr().out

    return run


def form(folder, **others):
    """Return the form of a small run, with its output where the worker may write."""
    output = os.path.relpath(folder, ROOT)
    source = {"kind": "sample", "name": "small"}
    return json.dumps({"source": source, "nouns": ["placement"], "effort": "quick", "output": output, **others})


def runs(api):
    return api.client.post("/api/flow_runs/count", json={}).json()


def test_twice_with_one_key_is_one_run_and_leaves_the_plan(served, command, nightly, environment, tmp_path):
    asked = ("--deployment", "optimize-cluster/nightly", "--key", "tonight", "--params", form(tmp_path / "runs"))
    before = runs(served)
    done = command(*asked, "--output", str(tmp_path / "job"))
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads((tmp_path / "job" / "run.json").read_text())
    assert told["state"] == "Completed"
    plan = json.loads((tmp_path / "runs" / "latest" / "plan.json").read_text())
    assert told["plan"]["sha256"] == plan["sha256"]
    assert Path(told["plan"]["folder"]).samefile(tmp_path / "runs" / "latest")
    lines = done.stdout.splitlines()
    assert lines[0].startswith("::group::optimize-cluster/nightly as tonight")
    assert "::endgroup::" in lines
    assert any("Completed 100 %" in line for line in lines), lines
    summary = Path(environment["GITHUB_STEP_SUMMARY"]).read_text()
    assert plan["sha256"] in summary
    assert "| figure |" in summary
    assert nightly(*asked)[0] == 0
    assert runs(served) == before + 1


def test_a_run_that_fails_is_a_failed_job(served, nightly, tmp_path):
    missing = {"kind": "snapshot", "path": os.path.relpath(tmp_path / "none.json", ROOT)}
    asked = form(tmp_path, source=missing)
    code, told = nightly("--deployment", "optimize-cluster/nightly", "--key", "fails", "--params", asked)
    assert code == 1, told
    assert "::error::optimize-cluster/nightly: run" in told
    assert "ended as Failed" in told


def test_a_key_of_another_deployment_of_the_flow_is_refused(served, nightly):
    code, told = nightly("--deployment", "optimize-cluster/periodic", "--key", "fails")
    assert code == 2, told
    assert "a run of another deployment of this flow has it" in told


def test_a_form_that_is_refused_starts_nothing(served, nightly):
    before = runs(served)
    bad = json.dumps({"source": {"kind": "sample"}, "effort": "heroic"})
    code, told = nightly("--deployment", "optimize-cluster/nightly", "--key", "bad", "--params", bad)
    assert code == 2, told
    assert "refused the parameters" in told
    assert "heroic" in told
    assert runs(served) == before


def test_what_is_not_there_is_said(served, nightly, free_port):
    code, told = nightly("--deployment", "optimize-cluster/tomorrow")
    assert code == 2, told
    assert "there is no deployment optimize-cluster/tomorrow" in told
    code, told = nightly("--deployment", "optimize-cluster/nightly", password=f"somebody:{PASSWORD}")
    assert code == 2, told
    assert "the server refused PREFECT_API_AUTH_STRING (401)" in told
    code, told = nightly("--deployment", "optimize-cluster/nightly", url=f"http://127.0.0.1:{free_port()}/api")
    assert code == 2, told
    assert "no server answers" in told
