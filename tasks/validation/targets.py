"""Does each action name something that it may change, once, and as it is?"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace
from typing import assert_never

from data.errors import PlanRefused
from data.schemas.checkpoint import Checkpoint
from data.schemas.cluster import Snapshot
from data.schemas.job import Job
from data.schemas.plan import Action, AssumedPower, Compress, Migrate, MoveReplicas, Place, Plan, Recap, Start
from data.schemas.routing import ExpertDeployment
from data.transition import apply_actions
from tasks.validation.verdict import Check, judged


def check_targets(plan: Plan, snapshot: Snapshot) -> Check:
    """Check that each action and each assumed power names something of the snapshot to which it applies, once.

    Only a job that holds GPUs migrates, and only a pending one without GPUs is placed; only a pending job gets a
    start. A job's GPUs, cap and start, a layer of a deployment, and a checkpoint are each changed at most once, except
    that a job which steps aside on its way migrates twice.
    """
    jobs = {job.id: job for job in snapshot.jobs}
    deployments = {deployment.id: deployment for deployment in snapshot.deployments}
    checkpoints = {checkpoint.id for checkpoint in snapshot.checkpoints}
    wrong: list[str] = []
    seen: dict[tuple[str, ...], int] = {}
    for number, action in enumerate(plan.actions):
        where = _where(number, action)
        wrong += (f"{where}: {problem}" for problem in _misfits(action, jobs, deployments, checkpoints))
        first = seen.setdefault(_changed(action), number)
        if first != number and not _moves_on(plan.actions[first], action):
            wrong.append(f"{where}: expected to be changed once, found action {first} too")
    wrong += _assumptions(plan.assumed_power, jobs)
    return judged("targets", wrong, f"{len(plan.actions)} actions, each on something of its own")


def check_in_force(plan: Plan, snapshot: Snapshot) -> Check:
    """Check that what each action says to be in force is; but for migrations, actions have distinct targets here."""
    jobs = {job.id: job for job in snapshot.jobs}
    deployments = {deployment.id: deployment for deployment in snapshot.deployments}
    checkpoints = {checkpoint.id: checkpoint for checkpoint in snapshot.checkpoints}
    wrong = []
    for number, action in enumerate(plan.actions):
        now = _in_force(action, jobs, deployments, checkpoints)
        if isinstance(action, Migrate):
            jobs[action.job] = replace(jobs[action.job], placement=action.after)  # it may only step aside there
        if action.before != now:
            wrong.append(f"{_where(number, action)}: expected {action.before!r} to be in force, found {now!r}")
        if isinstance(action, MoveReplicas):
            shares = _shares_in_force(deployments[action.deployment], action)
            if action.before_shares != shares:
                expected = action.before_shares or "an even split"
                wrong.append(f"{_where(number, action)}: expected shares {expected} in force, found {shares}")
    return judged("in force", wrong, "everything is as the actions expect it")


def check_inverse(plan: Plan, snapshot: Snapshot, after: Snapshot) -> Check:
    """Check that the plan's inverse turns the planned state into the one before, exactly."""
    try:
        undone = apply_actions(after, plan.inverse)
    except PlanRefused as error:
        return judged("inverse", [f"inverse, {error}"], "")
    wrong: list[str] = []
    if undone != snapshot:
        for kind, was, found in (
            ("job", snapshot.jobs, undone.jobs),
            ("deployment", snapshot.deployments, undone.deployments),
            ("checkpoint", snapshot.checkpoints, undone.checkpoints),
        ):
            wrong += (f"{kind} {name}: {problem}" for name, problem in _differences(was, found))
    return judged("inverse", wrong, f"{len(plan.inverse)} actions lead back to the state before")


def _moves_on(first: Action, then: Action) -> bool:
    """Tell whether a job that stepped aside by ``first`` moves on by ``then``."""
    return isinstance(first, Migrate) and isinstance(then, Migrate) and first.after == then.before


def _where(number: int, action: Action) -> str:
    return f"action {number} ({action.kind}) of {_changed(action)[1]}"


def _changed(action: Action) -> tuple[str, ...]:
    """Return what the action changes: a field, and whose."""
    match action:
        case Migrate() | Place():
            return ("placement", action.job)
        case Recap() | Start():
            return (action.kind, action.job)
        case MoveReplicas():
            return ("experts", action.deployment, str(action.layer))
        case Compress():
            return ("archive", action.checkpoint)
        case _:
            assert_never(action)


