"""How is a whole cluster generated? Machines, a scheduler's leavings, power, meters, experts: one snapshot."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from data.generators.first_fit import ANY, Held, first_fit
from data.generators.fitted import THROUGHPUT_SHARE
from data.generators.hardware import NIC_GB_PER_S, dgx_nodes, leaf_spine, nvl72_racks
from data.generators.jobs import Arrivals, arrivals
from data.generators.power import busy_shares, cap_losses, power_levels, utilisations
from data.generators.routing import expert_deployment
from data.generators.telemetry import link_series, node_series
from data.schemas.cluster import Limits, Node, Snapshot
from data.schemas.job import Job

RUNNING_SHARE = 0.78
"""Share of the jobs present that are aimed to run; the others wait."""

OCCUPIED = 0.9
"""Share of the GPUs that are aimed to be held."""


@dataclass(frozen=True, slots=True)
class Experts:
    """Shape of a generated MoE deployment; it runs on the smallest job with enough GPUs, if there is one."""

    ranks: int = 32
    slots_per_rank: int = 3
    layers: int = 8
    experts: int = 64
    windows: int = 4
    targets_kept: int = 3


@dataclass(frozen=True, slots=True)
class Scenario:
    """What kind of cluster to generate.

    Args:
        cluster: its name.
        taken_at: the moment, ISO 8601 with offset.
        nodes: the machines.
        jobs: most jobs that run or wait; with enough ``load`` they are that many when arrivals stop.
        mean_gpus: mean GPUs of these; None means enough to fill the machines.
        largest: most GPUs of one job.
        load: GPU seconds that arriving jobs ask for over those that the machines offer.
        turnover: jobs that arrive before the moment, over ``jobs``.
        quiet_s: time without arrivals before the moment, as at night: holes appear that nobody fills.
        samples: length of telemetry series; nought means none.
        interval_s: time between two samples.
        experts: the MoE deployment; None means none.
        movable: share of jobs that may be moved.
        limits: what a plan must keep to.
    """

    cluster: str
    taken_at: str
    nodes: tuple[Node, ...]
    jobs: int
    mean_gpus: float | None = None
    largest: int = 128
    load: float = 1.4
    turnover: float = 2.0
    quiet_s: float = 0.0
    samples: int = 0
    interval_s: float = 60.0
    experts: Experts | None = None
    movable: float = 0.95
    limits: Limits = field(default_factory=Limits)


def cluster_of(*, gpus: int, jobs: int, rng: np.random.Generator) -> Snapshot:
    """Return a scheduled cluster of about ``gpus`` GPUs, three quarters of them in NVL72 racks, and ``jobs`` jobs.

    Args:
        gpus: at least four. What is too small for a rack is four-GPU trays of one NVLink domain.
        jobs: jobs that run or wait.
        rng: source of chance.
    """
    if gpus < 4 or jobs < 0:
        raise ValueError(f"expected at least 4 GPUs and no negative number of jobs, found {gpus} and {jobs}")
    racks = gpus * 3 // 4 // 72
    dgx = (gpus - 72 * racks) // 8
    trays = (gpus - 72 * racks - 8 * dgx) // 4
    nodes = nvl72_racks(racks) + dgx_nodes(dgx) + (nvl72_racks(1, trays=trays, first=racks + 1) if trays else ())
    largest = min(1024, max(8, gpus // 4))
    return snapshot_of(Scenario("generated", "2026-03-02T06:00:00+00:00", nodes, jobs, largest=largest), rng)


def snapshot_of(scenario: Scenario, rng: np.random.Generator) -> Snapshot:
    """Return the cluster of ``scenario``: the same scenario and chance give the same snapshot."""
    streams = rng.spawn(5)
    gpus = sum(node.gpus for node in scenario.nodes)
    fills = max(1.5, OCCUPIED * gpus / max(1.0, RUNNING_SHARE * scenario.jobs))
    mean = fills if scenario.mean_gpus is None else scenario.mean_gpus
    jobs: tuple[Job, ...] = ()
    age_s: dict[str, float] = {}
    if scenario.jobs:
        count = int(scenario.turnover * scenario.jobs) + 20
        waiting = max(0.0, scenario.jobs - OCCUPIED * gpus / mean)
        came = arrivals(
            scenario.nodes,
            count,
            mean_gpus=mean,
            largest=scenario.largest,
            load=scenario.load / (1.0 - waiting / count),  # enough for those who will wait at the end
            occupied=min(OCCUPIED, scenario.jobs * mean / gpus),
            rng=streams[0],
        )
        moment_s = float(came.requests.arrival_s[-1]) + scenario.quiet_s
        held = first_fit(scenario.nodes, came.requests, moment_s=moment_s, most=scenario.jobs)
        jobs = jobs_of(scenario.nodes, came, held, scenario.movable, streams[1])
        age_s = {_name(job): held.moment_s - held.start_s[job] for job in held.running}
    snapshot = Snapshot(
        cluster=scenario.cluster,
        taken_at=scenario.taken_at,
        nodes=scenario.nodes,
        jobs=jobs,
        links=leaf_spine(scenario.nodes),
        limits=scenario.limits,
    )
    if scenario.experts:
        snapshot = with_experts(snapshot, scenario.experts, streams[2])
    return with_telemetry(snapshot, scenario, age_s, streams[3])


def with_experts(snapshot: Snapshot, shape: Experts, rng: np.random.Generator) -> Snapshot:
    """Return ``snapshot`` with a MoE deployment on the smallest running job with enough GPUs, if there is one."""
    fitting = [job for job in snapshot.jobs if job.state == "running" and job.gpus >= shape.ranks]
    if not fitting:
        return snapshot
    host = min(fitting, key=lambda job: job.gpus)
    deployment = expert_deployment(
        "moe-1",
        host.id,
        ranks=shape.ranks,
        slots_per_rank=shape.slots_per_rank,
        layers=shape.layers,
        experts=shape.experts,
        windows=shape.windows,
        targets_kept=shape.targets_kept,
        rng=rng,
    )
    jobs = tuple(replace(job, workload="moe-serving") if job.id == host.id else job for job in snapshot.jobs)
    return replace(snapshot, jobs=jobs, deployments=(deployment,))


def with_telemetry(
    snapshot: Snapshot, scenario: Scenario, age_s: Mapping[str, float], rng: np.random.Generator
) -> Snapshot:
    """Return ``snapshot`` with the series that ``scenario`` asks for."""
    if not scenario.samples:
        return snapshot
    of_nodes, of_links = rng.spawn(2)
    return replace(
        snapshot,
        node_series=node_series(snapshot, age_s, scenario.samples, scenario.interval_s, of_nodes),
        link_series=link_series(snapshot, age_s, scenario.samples, scenario.interval_s, of_links),
    )


def jobs_of(
    nodes: tuple[Node, ...], came: Arrivals, held: Held, movable: float, rng: np.random.Generator
) -> tuple[Job, ...]:
    """Return the jobs that are there at the moment, in order of arrival, with what nobody schedules by: power, traffic.

    Args:
        nodes: the machines.
        came: everybody who ever arrived.
        held: who is still there.
        movable: share of jobs that may be moved.
        rng: source of chance.
    """
    present = sorted((*held.running, *held.pending))
    count = len(present)
    running, still = set(held.running), set(present)
    of_model = {node.gpu_model: node for node in nodes}
    on_node = {node.id: node for node in nodes}
    busy = busy_shares(count, rng)
    utilisation = utilisations(busy, rng)
    loss = cap_losses(count, rng)
    traffic = replace(THROUGHPUT_SHARE, lowest=0.01, nought=0.0)(count, rng) * NIC_GB_PER_S
    model_gb = 4.0 * np.exp(0.8 * rng.standard_normal(count))
    priority = rng.choice([1.0, 2.0, 4.0], size=count, p=[0.7, 0.2, 0.1])
    chance = rng.random((count, 3))
    requests = came.requests
    jobs = []
    for row, job in enumerate(present):
        model = requests.models[requests.model[job]] if requests.model[job] != ANY else None
        placement = held.placement.get(job, ())
        node = on_node[placement[0].node] if placement else of_model.get(model or "", nodes[0])
        draw_w = round(float(node.gpu_idle_w + busy[row] * (node.gpu_power_max_w - node.gpu_idle_w)), 1)
        is_running = job in running
        after = int(requests.after[job])
        workers, width = int(requests.workers[job]), int(requests.gpus_per_worker[job])
        talks = workers > 1 or came.gang[job] != ANY
        left_s = requests.duration_s[job] - (held.moment_s - held.start_s[job] if is_running else 0.0)
        jobs.append(
            Job(
                id=_name(job),
                workers=workers,
                gpus_per_worker=width,
                state="running" if is_running else "pending",
                placement=placement,
                gang=f"gang-{came.gang[job]}" if came.gang[job] != ANY else "",
                gpu_model=model,
                priority=float(priority[row]),
                remaining_s=round(max(1.0, float(left_s)), 0),
                waiting_s=0.0 if is_running else round(float(held.moment_s - requests.arrival_s[job]), 0),
                depends_on=(_name(after),) if not is_running and after in still else (),
                gpu_power_w=draw_w if is_running or chance[row, 0] < 0.7 else None,
                power_levels=(
                    power_levels(draw_w, node.gpu_power_min_w, node.gpu_power_max_w, float(loss[row]))
                    if chance[row, 1] < 0.85
                    else ()
                ),
                utilisation=round(float(utilisation[row]), 2) if is_running else None,
                traffic_gb_per_s=round(float(traffic[row]), 2) if talks else 0.0,
                checkpoint_gb=round(float(model_gb[row]) * workers * width, 1),
                movable=bool(chance[row, 2] < movable),
                workload="training" if workers * width > 1 else "single-gpu",
            )
        )
    return tuple(jobs)


def _name(job: int) -> str:
    return f"job-{job:06d}"
