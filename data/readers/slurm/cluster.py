"""What is the state of a Slurm cluster? From the JSON of ``squeue`` and ``sinfo`` and the topology, filed or live."""

import json
import re
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from data.errors import BadRecord, BadSource, SourceUnavailable
from data.readers.bounded import read_bounded
from data.readers.json_file import parse_json_object, read_json_object
from data.readers.reading import Reading
from data.readers.settle import settle
from data.readers.slurm.jobs import read_jobs
from data.readers.slurm.nodes import Assumptions, read_nodes
from data.readers.slurm.rows import LATEST_S, JobRow, NodeRow, number, read_job_rows, read_node_rows
from data.readers.slurm.topology import SlurmTopology, parse_topology
from data.schemas.cluster import Limits, Snapshot

Row = TypeVar("Row", NodeRow, JobRow)

MAX_TOPOLOGY_BYTES = 128 << 20


def read_slurm_files(
    squeue: Path,
    sinfo: Path,
    topology: Path | None,
    *,
    taken_at: str | None,
    cluster: str | None = None,
    assume: Assumptions | None = None,
    limits: Limits | None = None,
) -> Reading:
    """Read a cluster from files.

    Args:
        squeue: output of ``squeue --json``.
        sinfo: output of ``sinfo --json`` or of ``scontrol show nodes --json``.
        topology: topology.conf, or the output of ``scontrol show topology``; None where there is none.
        taken_at: ISO 8601 with offset; None takes the time that the source states, else its latest timestamp.
        cluster: name of the cluster; None takes the one that the source states.
        assume: what to take for granted where Slurm does not say.
        limits: what a plan must keep to; Slurm knows nothing of it.

    Raises:
        SourceUnavailable: a file cannot be read.
        BadSource: a file is not JSON, or no node with GPUs is left.
    """
    links = SlurmTopology()
    if topology is not None:
        text = read_bounded(topology, MAX_TOPOLOGY_BYTES).decode("utf-8", errors="replace")
        links = parse_topology(text, topology.name)
    jobs, nodes = read_json_object(squeue), read_json_object(sinfo)
    source = f"{squeue} and {sinfo}"
    return _reading(
        source, (squeue.name, jobs), (sinfo.name, nodes), links, taken_at, cluster, assume or Assumptions(), limits
    )


def read_slurm_live(
    *,
    timeout_s: float,
    cluster: str | None = None,
    assume: Assumptions | None = None,
    limits: Limits | None = None,
) -> Reading:
    """Read the cluster that the Slurm commands of this machine talk to.

    Args:
        timeout_s: seconds that each command may take.
        cluster: name of the cluster; None takes the one that Slurm states.
        assume: what to take for granted where Slurm does not say.
        limits: what a plan must keep to.

    Raises:
        SourceUnavailable: a command is missing, fails, or does not end in time.
        BadSource: a command does not print JSON, or no node with GPUs is left.
    """
    queue_command, node_command = ("squeue", "--all", "--json"), ("sinfo", "--all", "--json")
    jobs = parse_json_object(_output(queue_command, timeout_s), "squeue --json")
    nodes = parse_json_object(_output(node_command, timeout_s), "sinfo --json")
    if "nodes" not in nodes and "sinfo" in nodes:
        # since 23.02 sinfo lists groups; scontrol, which has --json since then, lists the nodes
        nodes = parse_json_object(_output(("scontrol", "show", "nodes", "--json"), timeout_s), "scontrol show nodes")
    for name, answer, key in (("squeue", jobs, "jobs"), ("sinfo", nodes, "nodes")):
        if answer.get("errors") and not answer.get(key):
            raise SourceUnavailable(f"{name} --json reports {json.dumps(answer['errors'])[:500]}")
    extra: list[str] = []
    try:
        links = parse_topology(_output(("scontrol", "show", "topology"), timeout_s), "scontrol show topology")
    except SourceUnavailable as error:
        links = SlurmTopology()
        extra.append(f"no topology: {error}")
    now = datetime.now(UTC).replace(microsecond=0).isoformat()
    reading = _reading(
        "Slurm", ("squeue", jobs), ("sinfo", nodes), links, now, cluster, assume or Assumptions(), limits
    )
    return replace(reading, notes=(*reading.notes, *extra))


