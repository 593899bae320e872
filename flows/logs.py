"""What does a run say while it works? A line for each thing decided, with the ids of run, snapshot and plan as fields.

The same lines go to Prefect (so that its UI shows them), into ``events.jsonl`` of the run's folder, and, where the
environment asks for it, as JSON to standard error (``QUANTUMFLOW_LOG_FORMAT=json``) or to the end of a file
(``QUANTUMFLOW_LOG_FILE``). A line never breaks, steers no terminal and holds no secret that is known, whatever jobs are
called; and a log that cannot be written is no reason for a run to fail.
"""

import json
import logging
import math
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, TextIO

from prefect.exceptions import MissingContextError
from prefect.logging import get_run_logger
from prefect.runtime import flow_run

from flows.masked import masked, secrets_of
from flows.run_folder import RunFolder
from flows.watch import listening
from tasks.report.plain import one_line

FORMAT, FILE = "QUANTUMFLOW_LOG_FORMAT", "QUANTUMFLOW_LOG_FILE"
FORMATS = ("text", "json")
EVENTS = "events.jsonl"
SHORT = 12
"""Characters of a digest in a line."""

LONGEST = 2_000
"""Characters of a message or of a field."""

MOST = 20
"""Values of a list in one line; of longer ones the line says how many are left out."""

Level = Literal["debug", "info", "warning", "error"]
Value = str | int | float | bool | None | Sequence[str]
_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that was decided or happened.

    Args:
        event: what, as programs tell it apart: lowercase words with a dot.
        message: what, as a person reads it.
        fields: figures and names of it.
        level: how bad it is.
    """

    event: str
    message: str
    fields: Mapping[str, Value] = field(default_factory=dict)
    level: Level = "info"


@dataclass(slots=True)
class RunLog:
    """Where the lines of one run go; made by :func:`run_log`.

    Args:
        ids: fields of every line: flow, flow run, and what becomes known: run, cluster, snapshot, plan.
        outputs: open files that get JSON lines.
        secrets: values that must not appear.
    """

    ids: dict[str, str]
    outputs: list[TextIO]
    secrets: tuple[str, ...]
    phase: str = ""
    folder: RunFolder | None = None
    _began_s: float = field(default_factory=time.monotonic)
    _since_s: float = field(default_factory=time.monotonic)

    def tell(self, *lines: Line) -> None:
        """Write ``lines`` everywhere."""
        for line in lines:
            text = json.dumps(self._record(line))
            for output in self.outputs:
                with suppress(OSError, ValueError):  # a full disk or a closed pipe ends no run
                    output.write(text + "\n")
                    output.flush()
            with suppress(MissingContextError):  # outside Prefect there is no run to log for
                get_run_logger().log(_LEVELS[line.level], "%s", self._text(line))

    def know(self, **ids: str) -> None:
        """Add to the fields of every later line."""
        self.ids |= {name: self._clean(value) for name, value in ids.items()}

    def write_into(self, folder: RunFolder) -> None:
        """Keep later lines in the folder of the run, too: a run that is killed leaves there how far it came."""
        self.folder = folder
        self.know(run=folder.name)
        with suppress(OSError):
            self.outputs.append((folder.path / EVENTS).open("a", encoding="utf-8"))

    def not_latest(self, why: str) -> None:
        """Tell why the link to the last plan does not point at this run."""
        self.tell(Line("run.latest", why, level="warning"))

    def hear(self, phase: str, share: float) -> None:
        """Note the phase that a watch tells of; only a new one makes a line."""
        if phase != self.phase:
            now = time.monotonic()
            fields: dict[str, Value] = {"share": round(share, 3)}
            if self.phase:
                fields |= {"last_phase": self.phase, "last_phase_s": round(now - self._since_s, 3)}
            self.phase, self._since_s = phase, now
            self.tell(Line("phase.entered", phase or "finished", fields, "debug"))

    def _record(self, line: Line) -> dict[str, Value]:
        """Return what a JSON line holds."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        head: dict[str, Value] = {"time": now, "level": line.level, "event": line.event}
        spent: dict[str, Value] = {
            "phase": self._clean(self.phase),
            "elapsed_s": round(time.monotonic() - self._began_s, 3),
        }
        fields = {name: self._value(value) for name, value in line.fields.items()}
        return {**head, "message": self._clean(line.message), **fields, **self.ids, **spent}

    def _text(self, line: Line) -> str:
        """Return the line as Prefect's UI shows it; what it shows of the run itself is left out."""
        known = [f"{name} {self.ids[name]}" for name in ("run", "snapshot", "plan") if name in self.ids]
        return f"{line.event}: {self._clean(line.message)}" + (f" ({', '.join(known)})" if known else "")

    def _value(self, value: Value) -> Value:
        if isinstance(value, str):
            return self._clean(value)
        if isinstance(value, float) and not math.isfinite(value):
            return str(value)  # JSON knows no infinity
        if isinstance(value, Sequence):
            kept = [self._clean(each) for each in value[:MOST]]
            return kept if len(value) <= MOST else [*kept, f"and {len(value) - MOST} more"]
        return value

    def _clean(self, text: str) -> str:
        return one_line(masked(text, self.secrets), LONGEST)


@contextmanager
def run_log(flow: str, environment: Mapping[str, str] | None = None) -> Iterator[RunLog]:
    """Open the log of one run of ``flow``; tell at the end how it ended, and why if it failed.

    Args:
        flow: its name.
        environment: with :data:`FORMAT` and :data:`FILE`; the process's own by default.

    Raises:
        BaseException: what the block raised, after a line says so.
    """
    environment = os.environ if environment is None else environment
    log = RunLog({"flow": flow}, [], secrets_of(environment))
    if flow_run.id:
        log.know(flow_run=str(flow_run.id))
    with ExitStack() as stack:
        wrong = _open(log, environment)
        stack.callback(_close, log)
        stack.enter_context(listening(log.hear))
        log.tell(*wrong)
        try:
            yield log
        except BaseException as error:
            said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            where = f" in phase {log.phase}" if log.phase else ""
            log.tell(Line("run.failed", f"failed{where}: {said}", {"error": type(error).__name__}, "error"))
            raise
        files = {} if log.folder is None else {"files": str(log.folder.final.resolve())}
        log.tell(Line("run.finished", f"files in {files['files']}" if files else "finished", files))


def _open(log: RunLog, environment: Mapping[str, str]) -> list[Line]:
    """Open what the environment asks for; return what is wrong with it."""
    wrong = []
    form = environment.get(FORMAT, "") or "text"
    if form == "json":
        log.outputs.append(sys.stderr)
    elif form not in FORMATS:
        expected = f"{FORMAT}: expected one of {', '.join(FORMATS)}, found {form!r}; logging as text"
        wrong.append(Line("log.setting", expected, level="warning"))
    if path := environment.get(FILE):
        try:
            log.outputs.append(_appending(Path(path)))
        except OSError as error:
            told = f"{FILE}: {path} cannot be written ({error.strerror or error}); the run goes on without it"
            wrong.append(Line("log.setting", told, level="warning"))
    return wrong


def _appending(path: Path) -> TextIO:
    """Open a file for lines at its end, so that several runs can share it; a link is not followed."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    return os.fdopen(os.open(path, flags, 0o640), "a", encoding="utf-8")


def _close(log: RunLog) -> None:
    for output in log.outputs:
        if output is not sys.stderr:
            with suppress(OSError):
                output.close()
