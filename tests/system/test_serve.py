"""`make serve`: a real server on loopback, the UI, and a deployment run from start to plan."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from data.readers.plan import read_plan
from tests.asks_again import create_run

pytestmark = pytest.mark.system

START_S = 900.0
RUN_S = 900.0


@pytest.fixture(scope="module")
def served(prefect_api, prefect_environment, background, until, tmp_path_factory):
    """The API of a server that `python -m flows serve` started, with all deployments registered."""
    log = tmp_path_factory.mktemp("serve") / "serve.log"
    command = [sys.executable, "-m", "flows", "serve", "--port", str(prefect_api.port)]

    with background(command, log, prefect_environment) as process:

        def all_registered():
            assert process.poll() is None, log.read_text()
            return set(prefect_api.deployments()) >= {"periodic", "nightly", "manual"}

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


def test_a_page_of_another_address_may_not_call_it(served):
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    for origin, allowed in ((f"http://localhost:{served.port}", True), ("http://elsewhere.example", False)):
        answer = served.client.options("/api/deployments/filter", headers={"Origin": origin, **asked})
        assert ("access-control-allow-origin" in answer.headers) is allowed


def test_a_page_that_sends_no_type_either_makes_nothing(served):
    """A browser sends such a request without asking the server first, and Prefect takes it for JSON."""
    made = httpx.post(
        f"http://127.0.0.1:{served.port}/api/variables/", content=b'{"name": "x", "value": 1}', trust_env=False
    )
    assert "content-type" not in made.request.headers
    assert made.status_code == 403


def test_a_port_that_is_taken_is_said_at_once(served, prefect_environment):
    command = [sys.executable, "-m", "flows", "serve", "--port", str(served.port)]
    done = subprocess.run(command, env=prefect_environment, capture_output=True, text=True, timeout=RUN_S, check=False)
    assert done.returncode == 1
    assert f"port {served.port} of 127.0.0.1: expected it free" in done.stderr


def test_the_form_of_a_deployment_has_our_titles(served):
    text = json.dumps(served.deployments()["manual"]["parameter_openapi_schema"])
    for title in ("Cluster", "Solver of windows", "Migration budget (GPUs)", "Power cap (W)"):
        assert title in text


def test_deployments_that_are_no_longer_served_are_served_again(served, until):
    """The run of the test after this one shows that they are."""
    [lost] = pids_of_served(served.port)
    os.kill(lost, signal.SIGKILL)
    until(lambda: pids_of_served(served.port) not in ([], [lost]), START_S)


def pids_of_served(port):
    """The processes that serve deployments to the server on that port, by what /proc tells of each."""
    address = f"PREFECT_API_URL=http://127.0.0.1:{port}/api".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command = (folder / "cmdline").read_bytes().split(b"\0")
            if b"flows.served" in command and address in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
    return found


def asked(served, params):
    return create_run(served.client, served.deployments()["manual"]["id"], {"parameters": {"params": params}})


def test_a_bad_parameter_is_refused_when_a_run_is_created(served):
    answer = asked(served, {"source": {"kind": "sample"}, "effort": "heroic"})
    assert answer.status_code in (409, 422)


def test_a_run_from_the_form_ends_in_a_plan_and_artifacts(served, until, tmp_path):
    params = {"source": {"kind": "sample", "name": "over-cap"}, "effort": "quick", "output": str(tmp_path)}
    answer = asked(served, params)
    assert answer.status_code == 201, answer.text
    run = answer.json()["id"]
    until(lambda: served.ended(run), RUN_S)
    assert served.state(run) == "COMPLETED"
    assert read_plan(tmp_path / "latest" / "plan.json").actions
    keys = {artifact["key"] for artifact in served.of_run("artifacts", run)}
    assert keys == {f"optimize-cluster-{name}" for name in ("summary", "actions", "solvers", "report", "progress")}
