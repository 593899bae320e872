"""What does an expert map measure? The published definitions of ``routing.<deployment>.*``, from the records alone.

Rank r of a deployment is the r-th GPU of its job, in the order of its workers; it holds the slots
``r * slots_per_rank ...`` of every layer. An expert's tokens are spread evenly over its replicas (slots that hold it).

- ``balancedness``: on the last load window, sum over layers of the mean load of a rank / sum over layers of the
  largest load of a rank; 1 where nothing was loaded;
- ``crossing_share``: tokens of recorded transitions that cross an NVLink domain / tokens of all of them. Tokens of
  an expert that are in a domain stay there if the target expert has a replica in it. 0 without transitions, and
  while the job holds no GPUs;
- ``moved_replicas``: 0 before; after, over layers and ranks, the experts (with multiplicity) that a rank holds more
  than before.
"""

from collections import Counter

import numpy as np

from data.schemas.cluster import Snapshot
from data.schemas.routing import ExpertDeployment
from tasks.validation.measure import Measure

_AT_ONCE = 100_000
"""Transitions that are counted in one go, for the sake of memory."""


def routing_measures(deployment: ExpertDeployment, origin: ExpertDeployment, state: Snapshot) -> tuple[Measure, ...]:
    """Return every ``routing.<deployment>.*`` figure of ``deployment`` in ``state``, which was ``origin``."""
    name = f"routing.{deployment.id}"
    return (
        Measure(f"{name}.balancedness", "ratio", _balancedness(deployment), "higher"),
        Measure(
            f"{name}.crossing_share", "share", _crossing_share(deployment, _rank_domains(deployment, state)), "lower"
        ),
        Measure(f"{name}.moved_replicas", "replicas", float(moved_replicas(origin, deployment)), "lower"),
    )


def moved_replicas(origin: ExpertDeployment, deployment: ExpertDeployment) -> int:
    """Return the experts, over layers and ranks, that a rank of ``deployment`` must load."""
    per_rank = deployment.slots_per_rank
    moved = 0
    for was, now in zip(origin.placement, deployment.placement, strict=True):
        if was == now:
            continue
        for first in range(0, deployment.slots, per_rank):
            held, wanted = Counter(was[first : first + per_rank]), Counter(now[first : first + per_rank])
            moved += (wanted - held).total()
    return moved


def _balancedness(deployment: ExpertDeployment) -> float:
    per_rank = deployment.slots_per_rank
    mean = largest = 0.0
    for loads, held in zip(deployment.loads[-1], deployment.placement, strict=True):
        replicas = Counter(held)
        share = [loads[expert] / replicas[expert] for expert in held]
        ranks = [sum(share[first : first + per_rank]) for first in range(0, deployment.slots, per_rank)]
        mean += sum(ranks) / len(ranks)
        largest += max(ranks)
    return mean / largest if largest > 0 else 1.0


def _rank_domains(deployment: ExpertDeployment, state: Snapshot) -> list[str]:
    """Return the NVLink domain of each rank; empty while the job holds no GPUs."""
    domain = {node.id: node.nvlink_domain for node in state.nodes}
    job = next(job for job in state.jobs if job.id == deployment.job)
    return [domain[worker.node] for worker in job.placement for _ in worker.gpus][: deployment.ranks]


def _crossing_share(deployment: ExpertDeployment, rank_domains: list[str]) -> float:
    steps = deployment.transitions
    tokens = np.array([step.tokens for step in steps], dtype=np.float64)
    if len(set(rank_domains)) < 2 or not tokens.sum() > 0:
        return 0.0
    names = {name: number for number, name in enumerate(dict.fromkeys(rank_domains))}
    domain = np.repeat([names[name] for name in rank_domains], deployment.slots_per_rank)
    replicas = np.zeros((deployment.layers, deployment.experts, len(names)))
    for layer, held in enumerate(deployment.placement):
        np.add.at(replicas[layer], (np.array(held), domain), 1.0)
    share = replicas / replicas.sum(axis=2, keepdims=True)
    absent = replicas == 0.0
    across = 0.0
    for first in range(0, len(steps), _AT_ONCE):
        some = steps[first : first + _AT_ONCE]
        layer, source, target = np.array([(step.layer, step.source, step.target) for step in some]).T
        away = np.where(absent[layer + 1, target], share[layer, source], 0.0).sum(axis=1)
        across += float(tokens[first : first + _AT_ONCE] @ away)
    return across / float(tokens.sum())
