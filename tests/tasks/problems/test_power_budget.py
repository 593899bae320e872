"""Facts about the energy budget of a plan: kept where it can be, never further exceeded, the same for every method."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.schemas.cluster import Limits, Node, Snapshot
from data.schemas.job import Job, Worker
from data.schemas.plan import Recap
from data.transition import apply_actions
from qiskit_solvers.anneal import Anneal
from qiskit_solvers.errors import SolverFailed
from qiskit_solvers.ising import energies
from tasks.plan import Part, assemble
from tasks.problems.power import Power, Schedule
from tasks.refine import Effort, refine
from tasks.validate import validate
from tasks.yardsticks.power import cp_sat, least_energy, uniform_cap

SLOT_S, SLOTS = 600.0, 12
NOON = "2026-01-31T12:00:00Z"


def budgeted(seed: int, share: float | None, *, jobs: int = 8, cap_w: float | None = 5_000.0) -> Snapshot:
    """Three nodes, jobs that run and wait; the budget lies at ``share`` from the least energy to that in force."""
    rng = np.random.default_rng(seed)
    nodes = tuple(Node(name, "H100", 4, name, "r", 150.0, 700.0, 50.0, 200.0) for name in ("a", "b", "c"))
    made = [
        Job(f"r{k}", 1, 3, "running", (Worker(node.id, (0, 1, 2)),), remaining_s=float(rng.integers(600, 2400)))
        for k, node in enumerate(nodes[:2])
    ]
    for k in range(jobs - 2):
        made.append(
            Job(
                f"p{k}",
                1,
                int(rng.integers(1, 4)),
                "pending",
                priority=float(rng.choice([0.1, 1.0, 3.0])),
                remaining_s=float(rng.integers(300, 2400)),
                depends_on=(made[int(rng.integers(len(made)))].id,) if rng.random() < 0.3 else (),
                planned_start_s=float(rng.integers(0, 8)) * SLOT_S if rng.random() < 0.5 else None,
                gpu_power_w=float(rng.integers(300, 700)),
                gpu_power_cap_w=220.0 if rng.random() < 0.2 else None,
            )
        )
    snapshot = Snapshot("test", NOON, nodes, tuple(made), limits=Limits(cap_w, slot_s=SLOT_S, horizon_slots=SLOTS))
    if share is None:
        return snapshot
    free = Power.from_snapshot(snapshot)
    least, held = free.least_energy_kwh(), free.energy_kwh(free.incumbent())
    return replace(snapshot, limits=replace(snapshot.limits, energy_budget_kwh=least + share * (held - least)))


@pytest.mark.slow
@settings(max_examples=10)
@given(seed=st.integers(0, 10_000), share=st.sampled_from((-0.1, 0.0, 0.3, 0.8, 1.2)))
def test_search_windows_and_actions_keep_the_budget(seed: int, share: float) -> None:
    snapshot = budgeted(seed, share)
    budget = snapshot.limits.energy_budget_kwh
    assert budget is not None
    problem = Power.from_snapshot(snapshot)
    rng = np.random.default_rng(seed)
    begin = problem.incumbent()
    assert problem.feasible(begin)
    found = problem.search(begin, 2_000, rng).decision
    assert problem.feasible(found)
    assert problem.cost(found) <= problem.cost(begin)
    assert problem.bound() <= problem.cost(found)
    assert problem.energy_kwh(found) <= max(budget, problem.least_energy_kwh()) + 1e-6
    for decision in (begin, found):
        window = problem.window(decision, 6, rng)
        for i, j in product(range(window.ising.spins), repeat=2):
            string = np.ones(window.ising.spins, np.int8)
            string[[i, j]] = -1
            sewn = window.sew(string)
            assert problem.feasible(sewn)
            assert energies(window.ising, string)[0] == pytest.approx(problem.cost(sewn), rel=1e-9, abs=1e-7)
    actions = problem.actions(found)
    reached = Power.from_snapshot(apply_actions(snapshot, actions))
    assert reached.cost(reached.incumbent()) == pytest.approx(problem.cost(found), rel=1e-9)
    if all("energy" in note for note in problem.notes):
        fall = problem.cost(begin) - problem.cost(found)
        assert sum(action.gain for action in actions) == pytest.approx(fall, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_search_reaches_the_optimum_that_cp_sat_proves_within_the_budget(seed: int) -> None:
    for share in (0.1, 0.5):
        problem = Power.from_snapshot(budgeted(seed, share, jobs=6))
        proven = cp_sat(problem, 20.0, 1)
        assert proven.optimal
        assert problem.feasible(proven.schedule)
        optimum = problem.cost(proven.schedule)
        assert problem.bound() <= optimum + 1e-9
        found = problem.search(problem.incumbent(), 40_000, np.random.default_rng(seed)).decision
        assert optimum - 1e-4 <= problem.cost(found) <= 1.01 * optimum


def test_a_budget_costs_time_and_its_price_raises_the_bound() -> None:
    free, tight = (Power.from_snapshot(budgeted(1, share)) for share in (None, 0.2))
    found = [
        problem.search(problem.incumbent(), 10_000, np.random.default_rng(0)).decision for problem in (free, tight)
    ]
    assert free.energy_kwh(found[0]) > tight.energy_kwh(found[1])
    assert free.cost(found[0]) < free.cost(found[1])
    assert tight.bound() > free.bound()


@pytest.mark.parametrize("seed", range(2))
def test_windows_trade_energy_between_jobs_where_no_change_fits_alone(seed: int) -> None:
    problem = Power.from_snapshot(budgeted(seed, 0.3, jobs=14))
    rng = np.random.default_rng(seed)
    found = problem.search(problem.incumbent(), 60, rng).decision
    window = problem.window(found, 14, rng)
    alone = [problem.cost(window.sew(1 - 2 * row)) for row in np.eye(window.ising.spins, dtype=np.int8)]
    assert sum(cost == problem.cost(found) for cost in alone) > len(alone) / 2
    best = problem.cost(window.sew(Anneal()(window.ising, rng)[0]))
    assert best < min(problem.cost(found), *alone)


def test_a_budget_that_nothing_meets_changes_nothing() -> None:
    free, wide = (Power.from_snapshot(budgeted(2, share)) for share in (None, 1.5))
    decisions = [
        problem.search(problem.incumbent(), 5_000, np.random.default_rng(0)).decision for problem in (free, wide)
    ]
    assert np.array_equal(decisions[0].start, decisions[1].start)
    assert np.array_equal(decisions[0].level, decisions[1].level)


def test_a_budget_of_the_plan_in_force_is_kept_even_without_effort() -> None:
    problem = Power.from_snapshot(budgeted(3, 1.0))
    for evaluations in (0, 1, 30):
        found = problem.search(problem.incumbent(), evaluations, np.random.default_rng(0)).decision
        assert problem.feasible(found)
        assert problem.energy_kwh(found) <= problem.energy_kwh(problem.incumbent())


def test_notes_say_what_a_budget_cannot_do() -> None:
    assert not any("energy" in note for note in Power.from_snapshot(budgeted(4, 1.0)).notes)
    assert any("in force takes" in note for note in Power.from_snapshot(budgeted(4, 0.5)).notes)
    assert any("no schedule keeps" in note for note in Power.from_snapshot(budgeted(4, -0.1)).notes)


def test_yardsticks_keep_the_budget_or_say_that_they_cannot() -> None:
    problem = Power.from_snapshot(budgeted(5, 0.3))
    budget = problem.with_energy_budget(None).energy_kwh(problem.incumbent())
    for schedule in (cp_sat(problem, 5.0, 1).schedule, least_energy(problem), uniform_cap(problem)):
        assert problem.feasible(schedule)
        assert problem.energy_kwh(schedule) < budget
    broken = Power.from_snapshot(budgeted(5, -0.1))
    for method in (lambda: cp_sat(broken, 5.0, 1), lambda: least_energy(broken), lambda: uniform_cap(broken)):
        with pytest.raises(SolverFailed):
            method()


def test_another_budget_is_the_same_as_a_snapshot_with_it() -> None:
    snapshot = budgeted(6, 0.4)
    there = Power.from_snapshot(budgeted(6, None)).with_energy_budget(snapshot.limits.energy_budget_kwh)
    here = Power.from_snapshot(snapshot)
    assert there.notes == here.notes
    assert there.cost(here.incumbent()) == here.cost(here.incumbent())
    assert there.figures(here.incumbent()) == here.figures(here.incumbent())


def verdict_on(snapshot: Snapshot, actions: tuple[Recap, ...]) -> dict[str, str]:
    """Return the failed checks of a plan of ``actions``, costs aside."""
    states = [Power.from_snapshot(state) for state in (snapshot, apply_actions(snapshot, actions))]
    before, after = (problem.figures(problem.incumbent()) for problem in states)
    part = Part(actions=actions, before=before, after=after, rows=(), bounds=())
    plan = assemble(snapshot, [part], assumed_power=(), set_aside=(), notes=(), code_version="1", options="{}", seed=0)
    checks = validate(plan, snapshot, None).checks
    return {check.name: check.detail for check in checks if not check.passed and check.name != "never worse"}


def test_the_validator_refuses_a_plan_above_the_budget_and_above_what_is_in_force() -> None:
    nodes = (Node("a", "H100", 4, "a", "r", 150.0, 700.0, 50.0, 200.0),)
    job = Job("j", 1, 4, "running", (Worker("a", (0, 1, 2, 3)),), remaining_s=3600.0, gpu_power_cap_w=300.0)
    at_300, at_500 = (
        Power.from_snapshot(Snapshot("t", NOON, nodes, (replace(job, gpu_power_cap_w=cap_w),)))
        for cap_w in (300.0, 500.0)
    )
    least, more = (problem.energy_kwh(problem.incumbent()) for problem in (at_300, at_500))
    assert least < more
    lift = (Recap("j", 300.0, 500.0, "", 0.0),)
    for budget, failed in ((more, set()), (0.99 * more, {"energy budget"}), (0.5 * least, {"energy budget"})):
        snapshot = Snapshot("t", NOON, nodes, (job,), limits=Limits(energy_budget_kwh=budget))
        assert verdict_on(snapshot, lift).keys() == failed
        assert verdict_on(snapshot, ()) == {}


@pytest.mark.parametrize("seed", range(3))
def test_the_validator_finds_what_the_noun_states(seed: int) -> None:
    snapshot = budgeted(20 + seed, 0.4)
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
    assert "power.jobs_energy_kwh" in {metric.name for metric in plan.metrics}


def test_what_is_above_a_budget_that_cannot_be_kept_comes_down_as_far_as_it_can() -> None:
    problem = Power.from_snapshot(budgeted(7, -0.5, cap_w=None))
    found = problem.search(problem.incumbent(), 3_000, np.random.default_rng(0)).decision
    assert problem.energy_kwh(found) == pytest.approx(problem.least_energy_kwh())
    assert not problem.feasible(Schedule(found.start, problem.work.levels - 1)) or np.array_equal(
        problem.in_force.level, problem.work.levels - 1
    )
