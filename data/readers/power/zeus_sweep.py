"""How fast and how thirsty is each measured workload under each power cap? The sweeps published with Zeus.

You et al. (NSDI 2023, "Zeus: Understanding and Optimizing GPU Energy Consumption of DNN Training") trained the same
workloads under every power limit that V100, A40, RTX 6000 and P100 GPUs accept. Columns:
``dataset,network,batch_size,optimizer,power_limit,time_per_epoch,average_power``. A lower limit is not always kept:
on the A40 at 100 W workloads drew up to 121 W, so a plan should not count on the lowest limit of that model.
"""

import csv
import math
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from data.errors import BadRecord, BadSource, SourceUnavailable
from data.schemas.job import PowerLevel

COLUMNS = ("dataset", "network", "batch_size", "optimizer", "power_limit", "time_per_epoch", "average_power")
SLOWEST = 0.01


@dataclass(frozen=True, slots=True)
class MeasuredWorkload:
    """One workload on one GPU model.

    Args:
        name: data set, network, batch size and optimiser, joined by dashes.
        network: data set and network, joined by a dash.
        levels: speed relative to the highest limit, at most 1, by rising limit.
        draws_w: average draw at each level, ``(levels,)``.
    """

    name: str
    network: str
    levels: tuple[PowerLevel, ...]
    draws_w: tuple[float, ...]

    @property
    def gpu_power_w(self) -> float:
        """Average draw at the highest limit."""
        return self.draws_w[-1]


@dataclass(frozen=True, slots=True)
class PowerSweep:
    """The usable workloads of a file, and the rows that were not."""

    workloads: tuple[MeasuredWorkload, ...]
    set_aside: tuple[BadRecord, ...]


def read_power_sweep(path: Path) -> PowerSweep:
    """Read a sweep; a workload without a row at the file's highest limit is set aside.

    Raises:
        SourceUnavailable: the file cannot be read.
        BadSource: a column is missing, or no workload can be used.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            missing = [column for column in COLUMNS if column not in (reader.fieldnames or ())]
            if missing:
                raise BadSource(str(path), [BadRecord(path.name, f"columns {', '.join(COLUMNS)}", f"no {missing[0]}")])
            rows = list(enumerate(reader, start=2))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SourceUnavailable(f"{path}: {error}") from error
    set_aside: list[BadRecord] = []
    measured: dict[tuple[str, str], dict[float, tuple[float, float]]] = defaultdict(dict)
    for line, row in rows:
        values = _numbers(row)
        if values is None:
            found = {column: row[column] for column in COLUMNS[4:]}
            set_aside.append(BadRecord(f"{path.name}:{line}", "three positive numbers", found))
            continue
        limit_w, seconds, watts = values
        network = f"{row['dataset']}-{row['network']}"
        measured[network, f"{network}-{row['batch_size']}-{row['optimizer']}"][limit_w] = (seconds, watts)
    top_w = max((limit for points in measured.values() for limit in points), default=0.0)
    workloads = []
    for (network, name), points in sorted(measured.items()):
        if top_w not in points:
            set_aside.append(BadRecord(f"{path.name}:{name}", f"a row at {top_w:g} W", f"none above {max(points):g} W"))
            continue
        fastest_s = points[top_w][0]
        rising = sorted(points.items())
        levels = tuple(PowerLevel(limit, min(1.0, max(SLOWEST, fastest_s / seconds))) for limit, (seconds, _) in rising)
        workloads.append(MeasuredWorkload(name, network, levels, tuple(watts for _, (_, watts) in rising)))
    if not workloads:
        raise BadSource(str(path), set_aside or [BadRecord(path.name, "at least one workload", "none")])
    return PowerSweep(tuple(workloads), tuple(set_aside))


def _numbers(row: dict[str, str]) -> tuple[float, float, float] | None:
    try:
        limit_w, seconds, watts = (float(row[column]) for column in COLUMNS[4:])
    except (TypeError, ValueError):
        return None
    if not all(math.isfinite(each) and each > 0.0 for each in (limit_w, seconds, watts)) or not 20 <= limit_w <= 5000:
        return None
    return limit_w, seconds, watts
