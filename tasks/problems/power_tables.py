"""How fast, how thirsty and how large is each job under each power cap? A snapshot as arrays.

Integers carry what is limited (milliwatts, GPUs, slots), so that sums never drift.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import numpy.typing as npt

from data.schemas.cluster import Node, Snapshot
from data.schemas.job import Job
from tasks.problems.power_demand import GRID, Demand, Hosts, demand_of
from tasks.problems.power_sites import Sites, allowed_w, excess_mw, site_caps, sites_of

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

COLUMNS = GRID + 1
UNLIMITED_MW = 1 << 60
"""Headroom of a cluster without a power cap."""

MJ_PER_KWH = 3.6e9
MOST_MJ = 2.0**54
"""One job counts with at most 5 GWh in an energy budget, so that sums of hundreds of such jobs stay exact."""


@dataclass(frozen=True, slots=True, eq=False)
class Tables:
    """A snapshot as arrays; levels rise, and rows with fewer than ``columns`` levels repeat their last.

    Args:
        levels: levels that each job has, ``(jobs,)``.
        cap_w: cap on each GPU, ``(jobs, columns)``.
        speed: relative to no cap, ``(jobs, columns)``.
        seconds: run time that remains, ``(jobs, columns)``.
        slow_s: the same where the curve is that of slow workloads, which deadlines count with, ``(jobs, columns)``.
        duration: ``seconds`` in slots, rounded up, ``(jobs, columns)``.
        draw_mw: draw above that of its idle GPUs, exceeded only as often as the snapshot's quantile allows: what
            limits count with, ``(jobs, columns)``.
        mean_mw: the draw that is expected, ``(jobs, columns)``.
        energy_kwh: that over ``seconds``, ``(jobs, columns)``.
        energy_mj: the same, rounded up: what an energy budget counts with, ``(jobs, columns)``.
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
        sites: nodes and racks with a cap of their own, and what jobs draw on them.
    """

    levels: Ints
    cap_w: Floats
    speed: Floats
    seconds: Floats
    slow_s: Floats
    duration: Ints
    draw_mw: Ints
    mean_mw: Ints
    energy_kwh: Floats
    energy_mj: Ints
    earliest: Ints
    running: Ints
    needs: Ints
    pool: Ints
    limit: Ints
    edges: Ints
    background_w: float
    level_in_force: Ints
    mixed: Ints
    sites: Sites


def slots_of(seconds: Floats | float, slot_s: float) -> Ints:
    """Return run times in slots, rounded up, at least one."""
    return np.maximum(1, np.ceil(np.asarray(seconds) / slot_s - 1e-9)).astype(np.int64)


def _within_share(demand: Demand, job: Job, share_w: float, slot_s: float) -> Demand:
    """Return the levels of a job without nodes that are above ``share_w`` no further than its level in force."""
    over = [
        excess_mw(job.gpus, high, share_w) * int(slots_of(job.remaining_s / speed, slot_s))
        for high, speed in zip(demand.high_w, demand.speed, strict=True)
    ]
    return demand.keep([k for k, excess in enumerate(over) if excess <= over[demand.in_force]])


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
    capped = site_caps(snapshot)
    allowed_of = allowed_w(snapshot, capped)
    share_of: dict[str | None, float] = {
        model: min(
            (allowed_of[n.id] for n in snapshot.nodes if n.state == "up" and model in (None, n.gpu_model)),
            default=math.inf,
        )
        for model in (None, *models)
    }

    demands: list[Demand] = []
    pool, needs = np.zeros(len(jobs), np.int64), np.zeros(len(jobs), np.int64)
    idle_w, share_w = np.zeros(len(jobs)), np.full(len(jobs), math.inf)
    for j, job in enumerate(jobs):
        homes = [nodes[worker.node] for worker in job.placement if worker.node in nodes]
        model = homes[0].gpu_model if homes else job.gpu_model
        known = model in hosts_of_model
        hosts = Hosts.of(homes) if homes else hosts_of_model[model] if model is not None and known else all_hosts
        allowed = min(allowed_of[node.id] for node in homes) if homes else share_of.get(model, math.inf)
        demand = demand_of(job, hosts, model, forecast_w.get(job.id), allowed)
        if not homes and math.isfinite(allowed):
            share_w[j] = allowed
            demand = _within_share(demand, job, allowed, limits.slot_s)
        demands.append(demand)
        idle_w[j] = hosts.idle_w
        # a model that no node has: its jobs can never be held, so they ask for the whole cluster and one more
        pool[j] = models.index(model) if model is not None and known else len(models)
        needs[j] = _needs(job, nodes) if model is None or known else sum(node.gpus for node in snapshot.nodes) + 1

    columns = max([COLUMNS, *(len(demand.caps_w) for demand in demands)])
    speed = _padded([demand.speed for demand in demands], columns)
    high_w = _padded([demand.high_w for demand in demands], columns)
    gpus = np.array([job.gpus for job in jobs], dtype=np.float64).reshape(-1, 1)
    remaining_s = np.array([job.remaining_s for job in jobs]).reshape(-1, 1)
    seconds = remaining_s / speed
    net_w = np.maximum(gpus * (_padded([demand.draw_w for demand in demands], columns) - idle_w[:, None]), 0.0)
    high_net_w = np.maximum(gpus * (high_w - idle_w[:, None]), 0.0)
    powered = [node for node in snapshot.nodes if node.state != "down"]
    background_w = math.fsum(node.base_power_w + node.gpus * node.gpu_idle_w for node in powered)
    limit_w = limits.power_cap_w
    headroom_mw = UNLIMITED_MW if limit_w is None else math.floor(1e3 * (limit_w - background_w))
    running = np.array([job.state == "running" for job in jobs], dtype=np.int64)
    held = np.bincount(pool, weights=needs * running, minlength=len(models) + 1).astype(np.int64)
    held[-1] = held.sum()  # running jobs never hold more than what is usable, whatever the snapshot says
    return Tables(
        levels=np.array([len(demand.caps_w) for demand in demands], dtype=np.int64),
        cap_w=_padded([demand.caps_w for demand in demands], columns),
        speed=speed,
        seconds=seconds,
        slow_s=remaining_s / _padded([demand.slow for demand in demands], columns),
        duration=slots_of(seconds, limits.slot_s),
        draw_mw=_milliwatts(high_net_w),
        mean_mw=_milliwatts(net_w),
        energy_kwh=net_w / 1e3 * seconds / 3600,
        energy_mj=np.ceil(np.minimum(_milliwatts(net_w) * seconds, MOST_MJ) - 1e-6).astype(np.int64),
        earliest=np.array([0 if job.state == "running" or job.placement else 1 for job in jobs], dtype=np.int64),
        running=running,
        needs=needs,
        pool=pool,
        limit=np.append(np.maximum(_usable(snapshot, models), held), headroom_mw),
        edges=_edges(jobs),
        background_w=background_w,
        level_in_force=np.array([demand.in_force for demand in demands], dtype=np.int64),
        mixed=np.array([demand.mixed for demand in demands], dtype=np.int64),
        sites=sites_of(snapshot, capped, high_w, share_w),
    )


def _padded(rows: Sequence[tuple[float, ...]], columns: int) -> Floats:
    """Return rows that repeat their last value, ``(rows, columns)``."""
    return np.array([(*row, *(row[-1],) * (columns - len(row))) for row in rows], np.float64).reshape(-1, columns)


def _milliwatts(watts: Floats) -> Ints:
    return np.ceil(1e3 * watts - 1e-6).astype(np.int64)


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
