"""Does a snapshot contradict itself? Checks that no single field can show."""

from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Literal

from data.errors import BadRecord
from data.schemas.cluster import Node, Snapshot
from data.schemas.job import Job
from data.schemas.routing import ExpertDeployment

Collection = Literal["nodes", "jobs", "links", "deployments", "node_series", "link_series", "checkpoints", "limits"]


@dataclass(frozen=True, slots=True)
class Contradiction:
    """A record that contradicts another.

    Args:
        collection: field of the snapshot that holds the record.
        index: its position there.
        field: path within the record, e.g. ``placement[0].node``; empty for the record as a whole.
        expected: what would have been consistent.
        found: what stands there.
    """

    collection: Collection
    index: int
    field: str
    expected: str
    found: object

    def record(self, source: str, index: int | None = None) -> BadRecord:
        """Return it as the error that a report shows; ``index`` is the position in the original file."""
        position = "" if self.collection == "limits" else f"[{self.index if index is None else index}]"
        dot = "." if self.field else ""
        return BadRecord(f"{source}: {self.collection}{position}{dot}{self.field}", self.expected, self.found)


def cross_check(snapshot: Snapshot) -> tuple[Contradiction, ...]:
    """Return every contradiction in ``snapshot``, in the order of its fields; empty for a sound one."""
    return (
        *_duplicates(snapshot),
        *_nodes(snapshot),
        *_jobs(snapshot),
        *_cycles(snapshot.jobs),
        *_deployments(snapshot),
        *_series(snapshot),
        *_limits(snapshot),
    )


def _duplicates(snapshot: Snapshot) -> Iterator[Contradiction]:
    collections: tuple[tuple[Collection, tuple[str, ...]], ...] = (
        ("nodes", tuple(node.id for node in snapshot.nodes)),
        ("jobs", tuple(job.id for job in snapshot.jobs)),
        ("links", tuple(link.id for link in snapshot.links)),
        ("deployments", tuple(deployment.id for deployment in snapshot.deployments)),
        ("checkpoints", tuple(checkpoint.id for checkpoint in snapshot.checkpoints)),
        ("node_series", tuple(series.node for series in snapshot.node_series)),
        ("link_series", tuple(series.link for series in snapshot.link_series)),
    )
    for collection, ids in collections:
        field = {"node_series": "node", "link_series": "link"}.get(collection, "id")
        seen: set[str] = set()
        for index, identifier in enumerate(ids):
            if identifier in seen:
                yield Contradiction(collection, index, field, "an id that is used once", identifier)
            seen.add(identifier)


def _nodes(snapshot: Snapshot) -> Iterator[Contradiction]:
    racks: dict[str, str] = {}
    for index, node in enumerate(snapshot.nodes):
        if node.gpu_power_min_w > node.gpu_power_max_w:
            expected = f"at most gpu_power_max_w = {node.gpu_power_max_w} W"
            yield Contradiction("nodes", index, "gpu_power_min_w", expected, node.gpu_power_min_w)
        if node.gpu_idle_w > node.gpu_power_max_w:
            expected = f"at most gpu_power_max_w = {node.gpu_power_max_w} W"
            yield Contradiction("nodes", index, "gpu_idle_w", expected, node.gpu_idle_w)
        if any(gpu >= node.gpus for gpu in node.unavailable_gpus):
            found = list(node.unavailable_gpus)
            yield Contradiction("nodes", index, "unavailable_gpus", f"indexes below {node.gpus}", found)
        if racks.setdefault(node.nvlink_domain, node.rack) != node.rack and node.gpus > 4:
            # a domain of multi-tray racks may span racks (NVL576); one of whole nodes cannot
            expected = f"rack {racks[node.nvlink_domain]!r}, where the rest of domain {node.nvlink_domain!r} stands"
            yield Contradiction("nodes", index, "rack", expected, node.rack)


def _jobs(snapshot: Snapshot) -> Iterator[Contradiction]:
    nodes = {node.id: node for node in snapshot.nodes}
    ids = {job.id for job in snapshot.jobs}
    usable: dict[str, int] = {}
    for node in snapshot.nodes:
        if node.state != "down":
            usable[node.gpu_model] = usable.get(node.gpu_model, 0) + node.gpus
    held: dict[tuple[str, int], str] = {}
    for index, job in enumerate(snapshot.jobs):
        yield from _shape(index, job)
        yield from _holdings(index, job, nodes, held)
        room = usable.get(job.gpu_model, 0) if job.gpu_model else sum(usable.values())
        if job.gpus > room:
            model = f" of {job.gpu_model}" if job.gpu_model else ""
            yield Contradiction("jobs", index, "workers", f"at most the {room} GPUs{model} of the cluster", job.gpus)
        for position, other in enumerate(job.depends_on):
            if other not in ids:
                yield Contradiction("jobs", index, f"depends_on[{position}]", "the id of a job of the snapshot", other)


