"""Each reason not to carry a plan out, by itself; and two applies that want one cluster."""

import hashlib
import json
import threading
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest

from data.digest import signed, snapshot_digest
from data.errors import PlanRefused
from data.readers.plan import write_plan
from data.readers.snapshot import write_snapshot
from data.schemas.job import Worker
from data.schemas.plan import Migrate, MoveReplicas, Plan, Recap
from data.transition import inverse
from tasks.apply.dry_run import DryRun
from tasks.apply.guards import (
    Limits,
    check_age,
    check_cluster,
    check_in_force,
    check_limits,
    check_protected,
    check_verdict,
    frozen_because,
)
from tasks.apply.lease import lease
from tasks.apply.reviewed import read_reviewed
from tasks.apply.room import check_room
from tasks.validation.verdict import Check, Verdict
from tests.tasks.apply.world import BY, die, drawn, killed, sample

SMALL = sample("small")


def plan_for(snapshot, actions):
    empty = {"metrics": (), "solvers": (), "bounds": (), "fallbacks": (), "set_aside": (), "notes": ()}
    return signed(
        Plan(
            cluster=snapshot.cluster,
            snapshot_sha256=snapshot_digest(snapshot),
            snapshot_taken_at=snapshot.taken_at,
            code_version="0",
            options="{}",
            seed=0,
            actions=tuple(actions),
            inverse=inverse(actions),
            assumed_power=(),
            sha256="0" * 64,
            **empty,
        )
    )


@pytest.fixture
def plan(cluster):
    red = cluster.jobs[0]
    to = tuple(Worker(f"west-{index}", (0, 1, 2, 3)) for index in (2, 3))
    return plan_for(
        cluster, (Migrate(red.id, red.placement, to, 0, "together", 1.0), Recap("blue", None, 500.0, "", 0.0))
    )


@pytest.fixture
def run(tmp_path, plan, cluster):
    write_plan(plan, tmp_path / "plan.json")
    write_snapshot(cluster, tmp_path / "snapshot.json")
    return tmp_path


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_plan_that_was_approved_is_read(run, plan, cluster):
    for path in (run, run / "plan.json"):
        reviewed = read_reviewed(path, digest(run / "plan.json"))
        assert (reviewed.plan, reviewed.snapshot, reviewed.folder) == (plan, cluster, run.resolve())


def test_a_file_that_was_changed_after_approval_is_refused(run):
    approved = digest(run / "plan.json")
    text = (run / "plan.json").read_text()
    (run / "plan.json").write_text(text + " ")  # the same plan still, and yet not what was approved
    with pytest.raises(PlanRefused, match="changed file"):
        read_reviewed(run, approved)


def test_a_plan_that_was_altered_after_it_was_signed_is_refused_whatever_its_file_digest(run):
    document = json.loads((run / "plan.json").read_text())
    document["actions"][1]["after"] = 600.0
    (run / "plan.json").write_text(json.dumps(document))
    with pytest.raises(PlanRefused, match="altered"):
        read_reviewed(run, digest(run / "plan.json"))


def test_a_plan_for_another_state_is_refused(run, cluster):
    write_snapshot(replace(cluster, jobs=cluster.jobs[:-1]), run / "snapshot.json")
    with pytest.raises(PlanRefused, match="stale plan"):
        read_reviewed(run, None)


@pytest.mark.parametrize("name", ["plan.json", "snapshot.json"])
def test_what_is_missing_is_named(run, name):
    (run / name).unlink()
    with pytest.raises(PlanRefused, match=name if name != "plan.json" else "No such file"):
        read_reviewed(run, None)


def test_a_link_is_resolved_once(run, tmp_path_factory):
    link = tmp_path_factory.mktemp("link") / "latest"
    link.symlink_to(run)
    assert read_reviewed(link, None).path == (run / "plan.json").resolve()


NOON = "2026-01-31T12:00:00+00:00"
NOON_S = 1_769_860_800.0


def test_a_young_plan_passes_and_says_how_long():
    assert check_age(NOON, NOON_S + 600.0, 3_600.0) == 3_000.0
    assert check_age("2026-01-31T13:00:00+01:00", NOON_S - 30.0, 3_600.0) == 3_630.0


