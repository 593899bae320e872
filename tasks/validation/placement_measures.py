"""What does a placement measure? The published definitions of ``placement.*``, computed from the records alone.

A node's *usable* GPUs are those that are not unavailable, none if it is down. A node is *open* if it is up. A job is
*placed* if it holds GPUs. A gang is all jobs with one ``gang_id``; its workers are those of its placed jobs.

- ``cross_domain_traffic_gb_per_s``: sum over gangs of (sum over its placed jobs of GPUs * traffic_gb_per_s)
  * (1 - sum over NVLink domains of (the gang's placed GPUs there / all its placed GPUs) squared);
- ``racks_per_gang``, ``domains_per_gang``: mean over the gangs with a placed job of the different racks, or NVLink
  domains, of the nodes of its workers; 0 without such a gang;
- ``whole_domains``: NVLink domains whose open nodes have usable GPUs, all of which are free;
  ``whole_domain_gpus``: their usable GPUs;
- ``stranded_gpus``: free usable GPUs of open nodes, less ``whole_domain_gpus``;
- ``waiting_gpus``: GPUs of pending jobs that are not placed;
- ``moved_gpus``: 0 before; after, over jobs that were placed before and over nodes, the workers that the node has more
  than before times GPUs per worker.
"""

from collections import Counter, defaultdict

from data.schemas.cluster import Node, Snapshot
from tasks.validation.measure import Measure


def placement_measures(state: Snapshot, origin: Snapshot) -> tuple[Measure, ...]:
    """Return every ``placement.*`` figure of ``state``, to which ``origin`` was changed."""
    nodes = {node.id: node for node in state.nodes}
    traffic, racks, domains = _gangs(state, nodes)
    whole, whole_gpus, stranded = _domains(state, nodes)
    waiting = sum(job.gpus for job in state.jobs if job.state == "pending" and not job.placement)
    return (
        Measure("placement.cross_domain_traffic_gb_per_s", "GB/s", traffic, "lower"),
        Measure("placement.racks_per_gang", "racks", racks, "lower"),
        Measure("placement.domains_per_gang", "domains", domains, "lower"),
        Measure("placement.whole_domains", "domains", float(whole), "higher"),
        Measure("placement.whole_domain_gpus", "GPUs", float(whole_gpus), "higher"),
        Measure("placement.stranded_gpus", "GPUs", float(stranded), "lower"),
        Measure("placement.waiting_gpus", "GPUs", float(waiting), "lower"),
        Measure("placement.moved_gpus", "GPUs", float(_moved_gpus(origin, state)), "lower"),
    )


def _gangs(state: Snapshot, nodes: dict[str, Node]) -> tuple[float, float, float]:
    """Return the traffic across domains of all gangs, and the mean racks and domains of a gang."""
    traffic: dict[str, float] = defaultdict(float)
    gpus: dict[str, Counter[str]] = defaultdict(Counter)
    racks: dict[str, set[str]] = defaultdict(set)
    for job in state.jobs:
        if job.placement:
            traffic[job.gang_id] += job.gpus * job.traffic_gb_per_s
        for worker in job.placement:
            node = nodes[worker.node]
            gpus[job.gang_id][node.nvlink_domain] += len(worker.gpus)
            racks[job.gang_id].add(node.rack)
    across = 0.0
    for gang, held in gpus.items():
        total = held.total()
        across += traffic[gang] * (1.0 - sum((count / total) ** 2 for count in held.values()))
    count = max(1, len(gpus))
    return across, sum(map(len, racks.values())) / count, sum(map(len, gpus.values())) / count


def _domains(state: Snapshot, nodes: dict[str, Node]) -> tuple[int, int, int]:
    """Return the wholly free domains, their GPUs, and the free GPUs in the others."""
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
    return len(whole), whole_gpus, free.total() - whole_gpus


def _moved_gpus(before: Snapshot, after: Snapshot) -> int:
    moved = 0
    for was, now in zip(before.jobs, after.jobs, strict=True):
        if was.placement and was.placement != now.placement:
            stood = Counter(worker.node for worker in was.placement)
            stands = Counter(worker.node for worker in now.placement)
            moved += (stands - stood).total() * now.gpus_per_worker
    return moved
