"""Which cluster would the pods of Alibaba's openb have made?

The trace of Weng et al. (2023, USENIX ATC): a list of nodes and a list of pods with their times.
"""

from datetime import UTC, datetime
from pathlib import Path

from data.errors import BadRecord, BadSource
from data.readers.csv_file import Row, read_records
from data.readers.gpu_models import GpuModel, find_gpu_model
from data.readers.reading import Reading
from data.readers.traces.replay import Replay
from data.readers.traces.rows import TraceJob, number, whole
from data.schemas.cluster import Limits, Node

MAX_GPUS_PER_NODE = 1024


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
        BadSource: one is no such CSV file, or no row of it can be used.
        ValueError: ``jobs`` or ``speedup`` is not positive.
    """
    machines, bad_nodes = read_records(nodes, ("sn", "gpu", "model"), _node)
    columns = ("name", "num_gpu", "gpu_milli", "creation_time", "deletion_time", "scheduled_time")
    rows, bad_pods = read_records(pods, columns, _pod)
    with_gpus = [row for row in rows if row.gpus > 0]
    if not with_gpus:
        raise BadSource(str(pods), [*bad_pods, BadRecord(pods.name, "a pod with whole GPUs", "none")])
    unknown = sorted({node.gpu_model for node in machines if _model(node.gpu_model) is None})
    notes = [
        f"{len(rows) - len(with_gpus)} pods without GPUs were left out",
        "racks and NVLink are not in the trace: one rack, each node a domain",
        "the trace's clock starts at nought: times are seconds since 1970",
    ]
    if unknown:
        notes.append(f"watts of {', '.join(unknown)} are not known: the schema's defaults stand in")
    replay = Replay("openb", pods, with_gpus, machines, jobs, speedup, limits or Limits())
    first = min(row.arrival_s for row in with_gpus)
    return replay(datetime.fromtimestamp(first, UTC), [*bad_nodes, *bad_pods], notes)


def _node(place: str, _number: int, row: Row) -> Node:
    gpus = whole(place, row, "gpu", least=1, most=MAX_GPUS_PER_NODE)
    if not row["sn"] or not row["model"]:
        raise BadRecord(place, "sn and model", "an empty field")
    model = _model(row["model"])
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


def _model(name: str) -> GpuModel | None:
    """Return what is known of a GPU; openb writes the memory behind some names, as in ``V100M16``."""
    return find_gpu_model(name) or find_gpu_model(name.split("M")[0])


def _pod(place: str, _number: int, row: Row) -> TraceJob:
    gpus = whole(place, row, "num_gpu", least=0)
    if gpus and row["gpu_milli"] != "1000":
        raise BadRecord(f"{place}.gpu_milli", "1000: whole GPUs", row["gpu_milli"])
    created = number(place, row, "creation_time", least=0.0)
    started = number(place, row, "scheduled_time", least=0.0) if row["scheduled_time"] else created
    ended = number(place, row, "deletion_time", least=0.0)
    if ended <= started:
        raise BadRecord(f"{place}.deletion_time", f"more than {started:g}, when it started", row["deletion_time"])
    return TraceJob(place, row["name"], created, ended - started, gpus)
