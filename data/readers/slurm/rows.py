"""What do Slurm's JSON records say? Rows of jobs and nodes, the same for every dialect.

Up to 22.05 numbers are plain (4294967294 and 4294967295 stand for "not set" and "infinite") and states are strings;
since 23.02 numbers are ``{"set", "infinite", "number"}`` and states are lists, and ``sinfo --json`` lists groups of
nodes under ``sinfo`` while ``scontrol show nodes --json`` lists the nodes themselves.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from data.errors import BadRecord
from data.readers.slurm.gres import parse_gpus
from data.readers.slurm.hostlist import expand_hostlist
from data.readers.slurm.plan_marks import CAP, PLACED, RESERVATION, STARTS, nodes_mark, told_in

MOST = 1e12
"""No count and no time in seconds since 1970 is larger; what is was written in another unit, or damaged."""

MOST_GPUS = 1_000_000
LATEST_S = 1e11
"""Later than this is no time in Unix seconds, but perhaps one in milliseconds."""

_PLAUSIBLE = f"numbers up to {MOST:g}, and times in Unix seconds"

_NOT_SET, _INFINITE = 4294967294, 4294967295


@dataclass(frozen=True, slots=True)
class NodeRow:
    """A node as Slurm tells it; times are Unix seconds, 0 where unknown."""

    path: str
    name: str
    states: frozenset[str]
    gres: str
    gres_used: str
    tres: str
    features: tuple[str, ...]
    partitions: tuple[str, ...]
    cpus: int
    seen_s: float


@dataclass(frozen=True, slots=True)
class JobRow:
    """A job as Slurm tells it; times are Unix seconds, ``limit_s`` is infinite where there is no limit.

    ``detail`` has the GRES of each node of ``nodes``, in its order. ``asked`` are the GRES strings of the request,
    by what they count for (node, task, socket, job).
    """

    path: str
    number: int
    array: int
    array_task: int | None
    array_tasks: str
    array_limit: int
    gang: int
    name: str
    user: str
    partition: str
    cluster: str
    states: frozenset[str]
    reason: str
    nodes: tuple[str, ...]
    node_count: int
    tasks: int
    cpus: int
    detail: tuple[str, ...]
    per_node: str
    per_task: str
    per_socket: str
    per_job: str
    sockets: int
    total_asked: str
    total_held: str
    constraint: str
    dependency: str
    priority: float
    exclusive: bool
    requeue: bool
    pinned: bool
    cap_w: float | None
    submit_s: float
    start_s: float
    own_start_s: float
    seen_s: float
    limit_s: float


def number(value: Any) -> float | None:
    """Return a number of either dialect; None where it is not set, ``math.inf`` where it is infinite.

    Raises:
        ValueError: it is beyond ``MOST``.
    """
    if isinstance(value, dict):
        if value.get("infinite") is True:
            return math.inf
        return number(value.get("number")) if value.get("set", True) is True else None
    if isinstance(value, str) and value.isdecimal():
        value = int(value[:20])
    if isinstance(value, bool) or not isinstance(value, int | float) or value == _NOT_SET:
        return None
    if value in (_INFINITE, math.inf):
        return math.inf
    if not -MOST <= value <= MOST:
        raise ValueError(f"{_shown(value)}, beyond {MOST:g}")
    return float(value)


def read_node_rows(raw: dict[str, Any], source: str) -> Iterator[NodeRow | BadRecord]:
    """Yield the nodes of ``sinfo --json`` or ``scontrol show nodes --json``, each once."""
    rows: dict[str, NodeRow] = {}
    for index, entry in enumerate(_list(raw.get("nodes"))):
        path = f"{source}: nodes[{index}]"
        if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
            yield BadRecord(f"{path}.name", "the node's name", _shown(entry))
            continue
        states = _words(entry.get("state")) | _words(entry.get("state_flags"))
        try:
            seen = max(_time(entry, key) for key in ("last_busy", "slurmd_start_time", "reason_changed_at"))
            cpus = int(_finite(entry, "cpus"))
        except ValueError as error:
            yield BadRecord(path, _PLAUSIBLE, str(error))
            continue
        row = NodeRow(
            path=path,
            name=entry["name"],
            states=states,
            gres=_text(entry.get("gres")),
            gres_used=_text(entry.get("gres_used")),
            tres=_text(entry.get("tres")),
            features=_names(entry.get("active_features")) or _names(entry.get("features")),
            partitions=_names(entry.get("partitions")),
            cpus=cpus,
            seen_s=seen,
        )
        rows.setdefault(row.name, row)
    for index, entry in enumerate(_list(raw.get("sinfo"))):
        try:
            for row in _group(entry, f"{source}: sinfo[{index}]"):
                old = rows.get(row.name)
                partitions = tuple(dict.fromkeys((*(old.partitions if old else ()), *row.partitions)))
                rows[row.name] = NodeRow(
                    row.path, row.name, row.states, row.gres, row.gres_used, row.tres, row.features, partitions,
                    row.cpus, row.seen_s,
                )  # fmt: skip
        except BadRecord as problem:
            yield problem
    yield from rows.values()


def _group(entry: Any, path: str) -> Iterator[NodeRow]:
    """Yield the nodes of one entry of ``sinfo``: nodes of one partition that are alike."""
    group: dict[str, Any] = entry if isinstance(entry, dict) else {}
    parts: dict[str, dict[str, Any]] = {
        key: group[key] if isinstance(group.get(key), dict) else {}
        for key in ("nodes", "node", "gres", "features", "partition", "cpus")
    }
    try:
        names = [name for text in _list(parts["nodes"].get("nodes")) for name in expand_hostlist(str(text))]
        cpus, total = int(_finite(parts["cpus"], "maximum")), _finite(parts["nodes"], "total")
    except ValueError as error:
        raise BadRecord(f"{path}.nodes", f"hostlists, and {_PLAUSIBLE}", str(error)) from error
    if not names and total > 0:
        raise BadRecord(f"{path}.nodes.nodes", "the nodes' names", _shown(parts["nodes"]))
    for name in names:
        yield NodeRow(
            path=path,
            name=name,
            states=_words(parts["node"].get("state")),
            gres=_text(parts["gres"].get("total")) if parts["gres"] else _text(group.get("gres")),
            gres_used=_text(parts["gres"].get("used")) if len(names) == 1 else "",
            tres="",
            features=_names(parts["features"].get("active")) or _names(parts["features"].get("total")),
            partitions=_names(parts["partition"].get("name")),
            cpus=cpus,
            seen_s=0.0,
        )


def read_job_rows(raw: dict[str, Any], source: str) -> Iterator[JobRow | BadRecord]:
    """Yield the jobs of ``squeue --json``."""
    for index, entry in enumerate(_list(raw.get("jobs"))):
        path = f"{source}: jobs[{index}]"
        try:
            row = _job(entry, path)
        except BadRecord as problem:
            yield problem
        except ValueError as error:
            yield BadRecord(path, _PLAUSIBLE, str(error))
        else:
            yield _too_many_gpus(row) or row


def _too_many_gpus(row: JobRow) -> BadRecord | None:
    """Return what is wrong with a job that holds or wants more GPUs than there are anywhere."""
    for text in (*row.detail, row.per_node, row.per_task, row.per_socket, row.per_job, row.total_asked, row.total_held):
        gpus = sum(entry.count for entry in parse_gpus(text))
        if gpus > MOST_GPUS or gpus * row.tasks > MOST_GPUS * 1_000:
            return BadRecord(f"{row.path}.tres", f"at most {MOST_GPUS} GPUs", f"{_shown(text)} with {row.tasks} tasks")
    return None


def _job(entry: Any, path: str) -> JobRow:
    if not isinstance(entry, dict):
        raise BadRecord(path, "an object", _shown(entry))
    job_id = number(entry.get("job_id"))
    if job_id is None or job_id <= 0 or math.isinf(job_id):
        raise BadRecord(f"{path}.job_id", "a positive number", _shown(entry.get("job_id")))
    states = _words(entry.get("job_state"))
    if not states:
        raise BadRecord(f"{path}.job_state", "a state or a list of states", _shown(entry.get("job_state")))
    try:
        nodes = _job_nodes(entry)
    except ValueError as error:
        raise BadRecord(f"{path}.nodes", "a hostlist", str(error)) from error
    limit = number(entry.get("time_limit"))
    start_s, submit_s = _time(entry, "start_time"), _time(entry, "submit_time")
    array_task = number(entry.get("array_task_id"))
    array = int(_finite(entry, "array_job_id"))
    return JobRow(
        path=path,
        number=int(job_id),
        array=array,
        array_task=int(array_task) if array and array_task is not None and not math.isinf(array_task) else None,
        array_tasks=_text(entry.get("array_task_string")),
        array_limit=int(_finite(entry, "array_max_tasks")),
        gang=int(_finite(entry, "het_job_id")),
        name=_text(entry.get("name")),
        user=_text(entry.get("user_name")),
        partition=_text(entry.get("partition")),
        cluster=_text(entry.get("cluster")),
        states=states,
        reason=_text(entry.get("state_reason")),
        nodes=nodes,
        node_count=max(int(_finite(entry, "node_count")), len(nodes), 1),
        tasks=max(int(_finite(entry, "tasks")), 1),
        cpus=int(_finite(entry, "cpus")),
        detail=tuple(_text(text) for text in _list(entry.get("gres_detail"))),
        per_node=_text(entry.get("tres_per_node")) or _text(entry.get("gres")),
        per_task=_text(entry.get("tres_per_task")),
        per_socket=_text(entry.get("tres_per_socket")),
        per_job=_text(entry.get("tres_per_job")),
        sockets=max(int(_finite(entry, "sockets_per_node")), 1),
        total_asked=_text(entry.get("tres_req_str")),
        total_held=_text(entry.get("tres_alloc_str")),
        constraint=_text(entry.get("features")),
        dependency=_text(entry.get("dependency")),
        priority=_finite(entry, "priority"),
        exclusive="NONE" in _words(entry.get("shared")) or "TRUE" in _words(entry.get("exclusive")),
        requeue=entry.get("requeue") is not False,
        pinned=bool(
            _chosen_nodes(entry)
            or _text(entry.get("excluded_nodes"))
            or _text(entry.get("resv_name")) not in ("", RESERVATION)
        ),
        cap_w=_noted_cap(entry),
        submit_s=submit_s,
        start_s=start_s,
        own_start_s=_own_start_s(entry),
        seen_s=max(submit_s, _time(entry, "last_sched_evaluation"), start_s if nodes else 0.0),
        limit_s=math.inf if limit is None else 60.0 * limit,
    )


def _chosen_nodes(entry: dict[str, Any]) -> str:
    """Return the nodes that the job's user asked for by name; those that a plan asked for are none."""
    asked = _text(entry.get("required_nodes"))
    placed = told_in(_text(entry.get("admin_comment")), PLACED)
    return "" if asked and placed == nodes_mark(expand_hostlist(asked)) else asked


