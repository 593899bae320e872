"""`make serve`: a real server on loopback, the UI, and a deployment run from start to plan."""

import json
import subprocess
import sys
import time

import httpx
import pytest

from data.readers.plan import read_plan

pytestmark = pytest.mark.system

START_S = 240.0
BUSY = (429, 500, 502, 503)
"""Answers of a server whose SQLite is locked for a moment; a person would press the button again."""

RUN_S = 240.0


@pytest.fixture(scope="module")
def served(prefect_api, prefect_environment, background, until, tmp_path_factory):
    """The API of a server that `python -m flows serve` started, with all deployments registered."""
    log = tmp_path_factory.mktemp("serve") / "serve.log"
    command = [sys.executable, "-m", "flows", "serve", "--port", str(prefect_api.port)]

    def all_registered():
        return set(prefect_api.deployments()) >= {"periodic", "nightly", "manual"}

    with background(command, log, prefect_environment) as process:
        until(all_registered, START_S, log)
        yield prefect_api
    assert process.returncode == 0, log.read_text()
    with pytest.raises(httpx.ConnectError):
        prefect_api.client.get("/api/health")


def test_the_ui_answers_and_nothing_listens_beyond_loopback(served):
    page = served.client.get("/", headers={"Accept": "text/html"}, follow_redirects=True)
    assert page.status_code == 200
    assert "<html" in page.text
    listening = subprocess.run(["/bin/cat", "/proc/net/tcp"], capture_output=True, text=True, check=True).stdout
    port = f"{served.port:04X}"
    addresses = {line.split()[1] for line in listening.splitlines()[1:] if line.split()[1].endswith(f":{port}")}
    assert addresses == {f"0100007F:{port}"}


def test_the_form_of_a_deployment_has_our_titles(served):
    text = json.dumps(served.deployments()["manual"]["parameter_openapi_schema"])
    for title in ("Cluster", "Solver of windows", "Migration budget (GPUs)", "Power cap (W)"):
        assert title in text


def create_run(served, params):
    manual = served.deployments()["manual"]["id"]
    address, body = f"/api/deployments/{manual}/create_flow_run", {"parameters": {"params": params}}
    for wait_s in (1.0, 3.0, 9.0):
        answer = served.client.post(address, json=body)
        if answer.status_code not in BUSY:
            break
        time.sleep(wait_s)
    return answer


def test_a_bad_parameter_is_refused_when_a_run_is_created(served):
    answer = create_run(served, {"source": {"kind": "sample"}, "effort": "heroic"})
    assert answer.status_code in (409, 422)


def test_a_run_from_the_form_ends_in_a_plan_and_artifacts(served, until, tmp_path):
    params = {"source": {"kind": "sample", "name": "over-cap"}, "effort": "quick", "output": str(tmp_path)}
    answer = create_run(served, params)
    assert answer.status_code == 201, answer.text
    run = answer.json()["id"]
    until(lambda: served.ended(run), RUN_S)
    assert served.state(run) == "COMPLETED"
    assert read_plan(tmp_path / "latest" / "plan.json").actions
    keys = {artifact["key"] for artifact in served.of_run("artifacts", run)}
    assert keys == {f"optimize-cluster-{name}" for name in ("summary", "actions", "solvers", "report", "progress")}