def _shape(index: int, job: Job) -> Iterator[Contradiction]:
    if job.state == "running" and len(job.placement) != job.workers:
        expected = f"{job.workers} workers, since the job is running"
        yield Contradiction("jobs", index, "placement", expected, f"{len(job.placement)} workers")
    if job.state == "pending" and len(job.placement) not in (0, job.workers):
        expected = f"none or {job.workers} workers, since the job is pending"
        yield Contradiction("jobs", index, "placement", expected, f"{len(job.placement)} workers")
    caps = [level.cap_w for level in job.power_levels]
    if caps != sorted(set(caps)):
        yield Contradiction("jobs", index, "power_levels", "caps in rising order", caps)
    split = job.parallelism
    if job.gpus % (split.tensor * split.pipeline) or job.gpus % split.expert:
        expected = f"groups into which the job's {job.gpus} GPUs divide"
        found = f"tensor {split.tensor} x pipeline {split.pipeline}, expert {split.expert}"
        yield Contradiction("jobs", index, "parallelism", expected, found)
    if job.gpu_power_high_w is not None and job.gpu_power_high_w < (job.gpu_power_w or 0.0):
        expected = f"at least gpu_power_w = {job.gpu_power_w} W"
        yield Contradiction("jobs", index, "gpu_power_high_w", expected, job.gpu_power_high_w)


def _holdings(
    index: int, job: Job, nodes: dict[str, Node], held: dict[tuple[str, int], str]
) -> Iterator[Contradiction]:
    for position, worker in enumerate(job.placement):
        field = f"placement[{position}]"
        node = nodes.get(worker.node)
        if node is None:
            yield Contradiction("jobs", index, f"{field}.node", "the id of a node of the snapshot", worker.node)
            continue
        if len(set(worker.gpus)) != len(worker.gpus) or len(worker.gpus) != job.gpus_per_worker:
            expected = f"{job.gpus_per_worker} different GPUs"
            yield Contradiction("jobs", index, f"{field}.gpus", expected, list(worker.gpus))
        if job.gpu_model is not None and node.gpu_model != job.gpu_model:
            expected = f"a node with {job.gpu_model}"
            yield Contradiction("jobs", index, f"{field}.node", expected, f"{node.id} with {node.gpu_model}")
        if node.state == "down":
            yield Contradiction("jobs", index, f"{field}.node", "a node that is not down", worker.node)
        for gpu in worker.gpus:
            if gpu >= node.gpus:
                yield Contradiction("jobs", index, f"{field}.gpus", f"indexes below {node.gpus}", gpu)
            elif gpu in node.unavailable_gpus:
                expected = "a GPU that is not among the node's unavailable_gpus"
                yield Contradiction("jobs", index, f"{field}.gpus", expected, f"{node.id} GPU {gpu}")
            other = held.setdefault((worker.node, gpu), job.id)
            if other != job.id:
                expected = f"a GPU that no other job holds ({other} holds it)"
                yield Contradiction("jobs", index, f"{field}.gpus", expected, f"{worker.node} GPU {gpu}")


def _cycles(jobs: tuple[Job, ...]) -> Iterator[Contradiction]:
    position = {job.id: index for index, job in enumerate(jobs)}
    graph = {job.id: [other for other in job.depends_on if other in position] for job in jobs if job.depends_on}
    if _cycle(graph) is None:
        return
    # each group of jobs that wait for one another by itself, or many small cycles would cost the square of their number
    for group in sorted(_knots(graph), key=lambda knot: min(position[job] for job in knot)):
        inner = {job: [other for other in graph[job] if other in group] for job in sorted(group)}
        while (cycle := _cycle(inner)) is not None:
            last = max(cycle, key=lambda job: position[job])
            yield Contradiction("jobs", position[last], "depends_on", "no cycle", " -> ".join(cycle))
            del inner[last]


def _cycle(graph: dict[str, list[str]]) -> list[str] | None:
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        cycle: list[str] = error.args[1]
        return cycle
    return None


def _knots(graph: dict[str, list[str]]) -> list[set[str]]:
    """Return the strongly connected parts in which there is a cycle."""
    import networkx as nx

    parts = nx.strongly_connected_components(nx.DiGraph(graph))
    return [set(part) for part in parts if len(part) > 1 or any(job in graph.get(job, ()) for job in part)]


