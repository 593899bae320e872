"""A plan that breaks a limit of the cluster fails by just the check of that limit."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from data.digest import signed
from data.schemas.cluster import Snapshot
from data.schemas.job import Job, Worker
from data.schemas.plan import Action, Migrate, MoveReplicas, Place, Plan, Recap, Start
from tasks.validate import Verdict, validate

Replan = Callable[[Snapshot, tuple[Action, ...]], Plan]
WHOLE = (0, 1, 2, 3)


def failed(verdict: Verdict) -> dict[str, str]:
    """Return the failed checks and what they say."""
    assert verdict.passed == all(check.passed for check in verdict.checks)
    return {check.name: check.detail for check in verdict.checks if not check.passed}


def with_job(snapshot: Snapshot, name: str, **changes: object) -> Snapshot:
    jobs = tuple(replace(job, **changes) if job.id == name else job for job in snapshot.jobs)  # type: ignore[arg-type]
    return replace(snapshot, jobs=jobs)


def with_node(snapshot: Snapshot, name: str, **changes: object) -> Snapshot:
    nodes = tuple(replace(node, **changes) if node.id == name else node for node in snapshot.nodes)  # type: ignore[arg-type]
    return replace(snapshot, nodes=nodes)


def without(actions: tuple[Action, ...], *kinds: type) -> tuple[Action, ...]:
    return tuple(action for action in actions if not isinstance(action, kinds))


@pytest.mark.parametrize("limit", ["migration_budget_gpus", "migration_budget_replicas"])
def test_a_budget_exceeded_by_one_fails(
    replan: Replan, snapshot: Snapshot, actions: tuple[Action, ...], limit: str
) -> None:
    allowed = getattr(snapshot.limits, limit)
    tighter = replace(snapshot, limits=replace(snapshot.limits, **{limit: allowed - 1}))
    found = failed(validate(replan(tighter, actions), tighter, None))
    assert found.keys() == {"migration budget"}
    assert f"at most {allowed - 1}" in found["migration budget"]


def test_moving_within_a_node_counts_against_the_budget(
    replan: Replan, snapshot: Snapshot, actions: tuple[Action, ...]
) -> None:
    shuffle = Migrate("old", (Worker("c0", (0, 1)),), (Worker("c0", (2, 3)),), 1, "", 0.0)
    plan = replan(snapshot, (*actions[:2], shuffle, *actions[2:]))
    assert "found 10" in failed(validate(plan, snapshot, None))["migration budget"]


def test_a_pinned_job_that_moves_fails(replan: Replan, snapshot: Snapshot, actions: tuple[Action, ...]) -> None:
    state = with_job(snapshot, "red", movable=False)
    found = failed(validate(replan(state, actions), state, None))
    assert found.keys() == {"pinned jobs"}
    assert "red" in found["pinned jobs"]


def roomier(snapshot: Snapshot) -> Snapshot:
    return replace(snapshot, limits=replace(snapshot.limits, migration_budget_gpus=10))


TO_E0 = Migrate("old", (Worker("c0", (0, 1)),), (Worker("e0", (0, 1)),), 1, "", 0.0)


def test_a_worker_may_leave_a_drained_node_but_not_come_to_one(
    replan: Replan, snapshot: Snapshot, actions: tuple[Action, ...]
) -> None:
    moves = (*actions[:2], TO_E0, *actions[2:])
    state = roomier(snapshot)
    assert failed(validate(replan(state, moves), state, None)) == {}
    drained = with_node(state, "e0", state="drained")
    found = failed(validate(replan(drained, moves), drained, None))
    assert found.keys() == {"nodes"}
    assert "e0" in found["nodes"]


def test_a_job_that_changes_its_gpu_model_fails(
    replan: Replan, snapshot: Snapshot, actions: tuple[Action, ...]
) -> None:
    state = with_node(roomier(snapshot), "e0", gpu_model="A100")
    found = failed(validate(replan(state, (*actions[:2], TO_E0, *actions[2:])), state, None))
    assert found == {"GPU models": "job old: expected H100, found A100"}


def test_gpus_taken_before_they_are_free_fail_by_the_migration_order(
    replan: Replan, snapshot: Snapshot, actions: tuple[Action, ...]
) -> None:
    red, blue, *rest = actions
    assert isinstance(blue, Migrate)
    found = failed(validate(replan(snapshot, (red, replace(blue, batch=1), *rest)), snapshot, None))
    assert found.keys() == {"migration order"}
    assert "expected a1 GPU 0 to be free for red, found blue on it" in found["migration order"]


def test_batches_out_of_order_fail_by_the_migration_order(replan: Replan, snapshot: Snapshot) -> None:
    state = roomier(snapshot)
    back = Migrate("blue", state.jobs[1].placement, (Worker("e0", WHOLE), Worker("b1", WHOLE)), 0, "", 0.0)
    first = Migrate("old", (Worker("c0", (0, 1)),), (Worker("c0", (2, 3)),), 1, "", 0.0)
    found = failed(validate(replan(state, (first, back)), state, None))
    assert found.keys() == {"migration order"}
    assert "expected a batch after 1, found 0" in found["migration order"]


def aside(node: str, **changes: object) -> tuple[Migrate, Migrate]:
    """``old`` steps aside onto a node and moves on from there to another."""
    rest = (Worker(node, (0, 1)),)
    first = Migrate("old", (Worker("c0", (0, 1)),), rest, 1, "", 0.0)
    then = Migrate("old", rest, (Worker("c0", (2, 3)),), 2, "", 0.0)
    return first, replace(then, **changes)  # type: ignore[arg-type]


def test_a_job_may_step_aside_once_on_its_way(replan: Replan, snapshot: Snapshot, actions: tuple[Action, ...]) -> None:
    state = roomier(snapshot)
    first, then = aside("e0")
    assert failed(validate(replan(state, (*actions[:2], first, then, *actions[2:])), state, None)) == {}
    back = replace(then, after=first.before)  # only to return
    found = failed(validate(replan(state, (*actions[:2], first, back, *actions[2:])), state, None))
    assert found.keys() == {"migration order"}
    assert "expected it to step aside at most once" in found["migration order"]


@pytest.mark.parametrize("rest", ["drained", "of another model", "in use"])
def test_a_job_that_steps_aside_rests_where_it_may(
    replan: Replan, snapshot: Snapshot, actions: tuple[Action, ...], rest: str
) -> None:
    state = roomier(snapshot)
    if rest == "drained":
        state = with_node(state, "e0", state="drained")
    way = aside({"drained": "e0", "of another model": "d0", "in use": "a0"}[rest])
    found = failed(validate(replan(state, (*actions[:2], *way, *actions[2:])), state, None))
    assert found.keys() == {"migration order"}


def test_spare_nodes_that_are_taken_fail(replan: Replan, snapshot: Snapshot, actions: tuple[Action, ...]) -> None:
    spare = replace(snapshot, limits=replace(snapshot.limits, spare_nodes_per_domain=1, migration_budget_gpus=10))
    moves = (*actions[:2], TO_E0, *actions[2:])
    assert failed(validate(replan(spare, moves), spare, None)) == {}  # a domain of one node keeps none
    e0 = next(node for node in spare.nodes if node.id == "e0")
    guest = Job("guest", 1, 4, "running", (Worker("e1", WHOLE),), gpu_power_w=60.0)
    state = replace(spare, nodes=(*spare.nodes, replace(e0, id="e1")), jobs=(*spare.jobs, guest))
    found = failed(validate(replan(state, moves), state, None))
    assert found == {"spare nodes": "domain e: expected at least 1 wholly free node(s), found 0"}
    assert failed(validate(replan(state, actions), state, None)) == {}


def test_more_power_above_the_cap_than_in_force_fails(
    replan: Replan, snapshot: Snapshot, actions: tuple[Action, ...]
) -> None:
    found = failed(validate(replan(snapshot, without(actions, Recap)), snapshot, None))
    assert found.keys() == {"power cap"}
    assert "found 0.466667 kWh and 13400 W" in found["power cap"]


def test_power_above_a_cap_that_was_kept_fails(replan: Replan, snapshot: Snapshot, actions: tuple[Action, ...]) -> None:
    state = replace(snapshot, limits=replace(snapshot.limits, power_cap_w=13_100.0))
    assert failed(validate(replan(state, actions), state, None)) == {}
    found = failed(validate(replan(state, without(actions, Recap)), state, None))
    assert found.keys() == {"power cap"}
    assert "expected 13100 W" in found["power cap"]


def test_less_overload_than_in_force_passes_and_is_told(
    replan: Replan, snapshot: Snapshot, actions: tuple[Action, ...]
) -> None:
    state = replace(snapshot, limits=replace(snapshot.limits, power_cap_w=11_700.0))
    verdict = validate(replan(state, actions), state, None)
    assert failed(verdict) == {}
    told = next(check.detail for check in verdict.checks if check.name == "power cap")
    assert (
        told == f"{100 * 600 / 3.6e6:.6g} kWh above 11700 W, {(1400 + 1200 + 4 * 800) * 600 / 3.6e6:.6g} kWh in force"
    )


def test_an_expert_without_a_replica_fails(replan: Replan, snapshot: Snapshot, actions: tuple[Action, ...]) -> None:
    lost = MoveReplicas("moe", 0, (1,), (1,), (0,), "", 0.0)
    plan = replan(snapshot, actions)
    altered = tuple(lost if isinstance(action, MoveReplicas) else action for action in actions)
    back = tuple(
        replace(lost, before=lost.after, after=lost.before) if isinstance(action, MoveReplicas) else action
        for action in plan.inverse
    )
    found = failed(validate(signed(replace(plan, actions=altered, inverse=back)), snapshot, None))
    assert found.keys() == {"experts"}
    assert "without 1" in found["experts"]


def test_a_job_that_starts_before_its_dependency_has_ended_fails(
    replan: Replan, snapshot: Snapshot, actions: tuple[Action, ...]
) -> None:
    kept = tuple(action for action in actions if not (isinstance(action, Start) and action.job == "later"))
    found = failed(validate(replan(snapshot, kept), snapshot, None))
    assert found.keys() == {"dependencies"}
    assert "job later: expected a start not before slot 7" in found["dependencies"]


def test_a_job_that_gets_gpus_while_it_waits_for_another_fails(
    replan: Replan, snapshot: Snapshot, actions: tuple[Action, ...]
) -> None:
    place = Place("later", (), (Worker("e0", WHOLE),), "", 0.0)
    found = failed(validate(replan(snapshot, (*actions, place)), snapshot, None))
    assert found.keys() == {"dependencies"}
    assert "red" in found["dependencies"]


def test_a_dependency_that_was_broken_before_is_told_and_not_held_against_the_plan(
    replan: Replan, snapshot: Snapshot
) -> None:
    state = with_job(snapshot, "later", planned_start_s=600.0)
    verdict = validate(replan(state, ()), state, None)
    assert failed(verdict) == {}
    assert any("1 broken before and after" in check.detail for check in verdict.checks)


def test_more_gpus_than_there_are_in_a_slot_fail(
    replan: Replan, snapshot: Snapshot, actions: tuple[Action, ...]
) -> None:
    wide = Job("wide", 4, 4, "pending", gpu_model="H100", gpu_power_w=60.0, remaining_s=600.0)
    state = replace(snapshot, jobs=(*snapshot.jobs, wide))
    for start_s, broken in ((600.0, {"GPUs per slot"}), (6000.0, {"GPUs per slot"}), (None, set())):
        start = (Start("wide", None, start_s, "", 0.0),) if start_s is not None else ()
        assert failed(validate(replan(state, (*actions, *start)), state, None)).keys() == broken


@pytest.mark.parametrize("cap_w", [1100.0, 1000.5])
def test_a_cap_that_the_nodes_refuse_fails(
    replan: Replan, snapshot: Snapshot, actions: tuple[Action, ...], cap_w: float
) -> None:
    found = failed(validate(replan(snapshot, (*actions, Recap("blue", None, cap_w, "", 0.0))), snapshot, None))
    assert found.keys() == {"cap range"}
    assert "200.0 to 1000.0 W" in found["cap range"]


def test_a_capped_job_goes_to_no_node_that_cannot_go_as_low(
    replan: Replan, snapshot: Snapshot, actions: tuple[Action, ...]
) -> None:
    state = with_job(with_node(roomier(snapshot), "e0", gpu_power_min_w=300.0), "old", gpu_power_cap_w=250.0)
    found = failed(validate(replan(state, (*actions[:2], TO_E0, *actions[2:])), state, None))
    assert found.keys() == {"cap range"}
    assert "old" in found["cap range"]
