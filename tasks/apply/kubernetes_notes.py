"""Which ConfigMap tells of a power cap, a start, an expert map or an archive, and what stands in it?

Kubernetes itself knows none of these: whoever caps GPUs, starts jobs, loads experts or restores checkpoints reads them
there. That a map says so is all that an executor can see.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from data.schemas.plan import Compress, MoveReplicas, Recap, Start
from tasks.apply.executor import Found
from tasks.apply.plan_origin import start_s
from tasks.report.kubernetes_objects import config_map, key_of, layer_data, object_name, stamp

Data = dict[str, str]

_APPLIED = "applied"
"""The label that tells these maps from those of a file that a person applies step by step."""


@dataclass(frozen=True, slots=True, eq=False)
class Note:
    """What an action writes.

    Args:
        kind: of the map, before its name is made one of Kubernetes.
        meaning: of its values.
        change: makes its data anew from what it holds.
        shown: what it says of the action's target, for a message.
        before: tells whether the data is that before the action.
        after: tells whether the data is that after it.
    """

    kind: str
    meaning: str
    change: Callable[[Data], Data]
    shown: Callable[[Data], str]
    before: Callable[[Data], bool]
    after: Callable[[Data], bool]

    @property
    def name(self) -> str:
        """Of the ConfigMap."""
        return f"quantumflow-{object_name(self.kind)}"

    def document(self, data: Data) -> dict[str, Any]:
        """Return the ConfigMap that is applied to one that holds ``data``."""
        return config_map(self.kind, _APPLIED, self.meaning, self.change(data))

    def found(self, data: Data) -> Found:
        """Return where the action stands, given what the map holds."""
        told = f"ConfigMap {self.name} says {self.shown(data)}"
        return Found("after" if self.after(data) else "before" if self.before(data) else "other", told)


def note_of(action: Recap | Start | MoveReplicas | Compress, taken_s: int | None) -> Note:
    """Return what ``action`` writes.

    Args:
        action: of a plan.
        taken_s: Unix seconds of the plan's snapshot; only starts need it.

    Raises:
        ApplyFailed: a start is set, and it is not known when the snapshot was taken.
    """
    match action:
        case Recap():
            return _value("power-caps", "watts of each GPU of a job, or max", key_of(action.job),
                          _watts(action.before), _watts(action.after), {None, "max"})  # fmt: skip
        case Start():
            planned = [
                "" if at is None else stamp(start_s(taken_s, at, action.job)) for at in (action.before, action.after)
            ]
            return _value("start-times", "earliest start of a pending job; empty: not scheduled", key_of(action.job),
                          planned[0], planned[1], {None, ""})  # fmt: skip
        case Compress():
            archives = [
                None
                if archive is None
                else json.dumps({"path": archive.path, "sha256": archive.sha256, "bytes": archive.size_bytes})
                for archive in (action.before, action.after)
            ]
            return _value("archives", "verified archives of checkpoints", key_of(action.checkpoint),
                          archives[0], archives[1], {None})  # fmt: skip
        case MoveReplicas():
            return _experts(action)


def _value(kind: str, meaning: str, key: str, before: str | None, after: str | None, none: set[str | None]) -> Note:
    """Return the note of one value; ``none`` are those that mean the same as no entry."""

    def change(data: Data) -> Data:
        rest = {each: value for each, value in data.items() if each != key}
        return rest if after is None else {**rest, key: after}

    def same(data: Data, wanted: str | None) -> bool:
        found = data.get(key)
        return found == wanted or (found in none and wanted in none)

    return Note(
        kind,
        meaning,
        change,
        lambda data: f"{key}: {data.get(key, 'nothing')}",
        # a value that nobody has noted yet may be what some other source told the plan
        lambda data: same(data, before) or key not in data,
        lambda data: same(data, after),
    )


def _experts(action: MoveReplicas) -> Note:
    layer = f"layer-{action.layer}"
    key, steps = f"{layer}.json", f"{layer}.steps.json"

    def held(data: Data, key: str) -> dict[str, Any]:
        try:
            found = json.loads(data.get(key, "{}"))
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    def as_before(data: Data) -> bool:
        """Tell whether each slot holds what it did, or was in no earlier plan."""
        found = held(data, key)
        return all(
            found.get(str(slot), expert) == expert for slot, expert in zip(action.slots, action.before, strict=True)
        )

    def change(data: Data) -> Data:
        """Return the data with what earlier plans noted of other slots, and the steps of this plan alone."""
        made = layer_data(action)
        slots = {each: {**held(data, each), **json.loads(text)} for each, text in made.items() if each != steps}
        rest = {each: value for each, value in data.items() if each != steps}
        return {**rest, **made, **{each: json.dumps(value) for each, value in slots.items()}}

    return Note(
        f"experts-{key_of(action.deployment)}",
        "expert in each slot that a plan changed",
        change,
        lambda data: f"{key}: {data.get(key, 'nothing')}",
        as_before,
        lambda data: change(data) == data,
    )


def _watts(cap_w: float | None) -> str:
    return "max" if cap_w is None else f"{cap_w:.10g}"
