"""Which nodes and racks have a power cap of their own, and what does each job draw there?

A job that holds GPUs draws on its nodes. One that holds none may land on any open node of its GPU model, and nobody
knows on which: each of its GPUs keeps to what every one of these nodes, and its rack, would allow if all of their GPUs
drew as much. That is cautious (the worst node counts), and it is exact again as soon as the job has nodes. What it
draws above that share counts as overload, and no change raises it.
"""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import numpy.typing as npt

from data.schemas.cluster import Node, Snapshot

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class SiteCap:
    """A node or rack with a cap.

    Args:
        name: in words, e.g. ``node a`` or ``rack r1``.
        nodes: ids of those that draw.
        room_mw: what jobs may draw above idle GPUs; negative where the idle site is above its cap.
        usable: GPUs of its open nodes.
    """

    name: str
    nodes: tuple[str, ...]
    room_mw: int
    usable: int


@dataclass(frozen=True, slots=True, eq=False)
class Sites:
    """What jobs draw at each site; columns are cap levels, entries of a job lie behind offsets.

    Args:
        names: ``(sites,)``.
        room_mw: ``(sites,)``.
        first: ``(jobs + 1,)``.
        site: ``(entries,)``.
        draw_mw: ``(entries, columns)``.
        jobs_first: the same the other way round, ``(sites + 1,)``.
        jobs: ``(entries,)``.
        excess_mw: what a job without nodes draws above its share, ``(jobs, columns)``.
    """

    names: tuple[str, ...]
    room_mw: Ints
    first: Ints
    site: Ints
    draw_mw: Ints
    jobs_first: Ints
    jobs: Ints
    excess_mw: Ints

    @property
    def limited(self) -> bool:
        """Whether any node or rack has a cap."""
        return bool(self.names)


def site_caps(snapshot: Snapshot) -> tuple[SiteCap, ...]:
    """Return the nodes with a cap, and all racks if racks have one; what is down draws nothing."""
    powered = [node for node in snapshot.nodes if node.state != "down"]
    made = [_site(f"node {node.id}", [node], node.power_cap_w) for node in powered if node.power_cap_w is not None]
    if snapshot.limits.rack_power_cap_w is not None:
        racks: dict[str, list[Node]] = defaultdict(list)
        for node in powered:
            racks[node.rack].append(node)
        made += [_site(f"rack {rack}", held, snapshot.limits.rack_power_cap_w) for rack, held in racks.items()]
    return tuple(made)


def _site(name: str, nodes: Sequence[Node], cap_w: float) -> SiteCap:
    idle_w = math.fsum(node.base_power_w + node.gpus * node.gpu_idle_w for node in nodes)
    usable = sum(node.gpus - len(set(node.unavailable_gpus)) for node in nodes if node.state == "up")
    return SiteCap(name, tuple(node.id for node in nodes), math.floor(1e3 * (cap_w - idle_w)), usable)


def allowed_w(snapshot: Snapshot, capped: Sequence[SiteCap]) -> dict[str, float]:
    """Return what each usable GPU of each node may draw if all of its sites' GPUs draw as much above idle."""
    above = dict.fromkeys((node.id for node in snapshot.nodes), math.inf)
    for site in capped:
        if site.usable:
            for name in site.nodes:
                above[name] = min(above[name], site.room_mw / 1e3 / site.usable)
    return {node.id: node.gpu_idle_w + above[node.id] for node in snapshot.nodes}


def excess_mw(gpus: int, draw_w: float, share_w: float) -> int:
    """Return what ``gpus`` GPUs draw above their share, rounded up."""
    return max(0, math.ceil(1e3 * gpus * (draw_w - share_w) - 1e-6))


def sites_of(snapshot: Snapshot, capped: Sequence[SiteCap], high_w: Floats, share_w: Floats) -> Sites:
    """Return what each job draws at each site.

    Args:
        snapshot: the cluster.
        capped: nodes and racks with a cap.
        high_w: draw of one GPU at each level that limits count with, ``(jobs, columns)``.
        share_w: share of a job without nodes, infinite where it has nodes or none of its nodes has a cap, ``(jobs,)``.
    """
    nodes = {node.id: node for node in snapshot.nodes}
    sites_at: Mapping[str, list[int]] = defaultdict(list)
    for index, site in enumerate(capped):
        for name in site.nodes:
            sites_at[name].append(index)
    sizes, entries, draws = [], [], []
    for j, job in enumerate(snapshot.jobs):
        here: dict[int, Floats] = {}
        for worker in job.placement:
            for index in sites_at.get(worker.node, ()):
                node = nodes[worker.node]
                each_w = np.maximum(0.0, np.minimum(high_w[j], node.gpu_power_max_w) - node.gpu_idle_w)
                here[index] = here.get(index, 0.0) + len(worker.gpus) * each_w
        sizes.append(len(here))
        entries += list(here)
        draws += [np.ceil(1e3 * watts - 1e-6).astype(np.int64) for watts in here.values()]
    where = np.array(entries, dtype=np.int64)
    owner = np.repeat(np.arange(len(sizes)), sizes).astype(np.int64)
    order = np.argsort(where, kind="stable")
    held = np.bincount(where, minlength=len(capped)).tolist() if where.size else [0] * len(capped)
    excess = np.zeros(high_w.shape, np.int64)
    for j in np.flatnonzero(np.isfinite(share_w)).tolist():
        excess[j] = [excess_mw(snapshot.jobs[j].gpus, draw, float(share_w[j])) for draw in high_w[j].tolist()]
    return Sites(
        names=tuple(site.name for site in capped),
        room_mw=np.array([site.room_mw for site in capped], dtype=np.int64),
        first=np.array([0, *accumulate(sizes)], dtype=np.int64),
        site=where,
        draw_mw=np.array(draws, dtype=np.int64).reshape(-1, high_w.shape[1]),
        jobs_first=np.array([0, *accumulate(held)], dtype=np.int64),
        jobs=owner[order],
        excess_mw=excess,
    )