@pytest.mark.parametrize(
    ("taken", "later_s", "says"),
    [
        (NOON, 3_601.0, "expired"),
        (NOON, -61.0, "future"),
        ("yesterday", 0.0, "ISO"),
        ("2026-01-31T12:00:00", 0.0, "ISO"),
    ],
)
def test_old_plans_and_those_of_the_future_are_refused(taken, later_s, says):
    with pytest.raises(PlanRefused, match=says):
        check_age(taken, NOON_S + later_s, 3_600.0)


def test_limits_count_actions_and_all_gpus_of_jobs_that_stop(plan):
    check_limits(plan, Limits(max_actions=2, max_moved_gpus=8))
    with pytest.raises(PlanRefused, match=r"at most 1, found 2"):
        check_limits(plan, Limits(max_actions=1))
    with pytest.raises(PlanRefused, match=r"at most 7 GPUs .* found 8"):
        check_limits(plan, Limits(max_moved_gpus=7))


@pytest.mark.parametrize("rule", ["red", "r*", "[rs]ed", "b?ue", "*"])
def test_protected_jobs_are_not_touched(plan, cluster, rule):
    with pytest.raises(PlanRefused, match="protected"):
        check_protected(plan.actions, cluster, Limits(protected=("other", rule)))


def test_jobs_that_only_look_alike_are_not_protected(plan, cluster):
    check_protected(plan.actions, cluster, Limits(protected=("re", "RED", "red-2", "pinned")))


def test_an_id_with_brackets_protects_itself(cluster):
    array = replace(cluster.jobs[0], id="7_[1-3]")
    state = replace(cluster, jobs=(array,))
    touched = plan_for(state, (Recap("7_[1-3]", None, 500.0, "", 0.0),))
    with pytest.raises(PlanRefused, match="protected"):
        check_protected(touched.actions, state, Limits(protected=("7_[1-3]",)))


@pytest.mark.parametrize(
    ("rule", "refused"), [("7", True), ("7_3", True), ("7_*", True), ("7_4", False), ("77", False)]
)
def test_the_id_of_an_array_protects_its_tasks(cluster, rule, refused):
    state = replace(cluster, jobs=(replace(cluster.jobs[0], id="7_3"),))
    with pytest.raises(PlanRefused, match=r"protected jobs: .* 7_3") if refused else nullcontext():
        check_protected((Recap("7_3", None, 500.0, "", 0.0),), state, Limits(protected=(rule,)))


def test_important_jobs_are_protected_from_a_priority_on(plan, cluster):
    check_protected(plan.actions, cluster, Limits(protected_priority=1.5))
    with pytest.raises(PlanRefused, match="priority 1, protected from 1"):
        check_protected(plan.actions, cluster, Limits(protected_priority=1.0))


def test_experts_of_a_protected_job_are_not_moved():
    deployment = SMALL.deployments[0]
    held = deployment.placement[0]
    move = MoveReplicas(deployment.id, 0, (0, 1), held[:2], held[1::-1], "", 0.0)
    with pytest.raises(PlanRefused, match=deployment.job):
        check_protected((move,), SMALL, Limits(protected=(deployment.job,)))


def test_what_the_validator_refuses_is_refused():
    check_verdict(Verdict(True, (Check("power cap", True, "kept"),)))
    with pytest.raises(PlanRefused, match="power cap: 9 W too much"):
        check_verdict(Verdict(False, (Check("signature", True, ""), Check("power cap", False, "9 W too much"))))


@pytest.mark.parametrize("value", [True, 1, "maintenance until noon", "false", ["why"], {"a": 1}])
def test_anything_in_the_switch_freezes(value):
    assert frozen_because(value)


@pytest.mark.parametrize("value", [None, False, 0, "", [], {}])
def test_an_empty_switch_does_not(value):
    assert frozen_because(value) is None


def test_a_reason_cannot_break_the_line():
    assert "\n" not in (frozen_because("a\nb\x1b[31m") or "")


