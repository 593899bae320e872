"""`make serve`: a real server on loopback, the UI, and a deployment run from start to plan."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from data.readers.plan import read_plan

pytestmark = pytest.mark.system

ROOT = Path(__file__).resolve().parents[2]
START_S = 240.0
RUN_S = 240.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """The API of a server that `python -m flows serve` started, with all deployments registered."""
    port = free_port()
    home = tmp_path_factory.mktemp("prefect")
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")}
    environment["PREFECT_HOME"] = str(home)
    log = home / "serve.log"
    with log.open("wb") as output:
        command = [sys.executable, "-m", "flows", "serve", "--port", str(port)]
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=output)
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30.0) as client:
                wait_for(lambda: registered(client) >= {"periodic", "nightly", "manual"}, START_S, log)
                yield client
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0, log.read_text()
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{port}/api/health")


def wait_for(ready: Any, limit_s: float, log: Path) -> None:
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        try:
            if ready():
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.5)
    raise AssertionError(f"not ready within {limit_s} s:\n{log.read_text()[-4000:]}")


def registered(client: httpx.Client) -> set[str]:
    return {deployment["name"] for deployment in client.post("/api/deployments/filter", json={}).json()}


def test_the_ui_answers_and_nothing_listens_beyond_loopback(server: httpx.Client) -> None:
    page = server.get("/", headers={"Accept": "text/html"}, follow_redirects=True)
    assert page.status_code == 200
    assert "<html" in page.text
    listening = subprocess.run(["/bin/cat", "/proc/net/tcp"], capture_output=True, text=True, check=True).stdout
    port = f"{server.base_url.port:04X}"
    addresses = {line.split()[1] for line in listening.splitlines()[1:] if line.split()[1].endswith(f":{port}")}
    assert addresses == {f"0100007F:{port}"}


def test_the_form_of_a_deployment_has_our_titles(server: httpx.Client) -> None:
    manual = server.get("/api/deployments/name/optimize-cluster/manual").json()
    text = json.dumps(manual["parameter_openapi_schema"])
    for title in ("Cluster", "Solver of windows", "Migration budget (GPUs)", "Power cap (W)"):
        assert title in text


def test_a_bad_parameter_is_refused_when_a_run_is_created(server: httpx.Client) -> None:
    manual = server.get("/api/deployments/name/optimize-cluster/manual").json()
    answer = server.post(
        f"/api/deployments/{manual['id']}/create_flow_run",
        json={"parameters": {"params": {"source": {"kind": "sample"}, "effort": "heroic"}}},
    )
    assert answer.status_code in (409, 422)


def test_a_run_from_the_form_ends_in_a_plan_and_artifacts(server: httpx.Client, tmp_path: Path) -> None:
    manual = server.get("/api/deployments/name/optimize-cluster/manual").json()
    params = {"source": {"kind": "sample", "name": "over-cap"}, "effort": "quick", "output": str(tmp_path)}
    run = server.post(
        f"/api/deployments/{manual['id']}/create_flow_run", json={"parameters": {"params": params}}
    ).json()
    deadline = time.monotonic() + RUN_S
    state = ""
    while time.monotonic() < deadline and state not in ("COMPLETED", "FAILED", "CRASHED"):
        time.sleep(1.0)
        state = server.get(f"/api/flow_runs/{run['id']}").json()["state_type"]
    assert state == "COMPLETED"
    assert read_plan(tmp_path / "latest" / "plan.json").actions
    wanted = {"artifacts": {"flow_run_id": {"any_": [run["id"]]}}}
    keys = {artifact["key"] for artifact in server.post("/api/artifacts/filter", json=wanted).json()}
    assert keys == {f"optimize-cluster-{name}" for name in ("summary", "actions", "solvers", "report", "progress")}
