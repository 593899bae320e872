"""In which order is a plan carried out, and at which time of the clock?"""

from collections.abc import Sequence
from datetime import datetime
from itertools import groupby

from data.errors import BadRecord
from data.schemas.plan import Action, Migrate, Plan


def steps(actions: Sequence[Action]) -> tuple[tuple[Action, ...], ...]:
    """Return ``actions`` in order, neighbours of one kind together.

    Migrations are one step per batch: all jobs of a batch stop before any of them starts, and a batch begins when
    the one before it has ended.
    """
    return tuple(tuple(step) for _, step in groupby(actions, key=_step))


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
