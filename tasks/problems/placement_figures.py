"""What does an operator read off a placement? How gangs are spread, what room is left, what moving costs."""

import numpy as np

from tasks.problems.placement_kernel import Crew, Floats, Ints, Room, free_gpus, moved_gpus
from tasks.problems.protocol import Figure


def placement_figures(
    node_of: Ints, room: Room, crew: Crew, gpu_traffic: Floats, job_stopped_s: Floats
) -> tuple[Figure, ...]:
    """Return the figures of a placement.

    - *cross-domain traffic*: of each gang, the traffic of its placed GPUs times the share of their
      pairs that stand in different NVLink domains;
    - *racks, domains per gang*: mean over the gangs that hold GPUs;
    - *uneven gangs*: gangs in several domains whose largest slice exceeds their smallest by more GPUs than their
      largest worker has;
    - *whole domains*: domains whose open nodes are wholly free, and their GPUs; *whole-domain gangs that fit*: those
      of full size;
    - *stranded*: free GPUs of open nodes in the other domains;
    - *waiting*: GPUs of pending jobs that have none; *moved*: GPUs of running jobs that stand elsewhere;
    - *migration*: GPU-hours that the jobs which move lose, each stopped once.

    Args:
        node_of: node of each worker, ``(workers,)``.
        room: the nodes.
        crew: the workers.
        gpu_traffic: GB/s of each GPU of a job, ``(jobs,)``.
        job_stopped_s: seconds that each GPU of a job loses if it moves, ``(jobs,)``.
    """
    placed = node_of >= 0
    gang = crew.job_gang[crew.job]
    gangs = crew.gang_traffic.size
    traffic = np.bincount(gang[placed], (crew.size * gpu_traffic[crew.job])[placed], minlength=gangs)
    total = np.bincount(gang[placed], crew.size[placed], minlength=gangs)
    pairs, gpus = _grouped(gang[placed], room.domain[node_of[placed]], crew.size[placed])
    together = np.bincount(pairs[:, 0], np.square(gpus), minlength=gangs)
    present = total > 0
    share = 1.0 - together[present] / np.square(total[present])
    racks, _ = _grouped(gang[placed], room.rack[node_of[placed]], crew.size[placed])
    count = max(1, int(present.sum()))

    largest, smallest, widest = np.zeros(gangs), np.full(gangs, np.inf), np.zeros(gangs, np.int64)
    np.maximum.at(largest, pairs[:, 0], gpus)
    np.minimum.at(smallest, pairs[:, 0], gpus)
    np.maximum.at(widest, gang[placed], crew.size[placed])
    uneven = largest - np.where(present, smallest, 0.0) > widest

    free = free_gpus(node_of, room, crew)
    opened = room.open == 1
    domains = room.domain_capacity.size
    domain_free = np.bincount(room.domain[opened], free[opened], minlength=domains).astype(np.int64)
    whole = (room.domain_capacity > 0) & (domain_free == room.domain_capacity)
    first = crew.job_first[:-1]
    waiting = (crew.home[first] < 0) & (node_of[first] < 0)
    job_gpus = np.bincount(crew.job, crew.size, minlength=first.size)
    moved = np.bincount(crew.job[(crew.home >= 0) & (node_of != crew.home)], minlength=first.size) > 0
    lost_h = float((job_gpus * job_stopped_s)[moved].sum()) / 3600.0
    whole_gpus = int(room.domain_capacity[whole].sum())
    return (
        Figure("placement.cross_domain_traffic_gb_per_s", "GB/s", float(traffic[present] @ share), "lower"),
        Figure("placement.racks_per_gang", "racks", len(racks) / count, "lower"),
        Figure("placement.domains_per_gang", "domains", len(pairs) / count, "lower"),
        Figure("placement.uneven_gangs", "gangs", float(uneven.sum()), "lower"),
        Figure("placement.whole_domains", "domains", float(whole.sum()), "higher"),
        Figure("placement.whole_domain_gpus", "GPUs", float(whole_gpus), "higher"),
        Figure("placement.whole_gangs_fit", "gangs", float((whole & (room.domain_full_size == 1)).sum()), "higher"),
        Figure("placement.stranded_gpus", "GPUs", float(domain_free.sum() - whole_gpus), "lower"),
        Figure("placement.waiting_gpus", "GPUs", float(job_gpus[waiting].sum()), "lower"),
        Figure("placement.moved_gpus", "GPUs", float(moved_gpus(node_of, crew)), "lower"),
        Figure("placement.migration_gpu_h", "GPU-h", lost_h, "lower"),
    )


def _grouped(gang: Ints, place: Ints, size: Ints) -> tuple[Ints, Floats]:
    """Return the distinct (gang, place) pairs, ``(pairs, 2)``, and the GPUs of each, ``(pairs,)``."""
    if not gang.size:
        return np.zeros((0, 2), np.int64), np.zeros(0)
    pairs, index = np.unique(np.stack([gang, place], axis=1), axis=0, return_inverse=True)
    return pairs, np.bincount(index.ravel(), size).astype(np.float64)
