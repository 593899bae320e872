"""Which jobs came to Philly, and which cluster would they have made?

The trace of Jeon et al. (2019, arXiv 1901.05758) as the artefact of Sia has it: ``timestamp,duration,num_gpus``.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from data.errors import BadRecord, BadSource
from data.generators.hardware import dgx_nodes, nvl72_racks
from data.readers.csv_file import Row, read_records
from data.readers.reading import Reading
from data.readers.traces.replay import Replay
from data.readers.traces.rows import TraceJob, number, whole
from data.schemas.cluster import Limits

COLUMNS = ("timestamp", "duration", "num_gpus")


class Arrivals(NamedTuple):
    """Jobs in order of arrival; all ``(jobs,)``. Times in seconds, ``arrival_s`` since 1970."""

    arrival_s: npt.NDArray[np.float64]
    duration_s: npt.NDArray[np.float64]
    gpus: npt.NDArray[np.int64]


def read_philly(
    path: Path,
    *,
    jobs: int = 500,
    gpus: int = 1024,
    shape: Literal["dgx", "nvl72"] = "dgx",
    speedup: float = 1.0,
    limits: Limits | None = None,
) -> Reading:
    """Replay a Philly file (``timestamp,duration,num_gpus``) until ``jobs`` of its jobs run or wait at once.

    Args:
        path: the CSV file.
        jobs: jobs of the snapshot; fewer if the file ends before.
        gpus: GPUs of the cluster, in whole nodes.
        shape: nodes of eight GPUs, each a domain, 16 to a rack; or NVL72 racks of 18 nodes with four.
        speedup: how much faster jobs arrive than they did; more than 1 makes the cluster fuller.
        limits: what a plan must keep to; a trace knows nothing of it.

    Raises:
        SourceUnavailable: the file cannot be read.
        BadSource: it is no such CSV file, or no row of it can be used.
        ValueError: ``jobs``, ``gpus`` or ``speedup`` is not positive.
    """
    if gpus < 1:
        raise ValueError(f"gpus: expected more than 0, found {gpus}")
    if shape == "dgx":
        nodes = dgx_nodes(max(1, gpus // 8), per_rack=16)
    else:
        racks, trays = divmod(gpus // 4, 18)
        nodes = nvl72_racks(racks) + nvl72_racks(1 if trays else 0, trays=trays, first=racks + 1)
    rows, set_aside = read_records(path, COLUMNS, _job)
    first = min(row.arrival_s for row in rows)
    notes = (
        "the trace's GPUs are not named: all are taken as " + nodes[0].gpu_model,
        "the trace's clock is taken as UTC",
    )
    replay = Replay("philly", path, rows, nodes, jobs, speedup, limits or Limits())
    return replay(datetime.fromtimestamp(first, UTC), set_aside, notes)


def read_arrivals(path: Path) -> Arrivals:
    """Return the jobs of a Philly file by themselves, without a cluster around them.

    Whoever learns from a trace needs all of it, so one row that cannot be used refuses the file.

    Raises:
        SourceUnavailable: the file cannot be read.
        BadSource: it is no such CSV file, has no row, or has one that cannot be used; every such row is named.
    """
    rows, bad = read_records(path, COLUMNS, _job)
    if bad:
        raise BadSource(str(path), bad)
    jobs = sorted((row.arrival_s, row.duration_s, row.gpus) for row in rows)
    arrival_s, duration_s, gpus = (np.array(column) for column in zip(*jobs, strict=True))
    return Arrivals(arrival_s, duration_s, gpus.astype(np.int64))


def _job(place: str, index: int, row: Row) -> TraceJob:
    try:
        came = datetime.fromisoformat(row["timestamp"])
        arrival_s = (came if came.tzinfo else came.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise BadRecord(f"{place}.timestamp", "a time such as 2017-10-10 06:54:45", row["timestamp"]) from None
    return TraceJob(
        path=place,
        name=f"philly-{index}",
        arrival_s=arrival_s,
        duration_s=number(place, row, "duration", least=1.0),
        gpus=whole(place, row, "num_gpus", least=1),
    )
