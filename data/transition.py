"""What does an action mean? The state that it turns a snapshot into, and the action that undoes it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar, assert_never

from data.errors import PlanRefused
from data.schemas.checkpoint import Checkpoint
from data.schemas.cluster import Snapshot
from data.schemas.job import Job
from data.schemas.plan import Action, Compress, Migrate, MoveReplicas, Place, Recap, ReplicaLoad, Start
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
        if isinstance(back, Migrate):
            back = replace(back, batch=last_batch - back.batch)
        elif isinstance(back, MoveReplicas):
            shares = {"before_shares": back.after_shares, "after_shares": back.before_shares}
            back = replace(back, order=_backwards(action), **shares)  # type: ignore[arg-type]  # it is the same kind
        undone.append(back)
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


def even_shares(deployment: ExpertDeployment, layer: int) -> tuple[float, ...]:
    """Return the share that each slot takes of its expert's tokens where they are split evenly, ``(slots,)``.

    Over the replicas on ranks that have not failed; over all of an expert that has none there.
    """
    held = deployment.placement[layer]
    speed = deployment.rank_speed or (1.0,) * deployment.ranks
    alive = [speed[slot // deployment.slots_per_rank] > 0.0 for slot in range(len(held))]
    every = Counter(held)
    live = Counter(expert for expert, up in zip(held, alive, strict=True) if up)
    return tuple(
        1.0 / live[expert] if up else 0.0 if live[expert] else 1.0 / every[expert]
        for expert, up in zip(held, alive, strict=True)
    )


def _changed_map(deployment: ExpertDeployment, action: MoveReplicas, where: str) -> ExpertDeployment:
    if action.layer >= deployment.layers or any(slot >= deployment.slots for slot in action.slots):
        raise PlanRefused(f"{where} of {deployment.id}: layer {action.layer} or one of its slots does not exist")
    if not len(action.slots) == len(action.before) == len(action.after):
        raise PlanRefused(f"{where} of {deployment.id}: slots, before and after differ in length")
    if len(set(action.slots)) < len(action.slots):
        raise PlanRefused(f"{where} of {deployment.id}: expected each slot once, found {action.slots}")
    held = list(deployment.placement[action.layer])
    now = tuple(held[slot] for slot in action.slots)
    _must_match(now, action.before, f"{where} of {deployment.id}: layer {action.layer}")
    for slot, expert in zip(action.slots, action.after, strict=True):
        held[slot] = expert
    layers = list(deployment.placement)
    layers[action.layer] = tuple(held)
    moved = replace(deployment, placement=tuple(layers))
    return replace(moved, shares=_changed_shares(deployment, moved, action, f"{where} of {deployment.id}"))


def _changed_shares(
    was: ExpertDeployment, moved: ExpertDeployment, action: MoveReplicas, where: str
) -> tuple[tuple[float, ...], ...]:
    """Return the shares after an action, given the deployment before it and with its experts moved.

    A deployment whose shares are not stated splits evenly; once one layer's are stated, all are, until none differs.
    """
    if not (was.shares or action.before_shares or action.after_shares):
        return ()
    if any(len(shares) not in (0, len(action.slots)) for shares in (action.before_shares, action.after_shares)):
        raise PlanRefused(f"{where}: expected no shares, or one for each of {len(action.slots)} slots")
    rows = list(was.shares) or [even_shares(was, layer) for layer in range(was.layers)]
    row = list(rows[action.layer])
    field = f"{where}: shares of layer {action.layer}"
    if action.before_shares:
        _must_match(tuple(row[slot] for slot in action.slots), action.before_shares, field)
    else:
        _must_match(tuple(row), even_shares(was, action.layer), field)
    if action.after_shares:
        for slot, share in zip(action.slots, action.after_shares, strict=True):
            row[slot] = share
        rows[action.layer] = tuple(row)
        return tuple(rows)
    rows[action.layer] = even_shares(moved, action.layer)
    stated = any(row != even_shares(moved, layer) for layer, row in enumerate(rows))
    return tuple(rows) if stated else ()


def _backwards(action: MoveReplicas) -> tuple[ReplicaLoad, ...]:
    """Return the loads that undo those of ``action``, its last step first."""
    held = dict(zip(action.slots, action.before, strict=True))
    last = max((load.step for load in action.order), default=0)
    undone = []
    for load in action.order:
        # a slot that only parks an expert for a while is not among the slots: it holds in the end what it held
        first = next(each.expert for each in reversed(action.order) if each.slot == load.slot)
        undone.append(replace(load, step=last - load.step, expert=held.get(load.slot, first)))
        held[load.slot] = load.expert
    return tuple(sorted(undone, key=lambda load: (load.step, load.slot)))


def _registered(checkpoint: Checkpoint, action: Compress, where: str) -> Checkpoint:
    _must_match(checkpoint.archive, action.before, f"{where} of {checkpoint.id}: archive")
    return replace(checkpoint, archive=action.after)


def _must_match(now: object, before: object, where: str) -> None:
    if now != before:
        raise PlanRefused(f"{where}: expected {before!r} to be in force, found {now!r}")
