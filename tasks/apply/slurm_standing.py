"""On which side of an action does a Slurm job stand, and in which words is it brought to the other?

What Slurm has no field for stands as ``name=value`` in the administrator's comment, which users cannot write.
"""

import math
import re
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

from data.errors import ApplyFailed
from data.readers.slurm.plan_marks import PLACED, nodes_mark, told_in
from data.schemas.job import Worker
from data.schemas.plan import Start
from tasks.apply.plan_origin import start_s
from tasks.apply.slurm_queue import SlurmJob, node_names

WIDTH = "quantumflow_found_nodes"
"""How many nodes the job asked for before a plan placed it, least and most."""

UNDO = "undo"
"""The reason of inverse actions (:func:`data.transition.inverse`): what a start of None means depends on it."""

_START_SLACK_S = 2.0
_CAP_SLACK_W = 0.5
"""Drivers round what they were told."""


def runs_on(job: SlurmJob, workers: Sequence[Worker]) -> bool:
    """Tell whether the job runs on the nodes of ``workers``, with as many GPUs on each where Slurm counts them.

    Which GPUs of a node, Slurm decides.
    """
    gpus = Counter[str]()
    for worker in workers:
        gpus[worker.node] += len(worker.gpus)
    return job.state == "RUNNING" and (job.gpus == gpus if any(job.gpus.values()) else set(job.nodes) == set(gpus))


def given(job: SlurmJob, workers: Sequence[Worker]) -> bool:
    """Tell whether a job that waited has what a plan gives it: it waits for these nodes, or runs on them.

    Of no workers: it waits, and may get any nodes.
    """
    if job.state != "PENDING":
        return runs_on(job, workers)
    return not job.held and set(job.asked) == set(node_names(workers))


def is_free(job: SlurmJob) -> bool:
    """Tell whether nothing of a plan's place is left in a job: it waits for any nodes, or Slurm chose where it runs.

    One that was freed may be started before anybody looks, if there is room.
    """
    return given(job, ()) or (job.state == "RUNNING" and not job.asked and not told_in(job.note, PLACED))


def chose_nodes(job: SlurmJob) -> bool:
    """Tell whether a job asks for nodes that its user named, not a plan."""
    return bool(job.asked) and told_in(job.note, PLACED) != nodes_mark(job.asked)


def same_cap(found_w: float | None, wanted_w: float | None) -> bool:
    """Tell whether two power caps are the same; None is none."""
    if found_w is None or wanted_w is None:
        return found_w is wanted_w
    return abs(found_w - wanted_w) < _CAP_SLACK_W


def cap_of(text: str, name: str) -> float | None:
    """Return the watts that a hook or a note names; None for ``max``, NaN for ``mixed``.

    Raises:
        ApplyFailed: it is none of these.
    """
    if text in ("max", "mixed"):
        return None if text == "max" else math.nan
    if not re.fullmatch(r"[0-9]{1,5}(\.[0-9]{1,6})?", text):
        raise ApplyFailed(f"job {name}: expected its power cap in watts, max or mixed, found {text[:80]!r}")
    return float(text)


def target_s(action: Start, taken_s: int | None, defer_s: float) -> float:
    """Return the Unix seconds at which a start that is set lies; 0 where the job may start at any time again.

    Args:
        action: what sets a start, or undoes that.
        taken_s: Unix seconds of the plan's snapshot.
        defer_s: seconds after it until which a job waits that the plan keeps out of its horizon.

    Raises:
        ApplyFailed: it is not known when the snapshot was taken.
    """
    if action.after is None and action.reason == UNDO:
        return 0.0
    return start_s(taken_s, defer_s if action.after is None else action.after, action.job)


def planned(action: Start, job: SlurmJob, taken_s: int | None, defer_s: float, now_s: float) -> tuple[bool, bool]:
    """Tell whether a job's start is the one before the action, and whether it is the one after it.

    Args:
        action: what sets a start, or undoes that.
        job: as Slurm tells it.
        taken_s: see :func:`target_s`.
        defer_s: see :func:`target_s`.
        now_s: Unix seconds.
    """
    undo = action.reason == UNDO
    found, wanted = (action.after, action.before) if undo else (action.before, action.after)
    at_once = not job.held and job.eligible_s <= now_s + 1.0

    def stands(start: float) -> bool:
        at_s = start_s(taken_s, start, action.job)
        return not job.held and (abs(job.eligible_s - at_s) < _START_SLACK_S or (at_s <= now_s and at_once))

    # a start that a reader found may be an estimate of the scheduler, which nothing in the job sets
    is_found = at_once or (found is not None and stands(found))
    is_wanted = stands(defer_s if wanted is None else wanted)
    return (is_wanted, is_found) if undo else (is_found, is_wanted)


def check_stoppable(name: str, job: SlurmJob, *places: Sequence[Worker]) -> None:
    """Refuse to stop a job that would not come back, or that is not where the plan knows it.

    Args:
        name: its id.
        job: as Slurm tells it.
        places: where a plan may find it.

    Raises:
        ApplyFailed: saying what was expected and what was found.
    """
    known = any(set(job.nodes) == {worker.node for worker in workers} for workers in places if workers)
    # what is completing was requeued a moment ago, or is about to be gone
    if job.state not in ("PENDING", "COMPLETING") and not (job.state == "RUNNING" and known):
        raise ApplyFailed(f"job {name}: expected it to run where the plan found it or puts it, found {job.told()}")
    if not job.requeue:
        raise ApplyFailed(f"job {name}: expected a job that may be requeued (Requeue=1), found Requeue=0")


def asked_words(job: SlurmJob, workers: Sequence[Worker]) -> tuple[str, ...]:
    """Return the words of ``scontrol update`` that let a held job ask for the nodes of ``workers``, or for any.

    The number of nodes changes only where it has to, and is noted, so that a job that may go anywhere again asks for
    as many as before.
    """
    names = node_names(workers)
    found = told_in(job.note, WIDTH)
    words = [f"ReqNodeList={','.join(names)}"]
    if names and job.least_nodes != len(names):
        words.append(f"NumNodes={len(names)}")
        found = found or (f"{job.least_nodes}-{job.most_nodes}" if job.most_nodes else str(job.least_nodes))
    if not names and found:
        words.append(f"NumNodes={found}")
    marks = {PLACED: nodes_mark(names), WIDTH: found} if names else {PLACED: None, WIDTH: None}
    note = noted(job.note, **marks)
    return (*words, f"AdminComment={note}") if note != job.note else tuple(words)


def noted(note: str, **values: str | None) -> str:
    """Return an administrator's comment with some ``name=value`` in it set, or taken out where the value is None."""
    words = [word for word in note.split(" ") if word.partition("=")[0] not in values]
    words += [f"{name}={value}" for name, value in values.items() if value is not None]
    return " ".join(word for word in words if word)


def clock(unix_s: float) -> str:
    """Return a time as Slurm reads it, in UTC."""
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%dT%H:%M:%S")