def _misfits(
    action: Action, jobs: Mapping[str, Job], deployments: Mapping[str, ExpertDeployment], checkpoints: set[str]
) -> Iterator[str]:
    match action:
        case Migrate() | Place() | Recap() | Start():
            job = jobs.get(action.job)
            if job is None:
                yield "expected the id of a job of the snapshot, found none"
            else:
                yield from _job_misfits(action, job)
        case MoveReplicas():
            deployment = deployments.get(action.deployment)
            if deployment is None:
                yield "expected the id of a deployment of the snapshot, found none"
            elif action.layer >= deployment.layers:
                yield f"expected a layer below {deployment.layers}, found {action.layer}"
            elif any(slot >= deployment.slots for slot in action.slots):
                yield f"expected slots below {deployment.slots}, found {max(action.slots)}"
            if not len(set(action.slots)) == len(action.slots) == len(action.before) == len(action.after) > 0:
                found = f"slots {action.slots}, before {action.before}, after {action.after}"
                yield f"expected different slots, and one expert before and after for each, found {found}"
            if any(len(shares) not in (0, len(action.slots)) for shares in (action.before_shares, action.after_shares)):
                found = f"{len(action.before_shares)} before and {len(action.after_shares)} after"
                yield f"expected no shares or one for each of {len(action.slots)} slots, found {found}"
        case Compress():
            if action.checkpoint not in checkpoints:
                yield "expected the id of a checkpoint of the snapshot, found none"
            if action.after is None:
                yield "expected an archive, found none"
        case _:
            assert_never(action)


def _job_misfits(action: Migrate | Place | Recap | Start, job: Job) -> Iterator[str]:
    match action:
        case Migrate():
            if not action.before or not action.after:
                yield f"expected GPUs before and after, found {len(action.before)} and {len(action.after)} workers"
        case Place():
            if job.state != "pending" or action.before or not action.after:
                found = f"{job.state}, {len(action.before)} workers before and {len(action.after)} after"
                yield f"expected a pending job that gets GPUs and holds none, found {found}"
        case Start():
            if job.state != "pending":
                yield f"expected a pending job, found one that is {job.state}"
        case Recap():
            return


def _assumptions(assumed: Sequence[AssumedPower], jobs: Mapping[str, Job]) -> Iterator[str]:
    seen: set[str] = set()
    for entry in assumed:
        job = jobs.get(entry.job)
        if job is None:
            yield f"assumed_power of {entry.job}: expected the id of a job of the snapshot, found none"
        elif job.gpu_power_w is not None:
            yield f"assumed_power of {entry.job}: expected no power in the snapshot, found {job.gpu_power_w} W"
        if entry.job in seen:
            yield f"assumed_power of {entry.job}: expected one entry, found more"
        seen.add(entry.job)


def _in_force(
    action: Action,
    jobs: Mapping[str, Job],
    deployments: Mapping[str, ExpertDeployment],
    checkpoints: Mapping[str, Checkpoint],
) -> object:
    match action:
        case Migrate() | Place():
            return jobs[action.job].placement
        case Recap():
            return jobs[action.job].gpu_power_cap_w
        case Start():
            return jobs[action.job].planned_start_s
        case MoveReplicas():
            held = deployments[action.deployment].placement[action.layer]
            return tuple(held[slot] for slot in action.slots)
        case Compress():
            return checkpoints[action.checkpoint].archive
        case _:
            assert_never(action)


def _shares_in_force(deployment: ExpertDeployment, action: MoveReplicas) -> tuple[float, ...]:
    """Return the shares of the action's slots; none where the deployment states none."""
    return tuple(deployment.shares[action.layer][slot] for slot in action.slots) if deployment.shares else ()


def _differences(
    was: Sequence[Job | ExpertDeployment | Checkpoint], found: Sequence[Job | ExpertDeployment | Checkpoint]
) -> Iterator[tuple[str, str]]:
    """Yield the id of each record that differs, and the fields in which it does."""
    for one, other in zip(was, found, strict=True):
        if one != other:
            for field in (each.name for each in fields(one)):
                old, new = getattr(one, field), getattr(other, field)
                if old != new:
                    yield one.id, f"{field}: expected {old!r} again, found {new!r}"
