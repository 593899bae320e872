"""In which order can jobs move? Each batch frees the GPUs that the next one takes.

Jobs that wait for one another in a circle share a batch: all of them stop before any of them starts.
"""

from collections.abc import Sequence
from dataclasses import replace

import networkx as nx

from data.schemas.job import Worker
from data.schemas.plan import Migrate


def ordered_batches(migrations: Sequence[Migrate]) -> tuple[Migrate, ...]:
    """Return ``migrations`` with their batch numbers, in order; ties stay in the order given."""
    holder = {gpu: index for index, migration in enumerate(migrations) for gpu in _gpus(migration.before)}
    graph = nx.DiGraph()
    graph.add_nodes_from(range(len(migrations)))
    for index, migration in enumerate(migrations):
        for gpu in _gpus(migration.after):
            other = holder.get(gpu)
            if other is not None and other != index:
                graph.add_edge(other, index)
    circles = nx.condensation(graph)
    batch = [0] * len(migrations)
    for circle in nx.topological_sort(circles):
        earliest = max((batch[circles.nodes[p]["first"]] + 1 for p in circles.predecessors(circle)), default=0)
        members = circles.nodes[circle]["members"]
        circles.nodes[circle]["first"] = min(members)
        for member in members:
            batch[member] = earliest
    numbered = [replace(migration, batch=batch[index]) for index, migration in enumerate(migrations)]
    return tuple(sorted(numbered, key=lambda migration: migration.batch))


def _gpus(workers: Sequence[Worker]) -> set[tuple[str, int]]:
    return {(worker.node, gpu) for worker in workers for gpu in worker.gpus}
