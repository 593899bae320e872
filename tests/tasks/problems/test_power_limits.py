"""Facts about what power limits hold beside the cluster's cap: nodes, racks, margins, prices by slot, deadlines."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.crosscheck import cross_check
from data.schemas.cluster import Limits, Node, Snapshot
from data.schemas.job import Job, Worker
from data.schemas.plan import Recap, Start
from data.transition import apply_actions, inverse
from qiskit_solvers.anneal import Anneal
from qiskit_solvers.ising import energies
from tasks.plan import Part, assemble
from tasks.problems.power import Power, Schedule
from tasks.refine import Effort, refine
from tasks.validate import validate
from tasks.yardsticks.power import cp_sat

SLOT_S, SLOTS = 600.0, 12
NOON = "2026-01-31T12:00:00Z"


def limited(seed: int, *, jobs: int = 9) -> Snapshot:
    """Four nodes in two racks under caps; jobs with nodes and without, some with deadlines and margins."""
    rng = np.random.default_rng(seed)
    models = (("a", "r1", "H100"), ("b", "r1", "H100"), ("c", "r2", "H100"), ("d", "r2", "A40"))
    nodes = tuple(
        Node(
            name, model, 4, name, rack, 100.0, 300.0 if model == "A40" else 700.0, 40.0, 300.0,
            power_cap_w=float(rng.integers(900, 2600)) if rng.random() < 0.5 else None,
            unavailable_gpus=(3,) if name == "b" else (),
        )
        for name, rack, model in models
    )  # fmt: skip
    free = {node.id: [gpu for gpu in range(node.gpus) if gpu not in node.unavailable_gpus] for node in nodes}
    made: list[Job] = []
    for number in range(jobs):
        node = str(rng.choice(["a", "b", "c", "d"]))
        gpus = int(rng.integers(1, 3))
        held = free[node][:gpus] if number < jobs - 3 else []
        placed = len(held) == gpus
        if placed:
            free[node] = free[node][gpus:]
        known = float(rng.integers(100, 500)) if rng.random() < 0.6 else None
        runs = placed and rng.random() < 0.7
        made.append(
            Job(
                id=f"job-{number}",
                workers=1,
                gpus_per_worker=gpus,
                state="running" if runs else "pending",
                placement=(Worker(node, tuple(held)),) if placed else (),
                gpu_model=None if placed or rng.random() < 0.5 else "H100",
                priority=float(rng.choice([0.01, 1.0, 3.0])),
                remaining_s=float(rng.integers(60, 4 * SLOT_S)),
                depends_on=("job-0",) if number and not runs and rng.random() < 0.2 else (),
                planned_start_s=float(rng.integers(0, 8)) * SLOT_S if not runs and rng.random() < 0.5 else None,
                deadline_s=float(rng.integers(1, 8)) * SLOT_S if rng.random() < 0.4 else None,
                gpu_power_w=known,
                gpu_power_high_w=None if known is None or rng.random() < 0.4 else known * 1.3,
                gpu_power_cap_w=float(rng.choice([150.0, 222.0])) if rng.random() < 0.2 else None,
            )
        )
    idle_w = sum(node.base_power_w + node.gpus * node.gpu_idle_w for node in nodes)
    limits = Limits(
        power_cap_w=idle_w + float(rng.integers(1000, 5000)) if rng.random() < 0.7 else None,
        rack_power_cap_w=float(rng.integers(2000, 4500)) if rng.random() < 0.6 else None,
        slot_s=SLOT_S,
        horizon_slots=SLOTS,
        energy_prices_usd_per_kwh=tuple(rng.uniform(0.0, 2.0, int(rng.integers(1, 20))).round(2).tolist()),
        carbon_g_per_kwh=(400.0, 50.0, 700.0) if rng.random() < 0.5 else (),
        carbon_price_usd_per_kg=0.3,
    )
    snapshot = Snapshot("test", NOON, nodes, tuple(made), limits=limits)
    assert cross_check(snapshot) == ()
    return snapshot


@settings(max_examples=15)
@given(seed=st.integers(0, 10_000))
def test_search_windows_and_actions_keep_every_limit(seed: int) -> None:
    snapshot = limited(seed)
    problem = Power.from_snapshot(snapshot)
    rng = np.random.default_rng(seed)
    begin = problem.incumbent()
    assert problem.feasible(begin)
    found = problem.search(begin, 1_500, rng).decision
    assert problem.feasible(found)
    assert problem.cost(found) <= problem.cost(begin)
    assert problem.bound() <= problem.cost(found)
    window = problem.window(found, 6, rng)
    spins = window.ising.spins
    for i, j in product(range(spins), repeat=2):
        string = np.ones(spins, np.int8)
        string[[i, j]] = -1
        sewn = window.sew(string)
        assert problem.feasible(sewn)
        assert energies(window.ising, string)[0] == pytest.approx(problem.cost(sewn), rel=1e-9, abs=1e-7)
    actions = problem.actions(found)
    after = apply_actions(snapshot, actions)
    reached = Power.from_snapshot(after)
    assert reached.cost(reached.incumbent()) == pytest.approx(problem.cost(found), rel=1e-9)
    assert apply_actions(after, inverse(actions)) == snapshot
    if not problem.notes:
        fall = problem.cost(begin) - problem.cost(found)
        assert sum(action.gain for action in actions) == pytest.approx(fall, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("seed", range(8))
def test_the_validator_finds_what_the_noun_states(seed: int) -> None:
    snapshot = limited(100 + seed)
    problem = Power.from_snapshot(snapshot)
    refined = refine(
        problem, Anneal(), np.random.default_rng(seed), effort=Effort(evaluations=1_000, rounds=2, window=6)
    )
    part = Part(
        actions=problem.actions(refined.decision),
        before=problem.figures(problem.incumbent()),
        after=problem.figures(refined.decision),
        rows=refined.rows,
        bounds=(refined.bound,),
    )
    plan = assemble(
        snapshot, [part], assumed_power=(), set_aside=(), notes=(), code_version="1", options="{}", seed=seed
    )
    assert [check for check in validate(plan, snapshot, None).checks if not check.passed] == []


def two_racks(*jobs: Job, limits: Limits, node_cap_w: float | None = None) -> Snapshot:
    nodes = tuple(
        Node(name, "H100", 4, name, rack, 100.0, 700.0, 50.0, 200.0, power_cap_w=node_cap_w)
        for name, rack in (("a", "r1"), ("b", "r1"), ("c", "r2"))
    )
    return Snapshot("test", NOON, nodes, jobs, limits=limits)


def on(node: str, name: str, gpus: int = 4, **changes: object) -> Job:
    job = Job(name, 1, gpus, "running", (Worker(node, tuple(range(gpus))),), remaining_s=SLOT_S)
    return replace(job, **changes)  # type: ignore[arg-type]


def recaps(problem: Power, decision: Schedule) -> dict[str, float | None]:
    return {action.job: action.after for action in problem.actions(decision) if isinstance(action, Recap)}


def test_a_rack_above_its_cap_is_relieved_and_other_racks_are_left_alone() -> None:
    limits = Limits(rack_power_cap_w=3_600.0, slot_s=SLOT_S, horizon_slots=SLOTS)  # 3200 W for eight GPUs: 400 W each
    problem = Power.from_snapshot(two_racks(on("a", "one"), on("b", "two"), on("c", "three"), limits=limits))
    begin = problem.incumbent()
    assert problem.site_overload_kwh(begin) == pytest.approx((400 + 5600 - 3600) / 1e3 * SLOT_S / 3600)
    found = problem.search(begin, 2_000, np.random.default_rng(0)).decision
    assert problem.site_overload_kwh(found) == 0.0
    assert recaps(problem, found).keys() <= {"one", "two"}


def test_a_node_cap_holds_for_the_draw_at_the_quantile() -> None:
    limits = Limits(slot_s=SLOT_S, horizon_slots=SLOTS)
    calm = on("a", "calm", gpu_power_w=400.0)
    for job, relieved in ((calm, False), (replace(calm, gpu_power_high_w=500.0), True)):
        problem = Power.from_snapshot(two_racks(job, limits=limits, node_cap_w=200.0 + 4 * 450.0))
        found = problem.search(problem.incumbent(), 500, np.random.default_rng(0)).decision
        assert bool(recaps(problem, found)) == relieved
        assert problem.site_overload_kwh(found) == 0.0
    assert recaps(problem, found)["calm"] <= 450.0
    assert problem.energy_kwh(found) == pytest.approx(4 * 0.35 * SLOT_S / 3600)  # energy goes by what is expected


def test_a_job_without_nodes_keeps_to_what_the_worst_node_allows() -> None:
    limits = Limits(slot_s=SLOT_S, horizon_slots=SLOTS)
    waiting = Job("waits", 1, 4, "pending", remaining_s=SLOT_S, planned_start_s=SLOT_S)
    problem = Power.from_snapshot(two_racks(waiting, limits=limits, node_cap_w=200.0 + 4 * 333.5))
    assert problem.site_overload_kwh(problem.incumbent()) == pytest.approx(4 * (700 - 333.5) / 1e3 * SLOT_S / 3600)
    found = problem.search(problem.incumbent(), 500, np.random.default_rng(0)).decision
    assert recaps(problem, found) == {"waits": 333.0}


def test_a_job_that_hardly_matters_waits_for_cheap_energy_and_one_that_matters_does_not() -> None:
    prices = (2.0,) * 6 + (0.01,) * 6
    limits = Limits(slot_s=SLOT_S, horizon_slots=SLOTS, energy_prices_usd_per_kwh=prices)
    jobs = tuple(Job(f"p{k}", 1, 1, "pending", remaining_s=SLOT_S, priority=p) for k, p in enumerate((0.01, 50.0)))
    problem = Power.from_snapshot(two_racks(*jobs, limits=limits))
    found = problem.search(problem.incumbent(), 1_000, np.random.default_rng(0)).decision
    assert found.start.tolist() == [6, 1]
    flat = Power.from_snapshot(two_racks(*jobs, limits=replace(limits, energy_prices_usd_per_kwh=(2.0,) * 12)))
    assert flat.search(flat.incumbent(), 1_000, np.random.default_rng(0)).decision.start.tolist() == [1, 1]


def test_the_cost_of_energy_follows_the_price_of_each_moment() -> None:
    limits = Limits(slot_s=SLOT_S, horizon_slots=3, energy_prices_usd_per_kwh=(1.0, 3.0), carbon_g_per_kwh=(100.0,))
    limits = replace(limits, carbon_price_usd_per_kg=2.0)
    problem = Power.from_snapshot(two_racks(on("a", "r", 1, remaining_s=900.0, gpu_power_w=650.0), limits=limits))
    kwh = 0.6 * SLOT_S / 3600
    expected = 900 / 3600 + kwh * 1.0 + kwh / 2 * 3.0 + 1.5 * kwh * 0.2
    assert problem.cost(problem.incumbent()) == pytest.approx(expected)
    figures = {figure.name: figure.value for figure in problem.figures(problem.incumbent())}
    background = 3 * 400.0 / 1e3 * SLOT_S / 3600
    assert figures["power.energy_usd"] == pytest.approx(background * 7 + kwh * (1 + 3))
    assert figures["power.carbon_kg"] == pytest.approx((3 * background + 2 * kwh) * 0.1)


def test_a_deadline_goes_before_a_shorter_job() -> None:
    limits = Limits(slot_s=SLOT_S, horizon_slots=SLOTS)
    long = Job("long", 3, 4, "pending", remaining_s=3 * SLOT_S)
    short = replace(long, id="short", remaining_s=SLOT_S)
    for due_s, order in ((None, [2, 1]), (4 * SLOT_S, [1, 4])):
        problem = Power.from_snapshot(two_racks(replace(long, deadline_s=due_s), short, limits=limits))
        found = problem.search(problem.incumbent(), 2_000, np.random.default_rng(0)).decision
        assert found.start.tolist() == order
        assert problem.missed(found).size == 0
        starts = [action.job for action in problem.actions(found) if isinstance(action, Start)]
        assert sorted(starts) == ["long", "short"]


def test_deadlines_count_with_the_slow_curve() -> None:
    limits = Limits(slot_s=SLOT_S, horizon_slots=SLOTS)
    job = on("a", "r", remaining_s=1000.0, gpu_power_cap_w=350.0, deadline_s=1000 / 0.853 + 1.0)
    problem = Power.from_snapshot(two_racks(job, limits=limits))
    assert problem.missed(problem.incumbent()).tolist() == [0]
    measured = replace(job, deadline_s=1000 / 0.558 + 1.0)
    assert Power.from_snapshot(two_racks(measured, limits=limits)).missed(problem.incumbent()).size == 0


@pytest.mark.parametrize("seed", range(4))
def test_search_reaches_the_optimum_that_cp_sat_proves(seed: int) -> None:
    rng = np.random.default_rng(seed)
    prices = tuple(rng.uniform(0.05, 1.0, 10).round(2).tolist())
    limits = Limits(
        power_cap_w=4_000.0, rack_power_cap_w=2_500.0, slot_s=SLOT_S, horizon_slots=8, energy_prices_usd_per_kwh=prices
    )
    jobs = [on("a", "ra", 2), on("b", "rb", 3, remaining_s=2 * SLOT_S)]
    jobs += [
        Job(
            f"p{number}",
            1,
            int(rng.integers(1, 4)),
            "pending",
            priority=float(rng.choice([0.02, 1.0])),
            remaining_s=float(rng.integers(300, 1800)),
            deadline_s=float(rng.integers(2, 6)) * SLOT_S if number else None,
        )
        for number in range(3)
    ]
    problem = Power.from_snapshot(two_racks(*jobs, limits=limits))
    proven = cp_sat(problem, 20.0, 1)
    assert proven.optimal
    assert problem.feasible(proven.schedule)
    optimum = problem.cost(proven.schedule)
    assert problem.bound() <= optimum + 1e-9
    found = problem.search(problem.incumbent(), 20_000, np.random.default_rng(seed)).decision
    assert optimum - 1e-4 <= problem.cost(found) <= optimum + 1e-4 + 0.01 * abs(optimum)


def verdict_on(snapshot: Snapshot, *actions: Recap | Start) -> dict[str, str]:
    """Return the failed checks of a plan of ``actions``, costs aside."""
    states = [Power.from_snapshot(state) for state in (snapshot, apply_actions(snapshot, actions))]
    before, after = (problem.figures(problem.incumbent()) for problem in states)
    part = Part(actions=actions, before=before, after=after, rows=(), bounds=())
    plan = assemble(snapshot, [part], assumed_power=(), set_aside=(), notes=(), code_version="1", options="{}", seed=0)
    checks = validate(plan, snapshot, None).checks
    return {check.name: check.detail for check in checks if not check.passed and check.name != "never worse"}


def test_a_plan_that_lifts_a_node_or_a_waiting_job_above_its_cap_is_refused() -> None:
    limits = Limits(slot_s=SLOT_S, horizon_slots=SLOTS)
    waits = Job("waits", 1, 4, "pending", remaining_s=SLOT_S, gpu_power_cap_w=300.0)
    snapshot = two_racks(on("a", "runs", gpu_power_cap_w=300.0), waits, limits=limits, node_cap_w=200.0 + 4 * 400.0)
    assert verdict_on(snapshot, Recap("runs", 300.0, 400.0, "", 0.0), Recap("waits", 300.0, 400.0, "", 0.0)) == {}
    found = verdict_on(snapshot, Recap("runs", 300.0, 401.0, "", 0.0), Recap("waits", 300.0, 401.0, "", 0.0))
    assert found.keys() == {"node and rack caps"}
    assert "node a: expected at most 0 kWh" in found["node and rack caps"]
    assert "jobs without GPUs" in found["node and rack caps"]


def test_the_margin_counts_in_the_cap_that_the_validator_checks() -> None:
    limits = Limits(power_cap_w=1_200.0 + 4 * 350.0, slot_s=SLOT_S, horizon_slots=SLOTS)
    for high_w, failed in ((None, set()), (401.0, {"power cap"})):
        job = on("a", "runs", gpu_power_w=390.0, gpu_power_high_w=high_w, gpu_power_cap_w=300.0)
        assert verdict_on(two_racks(job, limits=limits), Recap("runs", 300.0, None, "", 0.0)).keys() == failed
