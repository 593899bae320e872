"""What may nodes and racks draw? Sites: every node with ``power_cap_w``, and all racks where the limits cap racks.

- *Room* of a site: its cap less base power and idle draw of all GPUs of its nodes that are not down, in whole
  milliwatts, rounded down.
- A job that holds GPUs takes of it, on the site's nodes, ``GPUs * (draw - idle)``, at least 0, with the node's own idle
  draw and no more than the node's highest cap, in whole milliwatts, rounded up.
- *Share* of a node: its idle draw and, for the tightest of its sites, the room over the usable GPUs of the site's open
  nodes. *Share* of a job without GPUs: the smallest of all open nodes of its GPU model, or of all open nodes where it
  names none. What its GPUs draw above that, in whole milliwatts, rounded up, over its whole duration is *excess*.

Draw means that at the limits' quantile.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from data.schemas.cluster import Node, Snapshot
from data.schemas.job import Job


@dataclass(frozen=True, slots=True)
class Site:
    """A node or a rack with a cap."""

    name: str
    cap_w: float
    nodes: tuple[Node, ...]

    @property
    def room_mw(self) -> int:
        """What jobs may draw here above idle."""
        idle_w = math.fsum(node.base_power_w + node.gpus * node.gpu_idle_w for node in self.nodes)
        return math.floor(1e3 * (self.cap_w - idle_w))

    def drawn_mw(self, job: Job, draw_w: float) -> int:
        """Return what ``job`` draws here above idle, with ``draw_w`` at each GPU."""
        watts = 0.0
        for worker in job.placement:
            for node in self.nodes:
                if node.id == worker.node:
                    each_w = min(draw_w, node.gpu_power_max_w) - node.gpu_idle_w
                    watts += len(worker.gpus) * max(0.0, each_w)
        return math.ceil(1e3 * watts - 1e-6)


def sites(snapshot: Snapshot) -> tuple[Site, ...]:
    """Return every site of a snapshot."""
    powered = [node for node in snapshot.nodes if node.state != "down"]
    found = [Site(f"node {node.id}", node.power_cap_w, (node,)) for node in powered if node.power_cap_w is not None]
    rack_cap_w = snapshot.limits.rack_power_cap_w
    if rack_cap_w is not None:
        found += [
            Site(f"rack {rack}", rack_cap_w, tuple(node for node in powered if node.rack == rack))
            for rack in dict.fromkeys(node.rack for node in powered)
        ]
    return tuple(found)


def share_w(nodes: Sequence[Node], model: str | None, found: Sequence[Site]) -> float:
    """Return the share of a job of GPU model ``model`` that holds no GPUs; infinite where no site limits it."""
    above: dict[str, float] = {}
    for site in found:
        usable = sum(node.gpus - len(set(node.unavailable_gpus)) for node in site.nodes if node.state == "up")
        if usable:
            for node in site.nodes:
                above[node.id] = min(above.get(node.id, math.inf), site.room_mw / 1e3 / usable)
    shares = (
        node.gpu_idle_w + above.get(node.id, math.inf)
        for node in nodes
        if node.state == "up" and model in (None, node.gpu_model)
    )
    return min(shares, default=math.inf)


def shares(snapshot: Snapshot, found: Sequence[Site]) -> Mapping[str | None, float]:
    """Return the share of jobs of each GPU model, and of those that name none."""
    models = (None, *(node.gpu_model for node in snapshot.nodes))
    return {model: share_w(snapshot.nodes, model, found) for model in dict.fromkeys(models)}


def excess_mw(job: Job, draw_w: float, share: float) -> int:
    """Return what the GPUs of a job without any draw above their share."""
    return 0 if job.placement or math.isinf(share) else max(0, math.ceil(1e3 * job.gpus * (draw_w - share) - 1e-6))
