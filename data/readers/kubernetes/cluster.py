"""What is the state of a Kubernetes cluster? From lists of nodes and pods."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from data.errors import BadRecord, BadSource
from data.readers.json_file import read_json_object
from data.readers.kubernetes.nodes import read_nodes
from data.readers.kubernetes.objects import items, listing, seconds, text
from data.readers.kubernetes.pods import read_jobs
from data.readers.reading import Reading
from data.readers.settle import settle
from data.schemas.cluster import Limits, Snapshot

UNLIMITED_S = 604_800.0
"""Remaining seconds of a pod without a deadline, unless the caller says otherwise: a week."""


def read_kubernetes_files(
    nodes: Path,
    pods: Path,
    budgets: Path | None = None,
    *,
    taken_at: str | None,
    cluster: str = "kubernetes",
    tolerated_taints: frozenset[str] = frozenset(),
    unlimited_s: float = UNLIMITED_S,
    limits: Limits | None = None,
) -> Reading:
    """Read a cluster from files.

    Args:
        nodes: output of ``kubectl get nodes -o json``.
        pods: output of ``kubectl get pods -A -o json``.
        budgets: output of ``kubectl get poddisruptionbudgets -A -o json``.
        taken_at: ISO 8601 with offset; None takes the latest timestamp in the files.
        cluster: name of the cluster.
        tolerated_taints: keys of taints that every GPU job tolerates.
        unlimited_s: remaining seconds of a pod without a deadline.
        limits: what a plan must keep to.

    Raises:
        SourceUnavailable: a file cannot be read.
        BadSource: a file is not a JSON list, or no node with GPUs is left.
    """
    lists = [(path.name, read_json_object(path)) for path in (nodes, pods, *([budgets] if budgets else []))]
    source = f"{nodes} and {pods}"
    return reading_of_lists(source, lists, taken_at, cluster, tolerated_taints, unlimited_s, limits)


def reading_of_lists(
    source: str,
    lists: list[tuple[str, dict[str, Any]]],
    taken_at: str | None,
    cluster: str,
    tolerated_taints: frozenset[str],
    unlimited_s: float,
    limits: Limits | None,
) -> Reading:
    """Return the cluster that ``lists`` of nodes, pods and perhaps disruption budgets show, each with its name.

    Raises:
        BadSource: one is not a list, or no node with GPUs is left.
    """
    set_aside: list[BadRecord] = []
    objects: list[list[tuple[str, dict[str, Any]]]] = []
    for name, raw in lists:
        if not isinstance(raw.get("items"), list):
            raise BadSource(source, [BadRecord(name, "a list: items", f"keys {sorted(raw)[:10]}")])
        objects.append([])
        for item in items(raw, name):
            if isinstance(item, BadRecord):
                set_aside.append(item)
            else:
                objects[-1].append(item)
    nodes, pods = objects[0], objects[1]
    budgets = [item for _, item in objects[2]] if len(objects) > 2 else []
    notes: list[str] = []
    if taken_at is None:
        latest = max((_latest(item) for _, item in [*nodes, *pods]), default=0.0)
        taken_at = datetime.fromtimestamp(latest, UTC).replace(microsecond=0).isoformat()
        notes.append("the files state no time: the latest timestamp in them was taken")
    found = read_nodes(nodes, tolerated_taints)
    taken_s = datetime.fromisoformat(taken_at).timestamp()
    jobs = read_jobs(pods, budgets, found.nodes, taken_s=taken_s, unlimited_s=unlimited_s)
    held = {(worker.node, gpu) for job in jobs.jobs for worker in job.placement for gpu in worker.gpus}
    usable = tuple(
        # a GPU that failed under a running pod is not allocatable, yet held
        replace(
            node,
            unavailable_gpus=tuple(
                gpu
                for gpu in range(node.gpus)
                if gpu in jobs.blocked.get(node.id, ()) or (gpu in node.unavailable_gpus and (node.id, gpu) not in held)
            ),
        )
        for node in found.nodes
    )
    snapshot = Snapshot(cluster=cluster, taken_at=taken_at, nodes=usable, jobs=jobs.jobs, limits=limits or Limits())
    paths = {f"node:{name}": path for name, path in found.paths.items()}
    paths |= {f"job:{name}": path for name, path in jobs.paths.items()}
    return settle(snapshot, paths, [*set_aside, *found.set_aside], [*notes, *found.notes, *jobs.notes], source)


def _latest(item: dict[str, Any]) -> float:
    stamps = [text(item, "metadata", "creationTimestamp"), text(item, "status", "startTime")]
    for condition in listing(item, "status", "conditions"):
        stamps += [text(condition, "lastHeartbeatTime"), text(condition, "lastTransitionTime")]
    return max(map(seconds, stamps))
