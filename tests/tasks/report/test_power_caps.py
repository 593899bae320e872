"""Facts about the caps of nodes and the account of energy that a plan leaves."""

import json
import subprocess
from dataclasses import replace

import pytest

from data.digest import signed, snapshot_digest
from data.schemas.cluster import Limits, Node, Snapshot
from data.schemas.job import Job, PowerLevel, Worker
from data.schemas.plan import AssumedPower, Plan, Recap, Start
from data.transition import inverse
from tasks.report.power_caps import NodeCap, as_dcgm, as_json, as_nvidia_smi, energy_account, node_caps


@pytest.fixture
def state() -> Snapshot:
    nodes = (
        Node("a", "H100", 4, "a", "r", 200.0, 700.0, 50.0, 300.0),
        Node("b", "V100", 2, "b", "r", 100.0, 250.0, 30.0, 200.0, state="drained"),
        Node("c", "H100", 2, "c", "r", state="down"),
    )
    levels = (PowerLevel(350.0, 0.5), PowerLevel(700.0, 1.0))
    jobs = (
        Job("one", 1, 2, "running", (Worker("a", (0, 2)),), remaining_s=1200.0, power_levels=levels),
        Job("two", 1, 1, "running", (Worker("b", (1,)),), remaining_s=600.0, gpu_power_w=200.0),
        Job("next", 1, 2, "pending", gpu_model="H100", remaining_s=600.0, planned_start_s=600.0),
    )
    limits = Limits(slot_s=600.0, horizon_slots=4, carbon_g_per_kwh=(500.0,), energy_prices_usd_per_kwh=(0.1, 0.2))
    return Snapshot("site", "2026-01-31T12:00:00Z", nodes, jobs, limits=limits)


@pytest.fixture
def plan(state: Snapshot) -> Plan:
    actions = (Recap("one", None, 350.0, "", 1.0), Start("next", 600.0, 1200.0, "", 1.0))
    assumed = (AssumedPower("one", 650.0, "median", 700.0), AssumedPower("next", 450.0, "median"))
    empty: tuple[()] = ()
    return signed(
        Plan(
            "site", snapshot_digest(state), state.taken_at, "1", "{}", 0, actions, inverse(actions), assumed,
            empty, empty, empty, empty, empty, empty, "0" * 64,
        )
    )  # fmt: skip


def test_each_gpu_of_a_powered_node_has_one_cap(plan: Plan, state: Snapshot) -> None:
    assert node_caps(plan, state) == (
        NodeCap("a", (0, 2), 350.0, ("one",)),
        NodeCap("a", (1, 3), 700.0, ()),
        NodeCap("b", (0,), 250.0, ()),
        NodeCap("b", (1,), 250.0, ("two",)),
    )


def test_the_account_is_what_one_works_out_by_hand(plan: Plan, state: Snapshot) -> None:
    account = energy_account(plan, state)
    background = 300 + 4 * 50 + 200 + 2 * 30
    one, two, later = 2 * 600, 170, 2 * 400  # `one` draws 650 W before, 350 W for twice as long after
    assert account.before.power_w == (background + one + two, background + one + later, background, background)
    assert account.after.power_w[0] == background + 600 + two
    assert account.before.active_gpus == (3, 4, 0, 0)
    assert account.after.active_gpus == (3, 2, 4, 2)
    hour = 600 / 3.6e6
    assert account.before.usd == pytest.approx(hour * (0.1 * (background + one + two) + 0.2 * (3 * background + 2000)))
    assert account.before.carbon_kg == pytest.approx(account.before.kwh / 2)
    assert account.saved_jobs_kwh == pytest.approx(hour * (2 * one - 4 * 600))
    assert dict(account.curves)["measured on the job"] == 1
    assert json.loads(as_json(node_caps(plan, state), account))["energy"]["after"]["active_gpus"] == [3, 2, 4, 2]


def test_scripts_print_every_cap_and_change_nothing(plan: Plan, state: Snapshot) -> None:
    caps = node_caps(plan, state)
    environment = {"PATH": "/usr/bin:/bin", "SLURMD_NODENAME": "a"}
    local = subprocess.run(
        ["bash", "-s"], input=as_nvidia_smi(plan, caps), capture_output=True, text=True, check=True, env=environment
    )
    assert local.stdout.splitlines() == ["+ nvidia-smi -i 0\\,2 -pl 350", "+ nvidia-smi -i 1\\,3 -pl 700"]
    remote = subprocess.run(
        ["bash", "-s"], input=as_dcgm(plan, caps), capture_output=True, text=True, check=True, env=environment
    )
    assert sum("--set -P" in line for line in remote.stdout.splitlines()) == len(caps)


def test_hostile_names_stay_words(plan: Plan) -> None:
    caps = (NodeCap("$(touch pwned)", (0,), 300.0, ()),)
    assert "'$(touch pwned)'" in as_nvidia_smi(plan, caps)
    script = as_dcgm(replace(plan, cluster="x\ntouch pwned"), caps)
    assert "# left out, no name of a host: $(touch pwned)" in script
    assert "\ntouch pwned" not in script
