"""Facts about the power noun: what may be scheduled, what it costs, and that no method makes it worse."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.crosscheck import cross_check
from data.schemas.cluster import Limits, Node, Snapshot
from data.schemas.job import Job, PowerLevel, Worker
from data.schemas.plan import Recap, Start
from data.transition import apply_actions, inverse
from qiskit_solvers.ising import energies
from tasks.problems.power import Power, Schedule

SLOT_S = 600.0
SLOTS = 12


def random_snapshot(seed: int, *, jobs: int = 7, cap_share: float | None = 0.7, planned: bool = True) -> Snapshot:
    """Three nodes of two models, one of them drained, with jobs that run, wait, and wait for one another."""
    rng = np.random.default_rng(seed)
    nodes = (
        Node("a", "H100", 4, "a", "r1", 200.0, 700.0, 60.0, 400.0, unavailable_gpus=(3,)),
        Node("b", "H100", 4, "b", "r1", 200.0, 700.0, 60.0, 400.0, state="drained" if seed % 3 == 0 else "up"),
        Node("c", "A100", 4, "c", "r2", 100.0, 400.0, 50.0, 400.0),
    )
    free = [(node.id, gpu) for node in nodes for gpu in range(node.gpus) if gpu not in node.unavailable_gpus]
    made: list[Job] = []
    for number in range(jobs):
        node, model = str(rng.choice(["a", "b", "c"])), None
        held = [gpu for name, gpu in free if name == node]
        gpus = int(rng.integers(1, 3))
        running = number < jobs // 2 and len(held) >= gpus
        if running:
            free = [place for place in free if place not in [(node, gpu) for gpu in held[:gpus]]]
        elif rng.random() < 0.7:
            model = str(rng.choice(["H100", "A100"]))
        levels = tuple(PowerLevel(cap, speed) for cap, speed in ((150.0, 0.4), (300.0, 0.8), (400.0, 1.0)))
        others = [job.id for job in made]
        made.append(
            Job(
                id=f"job-{number}",
                workers=1,
                gpus_per_worker=gpus,
                state="running" if running else "pending",
                placement=(Worker(node, tuple(held[:gpus])),) if running else (),
                gpu_model=model,
                priority=float(rng.choice([1.0, 2.0, 5.0])),
                remaining_s=float(rng.integers(1, 3 * SLOT_S)),
                depends_on=(str(rng.choice(others)),) if others and not running and rng.random() < 0.4 else (),
                planned_start_s=float(rng.integers(0, 8)) * SLOT_S / 2 if planned and rng.random() < 0.6 else None,
                gpu_power_w=float(rng.integers(150, 700)) if rng.random() < 0.7 else None,
                gpu_power_cap_w=float(rng.choice([250.0, 317.0])) if rng.random() < 0.3 else None,
                power_levels=levels if rng.random() < 0.3 else (),
            )
        )
    idle_w = sum(node.base_power_w + node.gpus * node.gpu_idle_w for node in nodes)
    limits = Limits(
        power_cap_w=None if cap_share is None else idle_w + cap_share * 3000.0,
        slot_s=SLOT_S,
        horizon_slots=SLOTS,
        energy_price_usd_per_kwh=float(rng.choice([0.0, 0.1, 0.5])),
    )
    return Snapshot("test", "2026-01-31T12:00:00Z", nodes, tuple(made), limits=limits)


def one_node(*jobs: Job, cap_w: float | None = None, slots: int = 6, price: float = 0.0) -> Snapshot:
    node = Node("n", "H100", 8, "n", "r", 200.0, 700.0, 50.0, 600.0)
    limits = Limits(power_cap_w=cap_w, slot_s=SLOT_S, horizon_slots=slots, energy_price_usd_per_kwh=price)
    return Snapshot("test", "2026-01-31T12:00:00Z", (node,), jobs, limits=limits)


def running(name: str, first: int, gpus: int, **changes: object) -> Job:
    job = Job(name, 1, gpus, "running", (Worker("n", tuple(range(first, first + gpus))),), remaining_s=SLOT_S)
    return replace(job, **changes)  # type: ignore[arg-type]


def pending(name: str, gpus: int, **changes: object) -> Job:
    return replace(Job(name, 1, gpus, "pending", remaining_s=SLOT_S), **changes)  # type: ignore[arg-type]


def breaches(snapshot: Snapshot, problem: Power, decision: Schedule) -> list[str]:
    """Check a decision slot by slot and GPU by GPU, in plain loops."""
    wrong = []
    index = {job.id: number for number, job in enumerate(snapshot.jobs)}
    usable = {
        model: sum(n.gpus - len(n.unavailable_gpus) for n in snapshot.nodes if n.state == "up" and n.gpu_model == model)
        for model in {node.gpu_model for node in snapshot.nodes}
    }
    open_nodes = {node.id: node for node in snapshot.nodes if node.state == "up"}
    model_of = {node.id: node.gpu_model for node in snapshot.nodes}
    ends = decision.start + problem.tables.duration[np.arange(len(snapshot.jobs)), decision.level]
    for slot in range(snapshot.limits.horizon_slots):
        used: dict[str, int] = {}
        total = 0
        for number, job in enumerate(snapshot.jobs):
            if not decision.start[number] <= slot < ends[number]:
                continue
            if job.state == "running":
                here = [worker for worker in job.placement if worker.node in open_nodes]
                for worker in here:
                    used[model_of[worker.node]] = used.get(model_of[worker.node], 0) + len(worker.gpus)
                total += sum(len(worker.gpus) for worker in here)
            else:
                if job.gpu_model is not None:
                    used[job.gpu_model] = used.get(job.gpu_model, 0) + job.gpus
                total += job.gpus
        wrong += [f"slot {slot}: {used[model]} {model}" for model in used if used[model] > usable[model]]
        wrong += [f"slot {slot}: {total} GPUs"] if total > sum(usable.values()) else []
    for number, job in enumerate(snapshot.jobs):
        if job.state == "running" and decision.start[number] != 0:
            wrong.append(f"{job.id} runs and starts at {decision.start[number]}")
        if job.state == "pending" and not job.placement and decision.start[number] < 1:
            wrong.append(f"{job.id} has no room now and starts at {decision.start[number]}")
        if job.state == "pending":
            for other in job.depends_on:
                if decision.start[number] < min(ends[index[other]], snapshot.limits.horizon_slots):
                    wrong.append(f"{job.id} starts before {other} has ended")
    return wrong


@settings(max_examples=40)
@given(seed=st.integers(0, 10_000), cap_share=st.sampled_from([None, 0.1, 0.3, 0.6, 1.0]))
def test_search_is_feasible_and_never_worse(seed: int, cap_share: float | None) -> None:
    snapshot = random_snapshot(seed, cap_share=cap_share)
    assert cross_check(snapshot) == ()
    problem = Power.from_snapshot(snapshot)
    decision = problem.incumbent()
    assert breaches(snapshot, problem, decision) == []
    for evaluations in (1, 60, 2_000):
        found = problem.search(decision, evaluations, np.random.default_rng(seed))
        assert breaches(snapshot, problem, found.decision) == []
        assert problem.feasible(found.decision)
        assert problem.cost(found.decision) <= problem.cost(decision)
        assert problem.overload_kwh(found.decision) <= problem.overload_kwh(decision)
        assert found.evaluations <= evaluations + 400  # a move or a relief is finished
        decision = found.decision
    assert problem.bound() <= problem.cost(decision)


@settings(max_examples=25)
@given(seed=st.integers(0, 10_000), cap_share=st.sampled_from([None, 0.1, 0.4, 0.8]))
def test_window_energies_are_exact_for_single_moves_and_pairs(seed: int, cap_share: float | None) -> None:
    snapshot = random_snapshot(seed, cap_share=cap_share, jobs=9)
    problem = Power.from_snapshot(snapshot)
    rng = np.random.default_rng(seed)
    decision = problem.search(problem.incumbent(), 300, rng).decision
    window = problem.window(decision, 10, rng)
    spins = window.ising.spins
    assert spins <= 10
    leave = np.ones(spins, np.int8)
    assert problem.cost(window.sew(leave)) == problem.cost(decision)
    for i, j in product(range(spins), repeat=2):
        string = leave.copy()
        string[[i, j]] = -1
        sewn = window.sew(string)
        assert breaches(snapshot, problem, sewn) == []
        assert problem.feasible(sewn)
        expected = problem.cost(sewn)
        assert energies(window.ising, string)[0] == pytest.approx(expected, rel=1e-9, abs=1e-7)
    every = window.sew(-leave)
    assert problem.feasible(every)


def test_windows_find_what_a_short_search_left() -> None:
    gains = 0
    for seed in range(8):
        problem = Power.from_snapshot(random_snapshot(seed, jobs=9, cap_share=0.4))
        rng = np.random.default_rng(seed)
        decision = problem.search(problem.incumbent(), 100, rng).decision
        window = problem.window(decision, 8, rng)
        strings = np.array(list(product((1, -1), repeat=window.ising.spins)), dtype=np.int8)
        costs = [problem.cost(window.sew(string)) for string in strings]
        gains += min(costs) < problem.cost(decision) - 1e-9
    assert gains >= 2


@settings(max_examples=25)
@given(seed=st.integers(0, 10_000), cap_share=st.sampled_from([None, 0.1, 0.5]))
def test_actions_lead_to_the_decision_and_back(seed: int, cap_share: float | None) -> None:
    snapshot = random_snapshot(seed, cap_share=cap_share)
    problem = Power.from_snapshot(snapshot)
    decision = problem.search(problem.incumbent(), 1_000, np.random.default_rng(seed)).decision
    actions = problem.actions(decision)
    after = apply_actions(snapshot, actions)
    reached = Power.from_snapshot(after)
    assert reached.cost(reached.incumbent()) == pytest.approx(problem.cost(decision), rel=1e-12)
    assert np.array_equal(reached.incumbent().start, decision.start)
    assert reached.notes == ()
    assert apply_actions(after, inverse(actions)) == snapshot
    if not problem.notes:
        gain = problem.cost(problem.incumbent()) - problem.cost(decision)
        assert sum(action.gain for action in actions) == pytest.approx(gain, rel=1e-9, abs=1e-7)
    assert all(action.reason for action in actions)


def test_the_same_seed_gives_the_same_schedule_and_window() -> None:
    once, again = (Power.from_snapshot(random_snapshot(5, jobs=12)) for _ in range(2))
    first, second = (p.search(p.incumbent(), 5_000, np.random.default_rng(9)) for p in (once, again))
    assert first.decision.start.tobytes() == second.decision.start.tobytes()
    assert first.decision.level.tobytes() == second.decision.level.tobytes()
    assert (first.evaluations, first.accepted) == (second.evaluations, second.accepted)
    windows = [p.window(f.decision, 8, np.random.default_rng(1)) for p, f in ((once, first), (again, second))]
    assert windows[0].ising.h.tobytes() == windows[1].ising.h.tobytes()
    assert windows[0].ising.J.tobytes() == windows[1].ising.J.tobytes()


def test_a_schedule_under_the_cap_never_goes_above_it() -> None:
    for seed in range(20):
        snapshot = random_snapshot(seed, cap_share=0.9, planned=False)
        problem = Power.from_snapshot(snapshot)
        if problem.overload_kwh(problem.incumbent()) > 0:
            continue
        found = problem.search(problem.incumbent(), 3_000, np.random.default_rng(seed)).decision
        assert snapshot.limits.power_cap_w is not None
        assert problem.power_w(found).max() <= snapshot.limits.power_cap_w


def test_an_overloaded_cluster_is_relieved() -> None:
    idle_w = 600.0 + 8 * 50.0
    snapshot = one_node(running("r1", 0, 4), running("r2", 4, 4), cap_w=idle_w + 8 * 300.0)
    problem = Power.from_snapshot(snapshot)
    assert problem.overload_kwh(problem.incumbent()) == pytest.approx(8 * 0.35 * SLOT_S / 3600)
    found = problem.search(problem.incumbent(), 500, np.random.default_rng(0)).decision
    assert problem.overload_kwh(found) == 0.0
    recaps = problem.actions(found)
    assert {action.job for action in recaps} == {"r1", "r2"}
    assert all(isinstance(action, Recap) and action.after is not None and action.after < 700.0 for action in recaps)
    assert all(action.gain > 0 and "power cap" in action.reason for action in recaps)


def test_what_cannot_be_relieved_does_not_grow() -> None:
    idle_w = 600.0 + 8 * 50.0
    jobs = (running("r1", 0, 4, remaining_s=4 * SLOT_S), pending("p", 4, planned_start_s=SLOT_S))
    problem = Power.from_snapshot(one_node(*jobs, cap_w=idle_w + 4 * 100.0))
    found = problem.search(problem.incumbent(), 2_000, np.random.default_rng(0)).decision
    assert 0 < problem.overload_kwh(found) < problem.overload_kwh(problem.incumbent())
    assert found.start[1] == problem.slots


def test_the_relief_found_is_the_cheapest_of_all_schedules() -> None:
    idle_w = 600.0 + 8 * 50.0
    jobs = (
        running("r1", 0, 3, remaining_s=2 * SLOT_S, priority=3.0),
        running("r2", 3, 2, gpu_power_w=500.0),
        pending("p", 4, planned_start_s=SLOT_S, priority=2.0),
    )
    problem = Power.from_snapshot(one_node(*jobs, cap_w=idle_w + 1400.0, slots=4, price=0.1))
    assert problem.overload_kwh(problem.incumbent()) > 0
    best = np.inf
    for levels in product(range(7), repeat=3):
        for start in range(1, 5):
            schedule = Schedule(np.array([0, 0, start]), np.array(levels))
            if problem.feasible(schedule):
                best = min(best, problem.cost(schedule))
    found = problem.search(problem.incumbent(), 5_000, np.random.default_rng(0)).decision
    assert problem.cost(found) == pytest.approx(best)
    assert problem.bound() <= best


def test_a_job_that_waits_for_another_starts_after_it() -> None:
    jobs = (running("r", 0, 8, remaining_s=2.5 * SLOT_S), pending("p", 1, depends_on=("r", "gone")))
    problem = Power.from_snapshot(one_node(*jobs))
    found = problem.search(problem.incumbent(), 500, np.random.default_rng(0)).decision
    assert found.start.tolist() == [0, 3]
    assert problem.actions(found) == (
        Start("p", None, 3 * SLOT_S, "GPUs and power are there from 30 min on", pytest.approx(3 * SLOT_S / 3600)),
    )


def test_pending_jobs_without_gpus_do_not_start_now_and_those_with_gpus_may() -> None:
    here = (Worker("n", (0,)),)
    problem = Power.from_snapshot(one_node(pending("with", 1, placement=here), pending("without", 1)))
    found = problem.search(problem.incumbent(), 500, np.random.default_rng(0)).decision
    assert found.start.tolist() == [0, 1]


def test_an_impossible_planned_start_is_put_off_and_told() -> None:
    jobs = (
        running("r", 0, 6, remaining_s=2 * SLOT_S),
        pending("p", 4, planned_start_s=SLOT_S),
        pending("q", 4, planned_start_s=SLOT_S),
        pending("big", 9, planned_start_s=SLOT_S),
    )
    problem = Power.from_snapshot(one_node(*jobs))
    assert problem.incumbent().start.tolist() == [0, 2, 2, 6]
    assert "3 planned starts put off" in problem.notes[0]
    assert "p (600 s -> 1200 s)" in problem.notes[0]
    assert "1 jobs that ask for more GPUs than can be used" in problem.notes[1]
    starts = {action.job: action.after for action in problem.actions(problem.incumbent())}
    assert starts == {"p": 2 * SLOT_S, "q": 2 * SLOT_S, "big": None}


def test_energy_counts_past_the_horizon_so_that_putting_off_saves_nothing() -> None:
    jobs = (pending("p", 8, remaining_s=10 * SLOT_S, priority=0.01),)
    problem = Power.from_snapshot(one_node(*jobs, price=100.0))
    levels = np.zeros(1, np.int64)
    assert problem.cost(Schedule(np.array([1]), levels)) < problem.cost(Schedule(np.array([6]), levels))


def test_the_cost_is_priority_gpu_hours_plus_energy_plus_overload() -> None:
    idle_w = 600.0 + 8 * 50.0
    job = pending("p", 2, planned_start_s=2 * SLOT_S, priority=3.0, remaining_s=900.0, gpu_power_w=450.0)
    problem = Power.from_snapshot(one_node(job, cap_w=idle_w + 500.0, price=0.2))
    decision = problem.incumbent()
    gpu_hours = 3.0 * 2 * (2 * SLOT_S + 900.0) / 3600
    energy = 0.2 * 2 * 0.4 * 900.0 / 3600
    overload = 1000.0 * 3.0 * 2 * 0.3 * 2 * SLOT_S / 3600
    assert problem.cost(decision) == pytest.approx(gpu_hours + energy + overload)
    assert problem.power_w(decision).tolist() == [idle_w, idle_w, idle_w + 800.0, idle_w + 800.0, idle_w, idle_w]
    figures = {figure.name: figure.value for figure in problem.figures(decision)}
    assert figures["power.peak_w"] == idle_w + 800.0
    assert figures["power.overload_kwh"] == pytest.approx(0.3 * 2 * SLOT_S / 3600)
    assert figures["power.weighted_completion_h"] == pytest.approx((2 * SLOT_S + 900.0) / 3600)
    assert figures["power.energy_kwh"] == pytest.approx((6 * idle_w + 2 * 800.0) / 1e3 * SLOT_S / 3600)


def test_a_cluster_without_jobs_has_nothing_to_decide() -> None:
    problem = Power.from_snapshot(one_node(cap_w=2000.0))
    found = problem.search(problem.incumbent(), 100, np.random.default_rng(0))
    assert (problem.cost(found.decision), problem.bound(), problem.actions(found.decision)) == (0.0, 0.0, ())
    assert problem.window(found.decision, 8, np.random.default_rng(0)).ising.spins == 0
    assert problem.figures(found.decision)[0].value == 1000.0


def test_a_cycle_of_dependencies_stays_unscheduled() -> None:
    jobs = (pending("p", 1, depends_on=("q",)), pending("q", 1, depends_on=("p",)), pending("s", 1))
    problem = Power.from_snapshot(one_node(*jobs))
    found = problem.search(problem.incumbent(), 1_000, np.random.default_rng(0)).decision
    assert found.start.tolist() == [6, 6, 1]


@pytest.mark.slow
def test_twenty_thousand_jobs_are_searched_within_the_evaluations() -> None:
    nodes = tuple(Node(f"n{k}", "H100", 8, f"n{k}", "r") for k in range(500))
    rng = np.random.default_rng(4)
    jobs = tuple(
        pending(f"p{k}", int(gpus), remaining_s=float(seconds))
        for k, (gpus, seconds) in enumerate(
            zip(rng.choice([1, 2, 4, 8], 20_000), rng.integers(600, 7200, 20_000), strict=True)
        )
    )
    snapshot = Snapshot("large", "2026-01-31T12:00:00Z", nodes, jobs, limits=Limits(power_cap_w=1.5e6))
    problem = Power.from_snapshot(snapshot)
    found = problem.search(problem.incumbent(), 300_000, rng)
    assert problem.feasible(found.decision)
    assert problem.bound() <= problem.cost(found.decision) < 1.1 * problem.bound()


def test_a_snapshot_without_nodes_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one node"):
        Power.from_snapshot(Snapshot("none", "2026-01-31T12:00:00Z", ()))


def test_a_schedule_of_unequal_shapes_is_refused() -> None:
    with pytest.raises(ValueError, match="expected shape"):
        Schedule(np.zeros(2, np.int64), np.zeros(3, np.int64))
