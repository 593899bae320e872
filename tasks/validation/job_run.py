"""How long does a job run, and what does it draw, by the definitions of :mod:`tasks.validation.timetable`?"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from data.schemas.cluster import Node, Snapshot
from data.schemas.job import Job
from tasks.validation.sites import Site, excess_mw
from tasks.validation.speed import speed

ROUNDING = 1e-9
"""Slots by which a time may exceed a slot's beginning and still count as it."""

FOREVER = 2.0**53
"""Slots beyond which it no longer matters how long a job runs."""


@dataclass(frozen=True, slots=True)
class Run:
    """One job in the timetable.

    Args:
        job: its record.
        planned: slot of its planned start.
        start: slot of its start in force.
        duration: slots.
        seconds: run time.
        slow_s: slow run time.
        draw_mw: draw above idle.
        high_mw: high draw above idle.
        site_mw: what it takes of each site, ``(sites,)``.
        excess_mw: what its GPUs draw above their share while it has none.
        room: GPUs that it takes room for.
        model: the GPU model that it takes room on; None for any.
    """

    job: Job
    planned: int
    start: int
    duration: int
    seconds: float
    slow_s: float
    draw_mw: int
    high_mw: int
    site_mw: tuple[int, ...]
    excess_mw: int
    room: int
    model: str | None


@dataclass(frozen=True, slots=True)
class Hosts:
    """What the nodes of a job allow."""

    top_w: float
    idle_w: float


def hosts_of(nodes: Sequence[Node]) -> Hosts:
    """Return what the nodes that hold a job, or that could, allow."""
    return Hosts(max(node.gpu_power_max_w for node in nodes), min(node.gpu_idle_w for node in nodes))


def run_of(
    job: Job,
    snapshot: Snapshot,
    nodes: Mapping[str, Node],
    hosts_by_model: Mapping[str | None, Hosts],
    capped: Sequence[Site],
    share: Mapping[str | None, float],
) -> Run:
    """Return a job as planned: start and start in force are the same until the timetable puts it off."""
    limits = snapshot.limits
    held = [nodes[worker.node] for worker in job.placement]
    model = held[0].gpu_model if held else job.gpu_model
    hosts = hosts_of(held) if held else hosts_by_model[model]
    cap_w = hosts.top_w if job.gpu_power_cap_w is None else job.gpu_power_cap_w
    full_w = hosts.top_w if job.gpu_power_w is None else job.gpu_power_w
    high_w = min(cap_w, max(full_w, job.gpu_power_high_w or 0.0))
    seconds, slow_s = (
        job.remaining_s / speed(job, model, cap_w, full_w, hosts.top_w, slow=slow) for slow in (False, True)
    )
    draw_mw, high_mw = (
        math.ceil(1e3 * max(0.0, job.gpus * (watts - hosts.idle_w)) - 1e-6) for watts in (min(full_w, cap_w), high_w)
    )
    if job.state == "running":
        planned = 0
        room = sum(len(worker.gpus) for worker, node in zip(job.placement, held, strict=True) if node.state == "up")
    else:
        wanted = limits.horizon_slots if job.planned_start_s is None else job.planned_start_s / limits.slot_s
        planned, room = min(limits.horizon_slots, math.ceil(wanted - ROUNDING)), job.gpus
    return Run(
        job=job,
        planned=planned,
        start=planned,
        duration=max(1, math.ceil(min(seconds / limits.slot_s, FOREVER) - ROUNDING)),
        seconds=seconds,
        slow_s=slow_s,
        draw_mw=draw_mw,
        high_mw=high_mw,
        site_mw=tuple(site.drawn_mw(job, high_w) for site in capped),
        excess_mw=excess_mw(job, high_w, share.get(model, math.inf)),
        room=room,
        model=model,
    )
