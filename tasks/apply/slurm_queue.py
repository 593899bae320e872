"""What is in force for a job of a Slurm cluster? Its state, its nodes, the nodes and the start that it asks for."""

import re
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from data.errors import ApplyFailed, BadRecord, BadSource, SourceUnavailable
from data.readers.json_file import parse_json_object
from data.readers.slurm.gres import parse_gpus
from data.readers.slurm.hostlist import expand_hostlist
from data.readers.slurm.rows import JobRow, number, read_job_rows
from data.schemas.job import Worker
from tasks.apply.program import Ended, run
from tasks.report.plain import one_line

_JOB = re.compile(r"[0-9]{1,12}(_[0-9]{1,9})?")
_NODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")
_UNREACHABLE = re.compile(
    r"unable to contact slurm controller|connection refused|timed out|communication|zero bytes were transmitted"
    r"|could not establish a configuration source|no such file or directory|try again in a bit",
    re.IGNORECASE,
)
_HELD = {"JobHeldUser", "JobHeldAdmin", "JobHoldMaxRequeue", "job requeued in held state"}
_HOLDING = {"RUNNING", "SUSPENDED", "COMPLETING", "STOPPED", "CONFIGURING"}
_WAITING = {"PENDING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT"}
_ENDED = {
    "COMPLETED", "CANCELLED", "FAILED", "TIMEOUT", "NODE_FAIL", "PREEMPTED", "BOOT_FAIL", "DEADLINE", "OUT_OF_MEMORY",
    "REVOKED",
}  # fmt: skip
_TRIES = 5


@dataclass(frozen=True, slots=True)
class SlurmJob:
    """What Slurm tells of a job.

    Args:
        state: PENDING, RUNNING, or another one in which it holds nodes.
        nodes: that it holds, sorted; empty while it holds none.
        gpus: that it holds on each node; of a node where Slurm counts none, 0.
        asked: nodes that it must get (ReqNodeList), sorted.
        least_nodes: how many nodes it asks for.
        most_nodes: how many it takes at most; 0 where it does not say.
        held: it does not start until it is released.
        eligible_s: Unix seconds before which it does not start; 0 where it may start at once.
        requeue: it may be stopped and started again.
        user: whose it is.
        reason: why it waits.
        note: the administrator's comment.
    """

    state: str
    nodes: tuple[str, ...]
    gpus: Counter[str]
    asked: tuple[str, ...]
    least_nodes: int
    most_nodes: int
    held: bool
    eligible_s: float
    requeue: bool
    user: str
    reason: str
    note: str

    def told(self) -> str:
        """Return it in a line."""
        parts = [self.state]
        if self.nodes:
            parts.append("on " + ",".join(f"{node}:{self.gpus[node]}" for node in self.nodes))
        if self.asked:
            parts.append(f"asks for {','.join(self.asked)}")
        if self.held:
            parts.append("held")
        elif self.state == "PENDING" and self.reason not in ("", "None"):
            parts.append(f"waits for {self.reason}")
        return one_line(", ".join(parts))


def read_queue(timeout_s: float) -> "Queue":
    """Return what Slurm tells of all jobs.

    Raises:
        SourceUnavailable: squeue is missing, fails, does not end in time, or prints no JSON.
    """
    ended = run(("squeue", "--all", "--json"), timeout_s=timeout_s)
    if ended.code != 0:
        raise SourceUnavailable(ended.failure())
    try:
        raw = parse_json_object(ended.output, "squeue --json")
    except BadSource as error:
        raise SourceUnavailable(one_line(str(error))) from error
    if raw.get("errors") and not raw.get("jobs"):
        raise SourceUnavailable(f"squeue --json reports {one_line(str(raw['errors']))}")
    return Queue.of(raw)


@dataclass(frozen=True, slots=True, eq=False)
class Queue:
    """All jobs that Slurm tells of, by the ids that plans use.

    Args:
        single: jobs and those tasks of arrays that have a record of their own.
        ended: how jobs ended that Slurm has not forgotten yet.
        waiting: by the number of an array, the record of its tasks that wait together, and which these are.
    """

    single: Mapping[str, SlurmJob]
    ended: Mapping[str, str]
    waiting: Mapping[str, tuple[str, SlurmJob]]

    @classmethod
    def of(cls, raw: dict[str, Any]) -> "Queue":
        """Return the jobs of ``squeue --json``; records that cannot be read are left out, as by the reader."""
        entries = raw.get("jobs")
        listed = entries if isinstance(entries, list) else []
        single: dict[str, SlurmJob] = {}
        ended: dict[str, str] = {}
        waiting: dict[str, tuple[str, SlurmJob]] = {}
        for entry, row in zip(listed, read_job_rows(raw, "squeue"), strict=True):
            if isinstance(row, BadRecord):
                continue
            own = f"{row.array}_{row.array_task}" if row.array and row.array_task is not None else str(row.number)
            if not row.states & _HOLDING and "PENDING" not in row.states:
                ended[own] = "+".join(sorted(row.states))
            elif row.array and row.array_task is None and row.array_tasks:
                waiting[str(row.array)] = (row.array_tasks, _job(entry, row))
            else:
                single[own] = _job(entry, row)
        return cls(single, ended, waiting)

    def find(self, job: str) -> SlurmJob | None:
        """Return what is told of a job; None where it is gone, or has ended."""
        found = self.single.get(job)
        array, _, task = job.partition("_")
        if found is None and task and array in self.waiting and _among(int(task), self.waiting[array][0]):
            found = self.waiting[array][1]
        return found