def _deployments(snapshot: Snapshot) -> Iterator[Contradiction]:
    jobs = {job.id: job for job in snapshot.jobs}
    for index, deployment in enumerate(snapshot.deployments):
        job = jobs.get(deployment.job)
        if job is None:
            yield Contradiction("deployments", index, "job", "the id of a job of the snapshot", deployment.job)
        elif job.gpus < deployment.ranks:
            yield Contradiction("deployments", index, "ranks", f"at most the job's {job.gpus} GPUs", deployment.ranks)
        yield from _experts(index, deployment)


def _experts(index: int, deployment: ExpertDeployment) -> Iterator[Contradiction]:
    layers, experts, slots = deployment.layers, deployment.experts, deployment.slots
    for window, loads in enumerate(deployment.loads):
        if len(loads) != layers or any(len(layer) != experts for layer in loads):
            shape = f"({len(loads)}, {sorted({len(layer) for layer in loads})})"
            yield Contradiction("deployments", index, f"loads[{window}]", f"shape ({layers}, {experts})", shape)
    for layer, held in enumerate(deployment.placement):
        field = f"placement[{layer}]"
        if len(held) != slots:
            yield Contradiction("deployments", index, field, f"ranks * slots_per_rank = {slots} slots", len(held))
        missing = set(range(experts)) - set(held)
        if missing:
            yield Contradiction("deployments", index, field, "every expert at least once", f"without {min(missing)}")
        if held and max(held) >= experts:
            yield Contradiction("deployments", index, field, f"experts below {experts}", max(held))
    yield from _ranks(index, deployment)
    for position, step in enumerate(deployment.transitions):
        if step.layer >= layers - 1 or step.source >= experts or step.target >= experts:
            expected = f"layer below {layers - 1}, experts below {experts}"
            found = f"layer {step.layer}, {step.source} -> {step.target}"
            yield Contradiction("deployments", index, f"transitions[{position}]", expected, found)


def _ranks(index: int, deployment: ExpertDeployment) -> Iterator[Contradiction]:
    speeds, ranks = deployment.rank_speed, deployment.ranks
    if speeds and (len(speeds) != ranks or max(speeds) <= 0.0):
        found = f"{len(speeds)} speeds, the largest {max(speeds)}"
        yield Contradiction("deployments", index, "rank_speed", f"{ranks} speeds, one of them above 0", found)
    if deployment.experts % deployment.expert_groups:
        expected = f"groups into which {deployment.experts} experts divide"
        yield Contradiction("deployments", index, "expert_groups", expected, deployment.expert_groups)
    if deployment.shares and [len(row) for row in deployment.shares] != [deployment.slots] * deployment.layers:
        shape = f"({len(deployment.shares)}, {sorted({len(row) for row in deployment.shares})})"
        expected = f"shape ({deployment.layers}, {deployment.slots})"
        yield Contradiction("deployments", index, "shares", expected, shape)
        return
    for layer, (held, shares) in enumerate(zip(deployment.placement, deployment.shares, strict=False)):
        total = [0.0] * deployment.experts
        for expert, share in zip(held, shares, strict=False):
            if expert < deployment.experts:
                total[expert] += share
        wrong = next((expert for expert, share in enumerate(total) if abs(share - 1.0) > 1e-6), None)
        if wrong is not None:
            expected = f"shares of expert {wrong} that add up to 1"
            yield Contradiction("deployments", index, f"shares[{layer}]", expected, total[wrong])


def _series(snapshot: Snapshot) -> Iterator[Contradiction]:
    nodes = {node.id for node in snapshot.nodes}
    links = {link.id for link in snapshot.links}
    for index, node_series in enumerate(snapshot.node_series):
        if node_series.node not in nodes:
            yield Contradiction("node_series", index, "node", "the id of a node of the snapshot", node_series.node)
    for index, link_series in enumerate(snapshot.link_series):
        if link_series.link not in links:
            yield Contradiction("link_series", index, "link", "the id of a link of the snapshot", link_series.link)


def _limits(snapshot: Snapshot) -> Iterator[Contradiction]:
    cap = snapshot.limits.power_cap_w
    base = sum(node.base_power_w + node.gpus * node.gpu_idle_w for node in snapshot.nodes if node.state != "down")
    if cap is not None and cap < 0.1 * base:
        expected = f"watts, at least a tenth of the idle cluster's {base:.0f} W (kilowatts given?)"
        yield Contradiction("limits", 0, "power_cap_w", expected, cap)
