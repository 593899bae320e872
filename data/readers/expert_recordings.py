"""Which cluster do recordings of a served model describe? The model alone, on nodes of its own."""

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from data.errors import BadRecord, BadSource
from data.readers.expert_formats import counted_deployment, read_expert_counts, read_expert_map
from data.readers.reading import Reading
from data.schemas.cluster import Node, Snapshot
from data.schemas.job import Job, Worker

_EPOCH = datetime.fromtimestamp(0, UTC).isoformat()
_MODEL = "model"


def read_expert_recordings(
    paths: Sequence[Path],
    *,
    ranks: int,
    slots_per_rank: int,
    expert_map: Path | None = None,
    steps_per_window: int = 0,
    gpus_per_domain: int = 8,
) -> Reading:
    """Return a cluster that serves one model, with the loads that were recorded.

    Args:
        paths: recordings, oldest first; see :func:`data.readers.expert_formats.read_expert_counts`.
        ranks: GPUs of the expert-parallel group.
        slots_per_rank: expert slots of each GPU, per layer.
        expert_map: the map in force, of any engine; None takes the engines' trivial one.
        steps_per_window: steps that are added up to a window; 0 makes each file one window.
        gpus_per_domain: GPUs that reach one another over NVLink.

    Raises:
        SourceUnavailable: a file is missing or cannot be read.
        BadSource: no recording can be used, or the map does not fit.
    """
    counts = read_expert_counts(paths, steps_per_window=steps_per_window)
    placement = None if expert_map is None else read_expert_map(expert_map)
    try:
        deployment = counted_deployment(
            counts, _MODEL, _MODEL, ranks=ranks, slots_per_rank=slots_per_rank, placement=placement
        )
    except BadRecord as error:
        raise BadSource(str(expert_map or paths[0]), [*counts.set_aside, error]) from error
    room = math.gcd(ranks, gpus_per_domain)
    nodes = tuple(
        Node(
            f"node-{number:04d}",
            "GPU",
            room,
            nvlink_domain=f"nvlink-{number * room // gpus_per_domain:04d}",
            rack=f"rack-{number * room // gpus_per_domain:04d}",
        )
        for number in range(ranks // room)
    )
    workers = tuple(Worker(node.id, tuple(range(room))) for node in nodes)
    job = Job(_MODEL, len(workers), room, "running", workers, movable=False)
    notes = (
        *counts.notes,
        f"recordings name no machines: {ranks} GPUs are assumed, {gpus_per_domain} to an NVLink domain, in rank order",
        "recordings name no time: 1970 stands in",
    )
    served = replace(deployment, dense_layers=counts.dense_layers)
    return Reading(Snapshot(_MODEL, _EPOCH, nodes, (job,), deployments=(served,)), counts.set_aside, notes)
