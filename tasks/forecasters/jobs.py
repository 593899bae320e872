"""What does a snapshot say about the draw of its jobs? One power sample per job: features, bounds, measurements.

Workload text is hashed with SHA-256, so that the same words give the same features in every process (Weinberger et
al. 2009, doi 10.1145/1553374.1553516).
"""

import hashlib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from data.readers.power.measured import measured_power
from data.schemas.cluster import Node, Snapshot
from data.schemas.job import Job
from data.schemas.power import PowerSamples

FEATURE_SET = "snapshot-jobs-2"

BUCKETS = 8
"""Hash features of the workload's words."""

NAMES = (
    "gpu_max_w",
    "gpu_idle_w",
    "log2_gpus",
    "log2_workers",
    "log2_gpus_per_worker",
    "log2_tensor_parallel",
    "log2_pipeline_parallel",
    "log2_expert_parallel",
    "log2_data_parallel",
    "log2_priority",
    "log_traffic_gb_per_s",
    "log_checkpoint_gb_per_gpu",
    "log2_parameters",
    "free_cap",
    "speed_at_lowest_cap",
    "utilisation",
    *(f"word_{bucket}" for bucket in range(BUCKETS)),
)

NOT_SLOWED = 0.995
"""Speed from which a cap counts as one that the job does not feel, and so as one above what it draws."""

_PARAMETERS = re.compile(r"(?<![a-z0-9.])(?:(\d+)x)?(\d+(?:\.\d+)?)([bm])(?![a-z0-9])")
_WORDS = re.compile(r"[a-z0-9.]+")


def job_samples(snapshot: Snapshot) -> PowerSamples:
    """Return one row per job, in the snapshot's order.

    Measured is what the job states itself, else what the series of its nodes say, unless a cap is in force that may
    have held it back. Rows of the same gang are held out together.

    Raises:
        ValueError: the snapshot has no nodes.
    """
    if not snapshot.nodes:
        raise ValueError("snapshot.nodes: expected at least one node, got none")
    by_id = {node.id: node for node in snapshot.nodes}
    by_model: dict[str, list[Node]] = {}
    for node in snapshot.nodes:
        by_model.setdefault(node.gpu_model, []).append(node)
    ranges = {model: _Hosts.of(nodes) for model, nodes in by_model.items()}
    anywhere = _Hosts.of(snapshot.nodes)
    metered = measured_power(snapshot, snapshot.node_series)
    hosts = []
    for job in snapshot.jobs:
        held = [by_id[worker.node] for worker in job.placement if worker.node in by_id]
        hosts.append(_Hosts.of(held) if held else ranges.get(job.gpu_model or "", anywhere))
    power_w = [_measured(job, on, metered.get(job.id)) for job, on in zip(snapshot.jobs, hosts, strict=True)]
    rows = [_features(job, on) for job, on in zip(snapshot.jobs, hosts, strict=True)]
    return PowerSamples(
        feature_set=FEATURE_SET,
        names=NAMES,
        after_start=tuple(name == "utilisation" for name in NAMES),
        ids=tuple(job.id for job in snapshot.jobs),
        features=np.array(rows, dtype=np.float64).reshape(len(rows), len(NAMES)),
        gpu_models=tuple(on.gpu_model for on in hosts),
        workloads=tuple(" ".join(_WORDS.findall(job.workload.lower())) for job in snapshot.jobs),
        groups=tuple(job.gang_id for job in snapshot.jobs),
        idle_w=np.array([on.idle_w for on in hosts], dtype=np.float64),
        max_w=np.array([on.max_w for on in hosts], dtype=np.float64),
        power_w=np.array(power_w, dtype=np.float64),
    )


@dataclass(frozen=True, slots=True)
class _Hosts:
    """What the nodes that a job runs on, or may run on, have in common; no GPU model if they differ."""

    gpu_model: str
    idle_w: float
    max_w: float

    @classmethod
    def of(cls, nodes: Sequence[Node]) -> "_Hosts":
        models = {node.gpu_model for node in nodes}
        return cls(
            nodes[0].gpu_model if len(models) == 1 else "",
            min(node.gpu_idle_w for node in nodes),
            max(node.gpu_power_max_w for node in nodes),
        )


def _measured(job: Job, hosts: _Hosts, metered_w: float | None) -> float:
    if job.gpu_power_w is not None:
        return job.gpu_power_w
    capped = job.gpu_power_cap_w is not None and job.gpu_power_cap_w < hosts.max_w
    if metered_w is None or capped:
        return math.nan
    return min(max(metered_w, hosts.idle_w), hosts.max_w)


def _features(job: Job, hosts: _Hosts) -> tuple[float, ...]:
    levels = sorted(job.power_levels, key=lambda level: level.cap_w)
    free = [level.cap_w for level in levels if level.speed >= NOT_SLOWED]
    return (
        hosts.max_w,
        hosts.idle_w,
        math.log2(job.gpus),
        math.log2(job.workers),
        math.log2(job.gpus_per_worker),
        *_parallelism(job),
        math.log2(job.priority),
        math.log1p(job.traffic_gb_per_s),
        math.log1p(job.checkpoint_gb / job.gpus),
        math.log2(parameters_b(job.workload)),
        free[0] / hosts.max_w if free else math.nan,
        levels[0].speed if levels else math.nan,
        math.nan if job.utilisation is None else job.utilisation,
        *_hashed(job.workload),
    )


def _parallelism(job: Job) -> tuple[float, ...]:
    """Return logarithms of tensor, pipeline, expert and data parallel degrees; a job on one GPU has none to split."""
    split = job.parallelism
    data = max(1.0, job.gpus / (split.tensor * split.pipeline))
    return (math.log2(split.tensor), math.log2(split.pipeline), math.log2(split.expert), math.log2(data))


def parameters_b(workload: str) -> float:
    """Return the billions of parameters that ``workload`` names (``llama-70b``, ``8x7b``, ``350m``), NaN if none."""
    sizes = []
    for copies, number, unit in _PARAMETERS.findall(workload.lower()):
        size = int(copies or 1) * float(number) * (1.0 if unit == "b" else 1e-3)
        if size > 0:
            sizes.append(size)
    return max(sizes, default=math.nan)


def _hashed(workload: str) -> tuple[float, ...]:
    buckets = [0.0] * BUCKETS
    for word in _WORDS.findall(workload.lower()):
        digest = hashlib.sha256(word.encode()).digest()
        buckets[digest[0] % BUCKETS] += 1.0 if digest[1] % 2 else -1.0
    return tuple(buckets)
