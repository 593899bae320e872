"""What does the journal of an apply say? One entry for each thing that is about to happen, or that has happened."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, with_config

from data.schemas.plan import Action
from data.schemas.units import RECORD, Id, Sha256

Position = Annotated[int, Field(ge=0)]
"""Which action, counted from 0 in the order of the journal's ``open`` entry; or which step."""

Outcome = Literal["applied", "rolled-back", "partly-rolled-back"]


@with_config(RECORD)
@dataclass(frozen=True, slots=True)
class Process:
    """Who writes the journal.

    Args:
        run: id of the Prefect run; empty where there is none.
        user: of the operating system.
    """

    run: str
    host: str
    pid: int
    user: str


@with_config(RECORD)
@dataclass(frozen=True, slots=True)
class Left:
    """An action that was not carried out, or not undone.

    Args:
        gone: its job has ended, so that there is nothing to do; else somebody has to look.
    """

    action: Position
    why: str
    gone: bool = False


@with_config(RECORD)
@dataclass(frozen=True, slots=True)
class Opened:
    """The first entry: which plan, for which cluster, through which executor, approved by whom.

    Args:
        plan: path of the plan's file.
        file_sha256: of the file's bytes, as they were approved.
        plan_sha256: the plan's own digest.
        executor: its kind.
        options: of the executor, as JSON, so that the same one resumes.
        notes: what was found and did not stand in the way.
        actions: of the plan, so that the journal alone is enough to undo them.
    """

    by: Process
    cluster: Id
    plan: str
    file_sha256: Sha256
    plan_sha256: Sha256
    snapshot_sha256: Sha256
    snapshot_taken_at: str
    executor: str
    options: str
    approved_by: str
    comment: str
    notes: tuple[str, ...]
    actions: tuple[Action, ...]
    kind: Literal["open"] = "open"


@with_config(RECORD)
@dataclass(frozen=True, slots=True)
class Resumed:
    """Somebody goes on where a process ended: on with the plan, or back to what was before."""

    by: Process
    way: Literal["on", "back"]
    kind: Literal["resume"] = "resume"


@with_config(RECORD)
@dataclass(frozen=True, slots=True)
class Begun:
    """A step is about to be carried out; what stands in ``skipped`` is not."""

    step: Position
    actions: tuple[Position, ...]
    skipped: tuple[Left, ...] = ()
    kind: Literal["begin"] = "begin"


@with_config(RECORD)
@dataclass(frozen=True, slots=True)
class Done:
    """A step is in force, as it was seen afterwards."""

    step: Position
    found: tuple[str, ...]
    kind: Literal["done"] = "done"


@with_config(RECORD)
@dataclass(frozen=True, slots=True)
class Failed:
    """A step did not get there, or was not as the plan found it; what was done is rolled back from here on."""

    step: Position
    why: str
    kind: Literal["fail"] = "fail"


@with_config(RECORD)
@dataclass(frozen=True, slots=True)
class UndoBegun:
    """Actions are about to be undone together."""

    actions: tuple[Position, ...]
    kind: Literal["undo-begin"] = "undo-begin"


@with_config(RECORD)
@dataclass(frozen=True, slots=True)
class UndoDone:
    """Actions were dealt with: all of them are as they were before, but those in ``left``."""

    actions: tuple[Position, ...]
    left: tuple[Left, ...] = ()
    kind: Literal["undo-done"] = "undo-done"


@with_config(RECORD)
@dataclass(frozen=True, slots=True)
class Ended:
    """Nothing is under way any more."""

    outcome: Outcome
    kind: Literal["end"] = "end"


Entry = Annotated[Opened | Resumed | Begun | Done | Failed | UndoBegun | UndoDone | Ended, Field(discriminator="kind")]


@with_config(RECORD)
@dataclass(frozen=True, slots=True)
class Line:
    """A line of a journal.

    Args:
        sequence: counted from 0.
        at: when it was written, ISO 8601 in UTC.
        previous: ``sha256`` of the line before; zeros before the first.
        sha256: of the line's text up to this field.
    """

    sequence: Annotated[int, Field(ge=0)]
    at: str
    previous: Sha256
    entry: Entry
    sha256: Sha256
