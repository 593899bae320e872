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
    """Return the loads of each step, in order; an action that names no order loads all at once.

    Raises:
        BadRecord: the action does not name what each of its slots holds before and after.
    """
    _require_one_each(action, "before", action.before)
    _require_one_each(action, "after", action.after)
    if not action.order:
        changes = zip(action.slots, action.before, action.after, strict=True)
        at_once = tuple(ReplicaLoad(0, slot, after) for slot, before, after in changes if before != after)
        return (at_once,) if at_once else ()
    ordered = sorted(action.order, key=lambda load: load.step)
    return tuple(tuple(step) for _, step in groupby(ordered, key=lambda load: load.step))


def split_anew(action: MoveReplicas) -> tuple[tuple[int, float], ...] | None:
    """Return slots and their shares where tokens are split anew, empty where evenly; None where nothing changes.

    Raises:
        BadRecord: the action names shares, and not one for each of its slots.
    """
    if action.after_shares == action.before_shares:
        return None
    if not action.after_shares:
        return ()
    _require_one_each(action, "after_shares", action.after_shares)
    return tuple(zip(action.slots, action.after_shares, strict=True))


def _require_one_each(action: MoveReplicas, field: str, values: Sequence[object]) -> None:
    """Refuse what a plan may say that nobody has validated."""
    if len(values) != len(action.slots):
        place = f"plan: {action.deployment}, layer {action.layer}: {field}"
        raise BadRecord(place, f"one for each of {len(action.slots)} slots", len(values))


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
