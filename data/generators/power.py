"""How much do generated jobs draw, how do they slow down under a cap, and what does the cluster draw?"""

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from data.generators.fitted import CAP_LOSS, GPU_POWER_IDLE_PARTS, GPU_POWER_W, UTILISATION
from data.schemas.cluster import Node, Snapshot
from data.schemas.job import Job, PowerLevel

A100_IDLE_W = 64.0
A100_MAX_W = 400.0

CAP_SHARES = (0.4, 0.5, 0.6, 0.7, 0.85, 1.0)
"""Caps at which jobs are measured, over the highest."""


def busy_shares(count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return how far between idle and the highest cap the GPUs of ``count`` jobs draw, ``(count,)``, within 0 .. 1.

    What Kalos measured on A100 GPUs that somebody held is carried over to other models on that scale.
    """
    part = slice(GPU_POWER_IDLE_PARTS, None)
    held = replace(
        GPU_POWER_W,
        weights=GPU_POWER_W.weights[part],
        means=GPU_POWER_W.means[part],
        sigmas=GPU_POWER_W.sigmas[part],
        lowest=A100_IDLE_W,
        highest=A100_MAX_W,
    )
    return (held(count, rng) - A100_IDLE_W) / (A100_MAX_W - A100_IDLE_W)


def utilisations(busy: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Return utilisations of jobs that draw ``busy``, ``(jobs,)``: who draws more is, roughly, busier.

    The draws are Kalos' for GPUs that do work; their order follows that of ``busy`` with noise.
    """
    drawn = np.sort(replace(UTILISATION, nought=0.0)(len(busy), rng).round(2))
    order = np.argsort(np.argsort(busy + 0.1 * rng.standard_normal(len(busy)), kind="stable"), kind="stable")
    return np.asarray(drawn[order])


def power_levels(draw_w: float, least_w: float, most_w: float, loss: float) -> tuple[PowerLevel, ...]:
    """Return the speed at each cap of ``CAP_SHARES`` that the GPU accepts.

    Args:
        draw_w: draw without a cap.
        least_w: lowest cap.
        most_w: highest cap.
        loss: ``a`` of ``speed = 1 - a (1 - cap / draw) ** 2``, drawn from ``CAP_LOSS``.
    """
    caps = sorted({round(max(least_w, share * most_w), 1) for share in CAP_SHARES})
    speeds = [max(0.05, 1.0 - loss * max(0.0, 1.0 - cap / draw_w) ** 2) for cap in caps]
    return tuple(PowerLevel(cap, round(speed, 4)) for cap, speed in zip(caps, speeds, strict=True))


def cap_losses(count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return how much speed ``count`` jobs lose under caps, ``(count,)``."""
    return CAP_LOSS(count, rng)


def least_draw_w(job: Job, node: Node) -> float:
    """Return what one of the job's GPUs on ``node`` draws under the lowest cap."""
    return min(_wanted_w(job, node), node.gpu_power_min_w)


def cluster_draw_w(snapshot: Snapshot, *, lowest_caps: bool = False) -> float:
    """Return what the cluster draws now: nodes, held GPUs under their caps, and idle GPUs.

    A job whose draw nobody knows is counted with the highest that its GPUs allow. Nodes that are down draw nothing.

    Args:
        snapshot: the cluster.
        lowest_caps: as if every GPU that is held were under the lowest cap that it accepts.
    """
    nodes = {node.id: node for node in snapshot.nodes if node.state != "down"}
    total = sum(node.base_power_w + node.gpus * node.gpu_idle_w for node in nodes.values())
    for job in snapshot.jobs:
        for worker in job.placement if job.state == "running" else ():
            node = nodes[worker.node]
            each = least_draw_w(job, node) if lowest_caps else gpu_draw_w(job, node)
            total += len(worker.gpus) * (each - node.gpu_idle_w)
    return total


def gpu_draw_w(job: Job, node: Node) -> float:
    """Return what one of the job's GPUs on ``node`` draws under the cap in force."""
    cap = node.gpu_power_max_w if job.gpu_power_cap_w is None else job.gpu_power_cap_w
    return min(_wanted_w(job, node), cap)


def _wanted_w(job: Job, node: Node) -> float:
    return node.gpu_power_max_w if job.gpu_power_w is None else min(job.gpu_power_w, node.gpu_power_max_w)


def day_rates(
    slots: int, slot_s: float, rng: np.random.Generator, *, mean: float, swing: float, noise: float = 0.05
) -> tuple[float, ...]:
    """Return a price of energy, or the carbon of a grid, that rises and falls with the day, one for each slot.

    A made-up shape: one wave a day that begins at a time of its own, never below 0.

    Args:
        slots: how many.
        slot_s: length of one.
        rng: of the beginning and of the noise.
        mean: over a day.
        swing: height of the wave over the mean.
        noise: of each slot over the mean.
    """
    hours = np.arange(slots) * slot_s / 3600 + 24 * rng.random()
    wave = 1 + swing * np.sin(2 * np.pi * hours / 24) + noise * rng.standard_normal(slots)
    return tuple(np.maximum(0.0, mean * wave).round(4).tolist())


def with_power_limits(
    snapshot: Snapshot, rng: np.random.Generator, *, cap_share: float = 0.5, deadline_share: float = 0.3
) -> Snapshot:
    """Return the cluster with caps of cluster, racks and some nodes, deadlines, margins, and rates of the day.

    Every cap lies above what its GPUs draw under their lowest caps, so that each can be kept.

    Args:
        snapshot: at least one node.
        rng: source of chance.
        cap_share: where caps lie between the draw under the lowest caps and under the highest.
        deadline_share: share of jobs with a deadline, one to four times their remaining time after the snapshot.
    """

    def cap_w(node: Node, share: float) -> float:
        each_w = node.gpu_power_min_w + share * (node.gpu_power_max_w - node.gpu_power_min_w)
        return node.base_power_w + node.gpus * each_w

    racks: dict[str, float] = {}
    for node in snapshot.nodes:
        racks[node.rack] = racks.get(node.rack, 0.0) + cap_w(node, min(1.0, 1.1 * cap_share))
    nodes = tuple(
        replace(node, power_cap_w=round(cap_w(node, min(1.0, 1.2 * cap_share)), 1)) if rng.random() < 0.2 else node
        for node in snapshot.nodes
    )
    jobs = []
    for job in snapshot.jobs:
        due_s = round(job.remaining_s * (1 + 3 * rng.random()), 1) if rng.random() < deadline_share else None
        high_w = None if job.gpu_power_w is None else round(job.gpu_power_w * (1 + 0.2 * rng.random()), 1)
        jobs.append(replace(job, deadline_s=due_s, gpu_power_high_w=high_w))
    limits = snapshot.limits
    slots, slot_s = limits.horizon_slots, limits.slot_s
    return replace(
        snapshot,
        nodes=nodes,
        jobs=tuple(jobs),
        limits=replace(
            limits,
            power_cap_w=round(math.fsum(cap_w(node, cap_share) for node in snapshot.nodes), 1),
            rack_power_cap_w=round(max(racks.values()), 1),
            energy_prices_usd_per_kwh=day_rates(slots, slot_s, rng, mean=0.1, swing=0.5),
            carbon_g_per_kwh=day_rates(slots, slot_s, rng, mean=400.0, swing=0.3),
            carbon_price_usd_per_kg=0.1,
        ),
    )
