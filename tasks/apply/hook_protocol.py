"""What is a hook told of actions, and what does it answer? One JSON object each way.

It is called as ``HOOK look`` and as ``HOOK carry-out`` with ``{"version": 1, "taken_s": ..., "folder": ...,
"actions": [...]}`` on stdin, the actions as they stand in plan.json. To ``look`` it answers ``{"found": [{"standing":
"before" | "after" | "gone" | "other", "detail": "..."}, ...]}``, one for each action, in order.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from data.errors import ApplyFailed
from data.schemas.plan import Action
from tasks.apply.executor import Found
from tasks.apply.hooks import call
from tasks.report.plain import one_line

_ACTIONS = TypeAdapter(tuple[Action, ...])


@dataclass(frozen=True, slots=True)
class _Answer:
    found: tuple[Found, ...]


_ANSWER = TypeAdapter(_Answer)


def look_by_hook(
    hook: Path, actions: Sequence[Action], timeout_s: float, taken_s: int | None, folder: Path | None = None
) -> tuple[Found, ...]:
    """Return what a hook says is in force for each action's target.

    Raises:
        SourceUnavailable: it took too long, or says that what it acts on cannot be reached.
        ApplyFailed: it failed, or answered something else.
    """
    text = call(hook, "look", timeout_s=timeout_s, stdin=_told(actions, taken_s, folder))
    try:
        found = _ANSWER.validate_json(text).found
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "answer"
        raise ApplyFailed(f"hook {hook} look: {where}: {first['msg']}") from error
    if len(found) != len(actions):
        raise ApplyFailed(f"hook {hook} look: expected {len(actions)} entries in found, found {len(found)}")
    return tuple(Found(each.standing, one_line(each.detail)) for each in found)


def carry_out_by_hook(
    hook: Path, step: Sequence[Action], timeout_s: float, taken_s: int | None, folder: Path | None = None
) -> None:
    """Let a hook bring a step into force; it returns once it is.

    Raises:
        SourceUnavailable: see :func:`look_by_hook`.
        ApplyFailed: it failed.
    """
    call(hook, "carry-out", timeout_s=timeout_s, stdin=_told(step, taken_s, folder))


def _told(actions: Sequence[Action], taken_s: int | None, folder: Path | None) -> str:
    given = {
        "version": 1,
        "taken_s": taken_s,
        "folder": None if folder is None else str(folder),
        "actions": _ACTIONS.dump_python(tuple(actions), mode="json"),
    }
    return json.dumps(given, allow_nan=False)
