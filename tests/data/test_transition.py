"""What actions mean: they need what is in force, and their inverse takes everything back."""

from dataclasses import replace

import pytest

from data.errors import PlanRefused
from data.schemas.checkpoint import Archive, Checkpoint
from data.schemas.cluster import Snapshot
from data.schemas.job import Worker
from data.schemas.plan import Action, Compress, Migrate, MoveReplicas, Place, Recap, Start
from data.schemas.routing import ExpertDeployment
from data.transition import apply_actions, inverse

WHOLE = (0, 1, 2, 3)


@pytest.fixture
def state(cluster: Snapshot) -> Snapshot:
    deployment = ExpertDeployment("moe", "red", 4, 1, (((1.0, 2.0, 3.0),),), ((0, 1, 2, 2),))
    checkpoint = Checkpoint("red-9", "red", "red.safetensors", "safetensors")
    return replace(cluster, deployments=(deployment,), checkpoints=(checkpoint,))


@pytest.fixture
def actions(state: Snapshot) -> tuple[Action, ...]:
    red, blue = state.jobs[0].placement, state.jobs[1].placement
    east = (Worker("east-0", WHOLE), Worker("east-1", WHOLE))
    west = (Worker("west-0", WHOLE), Worker("west-1", WHOLE))
    return (
        Migrate("red", red, east, 0, "together", 1.0),
        Migrate("blue", blue, west, 0, "together", 1.0),
        Place("waiting", (), (Worker("west-2", WHOLE), Worker("west-3", WHOLE)), "room", 2.0),
        Start("waiting", None, 300.0, "power", 1.0),
        Recap("red", None, 700.0, "cap", 0.5),
        MoveReplicas("moe", 0, (3,), (2,), (1,), "balance", 0.1),
        Compress("red-9", None, Archive("red-9.qfz", "0" * 64, 10), "smaller", 5.0),
    )


def test_the_inverse_restores_the_state(state: Snapshot, actions: tuple[Action, ...]) -> None:
    after = apply_actions(state, actions)
    assert after != state
    assert apply_actions(after, inverse(actions)) == state


def test_each_kind_changes_its_field(state: Snapshot, actions: tuple[Action, ...]) -> None:
    after = apply_actions(state, actions)
    jobs = {job.id: job for job in after.jobs}
    assert jobs["red"].placement[1].node == "east-1"
    assert jobs["red"].gpu_power_cap_w == 700.0
    assert jobs["waiting"].planned_start_s == 300.0
    assert after.deployments[0].placement == ((0, 1, 2, 1),)
    archive = after.checkpoints[0].archive
    assert archive is not None
    assert archive.path == "red-9.qfz"


@pytest.mark.parametrize("number", range(7))
def test_an_action_whose_before_is_not_in_force_is_refused(
    state: Snapshot, actions: tuple[Action, ...], number: int
) -> None:
    once = apply_actions(state, actions)
    with pytest.raises(PlanRefused, match=actions[number].kind):
        apply_actions(once, (actions[number],))


def test_an_unknown_target_is_refused(state: Snapshot) -> None:
    with pytest.raises(PlanRefused, match="ghost"):
        apply_actions(state, (Recap("ghost", None, 700.0, "", 0.0),))


def test_a_slot_that_does_not_exist_is_refused(state: Snapshot) -> None:
    with pytest.raises(PlanRefused, match="does not exist"):
        apply_actions(state, (MoveReplicas("moe", 0, (9,), (2,), (1,), "", 0.0),))


def test_a_slot_that_is_changed_twice_at_once_is_refused(state: Snapshot) -> None:
    with pytest.raises(PlanRefused, match=r"each slot once, found \(3, 3\)"):
        apply_actions(state, (MoveReplicas("moe", 0, (3, 3), (2, 2), (1, 0), "", 0.0),))


def test_undone_migrations_run_in_the_reverse_order_of_batches() -> None:
    moves = tuple(
        Migrate(f"j{batch}", (Worker(f"a{batch}", (0,)),), (Worker(f"b{batch}", (0,)),), batch, "", 0.0)
        for batch in range(3)
    )
    undone = [move for move in inverse(moves) if isinstance(move, Migrate)]
    assert [(move.job, move.batch) for move in undone] == [("j2", 0), ("j1", 1), ("j0", 2)]
