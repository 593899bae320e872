"""What did the jobs draw? Watts of one GPU of each running job, from the series of its nodes."""

from collections import defaultdict
from collections.abc import Iterable, Mapping

from data.schemas.cluster import Snapshot
from data.schemas.telemetry import NodeSeries

_LOWEST_W, _HIGHEST_W = 20.0, 5_000.0  # of data.schemas.units.GpuPowerW


def measured_power(snapshot: Snapshot, series: Iterable[NodeSeries]) -> Mapping[str, float]:
    """Return the mean draw of one GPU of each running job in W, over the time of the series.

    A node's series is the mean over all of its GPUs. Those that no job holds are taken to idle, and the rest of the
    draw is shared evenly among those that are held. Jobs on nodes without power series are left out, as are figures
    outside the schema's range. A job under a cap is measured under it.
    """
    mean_w = {one.node: sum(one.gpu_power_w) / len(one.gpu_power_w) for one in series if one.gpu_power_w}
    held: dict[str, int] = defaultdict(int)
    for job in snapshot.jobs:
        if job.state == "running":
            for worker in job.placement:
                held[worker.node] += len(worker.gpus)
    busy_w = {}
    for node in snapshot.nodes:
        if node.id in mean_w and held[node.id]:
            idle_w = node.gpu_idle_w * (node.gpus - held[node.id])
            busy_w[node.id] = (mean_w[node.id] * node.gpus - idle_w) / held[node.id]
    measured: dict[str, float] = {}
    for job in snapshot.jobs:
        workers = [worker for worker in job.placement if worker.node in busy_w]
        gpus = sum(len(worker.gpus) for worker in workers)
        if job.state == "running" and gpus:
            watts = sum(busy_w[worker.node] * len(worker.gpus) for worker in workers) / gpus
            if _LOWEST_W <= watts <= _HIGHEST_W:
                measured[job.id] = watts
    return measured
