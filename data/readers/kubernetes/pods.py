"""Which gangs of pods hold or want GPUs of a Kubernetes cluster?"""

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from data.readers.gpu_models import gpu_model_name
from data.readers.holdings import Holdings
from data.readers.kubernetes.groups import blocking, group_of, is_movable
from data.readers.kubernetes.objects import MOST_GPUS, gpu_quantity, listing, mapping, natural, seconds, text
from data.schemas.cluster import Node
from data.schemas.job import Job, Worker


@dataclass(frozen=True, slots=True, eq=False)
class KubernetesJobs:
    """The jobs that hold or want GPUs.

    Args:
        paths: id of each job to the place of its first pod.
        blocked: node and GPU indexes that are held by something which is not among ``jobs``.
    """

    jobs: tuple[Job, ...]
    paths: dict[str, str]
    blocked: dict[str, set[int]]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Pod:
    path: str
    name: str
    gang: str
    gpus: int
    node: str
    gpu_model: str | None
    priority: int
    movable: bool
    waiting_s: float
    remaining_s: float


def read_jobs(
    found: Sequence[tuple[str, dict[str, Any]]],
    budgets: Sequence[dict[str, Any]],
    nodes: Sequence[Node],
    *,
    taken_s: float,
    unlimited_s: float,
) -> KubernetesJobs:
    """Return one job per gang; pods of a gang that differ in GPUs or state come as jobs that share the gang.

    A pod that is bound to a node holds its GPUs, whatever its phase says. Which ones, the API does not tell:
    the lowest free indexes are taken, gang by gang and pod by pod in the order of their names.

    Args:
        found: place in the source and object of each pod.
        budgets: PodDisruptionBudgets.
        nodes: nodes with GPUs; their unavailable GPUs are not handed out while others are free.
        taken_s: time of the snapshot, Unix seconds.
        unlimited_s: remaining seconds of a pod without a deadline.
    """
    notes: Counter[str] = Counter()
    blocks = blocking(budgets)
    holdings = Holdings({node.id: node.gpus for node in nodes})
    usable = {node.id: frozenset(range(node.gpus)) - frozenset(node.unavailable_gpus) for node in nodes}
    parts: dict[tuple[str, str, int], list[_Pod]] = defaultdict(list)
    leaving: list[_Pod] = []
    for path, item in found:
        if text(item, "status", "phase") not in ("Running", "Pending"):
            continue
        gpus = _gpus(item)
        if not gpus:
            notes["pods without GPUs were left out"] += 1
            continue
        pod = _pod(path, item, gpus, blocks, taken_s, unlimited_s, notes)
        if text(item, "metadata", "deletionTimestamp"):
            leaving.append(pod)
        else:
            parts[pod.gang or pod.name, "running" if pod.node else "pending", gpus].append(pod)
    split = Counter(gang for gang, _, _ in parts)
    ranks = {value: rank for rank, value in enumerate(sorted({p.priority for pods in parts.values() for p in pods}), 1)}
    jobs: list[Job] = []
    paths: dict[str, str] = {}
    for (gang, state, gpus), pods in sorted(parts.items(), key=lambda entry: (natural(entry[0][0]), entry[0][1:])):
        pods.sort(key=lambda pod: natural(pod.name))
        name = gang if split[gang] == 1 else f"{gang}:{state}-{gpus}"
        jobs.append(_job(name, gang if split[gang] > 1 else "", state == "running", pods, holdings, usable, ranks))
        paths[name] = pods[0].path
    blocked: dict[str, set[int]] = {}
    for pod in sorted(leaving, key=lambda pod: natural(pod.name)):
        if pod.node in usable:
            taken = holdings.take_first(pod.node, pod.gpus, usable[pod.node]) or ()
            blocked.setdefault(pod.node, set()).update(taken)
            notes["pods that are being deleted keep their GPUs, which are not used"] += 1
    if any(job.state == "running" for job in jobs):
        notes["Kubernetes does not tell GPU indexes: pods were given the lowest free ones"] = 1
    if len(ranks) > 1:
        notes["priorities are the ranks of the pods' priority values"] = 1
    splits = sum(count > 1 for count in split.values())
    if splits:
        notes["gangs with pods of several sizes or states came as jobs that share the gang"] = splits
    told = tuple(f"{note} ({count})" if count > 1 else note for note, count in notes.items())
    return KubernetesJobs(tuple(jobs), paths, blocked, told)


