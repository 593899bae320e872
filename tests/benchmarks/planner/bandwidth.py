"""What bandwidth do a planner's gangs get on a real fabric? Flow-level rates, not the surrogate that it was taught on.

The planner's world scores gangs by a formula for each. Here the cluster of some moments is laid on DGX machines under
leaf and spine, the gangs ask for full NVLink speed by the traffic model of :mod:`data.generators.traffic`, and all
flows share the links max-min fairly (:mod:`data.generators.flow_level`).
"""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from data.generators.flow_level import achieved_bandwidth
from data.generators.topologies import two_tiers
from data.generators.traffic import demands_of
from data.schemas.fabric import Fabric
from data.schemas.job import Job, Parallelism, Worker
from tasks.planner.episode import Planner, View
from tasks.planner.world import NVLINK_GB_PER_S, Jobs, State

Traffic = Literal["ring", "all-to-all"]


@dataclass(slots=True)
class Watched:
    """A planner, and what its gangs got every ``every`` ticks, before it decided.

    Args:
        planner: who decides.
        fabric: of as many machines as the world has domains.
        every: ticks between two looks.
        got: GPUs at full NVLink speed that the gangs were worth, by traffic; grows.
    """

    planner: Planner
    fabric: Fabric
    every: int = 18
    got: dict[Traffic, list[float]] = field(default_factory=lambda: {"ring": [], "all-to-all": []})
    ticks: int = 0

    def __call__(self, view: View) -> int:
        """Return what the planner says."""
        if self.ticks % self.every == 0:
            for traffic, values in self.got.items():
                values.append(gpus_at_full_speed(view.jobs, view.state, self.fabric, traffic))
        self.ticks += 1
        return self.planner(view)


def gpus_at_full_speed(jobs: Jobs, state: State, fabric: Fabric, traffic: Traffic) -> float:
    """Return the sum over running gangs of their GPUs times the share of NVLink speed that their slowest flow gets.

    Args:
        jobs: of the trace.
        state: the cluster now; its domains are the fabric's machines in order.
        fabric: of machines of eight GPUs.
        traffic: ``ring`` is data parallel, ``all-to-all`` expert parallel, each over the whole gang.
    """
    machines: dict[str, list[int]] = {}
    for node, gpu in fabric.gpus:
        machines.setdefault(node, []).append(gpu)
    nodes = list(machines)
    gangs = []
    for job in state.running[: state.numbers[0]].tolist():
        held = {nodes[domain]: int(state.held[job, domain]) for domain in np.flatnonzero(state.held[job]).tolist()}
        taken = {node: [machines[node].pop() for _ in range(count)] for node, count in held.items()}
        if jobs.gpus[job] > 1:
            gangs.append(_gang(f"job-{job}", taken, traffic))
    asked = demands_of(gangs, fabric)
    slowest = np.ones(len(gangs))
    np.minimum.at(slowest, asked.owner, achieved_bandwidth(fabric, asked) / asked.gb_per_s)
    return float(slowest @ np.array([gang.gpus for gang in gangs], float)) if gangs else 0.0


def built(domains: int) -> Fabric:
    """Return a fabric of as many machines of eight GPUs, four to a leaf, uplinks with half of the adapters' speed."""
    return two_tiers(domains)


def _gang(name: str, taken: dict[str, list[int]], traffic: Traffic) -> Job:
    gpus = sum(map(len, taken.values()))
    return Job(
        id=name,
        workers=gpus,
        gpus_per_worker=1,
        state="running",
        placement=tuple(Worker(node, (gpu,)) for node, held in taken.items() for gpu in sorted(held)),
        traffic_gb_per_s=NVLINK_GB_PER_S,
        parallelism=Parallelism(expert=gpus) if traffic == "all-to-all" else Parallelism(),
    )
