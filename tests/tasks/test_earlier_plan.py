"""The last plan as a start: what still fits is kept, the outcome is feasible, never worse, and near where that pays."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from data.crosscheck import cross_check
from data.digest import signed
from data.errors import PlanRefused
from data.readers.plan import LOOKED_AT, find_plan, may_suit, write_plan
from data.readers.sources import Sample
from data.schemas.cluster import Snapshot
from data.schemas.job import Worker
from data.schemas.plan import Action, Migrate, MoveReplicas, Place, Plan, Recap, Start
from data.transition import apply_actions
from qiskit_solvers.exact import Exact
from tasks.earlier_plan import aims, earlier_plan, kept_note
from tasks.plan import Part, assemble
from tasks.problems.placement import Placement
from tasks.problems.power import Power
from tasks.problems.protocol import Steady
from tasks.problems.routing import Routing
from tasks.refine import Effort, LastPlan, refine

Pose = Callable[[Snapshot], Steady[Any]]

SMALL = Effort(evaluations=3_000, rounds=2, window=8, patience=2)
POSES: dict[str, Pose] = {
    "placement": Placement.from_snapshot,
    "power": Power.from_snapshot,
    "routing": lambda state: Routing.from_snapshot(state, state.deployments[0].id),
}


@cache
def sample() -> Snapshot:
    """The small sample, with a draw for each job."""
    state = Sample()().snapshot
    return replace(state, jobs=tuple(replace(job, gpu_power_w=job.gpu_power_w or 500.0) for job in state.jobs))


@cache
def plan_for(noun: str) -> tuple[Action, ...]:
    """The plan of a noun for the sample."""
    problem = POSES[noun](sample())
    made = problem.actions(refine(problem, Exact(), np.random.default_rng(1), effort=SMALL).decision)
    assert len(made) > 1
    return made


@pytest.fixture(params=sorted(POSES))
def noun(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def changed(state: Snapshot, seed: int) -> Snapshot:
    """Return a cluster in which a job left, another came, a node is drained and experts are otherwise loaded."""
    rng = np.random.default_rng(seed)
    jobs = list(state.jobs)
    gone = jobs.pop(int(rng.integers(len(jobs))))
    like = jobs[int(rng.integers(len(jobs)))]
    jobs.append(replace(like, id="newcomer", state="pending", placement=(), gang="", depends_on=()))
    served = {deployment.job for deployment in state.deployments}
    jobs += [gone] if gone.id in served else []
    out = int(rng.integers(len(state.nodes)))
    nodes = tuple(replace(node, state="drained") if k == out else node for k, node in enumerate(state.nodes))
    loads = rng.lognormal(0.0, 0.2, np.shape(state.deployments[0].loads[-1])) * np.array(state.deployments[0].loads[-1])
    window = tuple(map(tuple, loads.round(3).tolist()))
    deployment = replace(state.deployments[0], loads=(*state.deployments[0].loads[:-1], window))
    limits = replace(state.limits, migration_budget_gpus=int(rng.integers(0, 40)), migration_budget_replicas=60)
    return replace(state, jobs=tuple(jobs), nodes=nodes, deployments=(deployment,), limits=limits)


def assert_feasible(problem: Steady[Any], decision: Any, state: Snapshot) -> None:
    after = apply_actions(state, problem.actions(decision))
    assert cross_check(after) == cross_check(state)
    if isinstance(problem, Power):
        assert problem.feasible(decision)
    figures = {figure.name: figure.value for figure in problem.figures(decision)}
    if isinstance(problem, Placement):
        assert figures["placement.moved_gpus"] <= state.limits.migration_budget_gpus
    if isinstance(problem, Routing):
        moved = figures[f"routing.{problem.deployment}.moved_replicas"]
        assert moved <= state.limits.migration_budget_replicas


def test_the_plan_of_the_same_state_is_carried_whole(noun: str) -> None:
    problem = POSES[noun](sample())
    again = problem.actions(problem.carried(plan_for(noun)))
    assert aims(again) == aims(plan_for(noun))


def test_a_plan_that_was_carried_out_leaves_nothing_to_carry(noun: str) -> None:
    problem = POSES[noun](apply_actions(sample(), plan_for(noun)))
    assert problem.actions(problem.carried(plan_for(noun))) == ()


@pytest.mark.parametrize("noun", sorted(POSES))
@budget(max_examples=6)
@given(seed=st.integers(0, 2**32 - 1))
def test_what_is_carried_is_feasible_and_the_outcome_never_worse(noun: str, seed: int) -> None:
    state = changed(sample(), seed)
    problem = POSES[noun](state)
    carried = problem.carried(plan_for(noun))
    assert_feasible(problem, carried, state)
    last = LastPlan(carried, problem.nearer, 0.05)
    refined = refine(problem, Exact(), np.random.default_rng(seed), effort=SMALL, last=last)
    assert_feasible(problem, refined.decision, state)
    in_force = problem.cost(problem.incumbent())
    assert refined.costs[0] == in_force
    assert list(refined.costs) == sorted(refined.costs, reverse=True)
    assert refined.costs[-1] == pytest.approx(problem.cost(refined.decision))
    chosen = next(row for row in refined.rows if row.chosen)
    assert chosen.cost == pytest.approx(refined.costs[-1])
    best = min(row.cost for row in refined.rows)
    assert refined.costs[-1] <= best + 0.05 * (in_force - best) + 1e-6


@pytest.mark.parametrize("noun", sorted(POSES))
@budget(max_examples=4)
@given(seed=st.integers(0, 2**32 - 1), allowance=st.floats(0.0, 5.0))
def test_drawing_near_costs_no_more_than_allowed(noun: str, seed: int, allowance: float) -> None:
    state = changed(sample(), seed)
    problem = POSES[noun](state)
    last = problem.carried(plan_for(noun))
    new = problem.search(problem.incumbent(), 2_000, np.random.default_rng(seed)).decision
    near = problem.nearer(new, last, allowance)
    assert_feasible(problem, near, state)
    assert problem.cost(near) <= problem.cost(new) + allowance + 1e-6
    kept = aims(problem.actions(last))
    before, after = (
        sum(aims(problem.actions(each)).get(key) == aim for key, aim in kept.items()) for each in (new, near)
    )
    assert after >= before


def test_all_that_is_asked_for_is_given_when_stability_counts_for_everything() -> None:
    problem = Placement.from_snapshot(sample())
    worse = problem.search(problem.incumbent(), 300, np.random.default_rng(2)).decision
    assert problem.cost(worse) < problem.cost(problem.incumbent())
    last = LastPlan(worse, problem.nearer, 1.0)
    refined = refine(problem, Exact(), np.random.default_rng(2), effort=SMALL, last=last)
    assert next(row.method for row in refined.rows if row.chosen) == "last plan"
    keen = refine(problem, Exact(), np.random.default_rng(2), effort=SMALL, last=replace(last, stability=0.0))
    assert keen.costs[-1] < refined.costs[-1]


def test_a_last_plan_that_is_no_better_than_what_is_in_force_is_not_begun_at(cluster: Snapshot) -> None:
    problem = Placement.from_snapshot(cluster)
    last = LastPlan(problem.incumbent(), problem.nearer)
    with_it = refine(problem, Exact(), np.random.default_rng(3), effort=SMALL, last=last)
    without = refine(problem, Exact(), np.random.default_rng(3), effort=SMALL)
    assert with_it.rows == without.rows
    assert np.array_equal(with_it.decision.node_of, without.decision.node_of)


def test_moves_that_no_longer_fit_are_dropped_one_by_one(cluster: Snapshot) -> None:
    """The best stays where two want the same GPUs; what names a job, node or size that is gone is passed over."""
    whole = (0, 1, 2, 3)

    def moved(job: str, before: tuple[str, ...], after: tuple[str, ...], gain: float) -> Migrate:
        was, now = (tuple(Worker(node, whole) for node in nodes) for nodes in (before, after))
        return Migrate(job, was, now, 0, "", gain)

    actions = (
        moved("red", ("east-0", "west-0"), ("west-2", "west-0"), 1.0),
        moved("blue", ("east-1", "west-1"), ("west-2", "west-1"), 2.0),
        moved("pinned", ("east-2",), ("east-3",), 9.0),
        moved("nobody", ("east-2",), ("east-3",), 9.0),
        Place("waiting", (), (Worker("east-3", whole), Worker("nowhere", whole)), "", 9.0),
        Place("later", (), (Worker("east-3", whole),), "", 9.0),
    )
    problem = Placement.from_snapshot(cluster)
    kept = aims(problem.actions(problem.carried(actions)))
    assert kept == {("placement", "blue"): ("west-1", "west-2")}
    elsewhere = (moved("red", ("east-3", "west-0"), ("west-2", "west-0"), 1.0),)
    assert problem.actions(problem.carried(elsewhere)) == ()
    poor = Placement.from_snapshot(replace(cluster, limits=replace(cluster.limits, migration_budget_gpus=3)))
    assert poor.actions(poor.carried(actions)) == ()


def test_starts_and_caps_are_carried_to_the_nearest_that_fits() -> None:
    problem = Power.from_snapshot(sample())
    waiting = next(job for job in sample().jobs if job.state == "pending" and not job.depends_on)
    running = next(job for job in sample().jobs if job.state == "running")
    overdue = problem.carried((Start(waiting.id, None, 0.0, "", 0.0), Recap(running.id, None, 1.0, "", 0.0)))
    position = {job.job: j for j, job in enumerate(problem.jobs)}
    assert overdue.level[position[running.id]] == 0
    assert overdue.start[position[waiting.id]] < problem.slots
    assert problem.feasible(overdue)


def test_experts_are_carried_slot_by_slot_and_none_is_lost() -> None:
    problem = POSES["routing"](sample())
    assert isinstance(problem, Routing)
    row = problem.in_force[0]
    once = next(slot for slot in range(row.size) if (row == row[slot]).sum() == 1)
    other = int(row[(once + 1) % row.size])
    loses = MoveReplicas(problem.deployment, 0, (once,), (int(row[once]),), (other,), "", 1.0)
    foreign = replace(loses, slots=(10**6,), layer=0)
    beyond = replace(loses, layer=10**6)
    assert problem.actions(problem.carried((loses, foreign, beyond))) == ()


def test_starts_are_told_from_now_and_the_plan_by_its_digest(tmp_path: Path) -> None:
    waiting = next(job for job in sample().jobs if job.state == "pending")
    plan = made(sample(), (Start(waiting.id, waiting.planned_start_s, 3_600.0, "", 0.0),), ("power",))
    write_plan(plan, tmp_path / "plan.json")
    assert sample().taken_at == "2026-03-02T06:00:00+00:00"
    later = replace(sample(), taken_at="2026-03-02T06:15:00+00:00")
    earlier = earlier_plan(tmp_path / "plan.json", later, ("power",))
    assert [action.after for action in earlier.actions if isinstance(action, Start)] == [2_700.0]
    assert plan.sha256[:12] in earlier.notes[0]
    assert "15 min before" in earlier.notes[0]


def test_a_plan_that_cannot_serve_is_a_note(tmp_path: Path) -> None:
    foreign = made(replace(sample(), cluster="elsewhere"), (), ("power",))
    write_plan(foreign, tmp_path / "foreign.json")
    (tmp_path / "broken.json").write_text("{}")
    for name, said in (("foreign.json", "elsewhere"), ("broken.json", "Field required"), ("none.json", "No such file")):
        earlier = earlier_plan(tmp_path / name, sample(), ("power",))
        assert earlier.actions == ()
        assert said in earlier.notes[0]
    assert earlier_plan(None, sample(), ("power",)).notes == ()


def test_of_a_folder_of_runs_the_newest_that_suits_is_taken(tmp_path: Path) -> None:
    def left(run: str, state: Snapshot, nouns: tuple[str, ...], seed: int) -> str:
        plan = made(state, (), nouns, seed)
        (tmp_path / run).mkdir()
        write_plan(plan, tmp_path / run / "plan.json")
        return plan.sha256

    left("20260101T000000Z-aaaaaa", sample(), ("placement", "power"), 1)
    wanted = left("20260102T000000Z-aaaaaa", sample(), ("placement", "power"), 2)
    left("20260103T000000Z-aaaaaa", sample(), ("placement",), 3)
    left("20260104T000000Z-aaaaaa", replace(sample(), cluster="elsewhere"), ("placement", "power"), 4)
    (tmp_path / "latest").symlink_to("20260104T000000Z-aaaaaa")
    assert find_plan(tmp_path, sample().cluster, ("power",)).sha256 == wanted
    with pytest.raises(PlanRefused, match="routing, found none"):
        find_plan(tmp_path, sample().cluster, ("routing",))


def test_a_plan_is_found_however_many_of_other_flows_are_newer(tmp_path: Path) -> None:
    def left(run: str, state: Snapshot, nouns: tuple[str, ...]) -> str:
        plan = made(state, (), nouns)
        (tmp_path / run).mkdir()
        write_plan(plan, tmp_path / run / "plan.json")
        return plan.sha256

    elsewhere = replace(sample(), cluster="elsewhere")
    wanted = left("20260101T000000Z-aaaaaa", elsewhere, ("placement",))
    for run in range(LOOKED_AT + 2):
        left(f"20260102T0000{run:02}Z-aaaaaa", elsewhere, ("power",))
        left(f"20260103T0000{run:02}Z-aaaaaa", sample(), ("placement",))
    assert find_plan(tmp_path, elsewhere.cluster, ("placement",)).sha256 == wanted


@pytest.mark.parametrize(
    "head", [b"", b"[", b'{\n "cluster": "a\\"",\n', b"\xff\xfe", b'{\n "cluster": "", "cluster": "b"}']
)
def test_of_a_head_that_tells_nothing_the_whole_plan_is_read(tmp_path: Path, head: bytes) -> None:
    (tmp_path / "plan.json").write_bytes(head)
    assert may_suit(tmp_path / "plan.json", 'a"', ("power",))
    (tmp_path / "plan.json").write_text(f'{{\n "cluster": "a",\n "options": "{"[" * 60_000}",\n')
    assert not may_suit(tmp_path / "plan.json", "a", ("power",)), "options without nouns"


def test_what_was_kept_is_counted_by_what_it_leads_to() -> None:
    def capped(job: str, cap_w: float) -> Recap:
        return Recap(job, None, cap_w, "", 0.0)

    earlier = (capped("a", 300.0), capped("b", 300.0), capped("c", 300.0))
    told = kept_note("power", earlier, earlier[:2], (capped("a", 300.0), capped("b", 400.0)))
    assert told == "power: kept from the last plan 1 of 2 changes that are left of its 3"
    assert kept_note("placement", earlier, (), ()) == ""


def made(state: Snapshot, actions: tuple[Action, ...], nouns: tuple[str, ...], seed: int = 0) -> Plan:
    """Return a signed plan for ``state`` that was asked for ``nouns``."""
    options = f'{{"nouns": [{", ".join(chr(34) + noun + chr(34) for noun in nouns)}]}}'
    plan = assemble(
        state, (Part(actions=actions),), assumed_power=(), set_aside=(), notes=(), code_version="0", options=options,
        seed=seed,
    )  # fmt: skip
    return signed(plan)
