"""Which cluster would a published job trace have made? Its jobs, replayed on machines by a first-fit scheduler.

Traces of Philly (Jeon et al. 2019, arXiv 1901.05758; CSV of the Sia artefact) and of Alibaba's openb (Weng et al.
2023, USENIX ATC) say who asked for how many GPUs, when and for how long. They do not say where a job ran, so
:func:`data.generators.first_fit.first_fit` decides that.
"""

import csv
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np

from data.errors import BadRecord, BadSource, SourceUnavailable
from data.generators.first_fit import ANY, Held, Requests, first_fit
from data.generators.hardware import dgx_nodes, leaf_spine, nvl72_racks
from data.readers.gpu_models import GpuModel, find_gpu_model
from data.readers.reading import Reading
from data.readers.settle import settle
from data.schemas.cluster import Limits, Node, Snapshot
from data.schemas.job import Job

TRAFFIC_GB_PER_S = 5.0
"""What each GPU of a job with several workers is taken to exchange, since traces do not say: a tenth of 400 Gb/s."""

LONGEST_S = 1e9


@dataclass(frozen=True, slots=True)
class TraceJob:
    """One usable row: when it came, for how long, with how many GPUs; ``path`` is its place in the file."""

    path: str
    name: str
    arrival_s: float
    duration_s: float
    gpus: int


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
        BadSource: a column is missing, or no row can be used.
        ValueError: ``jobs``, ``gpus`` or ``speedup`` is not positive.
    """
    _check_positive(jobs=jobs, gpus=gpus, speedup=speedup)
    if shape == "dgx":
        nodes = dgx_nodes(max(1, gpus // 8), per_rack=16)
    else:
        racks, trays = divmod(gpus // 4, 18)
        nodes = nvl72_racks(racks) + nvl72_racks(1 if trays else 0, trays=trays, first=racks + 1)
    rows, set_aside = _read(path, _philly_row, ("timestamp", "duration", "num_gpus"))
    first = min(row.arrival_s for row in rows)
    notes = (
        "the trace's GPUs are not named: all are taken as " + nodes[0].gpu_model,
        "the trace's clock is taken as UTC",
    )
    replay = _Replay("philly", path, rows, nodes, jobs, speedup, limits or Limits())
    return replay(datetime.fromtimestamp(first, UTC), set_aside, notes)


def read_openb(
    nodes: Path, pods: Path, *, jobs: int = 500, speedup: float = 200.0, limits: Limits | None = None
) -> Reading:
    """Replay Alibaba's openb pods on its nodes until ``jobs`` of them run or wait at once.

    Pods that share a GPU with others are set aside, since a snapshot knows whole GPUs only; pods without GPUs are left
    out.

    Args:
        nodes: CSV with ``sn,gpu,model``.
        pods: CSV with ``name,num_gpu,gpu_milli,creation_time,deletion_time,scheduled_time``.
        jobs: jobs of the snapshot; fewer if the file ends before.
        speedup: how much faster pods arrive than they did; the published ones are a sample that leaves the nodes idle.
        limits: what a plan must keep to.

    Raises:
        SourceUnavailable: a file cannot be read.
        BadSource: a column is missing, or no row can be used.
        ValueError: ``jobs`` or ``speedup`` is not positive.
    """
    _check_positive(jobs=jobs, speedup=speedup)
    machines, bad_nodes = _read(nodes, _openb_node, ("sn", "gpu", "model"))
    columns = ("name", "num_gpu", "gpu_milli", "creation_time", "deletion_time", "scheduled_time")
    rows, bad_pods = _read(pods, _openb_pod, columns)
    with_gpus = [row for row in rows if row.gpus > 0]
    if not with_gpus:
        raise BadSource(str(pods), [*bad_pods, BadRecord(pods.name, "a pod with whole GPUs", "none")])
    unknown = sorted({node.gpu_model for node in machines if _openb_model(node.gpu_model) is None})
    notes = [
        f"{len(rows) - len(with_gpus)} pods without GPUs were left out",
        "racks and NVLink are not in the trace: one rack, each node a domain",
        "the trace's clock starts at nought: times are seconds since 1970",
    ]
    if unknown:
        notes.append(f"watts of {', '.join(unknown)} are not known: the schema's defaults stand in")
    replay = _Replay("openb", pods, with_gpus, machines, jobs, speedup, limits or Limits())
    first = min(row.arrival_s for row in with_gpus)
    return replay(datetime.fromtimestamp(first, UTC), [*bad_nodes, *bad_pods], notes)


@dataclass(frozen=True, slots=True)
class _Replay:
    """Rows, machines, and how far to go; calling it replays."""

    cluster: str
    path: Path
    rows: Sequence[TraceJob]
    nodes: Sequence[Node]
    jobs: int
    speedup: float
    limits: Limits

    def __call__(self, start: datetime, set_aside: Sequence[BadRecord], notes: Sequence[str]) -> Reading:
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


def _check_positive(**values: float) -> None:
    for name, value in values.items():
        if not value > 0:
            raise ValueError(f"{name}: expected more than 0, found {value}")


def _widest(gpus: int, width: int) -> int:
    """Return the most GPUs per worker that ``width`` allows and that divide ``gpus``."""
    return next(each for each in range(min(gpus, width), 0, -1) if gpus % each == 0)


Row = dict[str, str]
Parsed = TypeVar("Parsed")


def _read(
    path: Path, parse: Callable[[str, int, Row], Parsed], columns: Sequence[str]
) -> tuple[list[Parsed], list[BadRecord]]:
    good: list[Parsed] = []
    bad: list[BadRecord] = []
    try:
        with path.open(newline="", encoding="utf-8", errors="replace") as file:
            reader = csv.DictReader(file, restval="")
            missing = [name for name in columns if name not in (reader.fieldnames or ())]
            if missing:
                found = BadRecord(f"{path.name}: line 1", f"columns {', '.join(columns)}", f"no {', '.join(missing)}")
                raise BadSource(str(path), [found])
            for number, row in enumerate(reader):
                try:
                    good.append(parse(f"{path.name}: line {reader.line_num}", number, row))
                except BadRecord as error:
                    bad.append(error)
    except OSError as error:
        raise SourceUnavailable(f"{path}: {error.strerror or error}") from error
    except csv.Error as error:
        raise BadSource(str(path), [BadRecord(path.name, "CSV", str(error))]) from error
    if not good:
        raise BadSource(str(path), bad or [BadRecord(path.name, "at least one row", "none")])
    return good, bad


def _number(place: str, row: Row, column: str, *, least: float, most: float = LONGEST_S) -> float:
    try:
        value = float(row[column])
    except ValueError:
        value = math.nan
    if not least <= value <= most:
        raise BadRecord(f"{place}.{column}", f"a number from {least:g} to {most:g}", row[column])
    return value


def _whole(place: str, row: Row, column: str, *, least: int) -> int:
    value = _number(place, row, column, least=least)
    if value != int(value):
        raise BadRecord(f"{place}.{column}", "a whole number", row[column])
    return int(value)


def _philly_row(place: str, number: int, row: Row) -> TraceJob:
    try:
        came = datetime.fromisoformat(row["timestamp"])
    except ValueError:
        raise BadRecord(f"{place}.timestamp", "a time such as 2017-10-10 06:54:45", row["timestamp"]) from None
    return TraceJob(
        path=place,
        name=f"philly-{number + 1}",
        arrival_s=(came if came.tzinfo else came.replace(tzinfo=UTC)).timestamp(),
        duration_s=_number(place, row, "duration", least=1.0),
        gpus=_whole(place, row, "num_gpus", least=1),
    )


def _openb_node(place: str, _number_of_row: int, row: Row) -> Node:
    gpus = _whole(place, row, "gpu", least=1)
    if not row["sn"] or not row["model"]:
        raise BadRecord(place, "sn and model", "an empty field")
    model = _openb_model(row["model"])
    if model is None:
        return Node(row["sn"], row["model"], gpus, nvlink_domain=row["sn"], rack="openb")
    return Node(
        row["sn"],
        row["model"],
        gpus,
        nvlink_domain=row["sn"],
        rack="openb",
        gpu_power_min_w=float(model.power_min_w),
        gpu_power_max_w=float(model.power_max_w),
        gpu_idle_w=float(model.idle_w),
    )


def _openb_model(name: str) -> GpuModel | None:
    """Return what is known of a GPU; openb writes the memory behind some names, as in ``V100M16``."""
    return find_gpu_model(name) or find_gpu_model(name.split("M")[0])


def _openb_pod(place: str, _number_of_row: int, row: Row) -> TraceJob:
    gpus = _whole(place, row, "num_gpu", least=0)
    if gpus and row["gpu_milli"] != "1000":
        raise BadRecord(f"{place}.gpu_milli", "1000: whole GPUs", row["gpu_milli"])
    created = _number(place, row, "creation_time", least=0.0)
    started = _number(place, row, "scheduled_time", least=0.0) if row["scheduled_time"] else created
    ended = _number(place, row, "deletion_time", least=0.0)
    if ended <= started:
        raise BadRecord(f"{place}.deletion_time", f"more than {started:g}, when it started", row["deletion_time"])
    return TraceJob(place, row["name"], created, ended - started, gpus)
