"""What does an action touch? For telling which actions of a plan depend on one another, and on whose jobs."""

from collections.abc import Mapping, Sequence
from typing import assert_never

from data.schemas.cluster import Snapshot
from data.schemas.job import Worker
from data.schemas.plan import Action, Compress, Migrate, MoveReplicas, Place, Recap, Start
from tasks.report.order import steps

Target = tuple[str | int, ...]
"""One thing that an action changes: a job's place, cap or start, an expert slot, a checkpoint's archive."""


def targets(action: Action) -> tuple[Target, ...]:
    """Return everything that ``action`` changes."""
    match action:
        case Migrate() | Place():
            return (("place", action.job),)
        case Recap():
            return (("cap", action.job),)
        case Start():
            return (("start", action.job),)
        case MoveReplicas():
            return tuple(("slot", action.deployment, action.layer, slot) for slot in action.slots)
        case Compress():
            return (("archive", action.checkpoint),)
        case _:
            assert_never(action)


def single_steps(actions: Sequence[Action]) -> tuple[tuple[Action, ...], ...]:
    """Return the steps in which ``actions`` are carried out, in order, none of which changes one thing twice.

    They are those of :func:`tasks.report.order.steps`; only what changes the same thing again begins a new one, since
    whoever looks at a step afterwards could not tell its first change from a failure.
    """
    found: list[tuple[Action, ...]] = []
    for step in steps(actions):
        part: list[Action] = []
        changed: set[Target] = set()
        for action in step:
            if not changed.isdisjoint(targets(action)):
                found.append(tuple(part))
                part, changed = [], set()
            part.append(action)
            changed.update(targets(action))
        found.append(tuple(part))
    return tuple(found)


def starts_first(actions: Sequence[Action]) -> tuple[Action, ...]:
    """Return ``actions`` with the starts that are put off before the GPUs that the same jobs are given.

    A scheduler starts a job that may start as soon as it has where to run.
    """
    placed = {action.job for action in actions if isinstance(action, Place)}
    off = [
        action
        for action in actions
        if isinstance(action, Start) and action.job in placed and (action.after is None or action.after > 0.0)
    ]
    return (*off, *(action for action in actions if action not in off))


def untouched(actions: Sequence[Action]) -> tuple[int, ...]:
    """Return the positions of ``actions`` none of whose targets an earlier one changes.

    Their ``before`` is what is in force before the plan begins; that of the others is what the earlier ones leave.
    """
    seen: set[Target] = set()
    first = []
    for position, action in enumerate(actions):
        changed = targets(action)
        if seen.isdisjoint(changed):
            first.append(position)
        seen.update(changed)
    return tuple(first)


def job_of(action: Action, deployments: Mapping[str, str]) -> str | None:
    """Return the job that feels ``action``; None for an archive, which no job notices.

    Args:
        action: of a plan.
        deployments: job of each deployment.
    """
    match action:
        case Migrate() | Place() | Recap() | Start():
            return action.job
        case MoveReplicas():
            return deployments.get(action.deployment)
        case Compress():
            return None


def jobs_of_deployments(snapshot: Snapshot) -> dict[str, str]:
    """Return the job that each deployment of ``snapshot`` belongs to."""
    return {deployment.id: deployment.job for deployment in snapshot.deployments}


def gpus_of(workers: Sequence[Worker]) -> frozenset[tuple[str, int]]:
    """Return the GPUs that ``workers`` hold, as (node, index)."""
    return frozenset((worker.node, gpu) for worker in workers for gpu in worker.gpus)


def gpus_after(action: Action) -> frozenset[tuple[str, int]]:
    """Return the GPUs that ``action`` gives to its job; none where it gives none."""
    return gpus_of(action.after) if isinstance(action, Migrate | Place) else frozenset()