def test_a_plan_some_of_which_is_not_in_force_is_refused_as_a_whole(cluster, plan):
    check_in_force(plan.actions, DryRun(cluster))
    moved = replace(cluster.jobs[1], gpu_power_cap_w=400.0)
    world = DryRun(replace(cluster, jobs=(cluster.jobs[0], moved, *cluster.jobs[2:])))
    with pytest.raises(PlanRefused, match=r"1 of 2 actions .* recap blue"):
        check_in_force(plan.actions, world)


def test_a_job_that_has_ended_is_no_reason(cluster, plan):
    check_in_force(plan.actions, DryRun(replace(cluster, jobs=cluster.jobs[1:])))


def test_where_no_job_of_the_plan_is_there_it_is_another_cluster(cluster, plan):
    with pytest.raises(PlanRefused, match="every target is gone"):
        check_in_force(plan.actions, DryRun(replace(cluster, jobs=cluster.jobs[2:])))


def test_a_service_that_tells_of_another_cluster_by_now_is_found(cluster, plan):
    check_cluster(plan, cluster, DryRun(cluster))
    with pytest.raises(PlanRefused, match="expected two-racks, found production"):
        check_cluster(plan, replace(cluster, cluster="production"), DryRun(cluster))


def test_actions_after_others_on_the_same_job_are_not_asked_for_too_early():
    actions = drawn(SMALL, np.random.default_rng(8), 30)
    check_in_force(actions, DryRun(SMALL))


def test_there_is_room_in_the_cluster_that_the_plan_was_made_for(cluster, plan):
    check_room(plan.actions, cluster)


def test_a_job_that_took_the_place_since_is_found(cluster, plan):
    late = replace(cluster.jobs[2], id="late", placement=(Worker("west-3", (0,)),), gpus_per_worker=1)
    with pytest.raises(PlanRefused, match="west-3 would need 5 GPUs and has 4"):
        check_room(plan.actions, replace(cluster, jobs=(*cluster.jobs, late)))


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"state": "drained"}, "west-3 is drained"),
        ({"unavailable_gpus": (2,)}, "would need 4 GPUs and has 3"),
        ({"id": "x"}, "west-3 is not"),
    ],
    ids=["drained", "broken", "gone"],
)
def test_a_node_that_cannot_be_used_any_more_is_found(cluster, plan, fields, says):
    nodes = tuple(replace(node, **fields) if node.id == "west-3" else node for node in cluster.nodes)
    with pytest.raises(PlanRefused, match=says):
        check_room(plan.actions, replace(cluster, nodes=nodes))


def test_jobs_that_have_ended_leave_room(cluster, plan):
    check_room(plan.actions, replace(cluster, jobs=cluster.jobs[1:]))


def test_the_second_of_two_applies_is_told_who_holds_the_cluster(tmp_path):
    other = replace(BY, run="run-2", pid=2)
    with (
        lease(tmp_path, "a/b", BY, NOON),
        pytest.raises(PlanRefused, match=f"process 1 of tester on here, since {NOON}".replace("+", r"\+")),
        lease(tmp_path, "a/b", other, NOON),
    ):
        pass
    with lease(tmp_path, "a/b", other, NOON):
        pass


def test_two_clusters_do_not_wait_for_one_another(tmp_path):
    with lease(tmp_path, "a/b", BY, NOON), lease(tmp_path, "a_b", BY, NOON):
        pass


def test_of_many_that_race_exactly_one_holds_it(tmp_path):
    outcomes = []
    start, tried = threading.Barrier(8), threading.Barrier(8)

    def race():
        start.wait()
        try:
            with lease(tmp_path, "c", BY, NOON):
                outcomes.append("held")
                tried.wait()
        except PlanRefused:
            outcomes.append("refused")
            tried.wait()

    threads = [threading.Thread(target=race) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["held"] + ["refused"] * 7


def test_a_killed_holder_holds_nothing(tmp_path):
    def hold():
        with lease(tmp_path, "c", BY, NOON):
            die()

    assert killed(hold)
    with lease(tmp_path, "c", BY, NOON):
        pass