def states(jobs: Sequence[str], timeout_s: float) -> dict[str, str]:
    """Return PENDING, RUNNING or another state in which it holds nodes, of each of ``jobs`` that has not ended.

    Cheaper than :func:`read_queue`, to be asked again and again.

    Raises:
        SourceUnavailable: see :func:`read_queue`.
    """
    words = ("squeue", "--all", "--noheader", "--array", "--format=%i|%T", f"--jobs={','.join(jobs)}")
    ended = run(words, timeout_s=timeout_s)
    if ended.code != 0:
        if "Invalid job id" in ended.said:
            return {}
        raise SourceUnavailable(ended.failure())
    lines = (line.strip().partition("|") for line in ended.output.splitlines())
    listed = {job: "PENDING" if state in _WAITING else state for job, _, state in lines if state not in _ENDED}
    return {job: listed[job] for job in jobs if job in listed}


def reserved_jobs(reservation: str, timeout_s: float) -> tuple[str, ...]:
    """Return the ids of the jobs that wait or run in a reservation, tasks that wait together as one.

    Raises:
        SourceUnavailable: see :func:`read_queue`.
    """
    ended = run(("squeue", "--all", "--noheader", "--format=%i|%v"), timeout_s=timeout_s)
    if ended.code != 0:
        raise SourceUnavailable(ended.failure())
    lines = (line.strip().rpartition("|") for line in ended.output.splitlines())
    return tuple(job for job, _, name in lines if name == reservation)


def command(*words: str, timeout_s: float) -> Ended:
    """Run a Slurm command that changes something; one that Slurm asks to try again in a bit is.

    Raises:
        SourceUnavailable: it is missing, does not end in time, or does not reach the controller.
        ApplyFailed: Slurm refused; the message has the command, its exit code and its last words.
    """
    for _ in range(_TRIES):
        ended = run(words, timeout_s=timeout_s)
        if "try again" not in ended.said:
            break
        time.sleep(1.0)
    if ended.code != 0:
        raise (SourceUnavailable if _UNREACHABLE.search(ended.said) else ApplyFailed)(ended.failure())
    return ended


def job_id(text: str) -> str:
    """Return ``text`` if it is a job's number, or that of a task of an array.

    Raises:
        ApplyFailed: it is anything else, and goes on no command line.
    """
    if not _JOB.fullmatch(text):
        raise ApplyFailed(f"job {one_line(text)}: expected a Slurm job id such as 123 or 123_4")
    return text


def node_names(workers: Sequence[Worker]) -> tuple[str, ...]:
    """Return the nodes of ``workers``, each once.

    Raises:
        ApplyFailed: one is no host name, and goes on no command line.
    """
    names = tuple(dict.fromkeys(worker.node for worker in workers))
    for name in names:
        if not _NODE.fullmatch(name):
            raise ApplyFailed(f"node {one_line(name)}: expected a host name of letters, digits, dots and dashes")
    return names


def _job(entry: dict[str, Any], row: JobRow) -> SlurmJob:
    gpus = Counter(dict.fromkeys(row.nodes, 0))
    if len(row.detail) == len(row.nodes):
        for node, text in zip(row.nodes, row.detail, strict=True):
            gpus[node] += sum(each.count for each in parse_gpus(text))
    holding = bool(row.states & _HOLDING)
    state = "PENDING"
    if holding:
        state = next((name for name in ("COMPLETING", "SUSPENDED", "STOPPED") if name in row.states), "RUNNING")
    return SlurmJob(
        state=state,
        nodes=tuple(sorted(row.nodes)) if holding else (),
        gpus=gpus if holding else Counter(),
        asked=_hosts(entry.get("required_nodes")),
        least_nodes=row.node_count,
        most_nodes=_whole(entry.get("max_nodes")),
        held=not holding and (row.priority <= 0 or row.reason in _HELD),
        eligible_s=float(_whole(entry.get("eligible_time"))),
        requeue=row.requeue,
        user=row.user,
        reason=row.reason,
        note=_comment(entry.get("admin_comment")),
    )


def _comment(value: Any) -> str:
    return value if isinstance(value, str) and value != "(null)" else ""


def _hosts(value: Any) -> tuple[str, ...]:
    try:
        return tuple(sorted(expand_hostlist(_comment(value))))
    except ValueError:
        return (one_line(str(value)),)


def _whole(value: Any) -> int:
    try:
        return max(int(number(value) or 0), 0)
    except (ValueError, OverflowError):
        return 0


def _among(task: int, tasks: str) -> bool:
    """Tell whether a task is among e.g. ``0-8:2,11%4``; Slurm cuts long lists, and what was cut off counts too."""
    for part in tasks.partition("%")[0].strip("[]").split(","):
        match = re.fullmatch(r"(\d{1,9})(?:-(\d{1,9})(?::(\d{1,9}))?)?", part.strip())
        if match is None:
            return "..." in part
        first, last, step = int(match[1]), int(match[2] or match[1]), int(match[3] or 1)
        if first <= task <= last and (task - first) % max(step, 1) == 0:
            return True
    return False
