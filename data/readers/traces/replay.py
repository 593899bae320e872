"""Which cluster would a published job trace have made? Its jobs, replayed on machines by a first-fit scheduler.

Traces say who asked for how many GPUs, when and for how long. They do not say where a job ran, so
:func:`data.generators.first_fit.first_fit` decides that.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

from data.errors import BadRecord, BadSource
from data.generators.first_fit import ANY, Held, Requests, first_fit
from data.generators.hardware import leaf_spine
from data.readers.reading import Reading
from data.readers.settle import settle
from data.readers.traces.rows import TraceJob
from data.schemas.cluster import Limits, Node, Snapshot
from data.schemas.job import Job

TRAFFIC_GB_PER_S = 5.0
"""What each GPU of a job with several workers is taken to exchange, since traces do not say: a tenth of 400 Gb/s."""


@dataclass(frozen=True, slots=True)
class Replay:
    """Rows, machines, and how far to go; calling it replays.

    Args:
        cluster: name of the snapshot's cluster.
        path: the trace.
        rows: at least one, in any order.
        nodes: at least one.
        jobs: jobs of the snapshot; fewer if the trace ends before.
        speedup: how much faster jobs arrive than they did.
        limits: what a plan must keep to.

    Raises:
        ValueError: ``jobs`` or ``speedup`` is not positive.
    """

    cluster: str
    path: Path
    rows: Sequence[TraceJob]
    nodes: Sequence[Node]
    jobs: int
    speedup: float
    limits: Limits

    def __post_init__(self) -> None:
        for name, value in (("jobs", self.jobs), ("speedup", self.speedup)):
            if not value > 0:
                raise ValueError(f"{name}: expected more than 0, found {value}")

    def __call__(self, start: datetime, set_aside: Sequence[BadRecord], notes: Sequence[str]) -> Reading:
        """Return the cluster at the moment when ``jobs`` of the trace's jobs run or wait at once.

        Args:
            start: when the first of the rows came.
            set_aside: rows that were lost before.
            notes: what was assumed before.

        Raises:
            BadSource: no row fits the cluster.
        """
        width = max(node.gpus for node in self.nodes)
        total = sum(node.gpus for node in self.nodes)
        fitting = sorted((row for row in self.rows if row.gpus <= total), key=lambda row: row.arrival_s)
        too_large = [
            BadRecord(f"{row.path}.num_gpus", f"at most the {total} GPUs of the cluster", row.gpus)
            for row in self.rows
            if row.gpus > total
        ]
        if not fitting:
            raise BadSource(str(self.path), [*set_aside, *too_large])
        per_worker = np.array([_widest(row.gpus, width) for row in fitting])
        arrival_s = np.array([row.arrival_s for row in fitting])
        requests = Requests(
            arrival_s=(arrival_s - arrival_s[0]) / self.speedup,
            duration_s=np.array([row.duration_s for row in fitting]),
            workers=np.array([row.gpus for row in fitting]) // per_worker,
            gpus_per_worker=per_worker,
            model=np.full(len(fitting), ANY),
            after=np.full(len(fitting), ANY),
            models=(),
        )
        held = first_fit(self.nodes, requests, until=self.jobs)
        moment = start + timedelta(seconds=float(arrival_s[0]) - start.timestamp() + held.moment_s)
        present = sorted({*held.running, *held.pending})
        jobs = tuple(self._job(index, fitting[index], requests, held) for index in present)
        snapshot = Snapshot(
            cluster=self.cluster,
            taken_at=moment.replace(microsecond=0).isoformat(),
            nodes=tuple(self.nodes),
            jobs=jobs,
            links=leaf_spine(self.nodes),
            limits=self.limits,
        )
        told = [
            *notes,
            f"{held.finished} jobs of the trace had finished by then",
            "GPUs are those that a first-fit scheduler gives: the trace does not say where a job ran",
            f"traffic of jobs with several workers is taken as {TRAFFIC_GB_PER_S:g} GB/s for each GPU",
        ]
        if self.speedup != 1.0:
            told.append(f"jobs arrive {self.speedup:g} times as fast as in the trace")
        if len(jobs) < self.jobs:
            told.append(f"the trace ended with {len(jobs)} jobs present, fewer than the {self.jobs} asked for")
        places = {f"job:{row.name}": row.path for row in fitting}
        return settle(snapshot, places, [*set_aside, *too_large], told, str(self.path))

    @staticmethod
    def _job(index: int, row: TraceJob, requests: Requests, held: Held) -> Job:
        placement = held.placement.get(index, ())
        since = held.moment_s - held.start_s.get(index, held.moment_s)
        workers = int(requests.workers[index])
        return Job(
            id=row.name,
            workers=workers,
            gpus_per_worker=int(requests.gpus_per_worker[index]),
            state="running" if placement else "pending",
            placement=placement,
            remaining_s=round(max(1.0, row.duration_s - since), 0),
            waiting_s=0.0 if placement else round(held.moment_s - float(requests.arrival_s[index]), 0),
            traffic_gb_per_s=TRAFFIC_GB_PER_S if workers > 1 else 0.0,
        )


def _widest(gpus: int, width: int) -> int:
    """Return the most GPUs per worker that ``width`` allows and that divide ``gpus``."""
    return next(each for each in range(min(gpus, width), 0, -1) if gpus % each == 0)
