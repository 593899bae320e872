"""Who sends how much to whom while a job trains or serves? GPU to GPU demands, from how the model is split.

The traffic of a GPU is shared out over the kinds of parallelism that its job has (:class:`Mix`):

- tensor: a ring all-reduce in each tensor-parallel group, to the next GPU of the group;
- expert: an all-to-all in each expert-parallel group, an equal part to every other GPU of it;
- pipeline: half to the GPU of the next stage (activations), half to that of the one before (gradients); the first and
  the last stage send only one of the halves;
- data: a ring all-reduce over the GPUs that hold the same part of the model, in all jobs of the gang. NCCL lays as many
  rings as a GPU has partners in its NVLink domain, and each leaves by another adapter: of ``n`` GPUs in a domain, each
  sends 1 - 1/n to the next one there, and 1/n to its like in the next domain.

So each GPU sends exactly ``Job.traffic_gb_per_s``, but for the first and last pipeline stages. Ranks count as in
Megatron: tensor fastest, then expert, then data, then pipeline (Narayanan et al. 2021, arXiv 2104.04473). How much
of the traffic is of which kind depends on model and batch, which nobody meters: ``Mix`` is an assumption.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from data.schemas.fabric import Demands, Fabric, Floats, Ints
from data.schemas.job import Job


@dataclass(frozen=True, slots=True)
class Mix:
    """Weights of the kinds of traffic; what a job does not have falls away, and the rest is scaled to one."""

    tensor: float = 4.0
    expert: float = 3.0
    pipeline: float = 1.0
    data: float = 2.0


@dataclass(frozen=True, slots=True)
class Split:
    """GPUs of each kind of group; their product is the number of GPUs."""

    tensor: int
    expert: int
    data: int
    pipeline: int


def split_of(job: Job) -> Split:
    """Return how the job is split; degrees whose product does not divide its GPUs say nothing: all data parallel."""
    asked = job.parallelism
    group = asked.tensor * asked.expert * asked.pipeline
    if job.gpus % group:
        return Split(1, 1, job.gpus, 1)
    return Split(asked.tensor, asked.expert, job.gpus // group, asked.pipeline)


def demands_of(jobs: Sequence[Job], fabric: Fabric, mix: Mix | None = None) -> Demands:
    """Return what the jobs that hold GPUs want to send.

    Args:
        jobs: those without a placement, or without traffic, send nothing.
        fabric: has the GPUs that they hold.
        mix: of the kinds of traffic; None means the default one.

    Raises:
        ValueError: a job holds a GPU that the fabric does not have.
    """
    mix = mix or Mix()
    index = {gpu: row for row, gpu in enumerate(fabric.gpus)}
    parts: list[tuple[Ints, Ints, Floats, int]] = []
    rings: dict[tuple[str, int], list[tuple[int, int, float]]] = {}
    for number, job in enumerate(jobs):
        if not job.placement or job.traffic_gb_per_s <= 0:
            continue
        gpus = placed_gpus(job, index)
        split = split_of(job)
        sends = {"tensor": split.tensor, "expert": split.expert, "pipeline": split.pipeline}
        has = {kind: getattr(mix, kind) for kind, degree in sends.items() if degree > 1}
        if split.data > 1 or not has:
            has["data"] = mix.data
        scale = job.traffic_gb_per_s / sum(has.values()) if sum(has.values()) > 0 else 0.0
        # (pipeline, data, expert, tensor): the last counts fastest
        grid = gpus.reshape(split.pipeline, split.data, split.expert, split.tensor)
        if "tensor" in has:
            parts.append((grid.ravel(), np.roll(grid, -1, axis=3).ravel(), _even(gpus, has["tensor"] * scale), number))
        if "expert" in has:
            step = has["expert"] * scale / (split.expert - 1)
            others = [np.roll(grid, -shift, axis=2).ravel() for shift in range(1, split.expert)]
            parts += [(grid.ravel(), other, _even(gpus, step), number) for other in others]
        if "pipeline" in has:
            for one, other in ((grid[:-1], grid[1:]), (grid[1:], grid[:-1])):
                parts.append((one.ravel(), other.ravel(), _even(one, 0.5 * has["pipeline"] * scale), number))
        if "data" in has:
            alike = grid.transpose(0, 2, 3, 1).reshape(-1, split.data)  # rows of GPUs that hold the same part
            for part, row in enumerate(alike):
                ring = rings.setdefault((job.gang_id, part), [])
                ring += [(int(gpu), number, has["data"] * scale) for gpu in row]
    for members in rings.values():
        parts += _ring(members, fabric)
    return _joined(parts)


def placed_gpus(job: Job, index: Mapping[tuple[str, int], int]) -> Ints:
    """Return the GPUs of a placed job in order of its ranks, ``(gpus,)``.

    Args:
        job: holds GPUs.
        index: place of each (node, GPU) in the fabric.

    Raises:
        ValueError: the fabric has no such GPU, or the job holds another number than it needs.
    """
    held = [(worker.node, gpu) for worker in job.placement for gpu in worker.gpus]
    strange = [gpu for gpu in held if gpu not in index]
    if strange:
        raise ValueError(f"job {job.id}: expected GPUs of the fabric, got {strange[0][0]} GPU {strange[0][1]}")
    if len(held) != job.gpus:
        raise ValueError(f"job {job.id}: expected {job.gpus} GPUs held, got {len(held)}")
    return np.array([index[gpu] for gpu in held], dtype=np.int64)


def _ring(members: Sequence[tuple[int, int, float]], fabric: Fabric) -> list[tuple[Ints, Ints, Floats, int]]:
    """Return the sends of one all-reduce: (GPU, its job, what it sends in all) in order of ranks."""
    of_domain: dict[int, list[tuple[int, int, float]]] = {}
    for member in members:
        of_domain.setdefault(int(fabric.domain[member[0]]), []).append(member)
    groups = list(of_domain.values())
    parts = []
    for number, group in enumerate(groups):
        after = groups[(number + 1) % len(groups)]
        abroad = (1.0 / len(group)) if len(groups) > 1 else 0.0
        for place, (gpu, job, sends) in enumerate(group):
            follower = group[(place + 1) % len(group)][0]
            like = after[place % len(after)][0]
            for target, share in ((follower, 1.0 - abroad), (like, abroad)):
                if target != gpu and share > 0.0:
                    parts.append((np.array([gpu]), np.array([target]), np.array([sends * share]), job))
    return parts


def _even(gpus: Ints, gb_per_s: float) -> Floats:
    return np.full(gpus.size, gb_per_s)


def _joined(parts: Sequence[tuple[Ints, Ints, Floats, int]]) -> Demands:
    if not parts:
        none = np.empty(0, dtype=np.int64)
        return Demands(none, none, np.empty(0), none)
    source, target, gb_per_s = (np.concatenate([part[column] for part in parts]) for column in range(3))
    owner = np.concatenate([np.full(part[0].size, part[3]) for part in parts])
    return Demands(source.astype(np.int64), target.astype(np.int64), gb_per_s.astype(np.float64), owner)
