"""Does a real server get what the deployments need, once however often, and does it then see what died?"""

import json
import os
import re
import secrets
import signal
import sys
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from uuid import uuid4

import pytest
import yaml
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

from deployments.provision import AUTOMATIONS, main
from deployments.server_objects import BLOCKS, LIMITS, VARIABLES, read_automations
from tests.asks_again import create_run

pytestmark = pytest.mark.system

PREFECT = Path(sys.executable).with_name("prefect")
USER, WORD = "somebody", secrets.token_urlsafe(12)
LIMIT_S = 900.0
LIFE_S, PENDING_S = 90, 75
"""What the automations wait in the slow test: three signs of life, and longer than a run needs to begin here."""

SLEEPER = """
import os, time
from pathlib import Path
from prefect import flow

@flow
def sleeper(told: str) -> None:
    Path(told).write_text(str(os.getpid()))
    time.sleep(600)
"""


@pytest.fixture(scope="module")
def environment(prefect_api, prefect_environment):
    return {
        **prefect_environment,
        "PREFECT_API_URL": f"http://127.0.0.1:{prefect_api.port}/api",
        "PREFECT_SERVER_API_PORT": str(prefect_api.port),
        "PREFECT_SERVER_API_AUTH_STRING": f"{USER}:{WORD}",
        "PREFECT_API_AUTH_STRING": f"{USER}:{WORD}",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_WORKER_QUERY_SECONDS": "1",
    }


@pytest.fixture(scope="module")
def server(prefect_api, environment, background, until, tmp_path_factory):
    """The API of a server with a password, and nothing on it."""
    log = tmp_path_factory.mktemp("server") / "server.log"
    prefect_api.client.auth = (USER, WORD)
    with background([PREFECT, "server", "start"], log, environment):
        until(prefect_api.healthy, LIMIT_S, log)
        yield prefect_api


@pytest.fixture
def provision(server, environment, capsys):
    """Return a function that provisions: exit code and what it said."""

    def run(*options, word=WORD):
        settings = {PREFECT_API_URL: environment["PREFECT_API_URL"], PREFECT_API_AUTH_STRING: f"{USER}:{word}"}
        with temporary_settings(settings):
            code = main(options)
        told = capsys.readouterr()
        assert WORD not in told.out + told.err
        return code, told.out + told.err

    return run


@pytest.fixture
def receiver():
    """An address that takes POST, and the list of what it got."""
    got = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_words):
            pass

    listening = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=listening.serve_forever)
    thread.start()
    yield f"127.0.0.1:{listening.server_port}", got
    listening.shutdown()
    thread.join()
    listening.server_close()


def there(api):
    """Return the ids of everything that provision makes, by kind and name."""

    def of(path, key="name"):
        return {each[key]: each["id"] for each in api.client.post(f"/api/{path}/filter", json={}).json()}

    return {
        "pools": of("work_pools"),
        "limits": of("v2/concurrency_limits"),
        "variables": of("variables"),
        "blocks": of("block_documents"),
        "automations": of("automations"),
    }


def automation(api, name):
    found = api.client.post("/api/automations/filter", json={"automations": {"name": {"any_": [name]}}}).json()
    assert len(found) == 1
    return found[0]


def events(api, name, run):
    """Return the events of this name of a run."""
    asked = {"filter": {"event": {"name": [name]}, "resource": {"id": [f"prefect.flow-run.{run}"]}}}
    return api.client.post("/api/events/filter", json=asked).json()["events"]


def test_a_check_changes_nothing_and_names_what_is_missing(server, provision):
    before = there(server)
    code, told = provision("--check")
    assert code == 1
    assert "quantumflow-apply" in told
    assert there(server) == before


def test_twice_is_once(server, provision):
    assert provision()[0] == 0
    first = there(server)
    without_blocks = [each["name"] for each in read_automations(AUTOMATIONS) if "block" not in str(each["actions"])]
    assert set(first["pools"]) == {"quantumflow"}
    assert set(first["limits"]) == set(LIMITS)
    assert set(first["variables"]) == set(VARIABLES)
    assert set(first["automations"]) == set(without_blocks)
    pool = server.client.get("/api/work_pools/quantumflow").json()
    assert pool["type"] == "process"
    assert pool["base_job_template"] == json.loads((AUTOMATIONS.parent / "work_pools/process.json").read_text())
    code, told = provision()
    assert code == 0
    assert not re.search(r"│ (made|changed) +│", told), told
    assert there(server) == first
    assert provision("--check")[0] == 0


