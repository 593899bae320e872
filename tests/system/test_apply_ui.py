"""A person in the loop: a real server, a served deployment, a run that waits for a form, and what is said in it."""

import json
import os
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.applying.cluster import after, hook_cluster

pytestmark = [pytest.mark.system, pytest.mark.long]

ROOT = Path(__file__).resolve().parents[2]
START_S = 600.0
RUN_S = 600.0
STOPPED = ("PAUSED", "FAILED", "CRASHED")
SERVE = """
from flows.environment import prepare
prepare()
from flows.apply import apply_plan
apply_plan.serve(name="apply", limit=2)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("apply")


@pytest.fixture(scope="module")
def environment(prefect_environment, prefect_api, folder):
    return {
        **prefect_environment,
        "PREFECT_API_URL": f"http://127.0.0.1:{prefect_api.port}/api",
        "PREFECT_SERVER_API_PORT": str(prefect_api.port),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_RUNNER_POLL_FREQUENCY": "1",
        "PYTHONPATH": str(ROOT),
        "QUANTUMFLOW_ROOTS": str(folder),
        "QUANTUMFLOW_HOOKS": str(folder),
        "QUANTUMFLOW_APPLIES": str(folder / "applies"),
    }


@pytest.fixture(scope="module")
def served(prefect_api, environment, background, until, folder):
    """The API of a server that has the limit and the switch, and a process that serves the deployment."""
    prefect = Path(sys.executable).with_name("prefect")
    with background([prefect, "server", "start"], folder / "server.log", environment):
        until(prefect_api.healthy, START_S, folder / "server.log")
        post(prefect_api, "/api/v2/concurrency_limits/", {"name": "quantumflow-apply", "limit": 1})
        post(prefect_api, "/api/variables/", {"name": "quantumflow_freeze", "value": False})
        serving = background([sys.executable, "-c", SERVE], folder / "serve.log", environment)
        with serving:
            until(lambda: "apply" in prefect_api.deployments(), START_S, folder / "serve.log")
            yield prefect_api


def post(api, address, body):
    told = api.client.post(address, json=body)
    assert told.is_success, (told.status_code, told.text)
    return told.json()


def state_of(api, run):
    return api.client.get(f"/api/flow_runs/{run}").json()["state"]


@dataclass(frozen=True)
class Waiting:
    """A run, and the cluster that it is about."""

    api: Any
    cluster: Any
    run: str

    def form(self):
        """Return the schema and the description of the form that the suspended run shows; None before it does."""
        keys = state_of(self.api, self.run)["state_details"]["run_input_keyset"]
        parts = {}
        for name in ("schema", "description"):
            found = self.api.client.get(f"/api/flow_runs/{self.run}/input/{keys[name]}")
            if not found.is_success:
                return None
            parts[name] = found.json()
        return parts

    def answer(self, **said):
        """Send the form; return whether the server takes it."""
        return post(self.api, f"/api/flow_runs/{self.run}/resume", {"run_input": said})["status"]

    def artifacts(self):
        return {each["key"]: each["data"] for each in self.api.of_run("artifacts", self.run)}


NAMES = ("approved", "stale", "changed", "rejected", "frozen", "outside")


@pytest.fixture(scope="module")
def runs(served, folder, until, tmp_path_factory):
    """A run for each story, each with a cluster of its own; started together, since each starts a process."""
    started = {}
    for name in NAMES:
        own = folder / name
        plans = tmp_path_factory.mktemp("elsewhere") if name == "outside" else own / "run"
        cluster = hook_cluster(own / "hooks", plans)
        params = {"plan": os.path.relpath(cluster.run, ROOT), "executor": cluster.executor}
        started[name] = Waiting(served, cluster, served.begin("apply", parameters={"params": params}))
    for name in NAMES[:-1]:
        one = started[name]
        until(lambda one=one: state_of(served, one.run)["type"] in STOPPED, RUN_S, folder / "serve.log")
        assert state_of(served, one.run)["type"] == "PAUSED", served.of_run("logs", one.run)
        until(lambda one=one: one.form() is not None)  # it is stored just after the state
        assert one.cluster.changes == []
    return started


@pytest.fixture
def ended(served, until, folder):
    """Return a function that returns the last state of a run."""

    def last(waiting):
        ends = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
        until(lambda: state_of(served, waiting.run)["type"] in ends, RUN_S, folder / "serve.log")
        return state_of(served, waiting.run)

    return last


def test_a_run_waits_shows_the_diff_and_goes_on_once_somebody_approved(runs, ended):
    one = runs["approved"]
    form = one.form()
    schema = form["schema"] if isinstance(form["schema"], dict) else json.loads(form["schema"])
    assert set(schema["properties"]) == {"approve", "who", "comment", "sha256"}
    assert schema["properties"]["sha256"]["default"] == one.cluster.sha256
    assert "~ migrate red: 8 GPUs on east-0, west-0 -> 8 GPUs on east-0, east-2" in form["description"]
    assert "```diff" in one.artifacts()["apply-diff"]
    assert one.answer(approve=True, sha256=one.cluster.sha256) == "REJECT"  # nobody said who he is
    assert one.answer(approve=True, who="Ada", comment="looks right", sha256=one.cluster.sha256) == "ACCEPT"
    assert ended(one)["type"] == "COMPLETED"
    assert one.cluster.jobs == after()
    shown = one.artifacts()["apply-outcome"]
    assert "Applied: 3 actions" in shown
    assert "Ada" in shown


def test_what_changed_while_it_waited_is_found_after_approval(runs, ended):
    one = runs["stale"]
    one.cluster.set("blue", cap=450.0)
    one.answer(approve=True, who="Ada", sha256=one.cluster.sha256)
    state = ended(one)
    assert state["type"] == "FAILED"
    assert "stale plan" in state["message"]
    assert one.cluster.changes == []


def test_a_plan_that_was_changed_while_it_waited_is_not_the_one_that_was_approved(runs, ended):
    one = runs["changed"]
    shown = one.cluster.sha256
    hook_cluster(one.cluster.folder, one.cluster.run, datetime.now(UTC).isoformat())
    assert one.cluster.sha256 != shown
    one.answer(approve=True, who="Ada", sha256=shown)
    state = ended(one)
    assert state["type"] == "FAILED"
    assert "changed file" in state["message"]
    assert one.cluster.changes == []


def test_a_plan_that_somebody_rejects_is_not_carried_out(runs, ended):
    one = runs["rejected"]
    one.answer(approve=False, who="Ada", comment="not tonight", sha256=one.cluster.sha256)
    assert ended(one)["type"] == "COMPLETED"
    assert "rejected by Ada: not tonight" in one.artifacts()["apply-outcome"]
    assert one.cluster.changes == []


def test_the_freeze_switch_stops_what_was_approved_too(runs, served, ended):
    one = runs["frozen"]
    switch = "/api/variables/name/quantumflow_freeze"
    assert served.client.patch(switch, json={"value": "the chiller is down"}).is_success
    try:
        one.answer(approve=True, who="Ada", sha256=one.cluster.sha256)
        state = ended(one)
    finally:
        served.client.patch(switch, json={"value": False})
    assert state["type"] == "FAILED"
    assert "the chiller is down" in state["message"]
    assert one.cluster.changes == []


def test_a_plan_outside_of_the_workers_folders_is_not_read(runs, ended):
    state = ended(runs["outside"])
    assert state["type"] == "FAILED"
    assert "QUANTUMFLOW_ROOTS" in state["message"]
