"""Does a server hear of a plan, with the run that made it?"""

import time

import pytest
from prefect import flow, runtime
from prefect.client.orchestration import get_client

from data.schemas.plan import SolverRow
from flows.plan_events import READY, gains, tell_plan_ready
from tasks.plan import assemble_plan


def row(problem, method, cost, *, chosen=False):
    return SolverRow(problem, method, cost, 0, 0, 0, chosen)


def test_gains_are_shares_of_what_is_in_force():
    rows = [
        row("placement", "incumbent", 8.0), row("placement", "classical search", 6.0, chosen=True),
        row("power", "incumbent", 5.0, chosen=True),
        row("routing", "incumbent", 0.0), row("routing", "exact", 0.0, chosen=True),
        row("links", "exact", 1.0, chosen=True),
    ]  # fmt: skip
    assert gains(rows) == {"placement": 0.25, "power": 0.0}


@pytest.fixture
def plan(cluster):
    return assemble_plan(
        cluster, (), assumed_power=(), set_aside=(), notes=(), code_version="1", options="{}", seed=0
    )  # fmt: skip


def test_a_server_hears_of_a_plan_and_of_its_run(plan, tmp_path):
    @flow(name="test-plan-events")
    def tells() -> str:
        tell_plan_ready(plan, tmp_path / "plan.json")
        return str(runtime.flow_run.id)

    run = tells()
    asked = {"filter": {"event": {"name": [READY]}, "resource": {"id": [f"quantumflow.plan.{plan.sha256}"]}}}
    with get_client(sync_client=True) as client:
        end = time.monotonic() + 30.0
        while not (events := client._client.post("/events/filter", json=asked).json()["events"]):
            assert time.monotonic() < end, "no event came"
            time.sleep(0.2)
    assert events[0]["payload"] == {
        "cluster": "two-racks", "folder": str(tmp_path), "file": "plan.json", "sha256": plan.sha256,
        "actions": 0, "gain": {},
    }  # fmt: skip
    assert f"prefect.flow-run.{run}" in {each["prefect.resource.id"] for each in events[0]["related"]}
