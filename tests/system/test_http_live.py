"""A program and a real server: every line of deployments/HTTP.md, the Python example, and the service on loopback."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from deployments.examples.client import NoPlan, NotOver, Refused, RunFailed, Server, Unreachable
from flows.catalogue import entries, flow_of

pytestmark = [pytest.mark.system, pytest.mark.long]

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "deployments" / "HTTP.md").read_text(encoding="utf-8")
AUTH = "planner:correct horse battery"
START_S = 600.0
RUN_S = 900.0
TICKET = "ticket-of-this-test"


def blocks():
    """The commands of the page, in order."""
    return re.findall(r"```bash\n(.*?)```", PAGE, re.S)


def rows():
    """The deployments of the page, with their parameters."""
    return {name: json.loads(given) for name, given in re.findall(r"^\| `([\w/-]+)` \| `(\{.*\})` \|$", PAGE, re.M)}


@pytest.fixture(scope="module")
def environment(prefect_api, prefect_environment):
    return {
        **prefect_environment,
        "PREFECT_API_URL": f"http://127.0.0.1:{prefect_api.port}/api",
        "PREFECT_SERVER_API_PORT": str(prefect_api.port),
        "PREFECT_SERVER_API_AUTH_STRING": AUTH,
        "PREFECT_API_AUTH_STRING": AUTH,
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_RUNNER_POLL_FREQUENCY": "1",
        "DO_NOT_TRACK": "1",
    }


@pytest.fixture(scope="module")
def address(prefect_api, environment, background, until, tmp_path_factory):
    """Where a server that asks for a password serves every deployment."""
    folder = tmp_path_factory.mktemp("server")
    prefect_api.client.auth = tuple(AUTH.split(":"))

    def all_registered():
        return len(prefect_api.deployments()) == len(entries())

    with background([Path(sys.executable).with_name("prefect"), "server", "start"], folder / "server.log", environment):
        until(prefect_api.healthy, START_S, folder / "server.log")
        with background([sys.executable, "-m", "flows.served"], folder / "served.log", environment):
            until(all_registered, START_S, folder / "served.log")
            yield environment["PREFECT_API_URL"]


@pytest.fixture(scope="module")
def server(address):
    with Server(address, AUTH) as server:
        yield server


@pytest.fixture(scope="module")
def shell(address, tmp_path_factory):
    """Return a function that runs lines of the page, and returns what they print."""
    credentials = tmp_path_factory.mktemp("home") / "curl"
    credentials.write_text(f'user = "{AUTH}"\n')
    credentials.chmod(0o600)

    def run(script):
        environment = {**os.environ, "API": address, "CREDENTIALS": str(credentials), "TICKET": TICKET}
        command = ["bash", "-euo", "pipefail", "-c", script]
        for _ in range(3):  # a server whose SQLite is locked for a moment says 503; the lines may be run again
            done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=RUN_S, check=False)
            if "error: 503" not in done.stderr:
                break
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def walked(shell, output):
    """What the page prints from its first line to its last."""
    script = "\n".join(blocks())
    assert script.count('"effort": "quick"}') == 1
    return shell(script.replace('"effort": "quick"}', f'"effort": "quick", "output": "{output}"}}'))


def test_the_page_has_each_flow():
    assert {name.split("/")[1] for name in rows()} <= {entry["name"] for entry in entries()}
    flows = {flow_of(entry).name for entry in entries()}
    assert {name.split("/")[0] for name in rows()} == flows


def test_the_lines_of_the_page_lead_from_a_run_to_its_plan(walked, output):
    assert "Completed" in walked
    assert "markdown optimize-cluster-summary" in walked
    plan = json.loads((output / "latest" / "plan.json").read_text())
    assert f"plan {plan['sha256']}: {len(plan['actions'])} actions" in walked
    assert walked.splitlines()[-1] == "ABORT"


@pytest.mark.parametrize("name", rows())
def test_each_deployment_takes_what_the_page_says_and_can_be_cancelled(name, server, shell, until):
    run = server.run(name, rows()[name])
    status = shell("\n".join((blocks()[0], f"run={run.id}", blocks()[-1])))
    assert status.strip() in ("ACCEPT", "REJECT")

    def cancelled():
        return run.state().kind == "CANCELLED"

    until(cancelled, RUN_S)


def test_the_python_example_gets_the_plan_of_the_same_run(walked, server, output):
    params = {"params": {"source": {"kind": "sample", "name": "over-cap"}, "effort": "quick", "output": str(output)}}
    run = server.run("optimize-cluster/manual", params, key=TICKET)
    told = []
    assert run.wait(RUN_S, lambda _state, share: told.append(share)).kind == "COMPLETED"
    assert told == [1.0]
    assert run.plan() == json.loads((output / "latest" / "plan.json").read_text())
    assert "optimize-cluster-solvers" in run.artifacts()


def test_a_run_that_fails_says_why_and_one_without_a_plan_says_so(server, tmp_path):
    missing = server.run("fit-scaling/scaling", {"params": {"path": str(tmp_path / "absent.csv")}})
    with pytest.raises(RunFailed, match=r"absent\.csv"):
        missing.wait(RUN_S)
    law = server.run(
        "fit-scaling/scaling", {"params": {"path": "data/samples/fleet/scaling.csv", "output": str(tmp_path)}}
    )
    with pytest.raises(NotOver):
        law.wait(0.1)
    shares = []
    law.wait(RUN_S, lambda _state, share: shares.append(share))
    assert shares[-1] == 1.0
    with pytest.raises(NoPlan, match=r"plan\.json"):
        law.plan()


def test_what_the_server_refuses_has_a_status_and_a_reason(server, address, free_port):
    with pytest.raises(Refused, match="heroic") as refused:
        server.run("optimize-cluster/manual", {"params": {"source": {"kind": "sample"}, "effort": "heroic"}})
    assert refused.value.status in (409, 422)
    with pytest.raises(Refused) as absent:
        server.run("optimize-cluster/absent", {})
    assert absent.value.status == 404
    with Server(address, "planner:wrong") as stranger, pytest.raises(Refused) as unknown:
        stranger.run("optimize-cluster/manual", {})
    assert unknown.value.status == 401
    with Server(f"http://127.0.0.1:{free_port()}/api") as nobody, pytest.raises(Unreachable):
        nobody.ask("GET", "health", attempts=1)
