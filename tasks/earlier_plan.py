"""What did the last plan decide, and how much of it is left today? For flows that run again and again."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from data.errors import PlanRefused
from data.readers.plan import find_plan
from data.schemas.cluster import Snapshot
from data.schemas.plan import Action, Migrate, MoveReplicas, Place, Recap, Start

Key = tuple[str | int, ...]
"""What a change is about, the name of its problem first."""

Aim = tuple[str, ...] | float | int | None
"""Where it leads: nodes of a job, watts, slot of a start, expert of a slot."""


@dataclass(frozen=True, slots=True)
class EarlierPlan:
    """What an earlier plan wanted, told from the present.

    Args:
        actions: in their order, starts counted from the present snapshot.
        notes: which plan it was, or why none was used.
    """

    actions: tuple[Action, ...] = ()
    notes: tuple[str, ...] = ()


def earlier_plan(path: Path | None, snapshot: Snapshot, nouns: Sequence[str]) -> EarlierPlan:
    """Return what the plan at ``path`` wants of ``snapshot``; one that cannot serve is a note, not an error.

    Args:
        path: a plan, the folder of a run, or a folder of runs; None for no plan.
        snapshot: the present state.
        nouns: what is to be planned: in a folder of runs, the newest plan for all of them is taken.
    """
    if path is None:
        return EarlierPlan()
    try:
        plan = find_plan(path, snapshot.cluster, nouns)
    except PlanRefused as error:
        return EarlierPlan(notes=(f"planned without the last plan: {error}",))
    age_s = (_moment(snapshot.taken_at) - _moment(plan.snapshot_taken_at)).total_seconds()
    actions = tuple(_later(action, age_s) for action in plan.actions)
    note = f"begun at the last plan, {plan.sha256[:12]} for the state of {plan.snapshot_taken_at}, {_ago(age_s)}"
    return EarlierPlan(actions, (note,))


def kept_note(name: str, earlier: Sequence[Action], possible: Sequence[Action], made: Sequence[Action]) -> str:
    """Return how much of an earlier plan is left, in plain words; empty if it says nothing of this problem.

    Args:
        name: of the problem.
        earlier: all actions of the earlier plan.
        possible: what of them can be done today, as actions of today.
        made: actions of the new plan.
    """
    wanted = [key for key in aims(earlier) if key[0] == name]
    if not wanted:
        return ""
    left, now = aims(possible), aims(made)
    same = sum(key in now and now[key] == aim for key, aim in left.items())
    return f"{name}: kept from the last plan {same} of {len(left)} changes that are left of its {len(wanted)}"


def aims(actions: Sequence[Action]) -> dict[Key, Aim]:
    """Return what ``actions`` lead to, by what they change; of several steps of a job the last counts."""
    result: dict[Key, Aim] = {}
    for action in actions:
        if isinstance(action, Migrate | Place):
            result["placement", action.job] = tuple(sorted(worker.node for worker in action.after))
        elif isinstance(action, Recap):
            result["power", action.job, "cap"] = action.after
        elif isinstance(action, Start):
            result["power", action.job, "start"] = action.after
        elif isinstance(action, MoveReplicas):
            for slot, expert in zip(action.slots, action.after, strict=True):
                result[f"routing:{action.deployment}", action.layer, slot] = expert
    return result


def _later(action: Action, by_s: float) -> Action:
    """Return an action of a plan told ``by_s`` seconds later: starts count from the snapshot."""
    if not isinstance(action, Start):
        return action
    before, after = (None if each is None else max(0.0, each - by_s) for each in (action.before, action.after))
    return replace(action, before=before, after=after)


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _ago(seconds: float) -> str:
    if seconds < 0:
        return f"{-seconds / 60:.0f} min later than this one"
    return f"{seconds / 60:.0f} min before this one" if seconds < 7200 else f"{seconds / 3600:.0f} h before this one"
