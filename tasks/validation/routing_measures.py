"""What does an expert map measure? The published definitions of ``routing.<deployment>.*``, from the records alone.

Rank r of a deployment is the r-th GPU of its job, in the order of its workers; it holds the slots
``r * slots_per_rank ...`` of every layer. A rank of speed 0 has failed, and its slots count for nothing. An expert's
tokens go to its replicas (slots on live ranks that hold it) in proportion to their ``shares``; evenly where no shares
are stated or those of its replicas are all 0.

- ``balancedness``: on the last load window, sum over layers of the time of a perfectly balanced layer (tokens / speeds
  of the ranks together) / sum over layers of the longest time of a rank (its tokens / its speed); with ranks alike,
  mean over largest load of a rank. Tokens of an expert without replica count on neither side. 1 without load;
- ``crossing_share``: tokens of recorded transitions that cross an NVLink domain / tokens of all of them. Tokens of
  an expert that are in a domain stay there if the target expert has a replica in it. 0 without transitions, and
  while the job holds no GPUs;
- ``moved_replicas``: 0 before; after, over layers and ranks, the experts (with multiplicity) that a rank holds more
  than before;
- ``unserved_experts``, only where ``rank_speed`` is stated: over layers, the experts without replica.
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
    measures = (
        Measure(f"{name}.balancedness", "ratio", _balancedness(deployment), "higher"),
        Measure(
            f"{name}.crossing_share", "share", _crossing_share(deployment, _rank_domains(deployment, state)), "lower"
        ),
        Measure(f"{name}.moved_replicas", "replicas", float(moved_replicas(origin, deployment)), "lower"),
    )
    if not deployment.rank_speed:
        return measures
    return (*measures, Measure(f"{name}.unserved_experts", "experts", float(_unserved(deployment)), "lower"))


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


def _speeds(deployment: ExpertDeployment) -> tuple[float, ...]:
    return deployment.rank_speed or (1.0,) * deployment.ranks


def _taken(deployment: ExpertDeployment, layer: int) -> list[float]:
    """Return the share of its expert's tokens that each slot takes, 0 on a failed rank, ``(slots,)``."""
    speeds, held = _speeds(deployment), deployment.placement[layer]
    stated = deployment.shares[layer] if deployment.shares else (1.0,) * deployment.slots
    live = [speeds[slot // deployment.slots_per_rank] > 0.0 for slot in range(deployment.slots)]
    replicas: Counter[int] = Counter()
    total: dict[int, float] = {}
    for expert, share, up in zip(held, stated, live, strict=True):
        if up:
            replicas[expert] += 1
            total[expert] = total.get(expert, 0.0) + share
    return [
        0.0 if not up else share / total[expert] if total[expert] > 0.0 else 1.0 / replicas[expert]
        for expert, share, up in zip(held, stated, live, strict=True)
    ]


def _balancedness(deployment: ExpertDeployment) -> float:
    per_rank, speeds = deployment.slots_per_rank, _speeds(deployment)
    ideal = longest = 0.0
    for layer, (loads, held) in enumerate(zip(deployment.loads[-1], deployment.placement, strict=True)):
        tokens = [loads[expert] * share for expert, share in zip(held, _taken(deployment, layer), strict=True)]
        ranks = [sum(tokens[first : first + per_rank]) for first in range(0, deployment.slots, per_rank)]
        ideal += sum(ranks) / sum(speeds)
        longest += max(load / speed for load, speed in zip(ranks, speeds, strict=True) if speed > 0.0)
    return ideal / longest if longest > 0 else 1.0


def _unserved(deployment: ExpertDeployment) -> int:
    live = [_speeds(deployment)[slot // deployment.slots_per_rank] > 0.0 for slot in range(deployment.slots)]
    return sum(
        deployment.experts - len({expert for expert, up in zip(held, live, strict=True) if up})
        for held in deployment.placement
    )


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
    share = np.zeros((deployment.layers, deployment.experts, len(names)))
    absent = np.ones(share.shape, dtype=np.bool_)
    live = np.repeat(np.array(_speeds(deployment)) > 0.0, deployment.slots_per_rank)
    for layer, row in enumerate(deployment.placement):
        held = np.array(row)
        np.add.at(share[layer], (held, domain), np.array(_taken(deployment, layer)))
        absent[layer, held[live], domain[live]] = False
    across = 0.0
    for first in range(0, len(steps), _AT_ONCE):
        some = steps[first : first + _AT_ONCE]
        layer, source, target = np.array([(step.layer, step.source, step.target) for step in some]).T
        away = np.where(absent[layer + 1, target], share[layer, source], 0.0).sum(axis=1)
        across += float(tokens[first : first + _AT_ONCE] @ away)
    return across / float(tokens.sum())