def _own_start_s(entry: dict[str, Any]) -> float:
    """Return the Unix seconds before which the job's user, not a plan, lets it not start; 0 where it may."""
    start_s = _time(entry, "eligible_time")
    return 0.0 if told_in(_text(entry.get("admin_comment")), STARTS) == f"{start_s:.0f}" else start_s


def _noted_cap(entry: dict[str, Any]) -> float | None:
    """Return the watts that a plan noted for each GPU of the job."""
    watts = told_in(_text(entry.get("admin_comment")), CAP) or ""
    return (
        float(watts) if re.fullmatch(r"[0-9]{1,5}(\.[0-9]{1,6})?", watts) and 20.0 <= float(watts) <= 5_000.0 else None
    )


def _job_nodes(entry: dict[str, Any]) -> tuple[str, ...]:
    resources = entry.get("job_resources")
    inner = resources.get("nodes") if isinstance(resources, dict) else None
    if isinstance(inner, dict):
        inner = inner.get("list")
    return expand_hostlist(_text(entry.get("nodes")) or _text(inner))


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: Any) -> str:
    return "" if value is None or value in ("(null)", "N/A") else str(value)


def _names(value: Any) -> tuple[str, ...]:
    items = value if isinstance(value, list) else _text(value).split(",")
    return tuple(str(item).strip() for item in items if str(item).strip())


def _words(value: Any) -> frozenset[str]:
    """Return states or flags in capitals: a list, or a string such as ``IDLE+DRAIN``."""
    items = value if isinstance(value, list) else re.split(r"[+,]", _text(value))
    return frozenset(str(item).strip().rstrip("*~#!%$@^-").upper() for item in items if str(item).strip())


def _finite(entry: dict[str, Any], key: str) -> float:
    try:
        found = number(entry.get(key))
    except ValueError as error:
        raise ValueError(f"{key} = {error}") from None
    return 0.0 if found is None or math.isinf(found) else found


def _time(entry: dict[str, Any], key: str) -> float:
    seconds = max(_finite(entry, key), 0.0)
    if seconds > LATEST_S:
        raise ValueError(f"{key} = {seconds:.0f}")
    return seconds


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 120 else text[:117] + "..."