def test_what_somebody_decided_stays_and_what_drifted_is_mended(server, provision):
    provision()
    before = there(server)
    frozen = {"name": "quantumflow_freeze", "value": "acceptance tests until Friday"}
    assert server.client.patch("/api/variables/name/quantumflow_freeze", json=frozen).is_success
    name = read_automations(AUTOMATIONS)[0]["name"]
    changed = automation(server, name)
    changed["trigger"]["within"] = 3600.0
    wanted = {key: changed[key] for key in ("name", "description", "trigger", "actions")} | {"enabled": False}
    assert server.client.put(f"/api/automations/{changed['id']}", json=wanted).is_success
    limit = before["limits"]["quantumflow-apply"]
    assert server.client.patch(f"/api/v2/concurrency_limits/{limit}", json={"limit": 5}).is_success
    code, told = provision("--check")
    assert code == 1
    assert f"2 not as wanted: quantumflow-apply, {name}" in told
    assert automation(server, name)["trigger"]["within"] == 3600.0
    assert provision()[0] == 0
    assert there(server) == before
    assert automation(server, name)["trigger"]["within"] == 180.0
    assert automation(server, name)["enabled"] is False
    assert server.client.get("/api/v2/concurrency_limits/quantumflow-apply").json()["limit"] == 1
    value = server.client.get("/api/variables/name/quantumflow_freeze").json()["value"]
    assert value == "acceptance tests until Friday"
    wanted = {key: automation(server, name)[key] for key in ("name", "description", "trigger", "actions")}
    server.client.put(f"/api/automations/{changed['id']}", json=wanted | {"enabled": True})


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")  # by what sends notifications
def test_a_plan_reaches_people_and_programs_whose_addresses_are_never_shown(
    server, provision, receiver, monkeypatch, until
):
    address, got = receiver
    secret = secrets.token_urlsafe(12)
    monkeypatch.setenv("QUANTUMFLOW_NOTIFY_URL", f"json://{address}/people-{secret}")
    monkeypatch.setenv("QUANTUMFLOW_WEBHOOK_URL", f"http://{address}/programs-{secret}")
    for expected in (0, 0):
        code, told = provision()
        assert code == expected, told
        assert secret not in told
    assert {block.name for block in BLOCKS} <= set(there(server)["blocks"])
    assert set(there(server)["automations"]) == {each["name"] for each in read_automations(AUTOMATIONS)}
    event = {
        "id": str(uuid4()),
        "occurred": datetime.now(UTC).isoformat(),
        "event": "quantumflow.plan.ready",
        "resource": {"prefect.resource.id": "quantumflow.plan.0f", "prefect.resource.name": "plan of hall-7"},
        "payload": {"cluster": "hall-7", "folder": "runs/x", "sha256": "0f", "actions": 3, "gain": {"power": 0.25}},
    }
    assert server.client.post("/api/events", json=[event]).is_success
    until(lambda: len(got) >= 2, LIMIT_S)
    assert event["payload"] in got
    people = next(each for each in got if each != event["payload"])
    assert people["title"].endswith("plan of hall-7: ready")
    assert "3 actions, sha256 0f" in people["message"]
    monkeypatch.setenv("QUANTUMFLOW_WEBHOOK_URL", f"http://{address}/elsewhere")
    code, told = provision("--check")
    assert code == 1
    assert "1 not as wanted: quantumflow-webhook" in told


def test_a_wrong_password_and_a_wrong_kind_are_said(server, provision):
    code, told = provision("--check", word="other")
    assert code == 2
    assert "the server refused PREFECT_API_AUTH_STRING (401)" in told
    provision()
    code, told = provision("--type", "kubernetes")
    assert code == 1
    assert "expected type kubernetes, found process" in " ".join(told.replace("│", " ").split())


@pytest.mark.slow
def test_a_machine_that_died_and_a_run_that_never_began_are_seen(
    server, provision, environment, background, until, tmp_path
):
    document = yaml.safe_load(AUTOMATIONS.read_text())
    for entry, within in zip(document["automations"], (LIFE_S, PENDING_S), strict=False):
        entry["trigger"]["within"] = within
    file = tmp_path / "automations.yaml"
    file.write_text(yaml.safe_dump(document))
    assert provision("--automations", str(file))[0] == 0
    (tmp_path / "sleeping.py").write_text(SLEEPER)
    told = tmp_path / "pid"
    flow = server.client.post("/api/flows/", json={"name": "sleeper"}).json()["id"]
    deployment = server.client.post(
        "/api/deployments/",
        json={
            "name": "sleeper",
            "flow_id": flow,
            "entrypoint": "sleeping.py:sleeper",
            "pull_steps": [{"prefect.deployments.steps.set_working_directory": {"directory": str(tmp_path)}}],
            "parameters": {"told": str(told)},
            "work_pool_name": "quantumflow",
        },
    ).json()["id"]

    def start():
        return create_run(server.client, deployment, {}).json()["id"]

    log = tmp_path / "worker.log"
    with background([PREFECT, "worker", "start", "--pool", "quantumflow"], log, environment) as worker:
        run = start()
        until(told.exists, LIMIT_S, log)
        until(lambda: events(server, "prefect.flow-run.heartbeat", run), LIMIT_S)
        os.kill(worker.pid, signal.SIGKILL)  # before the run, or it would say that the run crashed
        worker.wait()
        os.kill(int(told.read_text()), signal.SIGKILL)
    stuck = start()
    pending = {"state": {"type": "PENDING", "name": "Pending"}}
    assert server.client.post(f"/api/flow_runs/{stuck}/set_state", json=pending).is_success
    for one, why in ((run, "No sign of life"), (stuck, "never started it")):
        until(lambda one=one: server.ended(one), LIMIT_S)
        state = server.client.get(f"/api/flow_runs/{one}").json()["state"]
        assert state["type"] == "CRASHED"
        assert why in state["message"]
