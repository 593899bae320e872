"""How fast and how thirsty is each measured workload under each power cap? The sweeps published with Zeus.

You et al. (NSDI 2023, "Zeus: Understanding and Optimizing GPU Energy Consumption of DNN Training") trained the same
workloads under every power limit that V100, A40, RTX 6000 and P100 GPUs accept. Columns:
``dataset,network,batch_size,optimizer,power_limit,time_per_epoch,average_power``. A lower limit is not always kept:
on the A40 at 100 W workloads drew up to 121 W, so a plan should not count on the lowest limit of that model.
"""

import math
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from data.errors import BadRecord, BadSource
from data.readers.csv_file import Row, read_records
from data.schemas.job import PowerLevel

COLUMNS = ("dataset", "network", "batch_size", "optimizer", "power_limit", "time_per_epoch", "average_power")
SLOWEST = 0.01
WATTS = (20.0, 5_000.0)
"""Limits that GPUs have (:data:`data.schemas.units.GpuPowerW`)."""


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
    rows, set_aside = read_records(path, COLUMNS, _point)
    measured: dict[tuple[str, str], dict[float, tuple[float, float]]] = defaultdict(dict)
    for row in rows:
        points = measured[row.network, row.workload]
        if row.limit_w in points:
            expected = f"one row for each limit of {row.workload}"
            set_aside.append(BadRecord(f"{row.place}.power_limit", expected, f"{row.limit_w:g} W again"))
        else:
            points[row.limit_w] = (row.seconds, row.watts)
    top_w = max(limit for points in measured.values() for limit in points)
    workloads = []
    for (network, name), points in sorted(measured.items()):
        if top_w not in points:
            found = f"none above {max(points):g} W"
            set_aside.append(BadRecord(f"{path.name}: {name}", f"a row at {top_w:g} W", found))
            continue
        fastest_s = points[top_w][0]
        rising = sorted(points.items())
        levels = tuple(PowerLevel(limit, min(1.0, max(SLOWEST, fastest_s / seconds))) for limit, (seconds, _) in rising)
        workloads.append(MeasuredWorkload(name, network, levels, tuple(watts for _, (_, watts) in rising)))
    if not workloads:
        raise BadSource(str(path), set_aside or [BadRecord(path.name, "at least one workload", "none")])
    return PowerSweep(tuple(workloads), tuple(set_aside))


@dataclass(frozen=True, slots=True)
class _Point:
    """One usable row: a workload of a network under one limit; seconds of an epoch, average watts."""

    place: str
    network: str
    workload: str
    limit_w: float
    seconds: float
    watts: float


def _point(place: str, _number_of_row: int, row: Row) -> _Point:
    limit_w = _number(place, row, "power_limit", *WATTS)
    seconds = _number(place, row, "time_per_epoch", 0.0, math.inf)
    watts = _number(place, row, "average_power", 0.0, math.inf)
    network = f"{row['dataset']}-{row['network']}"
    workload = f"{network}-{row['batch_size']}-{row['optimizer']}"
    return _Point(place, network, workload, limit_w, seconds, watts)


def _number(place: str, row: Row, column: str, least: float, most: float) -> float:
    """Return the positive number in ``column``."""
    try:
        number = float(row[column])
    except ValueError:
        number = math.nan
    if not (least <= number <= most and 0.0 < number < math.inf):
        expected = f"a number from {least:g} to {most:g}" if most < math.inf else "a number above 0"
        raise BadRecord(f"{place}.{column}", expected, row[column])
    return number
