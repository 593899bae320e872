"""What does a placement measure? The published definitions of ``placement.*``, computed from the records alone.

A node's *usable* GPUs are those that are not unavailable, none if it is down. A node is *open* if it is up. A job is
*placed* if it holds GPUs. A gang is all jobs with one ``gang_id``; its workers are those of its placed jobs.

- ``cross_domain_traffic_gb_per_s``: sum over gangs of (sum over its placed jobs of GPUs * traffic_gb_per_s)
  * (1 - sum over NVLink domains of (the gang's placed GPUs there / all its placed GPUs) squared);
- ``racks_per_gang``, ``domains_per_gang``: mean over the gangs with a placed job of the different racks, or NVLink
  domains, of the nodes of its workers; 0 without such a gang;
- ``uneven_gangs``: gangs that hold GPUs in at least two NVLink domains, in the fullest of them more than in the
  emptiest by more than the GPUs of the gang's largest placed worker;
- ``whole_domains``: NVLink domains whose open nodes have usable GPUs, all of which are free;
  ``whole_domain_gpus``: their usable GPUs; ``whole_gangs_fit``: those of them whose open nodes have more than half as
  many usable GPUs as those of the largest domain;
- ``stranded_gpus``: free usable GPUs of open nodes, less ``whole_domain_gpus``;
- ``waiting_gpus``: GPUs of pending jobs that are not placed;
- ``moved_gpus``: 0 before; after, over jobs that were placed before and over nodes, the workers that the node has more
  than before times GPUs per worker;
- ``migration_gpu_h``: 0 before; after, over the jobs that ``moved_gpus`` counts, GPUs * (``restore_s``, 120 s where it
  is unknown, + 2 * ``checkpoint_gb`` / 10 GB/s + ``unsaved_s``) / 3600.
"""

from collections import Counter, defaultdict

from data.schemas.cluster import Node, Snapshot
from data.schemas.job import Job
from tasks.validation.measure import Measure

RESTART_S = 120.0
"""To start a job again whose ``restore_s`` nobody knows."""

CHECKPOINT_GB_PER_S = 10.0
"""At which a checkpoint is written, and read."""


def placement_measures(state: Snapshot, origin: Snapshot) -> tuple[Measure, ...]:
    """Return every ``placement.*`` figure of ``state``, to which ``origin`` was changed."""
    nodes = {node.id: node for node in state.nodes}
    traffic, racks, domains, uneven = _gangs(state, nodes)
    whole, whole_gpus, fit, stranded = _domains(state, nodes)
    moved = _moved(origin, state)
    waiting = sum(job.gpus for job in state.jobs if job.state == "pending" and not job.placement)
    return (
        Measure("placement.cross_domain_traffic_gb_per_s", "GB/s", traffic, "lower"),
        Measure("placement.racks_per_gang", "racks", racks, "lower"),
        Measure("placement.domains_per_gang", "domains", domains, "lower"),
        Measure("placement.uneven_gangs", "gangs", float(uneven), "lower"),
        Measure("placement.whole_domains", "domains", float(whole), "higher"),
        Measure("placement.whole_domain_gpus", "GPUs", float(whole_gpus), "higher"),
        Measure("placement.whole_gangs_fit", "gangs", float(fit), "higher"),
        Measure("placement.stranded_gpus", "GPUs", float(stranded), "lower"),
        Measure("placement.waiting_gpus", "GPUs", float(waiting), "lower"),
        Measure("placement.moved_gpus", "GPUs", float(sum(gpus for _, gpus in moved)), "lower"),
        Measure("placement.migration_gpu_h", "GPU-h", float(sum(_stopped_gpu_h(job) for job, _ in moved)), "lower"),
    )


def _gangs(state: Snapshot, nodes: dict[str, Node]) -> tuple[float, float, float, int]:
    """Return the traffic across domains of all gangs, the mean racks and domains of a gang, and the uneven gangs."""
    traffic: dict[str, float] = defaultdict(float)
    gpus: dict[str, Counter[str]] = defaultdict(Counter)
    racks: dict[str, set[str]] = defaultdict(set)
    widest: dict[str, int] = defaultdict(int)
    for job in state.jobs:
        if job.placement:
            traffic[job.gang_id] += job.gpus * job.traffic_gb_per_s
        for worker in job.placement:
            node = nodes[worker.node]
            gpus[job.gang_id][node.nvlink_domain] += len(worker.gpus)
            racks[job.gang_id].add(node.rack)
            widest[job.gang_id] = max(widest[job.gang_id], len(worker.gpus))
    across = 0.0
    for gang, held in gpus.items():
        total = held.total()
        across += traffic[gang] * (1.0 - sum((count / total) ** 2 for count in held.values()))
    count = max(1, len(gpus))
    uneven = sum(max(held.values()) - min(held.values()) > widest[gang] for gang, held in gpus.items())
    return across, sum(map(len, racks.values())) / count, sum(map(len, gpus.values())) / count, uneven


def _domains(state: Snapshot, nodes: dict[str, Node]) -> tuple[int, int, int, int]:
    """Return the wholly free domains, their GPUs, those of full size, and the free GPUs in the others."""
    held: Counter[str] = Counter()
    for job in state.jobs:
        for worker in job.placement:
            held[worker.node] += len(worker.gpus)
    usable: Counter[str] = Counter()
    free: Counter[str] = Counter()
    for node in nodes.values():
        if node.state == "up":
            size = node.gpus - len(set(node.unavailable_gpus))
            usable[node.nvlink_domain] += size
            free[node.nvlink_domain] += size - held[node.id]
    whole = [domain for domain, size in usable.items() if size > 0 and free[domain] == size]
    whole_gpus = sum(usable[domain] for domain in whole)
    fit = sum(2 * usable[domain] > max(usable.values()) for domain in whole)
    return len(whole), whole_gpus, fit, free.total() - whole_gpus


def _moved(before: Snapshot, after: Snapshot) -> list[tuple[Job, int]]:
    """Return the jobs that have workers on other nodes than before, as they were, and the GPUs of these workers."""
    moved = []
    for was, now in zip(before.jobs, after.jobs, strict=True):
        if was.placement and was.placement != now.placement:
            stood = Counter(worker.node for worker in was.placement)
            gpus = (Counter(worker.node for worker in now.placement) - stood).total() * now.gpus_per_worker
            moved += [(was, gpus)] if gpus else []
    return moved


def _stopped_gpu_h(job: Job) -> float:
    restart_s = RESTART_S if job.restore_s is None else job.restore_s
    return job.gpus * (restart_s + 2 * job.checkpoint_gb / CHECKPOINT_GB_PER_S + job.unsaved_s) / 3600.0
