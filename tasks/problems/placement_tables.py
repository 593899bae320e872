"""What do the nodes and the workers look like to the compiled arithmetic? A snapshot as arrays."""

from dataclasses import dataclass

import numpy as np

from data.schemas.cluster import Node, Snapshot
from data.schemas.job import Job
from tasks.problems.placement_kernel import Crew, Floats, Ints, Room


@dataclass(frozen=True, slots=True)
class PlacementWeights:
    """What each kind of loss weighs, in GPUs' worth of capacity.

    Args:
        scale_out_gb_per_s: bandwidth of one GPU outside its NVLink domain (400 Gb/s InfiniBand).
        rack: each rack of a gang beyond the fewest.
        domain: each NVLink domain of a gang beyond the fewest.
        uneven: each GPU by which a gang's largest slice exceeds its smallest, beside half of what traffic costs
            one of its GPUs. With that half an uneven split over two domains never beats an even one: of a + b = n
            GPUs the traffic gains ``(a - b)**2 / 2n``, which is at most ``|a - b| / 2``.
        stranded: each free GPU, by the chance that a next gang finds too few with it.
        next_gang: each GPU in the way of a whole-domain gang that is expected next.
        restart_s: time to start a job again where it does not say, beside its checkpoint's way to disk and back.
        checkpoint_gb_per_s: speed of that way for the whole job.
        amortisation_s: time over which a migration must pay.
    """

    scale_out_gb_per_s: float = 50.0
    rack: float = 0.5
    domain: float = 1.0
    uneven: float = 0.5
    stranded: float = 1.0
    next_gang: float = 0.25
    waiting: float = 2.0
    drain: float = 0.5
    restart_s: float = 120.0
    checkpoint_gb_per_s: float = 10.0
    amortisation_s: float = 14_400.0


def _codes(names: list[str]) -> tuple[Ints, int]:
    """Return a number for each name, by first appearance in sorted order, and how many there are."""
    unique, codes = np.unique(np.array(names, dtype=object).astype(str), return_inverse=True)
    return codes.astype(np.int64), int(unique.size)


def nodes_of(snapshot: Snapshot) -> tuple[Node, ...]:
    """Return the nodes in the order of the arrays: by id, so that their order in the snapshot does not matter."""
    return tuple(sorted(snapshot.nodes, key=lambda node: node.id))


def room_of(snapshot: Snapshot) -> Room:
    """Return the nodes of ``snapshot`` as arrays."""
    nodes = nodes_of(snapshot)
    usable = np.array([0 if node.state == "down" else node.gpus - len(node.unavailable_gpus) for node in nodes])
    is_open = np.array([int(node.state == "up") for node in nodes])
    domain, domains = _codes([node.nvlink_domain for node in nodes])
    rack, racks = _codes([node.rack for node in nodes])
    model, _ = _codes([node.gpu_model for node in nodes])
    domain_capacity = np.bincount(domain, weights=usable * is_open, minlength=domains).astype(np.int64)
    first = np.concatenate([[0], np.cumsum(np.bincount(domain, minlength=domains))]).astype(np.int64)
    return Room(
        capacity=usable.astype(np.int64),
        open=is_open.astype(np.int64),
        model=model,
        domain=domain,
        rack=rack,
        domain_capacity=domain_capacity,
        domain_first=first,
        domain_nodes=np.argsort(domain, kind="stable").astype(np.int64),
        domain_full_size=(2 * domain_capacity > domain_capacity.max(initial=0)).astype(np.int64),
        domain_spare=_spare_nodes(snapshot, usable * is_open, domain, domains),
        racks=racks,
    )


def _spare_nodes(snapshot: Snapshot, usable: Ints, domain: Ints, domains: int) -> Ints:
    """Return the nodes of each domain that must stay wholly free: the wanted ones, as far as they are free now.

    A domain with no more open nodes than are wanted keeps none: it could hold no job at all.
    """
    wanted = snapshot.limits.spare_nodes_per_domain
    held = {worker.node for job in snapshot.jobs for worker in job.placement}
    is_free = np.array([node.id not in held for node in nodes_of(snapshot)], dtype=bool) & (usable > 0)
    opened = np.bincount(domain, weights=usable > 0, minlength=domains)
    free = np.bincount(domain, weights=is_free, minlength=domains)
    return np.where(opened > wanted, np.minimum(wanted, free), 0).astype(np.int64)


