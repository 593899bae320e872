"""What does an action mean? The state that it turns a snapshot into, and the action that undoes it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar, assert_never

from data.errors import PlanRefused
from data.schemas.checkpoint import Checkpoint
from data.schemas.cluster import Snapshot
from data.schemas.job import Job
from data.schemas.plan import Action, Compress, Migrate, MoveReplicas, Place, Recap, Start
from data.schemas.routing import ExpertDeployment

Record = TypeVar("Record")


def apply_actions(snapshot: Snapshot, actions: Sequence[Action]) -> Snapshot:
    """Return the state after ``actions``, made in order.

    The result may contradict itself where the actions do (two jobs on one GPU);
    :func:`data.crosscheck.cross_check` tells.

    Raises:
        PlanRefused: an action names something unknown, or its ``before`` is not what is in force.
    """
    jobs = {job.id: job for job in snapshot.jobs}
    deployments = {deployment.id: deployment for deployment in snapshot.deployments}
    checkpoints = {checkpoint.id: checkpoint for checkpoint in snapshot.checkpoints}
    for number, action in enumerate(actions):
        where = f"action {number} ({action.kind})"
        match action:
            case Migrate() | Place() | Recap() | Start():
                jobs[action.job] = _changed_job(_known(jobs, action.job, where), action, where)
            case MoveReplicas():
                deployment = _known(deployments, action.deployment, where)
                deployments[deployment.id] = _changed_map(deployment, action, where)
            case Compress():
                checkpoint = _known(checkpoints, action.checkpoint, where)
                checkpoints[checkpoint.id] = _registered(checkpoint, action, where)
            case _:
                assert_never(action)
    return replace(
        snapshot,
        jobs=tuple(jobs.values()),
        deployments=tuple(deployments.values()),
        checkpoints=tuple(checkpoints.values()),
    )


def inverse(actions: Sequence[Action]) -> tuple[Action, ...]:
    """Return the actions that undo ``actions``: the last first, each with before and after exchanged."""
    last_batch = max((action.batch for action in actions if isinstance(action, Migrate)), default=0)
    undone: list[Action] = []
    for action in reversed(actions):
        back = replace(action, before=action.after, after=action.before, reason="undo", gain=-action.gain)  # type: ignore[arg-type]  # each kind keeps its own type
        undone.append(replace(back, batch=last_batch - back.batch) if isinstance(back, Migrate) else back)
    return tuple(undone)


def _known(records: dict[str, Record], identifier: str, where: str) -> Record:
    record = records.get(identifier)
    if record is None:
        raise PlanRefused(f"{where}: expected an id of the snapshot, found {identifier!r}")
    return record


def _changed_job(job: Job, action: Migrate | Place | Recap | Start, where: str) -> Job:
    match action:
        case Migrate() | Place():
            _must_match(job.placement, action.before, f"{where} of {job.id}: placement")
            return replace(job, placement=action.after)
        case Recap():
            _must_match(job.gpu_power_cap_w, action.before, f"{where} of {job.id}: gpu_power_cap_w")
            return replace(job, gpu_power_cap_w=action.after)
        case Start():
            _must_match(job.planned_start_s, action.before, f"{where} of {job.id}: planned_start_s")
            return replace(job, planned_start_s=action.after)


def _changed_map(deployment: ExpertDeployment, action: MoveReplicas, where: str) -> ExpertDeployment:
    if action.layer >= deployment.layers or any(slot >= deployment.slots for slot in action.slots):
        raise PlanRefused(f"{where} of {deployment.id}: layer {action.layer} or one of its slots does not exist")
    if not len(action.slots) == len(action.before) == len(action.after):
        raise PlanRefused(f"{where} of {deployment.id}: slots, before and after differ in length")
    held = list(deployment.placement[action.layer])
    now = tuple(held[slot] for slot in action.slots)
    _must_match(now, action.before, f"{where} of {deployment.id}: layer {action.layer}")
    for slot, expert in zip(action.slots, action.after, strict=True):
        held[slot] = expert
    layers = list(deployment.placement)
    layers[action.layer] = tuple(held)
    return replace(deployment, placement=tuple(layers))


def _registered(checkpoint: Checkpoint, action: Compress, where: str) -> Checkpoint:
    _must_match(checkpoint.archive, action.before, f"{where} of {checkpoint.id}: archive")
    return replace(checkpoint, archive=action.after)


def _must_match(now: object, before: object, where: str) -> None:
    if now != before:
        raise PlanRefused(f"{where}: expected {before!r} to be in force, found {now!r}")
