"""What does a snapshot say of a served model? The domains of its ranks, token flow, its budget, and what is amiss."""

import numpy as np

from data.schemas.cluster import Snapshot
from data.schemas.routing import ExpertDeployment
from tasks.problems.routing_start import repaired, unserved
from tasks.problems.routing_state import Integers, Layout, Transitions


def domains_of_ranks(snapshot: Snapshot, deployment: ExpertDeployment) -> tuple[Integers, tuple[str, ...]]:
    """Return the NVLink domain of each rank, ``(ranks,)``, and what had to be assumed.

    Domains are numbered as the ranks come to them, so that a job that moves from whole domains to other whole domains
    poses the same problem.
    """
    domain_of = {node.id: node.nvlink_domain for node in snapshot.nodes}
    job = next((each for each in snapshot.jobs if each.id == deployment.job), None)
    names = [domain_of[worker.node] for worker in job.placement for _ in worker.gpus] if job else []
    if len(names) < deployment.ranks:
        note = f"{deployment.id}: its job holds no GPUs, so its ranks are taken to share one NVLink domain"
        return np.zeros(deployment.ranks, dtype=np.int64), (note,)
    numbers: dict[str, int] = {}
    codes = [numbers.setdefault(name, len(numbers)) for name in names[: deployment.ranks]]
    return np.array(codes, dtype=np.int64), ()


def transitions_of(deployment: ExpertDeployment) -> Transitions:
    """Return the token flow between adjacent layers as arrays."""
    steps = deployment.transitions
    return Transitions(
        layer=np.array([step.layer for step in steps], dtype=np.int64),
        source=np.array([step.source for step in steps], dtype=np.int64),
        target=np.array([step.target for step in steps], dtype=np.int64),
        tokens=np.array([step.tokens for step in steps], dtype=np.float64),
    )


def part_of_budget(snapshot: Snapshot, deployment: ExpertDeployment) -> tuple[int, tuple[str, ...]]:
    """Return the deployment's part of the migration budget: by slots, rounded so that the parts add up."""
    whole = snapshot.limits.migration_budget_replicas
    sizes = [each.layers * each.slots for each in snapshot.deployments]
    position = snapshot.deployments.index(deployment)
    below, upto = (whole * sum(sizes[:end]) // sum(sizes) for end in (position, position + 1))
    if len(sizes) == 1:
        return whole, ()
    note = f"{deployment.id}: may move {upto - below} of {whole} replicas, its part of the budget by slots"
    return upto - below, (note,)


def said_of(deployment: ExpertDeployment, layout: Layout, domain: Integers, budget: int) -> tuple[str, ...]:
    """Return what an operator should know of the deployment.

    Args:
        deployment: as the snapshot has it.
        layout: of its live ranks.
        domain: NVLink domain of each rank, ``(ranks,)``.
        budget: replicas that may be moved.
    """
    said = []
    domains, experts = np.unique(domain).size, deployment.experts
    if domains > 1:
        said.append(f"{deployment.id}: its expert-parallel group of {deployment.ranks} ranks spans {domains} domains")
    if failed := deployment.rank_speed.count(0.0):
        missing = len(unserved(layout.in_force, experts))
        said.append(f"{deployment.id}: {failed} rank(s) have failed, and {missing} expert(s) had replicas only there")
        at = repaired(
            layout.in_force,
            layout.mean_loads,
            layout.in_force,
            layout.per_rank,
            budget,
        )
        if left := len(unserved(at, experts)):
            said.append(f"{deployment.id}: {left} of them find no spare slot, or no migration budget")
    return tuple(said)