def crew_of(snapshot: Snapshot, jobs: tuple[Job, ...], room: Room, weights: PlacementWeights) -> Crew:
    """Return ``jobs`` of ``snapshot`` as arrays, with the limits that a plan must keep to."""
    nodes = nodes_of(snapshot)
    node_index = {node.id: index for index, node in enumerate(nodes)}
    model_of = {node.gpu_model: int(room.model[index]) for index, node in enumerate(nodes)}
    unfinished = {job.id for job in jobs}
    workers = np.array([job.workers for job in jobs], dtype=np.int64)
    owner = np.repeat(np.arange(len(jobs)), workers)
    home = [
        node_index[job.placement[position].node] if job.placement else -1
        for job in jobs
        for position in range(job.workers)
    ]
    models = [
        int(room.model[node_index[job.placement[0].node]])
        if job.placement
        else (-1 if job.gpu_model is None else model_of.get(job.gpu_model, -2))
        for job in jobs
    ]
    gang, gangs = _codes([job.gang_id for job in jobs])
    gang_of_worker = gang[owner] if len(jobs) else np.zeros(0, np.int64)
    gpus = np.array([job.gpus for job in jobs], dtype=np.float64)
    heavy = np.array([job.traffic_gb_per_s for job in jobs]) / weights.scale_out_gb_per_s
    priorities = np.array([job.priority for job in jobs])
    relative = np.clip(priorities / (priorities.mean() if len(jobs) else 1.0), 0.1, 10.0)
    gang_gpus = np.bincount(gang, weights=gpus, minlength=gangs)
    gang_traffic = np.bincount(gang, weights=gpus * heavy, minlength=gangs).astype(np.float64)
    return Crew(
        size=np.repeat(np.array([job.gpus_per_worker for job in jobs], dtype=np.int64), workers),
        job=owner.astype(np.int64),
        home=np.array(home, dtype=np.int64),
        movable=np.repeat(np.array([int(_may_move(job, snapshot)) for job in jobs], dtype=np.int64), workers),
        model=np.repeat(np.array(models, dtype=np.int64), workers),
        job_first=np.concatenate([[0], np.cumsum(workers)]).astype(np.int64),
        job_gang=gang,
        job_restart=gpus * np.array([stopped_s(job, weights) for job in jobs]) / weights.amortisation_s,
        job_wait=weights.waiting * gpus * relative,
        job_ready=np.array([int(not unfinished & set(job.depends_on)) for job in jobs], dtype=np.int64),
        gang_first=np.concatenate([[0], np.cumsum(np.bincount(gang_of_worker, minlength=gangs))]).astype(np.int64),
        gang_workers=np.argsort(gang_of_worker, kind="stable").astype(np.int64),
        gang_traffic=gang_traffic,
        gang_racks=_fewest(gang_gpus, np.bincount(room.rack, weights=room.capacity, minlength=room.racks)),
        gang_domains=_fewest(gang_gpus, np.bincount(room.domain, weights=room.capacity)),
        gang_uneven=weights.uneven + gang_traffic / gang_gpus / 2,
        rack_weight=weights.rack,
        domain_weight=weights.domain,
        drain_weight=weights.drain,
        stranded_weight=weights.stranded,
        next_weight=weights.next_gang,
        next_gangs=snapshot.limits.next_gangs,
        budget=snapshot.limits.migration_budget_gpus,
    )


def stopped_s(job: Job, weights: PlacementWeights) -> float:
    """Return the seconds of work that each GPU of a running job loses when it is moved.

    Its checkpoint is written and read, it starts again, and the work since its last checkpoint counts as lost:
    a scheduler that requeues a job does not wait for it to save.
    """
    restart_s = weights.restart_s if job.restore_s is None else job.restore_s
    return restart_s + 2 * job.checkpoint_gb / weights.checkpoint_gb_per_s + job.unsaved_s


def _fewest(gang_gpus: Ints | Floats, capacity: Ints | Floats) -> Ints:
    """Return the fewest places of ``capacity`` GPUs that could hold each gang, the roomiest first."""
    roomiest = np.sort(capacity)[::-1]
    return np.searchsorted(np.cumsum(roomiest), gang_gpus, side="left").astype(np.int64) + 1


def _may_move(job: Job, snapshot: Snapshot) -> bool:
    """Tell whether a job may be moved: not pinned where it stands, and every node it could go to accepts its cap."""
    if job.gpu_power_cap_w is None:
        return job.movable or not job.placement
    if job.placement and not job.movable:
        return False
    held = {worker.node for worker in job.placement}
    models: set[str | None] = {node.gpu_model for node in snapshot.nodes if node.id in held} or {job.gpu_model}
    ranges = {
        (node.gpu_power_min_w, node.gpu_power_max_w)
        for node in snapshot.nodes
        if node.gpu_model in models or models == {None}
    }
    return all(low <= job.gpu_power_cap_w <= high for low, high in ranges)
