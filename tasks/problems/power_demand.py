"""How fast and how thirsty is a job under each power cap that its nodes accept?"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from data.schemas.cluster import Node
from data.schemas.job import Job, PowerLevel
from tasks.problems.power_curves import DEFAULT, Points, curve_of

GRID = 7
"""Cap levels between the lowest and the highest cap; the cap in force is one more if it is none of them."""


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

    def caps(self, in_force_w: float | None, allowed_w: float) -> tuple[float, ...]:
        """Return the cap levels in whole watts, the cap in force among them exactly; the last is no cap.

        Args:
            in_force_w: the cap in force.
            allowed_w: draw of one GPU that the caps of nodes and racks allow if all draw as much.
        """
        low, high = self.power_min_w, self.power_max_w
        grid = {self.power_top_w}
        if low <= high:  # else no cap suits all of them
            inner = {float(round(cap)) for cap in np.linspace(low, high, GRID)[1:-1]}
            share = {float(math.floor(allowed_w))} if math.isfinite(allowed_w) else set()
            grid |= {low} | {cap for cap in inner | share if low < cap < high}
        return tuple(sorted(grid if in_force_w is None else grid | {in_force_w}))


def relative_speed(
    levels: Sequence[PowerLevel],
    cap_w: float,
    gpu_power_w: float,
    power_max_w: float,
    curve: Points = DEFAULT.median,
) -> float:
    """Return a job's speed under a cap, relative to none.

    Measured levels are joined by straight lines, up to 1 at the highest cap. Without any, a job is not slowed
    while the cap is above its draw, and follows ``curve`` below. Under the lowest known point speed falls in
    proportion to the cap.

    Args:
        levels: measured points of the job, in any order; may be empty.
        cap_w: cap on each GPU.
        gpu_power_w: draw of each GPU without a cap.
        power_max_w: highest cap of these GPUs.
        curve: for a job without measured points.
    """
    if levels:
        points = sorted((level.cap_w, level.speed) for level in levels)
        if points[-1][0] < power_max_w:
            points.append((power_max_w, 1.0))
    elif cap_w >= gpu_power_w:
        return 1.0
    else:
        points = [(share * power_max_w, speed) for share, speed in curve]
    if cap_w <= points[0][0]:
        return points[0][1] * cap_w / points[0][0]
    for (left_w, left), (right_w, right) in pairwise(points):
        if cap_w <= right_w:
            return left + (right - left) * (cap_w - left_w) / (right_w - left_w)
    return points[-1][1]


@dataclass(frozen=True, slots=True)
class Demand:
    """One job under each of its cap levels.

    Args:
        caps_w: rising.
        speed: at each, as expected.
        slow: at each, on the curve of slow workloads.
        draw_w: of one GPU at each, as expected.
        high_w: of one GPU at each, at the snapshot's quantile.
        in_force: position of the cap in force.
        mixed: whether the last is "no cap" and nothing else.
    """

    caps_w: tuple[float, ...]
    speed: tuple[float, ...]
    slow: tuple[float, ...]
    draw_w: tuple[float, ...]
    high_w: tuple[float, ...]
    in_force: int
    mixed: bool

    def keep(self, chosen: Sequence[int]) -> "Demand":
        """Return some of the levels; that in force must be among them."""
        last = len(self.caps_w) - 1

        def kept(values: tuple[float, ...]) -> tuple[float, ...]:
            return tuple(values[k] for k in chosen)

        return Demand(
            caps_w=kept(self.caps_w),
            speed=kept(self.speed),
            slow=kept(self.slow),
            draw_w=kept(self.draw_w),
            high_w=kept(self.high_w),
            in_force=list(chosen).index(self.in_force),
            mixed=self.mixed and last in chosen,
        )


def demand_of(job: Job, hosts: Hosts, model: str | None, forecast_w: float | None, allowed_w: float) -> Demand:
    """Return a job's demand at each cap level.

    Args:
        job: the job.
        hosts: its nodes, or those that it could get.
        model: their GPU model; None where several would do.
        forecast_w: draw of each GPU without a cap; goes before the job's own figure.
        allowed_w: draw of one GPU that the caps of nodes and racks allow if all draw as much.
    """
    top = hosts.power_top_w
    known = forecast_w if forecast_w is not None else job.gpu_power_w
    power_w = top if known is None else known
    high_w = max(power_w, job.gpu_power_high_w or 0.0)
    caps = hosts.caps(job.gpu_power_cap_w, allowed_w)
    curve = curve_of(model)
    return Demand(
        caps_w=caps,
        speed=tuple(relative_speed(job.power_levels, cap, power_w, top, curve.median) for cap in caps),
        slow=tuple(relative_speed(job.power_levels, cap, power_w, top, curve.slow) for cap in caps),
        draw_w=tuple(min(power_w, cap) for cap in caps),
        high_w=tuple(min(high_w, cap) for cap in caps),
        in_force=len(caps) - 1 if job.gpu_power_cap_w is None else caps.index(job.gpu_power_cap_w),
        mixed=hosts.power_max_w < top,
    )
