"""What does a cluster look like some minutes later, if nobody but its greedy scheduler touches it?

Jobs advance, end and arrive, nodes fail and come back, loads of experts drift, meters go on. Who waits starts on the
first nodes with room, wherever they are; who was given GPUs or a start by a plan keeps to them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np

from data.schemas.checkpoint import Checkpoint
from data.schemas.cluster import Node, Snapshot
from data.schemas.job import Job, Worker
from data.schemas.routing import ExpertDeployment
from data.schemas.telemetry import LinkSeries, NodeSeries

DRIFT = 0.05
"""Standard deviation of the logarithm of an expert's load from one window to the next."""

NOISE = 0.04
"""Likewise of a meter from one sample to the next."""


@dataclass(frozen=True, slots=True)
class Passing:
    """How lively a cluster is.

    Args:
        arrivals_per_h: jobs that arrive in an hour.
        failures_per_h: nodes that fail in an hour.
        repair_h: mean time until a node that is down comes back.
    """

    arrivals_per_h: float = 20.0
    failures_per_h: float = 0.5
    repair_h: float = 1.0


def later(
    snapshot: Snapshot, seconds: float, rng: np.random.Generator, kinds: Sequence[Job], passing: Passing | None = None
) -> Snapshot:
    """Return ``snapshot`` as it is ``seconds`` later; a sound snapshot stays sound.

    Jobs that host experts neither end nor fail, so that there is always something to route.

    Args:
        snapshot: the cluster now.
        seconds: that pass, above 0.
        rng: source of chance.
        kinds: jobs that arrivals are like; with none nobody arrives.
        passing: how lively it is.
    """
    if seconds <= 0.0:
        raise ValueError(f"seconds: expected a time above 0, found {seconds}")
    passing = passing or Passing()
    hours = seconds / 3600.0
    taken_at = (datetime.fromisoformat(snapshot.taken_at) + timedelta(seconds=seconds)).isoformat()
    hosts = {deployment.job for deployment in snapshot.deployments}
    kept = {worker.node for job in snapshot.jobs if job.id in hosts for worker in job.placement}
    nodes = _weathered(snapshot.nodes, kept, hours, passing, rng)
    jobs = _advanced(snapshot.jobs, seconds, hosts, {node.id for node in nodes if node.state == "down"})
    jobs += _arrived(kinds, taken_at, int(rng.poisson(passing.arrivals_per_h * hours)), nodes, rng)
    jobs = _started(jobs, nodes)
    there = {job.id for job in jobs}
    return replace(
        snapshot,
        taken_at=taken_at,
        nodes=nodes,
        jobs=tuple(replace(job, depends_on=tuple(each for each in job.depends_on if each in there)) for job in jobs),
        deployments=tuple(_drifted(deployment, rng) for deployment in snapshot.deployments),
        node_series=tuple(_measured_node(series, rng) for series in snapshot.node_series),
        link_series=tuple(_measured_link(series, rng) for series in snapshot.link_series),
        checkpoints=tuple(_orphaned(checkpoint, there) for checkpoint in snapshot.checkpoints),
    )


def _weathered(
    nodes: Sequence[Node], kept: set[str], hours: float, passing: Passing, rng: np.random.Generator
) -> tuple[Node, ...]:
    """Return the nodes after some fail and others come back; those in ``kept`` do not fail."""
    fails = min(1.0, passing.failures_per_h * hours / max(1, len(nodes)))
    returns = 1.0 - float(np.exp(-hours / passing.repair_h))
    found = []
    for node, chance in zip(nodes, rng.random(len(nodes)).tolist(), strict=True):
        if node.state == "up" and node.id not in kept and chance < fails:
            found.append(replace(node, state="down"))
        elif node.state == "down" and chance < returns:
            found.append(replace(node, state="up"))
        else:
            found.append(node)
    return tuple(found)


def _advanced(jobs: Sequence[Job], seconds: float, hosts: set[str], down: set[str]) -> list[Job]:
    """Return who is still there: who ran to the end is gone, and who lost a node waits again."""
    found = []
    for job in jobs:
        lost = any(worker.node in down for worker in job.placement)
        if job.state == "pending":
            start_s = None if job.planned_start_s is None else max(0.0, job.planned_start_s - seconds)
            placement = () if lost else job.placement
            found.append(replace(job, waiting_s=job.waiting_s + seconds, planned_start_s=start_s, placement=placement))
        elif lost:
            found.append(replace(job, state="pending", placement=(), gpu_power_cap_w=None, waiting_s=0.0))
        elif job.id in hosts:
            found.append(job)
        elif job.remaining_s > seconds:
            found.append(replace(job, remaining_s=job.remaining_s - seconds))
    return [replace(job, deadline_s=_left(job.deadline_s, seconds)) for job in found]


