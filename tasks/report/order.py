"""In which order is a plan carried out, and at which time of the clock?"""

from collections.abc import Sequence
from datetime import datetime
from itertools import groupby

from data.errors import BadRecord
from data.schemas.plan import Action, Migrate, MoveReplicas, Plan, ReplicaLoad


def steps(actions: Sequence[Action]) -> tuple[tuple[Action, ...], ...]:
    """Return ``actions`` in order, neighbours of one kind together.

    Migrations are one step per batch: all jobs of a batch stop before any of them starts, and a batch begins when
    the one before it has ended.
    """
    return tuple(tuple(step) for _, step in groupby(actions, key=_step))


def loads(action: MoveReplicas) -> tuple[tuple[ReplicaLoad, ...], ...]:
    """Return the loads of each step, in order; an action that names no order loads all at once."""
    if not action.order:
        changes = zip(action.slots, action.before, action.after, strict=True)
        at_once = tuple(ReplicaLoad(0, slot, after) for slot, before, after in changes if before != after)
        return (at_once,) if at_once else ()
    ordered = sorted(action.order, key=lambda load: load.step)
    return tuple(tuple(step) for _, step in groupby(ordered, key=lambda load: load.step))


def split_anew(action: MoveReplicas) -> tuple[tuple[int, float], ...] | None:
    """Return slots and their shares where tokens are split anew, empty where evenly; None where nothing changes."""
    if action.after_shares == action.before_shares:
        return None
    return tuple(zip(action.slots, action.after_shares, strict=True)) if action.after_shares else ()


def taken_at(plan: Plan) -> int:
    """Return when the plan's snapshot was taken, in Unix seconds; start times count from there.

    Raises:
        BadRecord: the plan does not say so in ISO 8601 with an offset.
    """
    try:
        moment = datetime.fromisoformat(plan.snapshot_taken_at)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise BadRecord("plan: snapshot_taken_at", "a time in ISO 8601 with an offset", plan.snapshot_taken_at)
    return round(moment.timestamp())


def _step(action: Action) -> tuple[str, int]:
    return action.kind, action.batch if isinstance(action, Migrate) else 0
