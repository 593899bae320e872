"""What do all applies share? Who holds the cluster, who carries out, what is logged, and how it is told in the end."""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from getpass import getuser
from pathlib import Path
from time import sleep

from prefect.runtime import flow_run
from pydantic import TypeAdapter

from data.errors import ApplyFailed, SourceUnavailable
from data.readers.sources import Source
from data.schemas.apply import Entry, Opened, Outcome, Process
from data.schemas.plan import Action, Plan
from data.transition import apply_actions
from flows.apply_artifacts import headline, show_outcome
from flows.apply_params import DryRunForm, ExecutorForm
from flows.apply_server import require_server, slot
from flows.journals import applies_folder
from flows.logs import SHORT, Line, RunLog
from tasks.apply.diff import told_entry
from tasks.apply.dry_run import DryRun
from tasks.apply.executor import Executor
from tasks.apply.journal import Journal, Listener
from tasks.apply.lease import lease
from tasks.apply.loop import Applied, Patient, go_on
from tasks.apply.progress import progress_of
from tasks.apply.reviewed import read_reviewed

PROTECTED = "QUANTUMFLOW_PROTECTED"
"""Environment variable: patterns of jobs that no form can unprotect."""

SOURCE: TypeAdapter[Source] = TypeAdapter(Source)

WAITS_S = (2.0, 10.0, 30.0, 60.0)
"""Seconds before a cluster that did not answer is asked again."""


class RolledBack(ApplyFailed):
    """What was done of a plan is undone, as far as can be.

    Args:
        message: what happened, and where it is written down.
        outcome: whether all is undone.
    """

    def __init__(self, message: str, outcome: Outcome) -> None:
        super().__init__(message, outcome)
        self.outcome = outcome

    def __str__(self) -> str:
        return str(self.args[0])


class CutOff(SourceUnavailable):
    """The cluster or the journal's disk did not answer on the way; the message says how to go on."""


def always_protected() -> tuple[str, ...]:
    """Return the jobs that the environment protects."""
    return tuple(name.strip() for name in os.environ.get(PROTECTED, "").split(",") if name.strip())


def live_source(plan: Plan) -> Source | None:
    """Return the service that the plan's state was read from, so that it can be read again; None for files."""
    try:
        source = SOURCE.validate_python(json.loads(plan.options)["source"])
    except (ValueError, LookupError, TypeError):
        return None
    return source if source.live else None


def this_process() -> Process:
    """Return who carries out."""
    return Process(str(flow_run.id or ""), socket.gethostname(), os.getpid(), getuser())


def now() -> datetime:
    """Return the time, for ages and for the lines of a journal."""
    return datetime.now(UTC)


def logged(log: RunLog, actions: tuple[Action, ...]) -> Listener:
    """Return a listener that tells each entry of a journal once it is on disk."""

    def listen(entry: Entry) -> None:
        bad = entry.kind == "fail"
        log.tell(Line(f"apply.{entry.kind}", told_entry(entry, actions), level="warning" if bad else "info"))

    return listen


@contextmanager
def held(cluster: str, executor: str, *, alone: bool, wait_s: float) -> Iterator[None]:
    """Hold a cluster against every other apply, on this machine and, through the server, on all others.

    Rehearsals hold it against one another only.

    Raises:
        PlanRefused: somebody else holds it; says who.
    """
    rehearsal = executor == "dry-run"
    key = f"{cluster} rehearsal" if rehearsal else cluster  # no id has a space
    with ExitStack() as stack:
        stack.enter_context(lease(applies_folder(), key, this_process(), now().isoformat(timespec="seconds")))
        if not rehearsal and require_server(alone=alone):
            stack.enter_context(slot(wait_s))
        yield


def executor_of(form: ExecutorForm, taken_s: int, folder: Path) -> ExecutorForm:
    """Return the executor with what it must know of the plan, which no form may say."""
    return form if isinstance(form, DryRunForm) else replace(form, taken_s=taken_s, folder=folder)


def settled(journal: Journal, form: ExecutorForm, log: RunLog) -> Applied:
    """Go on with a journal to its end, and show how it ended.

    Raises:
        CutOff: the cluster did not answer, or something failed that nobody expected; says how to go on.
    """
    progress = progress_of(journal.entries)
    log.know(cluster=progress.opened.cluster, plan=progress.opened.plan_sha256[:SHORT])
    executor: Executor
    if isinstance(form, DryRunForm):
        reviewed = read_reviewed(Path(progress.opened.plan), progress.opened.file_sha256)
        executor = DryRun(apply_actions(reviewed.snapshot, progress.in_force))
    else:
        executor = Patient(form, WAITS_S, sleep)
    try:
        applied = go_on(journal, executor)
    except Exception as error:  # whatever it was, the cluster is changed, and its journal open
        what = str(error) if isinstance(error, SourceUnavailable) else f"{type(error).__name__}: {error}"
        raise CutOff(
            f"{what}. The apply is cut off; its journal says how far it came: once that is mended, "
            f"python -m flows apply --resume {journal.path}, or --rollback {journal.path}"
        ) from error
    log.tell(Line("apply.ended", headline(applied), {"outcome": applied.outcome, "journal": str(applied.journal)}))
    return applied


def told(applied: Applied, opened: Opened, log: RunLog, *, wanted: Outcome) -> str:
    """Publish how an apply ended, and return its journal.

    A server that does not take what is published changes nothing about how it ended: that is logged.

    Raises:
        RolledBack: it did not end as ``wanted``.
    """
    try:
        show_outcome(applied, opened)
    except Exception as error:  # Prefect's client raises what httpx does, and its own
        log.tell(Line("apply.unpublished", f"how the apply ended was not published: {error}", level="warning"))
    if applied.outcome != wanted:
        why = f" Why: {applied.why}." if applied.why else ""
        raise RolledBack(f"{headline(applied)}{why} Journal: {applied.journal}", applied.outcome)
    return str(applied.journal)