def _left(deadline_s: float | None, seconds: float) -> float | None:
    return None if deadline_s is None else max(0.0, deadline_s - seconds)


def _arrived(
    kinds: Sequence[Job], taken_at: str, count: int, nodes: Sequence[Node], rng: np.random.Generator
) -> list[Job]:
    """Return ``count`` newcomers like ``kinds`` that the open nodes have room for."""
    if not kinds:
        return []
    stamp = datetime.fromisoformat(taken_at).strftime("%Y%m%d%H%M%S")
    room: dict[str | None, int] = {None: 0}
    for node in nodes:
        if node.state != "down":
            room[node.gpu_model] = room.get(node.gpu_model, 0) + node.gpus
            room[None] += node.gpus
    found = []
    for number, kind in enumerate(rng.integers(len(kinds), size=count).tolist()):
        like = kinds[kind]
        if like.gpus <= room.get(like.gpu_model, 0):
            length_s = float(np.clip(like.remaining_s * rng.lognormal(0.0, 0.5), 60.0, 86_400.0))
            newcomer = replace(
                like, id=f"new-{stamp}-{number}", gang="", state="pending", placement=(), depends_on=(),
                remaining_s=length_s, waiting_s=0.0, planned_start_s=None, deadline_s=None, gpu_power_cap_w=None,
            )  # fmt: skip
            found.append(newcomer)
    return found


def _started(jobs: Sequence[Job], nodes: Sequence[Node]) -> list[Job]:
    """Return the jobs after who may has started: planned ones on their GPUs, others on the first nodes with room."""
    held = {(worker.node, gpu) for job in jobs for worker in job.placement for gpu in worker.gpus}
    free = {
        node.id: [gpu for gpu in range(node.gpus) if gpu not in node.unavailable_gpus and (node.id, gpu) not in held]
        for node in nodes
        if node.state == "up"
    }
    models = {node.id: node.gpu_model for node in nodes}
    there = {job.id for job in jobs}
    found = []
    for job in jobs:
        due = job.planned_start_s is None or job.planned_start_s <= 0.0
        if job.state == "running" or not due or not there.isdisjoint(job.depends_on):
            found.append(job)
            continue
        placement = job.placement or _first_fit(job, free, models)
        if placement:
            found.append(replace(job, state="running", placement=placement, planned_start_s=None, waiting_s=0.0))
        else:
            found.append(job)
    return found


def _first_fit(job: Job, free: dict[str, list[int]], models: dict[str, str]) -> tuple[Worker, ...]:
    """Return workers on the first free GPUs, which are taken from ``free``; none where they are too few."""
    workers: list[Worker] = []
    for node, gpus in free.items():
        if job.gpu_model is None or models[node] == job.gpu_model:
            count = min(len(gpus) // job.gpus_per_worker, job.workers - len(workers))
            size = job.gpus_per_worker
            workers += [Worker(node, tuple(gpus[size * at : size * (at + 1)])) for at in range(count)]
    if len(workers) < job.workers:
        return ()
    for worker in workers:
        free[worker.node] = [gpu for gpu in free[worker.node] if gpu not in worker.gpus]
    return tuple(workers)


def _drifted(deployment: ExpertDeployment, rng: np.random.Generator) -> ExpertDeployment:
    last = np.array(deployment.loads[-1])
    now = np.round(last * rng.lognormal(0.0, DRIFT, last.shape), 3)
    return replace(deployment, loads=(*deployment.loads[1:], tuple(tuple(layer) for layer in now.tolist())))


def _measured_node(series: NodeSeries, rng: np.random.Generator) -> NodeSeries:
    return replace(
        series,
        gpu_power_w=_next(series.gpu_power_w, rng),
        utilisation=_next(series.utilisation, rng, most=1.0),
        temperature_c=_next(series.temperature_c, rng, most=90.0),
    )


def _measured_link(series: LinkSeries, rng: np.random.Generator) -> LinkSeries:
    return replace(
        series,
        throughput_gb_per_s=_next(series.throughput_gb_per_s, rng),
        waits_per_s=_next(series.waits_per_s, rng, most=1e12),
    )


def _next(values: tuple[float, ...], rng: np.random.Generator, most: float = 1e4) -> tuple[float, ...]:
    """Return the series a sample later: its mean with the noise of a meter."""
    if not values:
        return ()
    level = 0.5 * (values[-1] + float(np.mean(values)))
    return (*values[1:], round(min(most, level * float(rng.lognormal(0.0, NOISE))), 3))


def _orphaned(checkpoint: Checkpoint, there: set[str]) -> Checkpoint:
    return checkpoint if checkpoint.job in there else replace(checkpoint, job=None)