def _output(command: Sequence[str], timeout_s: float) -> str:
    line = " ".join(command)
    try:
        done = subprocess.run(  # noqa: S603 - a fixed list of arguments, no shell
            command, capture_output=True, check=False, timeout=timeout_s, stdin=subprocess.DEVNULL
        )
    except FileNotFoundError as error:
        raise SourceUnavailable(f"{line}: the command {command[0]} is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise SourceUnavailable(f"{line}: no answer within {timeout_s:g} s") from error
    except OSError as error:
        raise SourceUnavailable(f"{line}: {error.strerror or error}") from error
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip()[:500] or "nothing on stderr"
        raise SourceUnavailable(f"{line}: exit code {done.returncode}: {said}")
    return done.stdout.decode("utf-8", "replace")


def _reading(
    source: str,
    squeue: tuple[str, dict[str, Any]],
    sinfo: tuple[str, dict[str, Any]],
    topology: SlurmTopology,
    taken_at: str | None,
    cluster: str | None,
    assume: Assumptions,
    limits: Limits | None,
) -> Reading:
    set_aside: list[BadRecord] = list(topology.set_aside)
    node_rows: list[NodeRow] = []
    job_rows: list[JobRow] = []
    for node_row in read_node_rows(sinfo[1], sinfo[0]):
        _sort(node_row, node_rows, set_aside)
    for job_row in read_job_rows(squeue[1], squeue[0]):
        _sort(job_row, job_rows, set_aside)
    for (name, raw), keys in ((squeue, ("jobs",)), (sinfo, ("nodes", "sinfo"))):
        if not any(isinstance(raw.get(key), list) for key in keys):
            raise BadSource(source, [BadRecord(name, f"a list {' or '.join(keys)}", f"keys {sorted(raw)[:10]}")])
    notes: list[str] = []
    taken = taken_at or _time_of(squeue[1], sinfo[1], node_rows, job_rows, notes)
    found = read_nodes(node_rows, topology, assume)
    jobs = read_jobs(job_rows, found, datetime.fromisoformat(taken).timestamp(), assume)
    nodes = tuple(
        replace(node, unavailable_gpus=tuple(sorted(jobs.blocked[node.id]))) if node.id in jobs.blocked else node
        for node in found.nodes
    )
    snapshot = Snapshot(
        cluster=cluster or _cluster_of(squeue[1], job_rows),
        taken_at=taken,
        nodes=nodes,
        jobs=jobs.jobs,
        limits=limits or Limits(),
    )
    paths = {f"node:{row.name}": row.path for row in node_rows} | {f"job:{job}": at for job, at in jobs.paths.items()}
    return settle(snapshot, paths, [*set_aside, *found.set_aside], [*notes, *found.notes, *jobs.notes], source)


def _sort(row: Row | BadRecord, rows: list[Row], set_aside: list[BadRecord]) -> None:
    if isinstance(row, BadRecord):
        set_aside.append(row)
    else:
        rows.append(row)


def _time_of(
    squeue: dict[str, Any], sinfo: dict[str, Any], nodes: list[NodeRow], jobs: list[JobRow], notes: list[str]
) -> str:
    """Return when the state was taken: the update that the controller states, else the latest time in the records."""
    latest = max(_stated_s(raw) for raw in (squeue, sinfo))
    if not latest:
        latest = max([*(row.seen_s for row in nodes), *(row.seen_s for row in jobs)], default=0.0)
        notes.append("the files state no time: the latest timestamp in them was taken")
    return datetime.fromtimestamp(latest, UTC).replace(microsecond=0).isoformat()


def _stated_s(raw: dict[str, Any]) -> float:
    """Return the time of the controller's update in Unix seconds; 0 where it is not stated, or is none."""
    try:
        stated = number(raw.get("last_update")) or 0.0
    except ValueError:
        return 0.0
    return stated if 0.0 < stated <= LATEST_S else 0.0


def _cluster_of(squeue: dict[str, Any], jobs: list[JobRow]) -> str:
    meta = squeue.get("meta")
    about = (meta.get("slurm") or meta.get("Slurm")) if isinstance(meta, dict) else None
    stated = about.get("cluster") if isinstance(about, dict) else None
    name = str(stated or next((row.cluster for row in jobs if row.cluster), "slurm"))
    return re.sub(r"[^\w.\-]", "-", name)[:256]
