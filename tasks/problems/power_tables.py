"""How fast, how thirsty and how large is each job under each power cap? A snapshot as arrays.

Integers carry what is limited (milliwatts, GPUs, slots), so that sums never drift.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import numpy as np
import numpy.typing as npt

from data.schemas.cluster import Node, Snapshot
from data.schemas.job import Job, PowerLevel

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

GRID = 7
"""Cap levels between the lowest and the highest cap; the cap in force is one more if it is none of them."""

COLUMNS = GRID + 1
UNLIMITED_MW = 1 << 60
"""Headroom of a cluster without a power cap."""

DEFAULT_CURVE = (
    PowerLevel(0.4, 0.725),
    PowerLevel(0.5, 0.853),
    PowerLevel(0.6, 0.899),
    PowerLevel(0.7, 0.941),
    PowerLevel(0.8, 0.965),
    PowerLevel(0.9, 0.987),
    PowerLevel(1.0, 1.0),
)
"""Cap as a fraction of the highest, and relative throughput: medians over the 68 training workloads that You et al.
(NSDI 2023, "Zeus: Understanding and Optimizing GPU Energy Consumption of DNN Training") measured on V100 GPUs."""


@dataclass(frozen=True, slots=True, eq=False)
class Tables:
    """A snapshot as arrays; levels rise, and rows with fewer than ``columns`` levels repeat their last.

    Args:
        levels: levels that each job has, ``(jobs,)``.
        cap_w: cap on each GPU, ``(jobs, columns)``.
        speed: relative to no cap, ``(jobs, columns)``.
        seconds: run time that remains, ``(jobs, columns)``.
        duration: the same in slots, rounded up, ``(jobs, columns)``.
        draw_mw: draw above that of its idle GPUs, ``(jobs, columns)``.
        energy_kwh: the same over ``seconds``, ``(jobs, columns)``.
        earliest: first slot at which it may start, dependencies aside, ``(jobs,)``.
        running: 1 for jobs that run already, ``(jobs,)``.
        needs: GPUs that it takes from what is usable, ``(jobs,)``.
        pool: row of ``limit`` that it takes them from, ``(jobs,)``.
        limit: GPUs that can be used, of each model and of all, and mW that jobs may draw above idle GPUs, negative
            where the idle cluster is above the cap, ``(pools + 2,)``.
        edges: job and the job that must end before it starts, ``(edges, 2)``.
        background_w: draw of the nodes with all GPUs idle.
        level_in_force: ``(jobs,)``.
        mixed: 1 where the nodes of a job differ in their highest cap, so that its last level is "no cap", ``(jobs,)``.
    """

    levels: Ints
    cap_w: Floats
    speed: Floats
    seconds: Floats
    duration: Ints
    draw_mw: Ints
    energy_kwh: Floats
    earliest: Ints
    running: Ints
    needs: Ints
    pool: Ints
    limit: Ints
    edges: Ints
    background_w: float
    level_in_force: Ints
    mixed: Ints


@dataclass(frozen=True, slots=True)
class Hosts:
    """What the nodes that hold a job, or that could, allow each of its GPUs."""

    power_min_w: float
    power_max_w: float
    power_top_w: float
    idle_w: float

    @classmethod
    def of(cls, nodes: Sequence[Node]) -> "Hosts":
        """Return what all of ``nodes`` accept; ``power_top_w`` is what the largest of them draws without a cap."""
        return cls(
            power_min_w=max(node.gpu_power_min_w for node in nodes),
            power_max_w=min(node.gpu_power_max_w for node in nodes),
            power_top_w=max(node.gpu_power_max_w for node in nodes),
            idle_w=min(node.gpu_idle_w for node in nodes),
        )

    def caps(self, in_force_w: float | None) -> tuple[float, ...]:
        """Return the cap levels in whole watts, the cap in force among them exactly; the last is no cap."""
        low, high = self.power_min_w, self.power_max_w
        grid = {self.power_top_w}
        if low <= high:  # else no cap suits all of them
            inner = {float(round(cap)) for cap in np.linspace(low, high, GRID)[1:-1]}
            grid |= {low} | {cap for cap in inner if low < cap < high}
        return tuple(sorted(grid if in_force_w is None else grid | {in_force_w}))


def relative_speed(levels: Sequence[PowerLevel], cap_w: float, gpu_power_w: float, power_max_w: float) -> float:
    """Return a job's speed under a cap, relative to none.

    Measured levels are joined by straight lines, up to 1 at the highest cap. Without any, a job is not slowed
    while the cap is above its draw, and follows :data:`DEFAULT_CURVE` below. Under the lowest known point speed
    falls in proportion to the cap.

    Args:
        levels: measured points of the job, in any order; may be empty.
        cap_w: cap on each GPU.
        gpu_power_w: draw of each GPU without a cap.
        power_max_w: highest cap of these GPUs.
    """
    if levels:
        points = sorted((level.cap_w, level.speed) for level in levels)
        if points[-1][0] < power_max_w:
            points.append((power_max_w, 1.0))
    elif cap_w >= gpu_power_w:
        return 1.0
    else:
        points = [(level.cap_w * power_max_w, level.speed) for level in DEFAULT_CURVE]
    if cap_w <= points[0][0]:
        return points[0][1] * cap_w / points[0][0]
    for (left_w, left), (right_w, right) in pairwise(points):
        if cap_w <= right_w:
            return left + (right - left) * (cap_w - left_w) / (right_w - left_w)
    return points[-1][1]


def tabulate(snapshot: Snapshot, forecast_w: Mapping[str, float]) -> Tables:
    """Return the arrays of ``snapshot``.

    Args:
        snapshot: at least one node; dependencies on jobs that it does not hold count as done.
        forecast_w: draw of each GPU of a job without a cap, by job id; goes before the job's own figure.

    Raises:
        ValueError: the snapshot has no nodes.
    """
    if not snapshot.nodes:
        raise ValueError("snapshot.nodes: expected at least one node, got none")
    limits = snapshot.limits
    jobs = snapshot.jobs
    nodes = {node.id: node for node in snapshot.nodes}
    models = sorted({node.gpu_model for node in snapshot.nodes})
    hosts_of_model = {model: Hosts.of([n for n in snapshot.nodes if n.gpu_model == model]) for model in models}
    all_hosts = Hosts.of(snapshot.nodes)

    shape = (len(jobs), COLUMNS)
    levels, level_in_force = np.ones(len(jobs), np.int64), np.zeros(len(jobs), np.int64)
    cap_w, speed = np.zeros(shape), np.ones(shape)
    gpu_draw_w = np.zeros(shape)
    pool, needs = np.zeros(len(jobs), np.int64), np.zeros(len(jobs), np.int64)
    idle_w, mixed = np.zeros(len(jobs)), np.zeros(len(jobs), np.int64)
    for j, job in enumerate(jobs):
        homes = [nodes[worker.node] for worker in job.placement if worker.node in nodes]
        model = homes[0].gpu_model if homes else job.gpu_model
        known = model in hosts_of_model
        hosts = Hosts.of(homes) if homes else hosts_of_model[model] if model is not None and known else all_hosts
        caps = hosts.caps(job.gpu_power_cap_w)
        power_w = forecast_w.get(job.id, job.gpu_power_w if job.gpu_power_w is not None else hosts.power_top_w)
        levels[j] = len(caps)
        level_in_force[j] = len(caps) - 1 if job.gpu_power_cap_w is None else caps.index(job.gpu_power_cap_w)
        for k in range(COLUMNS):
            cap = caps[min(k, len(caps) - 1)]
            cap_w[j, k] = cap
            gpu_draw_w[j, k] = min(power_w, cap)
            speed[j, k] = relative_speed(job.power_levels, cap, power_w, hosts.power_top_w)
        idle_w[j] = hosts.idle_w
        mixed[j] = hosts.power_max_w < hosts.power_top_w
        # a model that no node has: its jobs can never be held, so they ask for the whole cluster and one more
        pool[j] = models.index(model) if model is not None and known else len(models)
        needs[j] = _needs(job, nodes) if model is None or known else sum(node.gpus for node in snapshot.nodes) + 1

    gpus = np.array([job.gpus for job in jobs], dtype=np.float64).reshape(-1, 1)
    seconds = np.array([job.remaining_s for job in jobs]).reshape(-1, 1) / speed
    net_w = np.maximum(gpus * (gpu_draw_w - idle_w[:, None]), 0.0)
    powered = [node for node in snapshot.nodes if node.state != "down"]
    background_w = math.fsum(node.base_power_w + node.gpus * node.gpu_idle_w for node in powered)
    limit_w = limits.power_cap_w
    headroom_mw = UNLIMITED_MW if limit_w is None else math.floor(1e3 * (limit_w - background_w))
    running = np.array([job.state == "running" for job in jobs], dtype=np.int64)
    held = np.bincount(pool, weights=needs * running, minlength=len(models) + 1).astype(np.int64)
    held[-1] = held.sum()  # running jobs never hold more than what is usable, whatever the snapshot says
    return Tables(
        levels=levels,
        cap_w=cap_w,
        speed=speed,
        seconds=seconds,
        duration=np.maximum(1, np.ceil(seconds / limits.slot_s - 1e-9)).astype(np.int64),
        draw_mw=np.ceil(1e3 * net_w - 1e-6).astype(np.int64),
        energy_kwh=net_w / 1e3 * seconds / 3600,
        earliest=np.array([0 if job.state == "running" or job.placement else 1 for job in jobs], dtype=np.int64),
        running=running,
        needs=needs,
        pool=pool,
        limit=np.append(np.maximum(_usable(snapshot, models), held), headroom_mw),
        edges=_edges(jobs),
        background_w=background_w,
        level_in_force=level_in_force,
        mixed=mixed,
    )


def _needs(job: Job, nodes: Mapping[str, Node]) -> int:
    """Return the GPUs that a job takes from what is usable: those it holds on drained nodes count for nobody."""
    if job.state == "pending" or not job.placement:
        return job.gpus
    return sum(
        gpu not in nodes[worker.node].unavailable_gpus
        for worker in job.placement
        if worker.node in nodes and nodes[worker.node].state == "up"
        for gpu in worker.gpus
    )


def _usable(snapshot: Snapshot, models: Sequence[str]) -> Ints:
    usable = dict.fromkeys(models, 0)
    for node in snapshot.nodes:
        if node.state == "up":
            usable[node.gpu_model] += node.gpus - len(set(node.unavailable_gpus))
    return np.array([*usable.values(), sum(usable.values())], dtype=np.int64)


def _edges(jobs: Sequence[Job]) -> Ints:
    index = {job.id: j for j, job in enumerate(jobs)}
    edges = {
        (j, index[other])
        for j, job in enumerate(jobs)
        if job.state == "pending"
        for other in job.depends_on
        if other in index and index[other] != j
    }
    return np.array(sorted(edges), dtype=np.int64).reshape(-1, 2)


def rows(edges: Ints, count: int, column: int) -> tuple[Ints, Ints]:
    """Return offsets ``(count + 1,)`` and neighbours of each job, by ``column`` of the edges."""
    order = np.argsort(edges[:, column], kind="stable")
    sizes = np.bincount(edges[:, column], minlength=count)
    return np.array([0, *accumulate(sizes.tolist())], dtype=np.int64), edges[order, 1 - column].copy()