def _job(
    name: str,
    gang: str,
    running: bool,
    pods: list[_Pod],
    holdings: Holdings,
    usable: dict[str, frozenset[int]],
    ranks: dict[int, int],
) -> Job:
    size = pods[0].gpus
    placement = tuple(
        # too many or an unknown node: named all the same, so that the cross-check sets the job aside
        Worker(pod.node, holdings.take_first(pod.node, size, usable.get(pod.node, frozenset())) or _named(size))
        for pod in pods
        if running
    )
    models = {pod.gpu_model for pod in pods}
    state: Literal["running", "pending"] = "running" if running else "pending"
    return Job(
        id=name,
        workers=len(pods),
        gpus_per_worker=size,
        state=state,
        placement=placement,
        gang=gang,
        gpu_model=models.pop() if len(models) == 1 else None,
        priority=float(max(ranks[pod.priority] for pod in pods)),
        remaining_s=max(pod.remaining_s for pod in pods),
        waiting_s=max(pod.waiting_s for pod in pods),
        movable=all(pod.movable for pod in pods),
        workload=re.sub(r"[^\w.\-:/@+=\[\] ]", "_", name)[:128],
    )


def _pod(
    path: str,
    item: dict[str, Any],
    gpus: int,
    blocks: Mapping[str, Sequence[dict[str, Any]]],
    taken_s: float,
    unlimited_s: float,
    notes: Counter[str],
) -> _Pod:
    namespace = text(item, "metadata", "namespace") or "default"
    group = group_of(item)
    created = seconds(text(item, "metadata", "creationTimestamp"))
    started = seconds(text(item, "status", "startTime"))
    deadline = text(item, "spec", "activeDeadlineSeconds")
    if deadline.isdecimal():
        remaining = max(float(deadline) - (taken_s - started if started else 0.0), 0.0)
    else:
        remaining = unlimited_s
        notes[f"pods without a deadline were taken to need {unlimited_s:.0f} s more"] += 1
    product = mapping(item, "spec", "nodeSelector").get("nvidia.com/gpu.product", "")
    priority = text(item, "spec", "priority")
    return _Pod(
        path=path,
        name=f"{namespace}/{text(item, 'metadata', 'name')}",
        gang=f"{namespace}/{group}" if group else "",
        gpus=gpus,
        node=text(item, "spec", "nodeName"),
        gpu_model=gpu_model_name(product) if product else None,
        priority=int(priority) if re.fullmatch(r"-?\d{1,18}", priority) else 0,
        movable=is_movable(item, blocks),
        waiting_s=max((started or taken_s) - created, 0.0) if created else 0.0,
        remaining_s=remaining,
    )


def _named(size: int) -> tuple[int, ...]:
    return tuple(range(min(size, MOST_GPUS + 1)))


def _gpus(pod: dict[str, Any]) -> int:
    """Return the GPUs that the pod needs at once: its containers and sidecars together, or its largest init step."""
    together = sum(_asked(container) for container in listing(pod, "spec", "containers"))
    largest = 0
    for container in listing(pod, "spec", "initContainers"):
        if text(container, "restartPolicy") == "Always":
            together += _asked(container)
        else:
            largest = max(largest, _asked(container))
    return max(together, largest)


def _asked(container: dict[str, Any]) -> int:
    requests = gpu_quantity(mapping(container, "resources", "requests"))
    return requests or gpu_quantity(mapping(container, "resources", "limits"))
