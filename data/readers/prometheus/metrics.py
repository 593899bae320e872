"""Which metrics matter, in which units, and whose are they? From one query to series by node and GPU or port."""

import math
from collections import Counter, defaultdict
from dataclasses import dataclass, field

import numpy as np

from data.errors import BadRecord
from data.readers.host_names import HostNames
from data.readers.prometheus.api import Answer, PrometheusApi
from data.readers.prometheus.sample_grid import Samples, carried, mean_known, on_grid, rates

_FLOAT_BLANK, _INTEGER_BLANK = 2.0**47, 9.2e18
"""DCGM writes 2**47 (floats) and 0x7ffffffffffffff0 and above (integers, e.g. 9223372036854775794) for "no value"."""

_HOST_LABELS = (
    "exported_Hostname",
    "exported_hostname",
    "Hostname",
    "hostname",
    "exported_node",
    "node",
    "nodename",
    "exported_instance",
    "instance",
)
"""Labels that may name the host. ``exported_...`` is the exporter's own where the target has such a label too."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric, how its values become the schema's unit, and which of them are plausible.

    Args:
        parts: labels that tell a GPU or a port, first one that is there.
        scale: factor to the schema's unit (per second for counters).
        lowest: lowest plausible value after scaling.
        highest: highest plausible value after scaling.
        blank: raw values from here on mean "no value".
        counter: a counter; its growth per second counts.
    """

    name: str
    parts: tuple[str, ...]
    scale: float
    lowest: float
    highest: float
    blank: float = math.inf
    counter: bool = False


_GPU = ("gpu", "UUID", "device")
POWER = Metric("DCGM_FI_DEV_POWER_USAGE", _GPU, 1.0, 0.0, 5_000.0, _FLOAT_BLANK)
ENERGY = Metric(
    "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", _GPU, 1e-3, 0.0, 5_000.0, _INTEGER_BLANK, counter=True
)  # millijoules
ENGINE_ACTIVE = Metric("DCGM_FI_PROF_GR_ENGINE_ACTIVE", _GPU, 1.0, 0.0, 1.0, _FLOAT_BLANK)
GPU_UTILISATION = Metric("DCGM_FI_DEV_GPU_UTIL", _GPU, 1e-2, 0.0, 1.0, _FLOAT_BLANK)  # percent
TEMPERATURE = Metric("DCGM_FI_DEV_GPU_TEMP", _GPU, 1.0, -40.0, 150.0, _FLOAT_BLANK)
NVLINK = Metric("DCGM_FI_DEV_NVLINK_BANDWIDTH_TOTAL", _GPU, 1.024e-3, 0.0, 1e5, _FLOAT_BLANK)
"""A gauge in KiB/ms, both directions, although exporters call it a counter (dcgm-exporter pull request 658)."""

_PORT = ("device",)
INFINIBAND_SENT = Metric("node_infiniband_port_data_transmitted_bytes_total", _PORT, 1e-9, 0.0, 1e5, counter=True)
INFINIBAND_WAITS = Metric("node_infiniband_port_transmit_wait_total", _PORT, 1.0, 0.0, 1e12, counter=True)
INFINIBAND_RATE = Metric("node_infiniband_rate_bytes_per_second", _PORT, 1e-9, 1e-6, 1e5)


@dataclass(frozen=True, slots=True)
class Window:
    """``count`` samples, ``step_s`` seconds apart, the last at ``end_s``; gaps up to ``carry`` samples are filled."""

    end_s: float
    step_s: float
    count: int
    carry: int


@dataclass(frozen=True, slots=True, eq=False)
class Gathered:
    """Series ``(count,)`` by node and part (GPU or port), complete from their first value on.

    Args:
        strangers: how many series other hosts have.
    """

    parts: dict[tuple[str, str], Samples] = field(default_factory=dict)
    strangers: Counter[str] = field(default_factory=Counter)
    set_aside: tuple[BadRecord, ...] = ()
    notes: tuple[str, ...] = ()

    def by_node(self) -> dict[str, dict[str, Samples]]:
        """Return the series of each node by part."""
        nodes: dict[str, dict[str, Samples]] = defaultdict(dict)
        for (node, part), row in self.parts.items():
            nodes[node][part] = row
        return dict(nodes)


def gather(api: PrometheusApi, metric: Metric, names: HostNames, window: Window) -> Gathered:
    """Ask for ``metric`` over ``window`` and return it by node and part.

    A GPU may have several series, one per pod that used it; where they overlap, their mean counts. Samples without a
    value and implausible ones are dropped and counted; a part with a gap that is too long is set aside.

    Raises:
        SourceUnavailable: no answer, or the server failed.
        BadSource: the server refused, or answered something else.
    """
    answer, start_s, count = _ask(api, metric, window)
    rows: dict[tuple[str, str], list[Samples]] = defaultdict(list)
    strangers: Counter[str] = Counter()
    nameless = without = implausible = 0
    for series in answer.series:
        node = _node(series.labels, names)
        part = _part(series.labels, metric)
        if node is None:
            strangers[_host(series.labels)] += 1
            continue
        if part is None:
            nameless += 1
            continue
        values, blank = on_grid(
            series.times_s, series.values, start_s=start_s, step_s=window.step_s, count=count, blank=metric.blank
        )
        if metric.counter:
            values = rates(values, step_s=window.step_s, most=window.carry)
        values = values * metric.scale
        wrong = (values < metric.lowest) | (values > metric.highest)  # NaN compares as false
        values[wrong] = np.nan
        without, implausible = without + blank, implausible + int(wrong.sum())
        rows[node, part].append(values)
    place = f"{api.url}: {metric.name}"
    bad = list(answer.set_aside)
    parts: dict[tuple[str, str], Samples] = {}
    for (node, part), candidates in sorted(rows.items()):
        filled = carried(mean_known(candidates), most=window.carry)
        if filled is None:
            expected = f"no gap above {window.carry} samples"
            bad.append(BadRecord(f"{place}{{{node}, {part}}}", expected, _gaps(mean_known(candidates))))
        else:
            parts[node, part] = filled
    notes = [f"{metric.name}: {warning}" for warning in answer.warnings]
    for number, what in (
        (without, "samples without a value dropped"),
        (implausible, f"samples outside {metric.lowest:g} to {metric.highest:g} dropped"),
        (nameless, f"series without a label {' or '.join(metric.parts)} dropped"),
    ):
        notes += [f"{metric.name}: {number} {what}"] if number else []
    return Gathered(parts, strangers, tuple(bad), tuple(notes))


def _ask(api: PrometheusApi, metric: Metric, window: Window) -> tuple[Answer, float, int]:
    """Return the answer, the time of its first sample, and its samples: one more for counters, whose growth counts."""
    count = window.count + metric.counter
    start_s = window.end_s - (count - 1) * window.step_s
    if count == 1:
        return api.instant(metric.name, at_s=window.end_s), start_s, count
    return api.range(metric.name, start_s=start_s, end_s=window.end_s, step_s=window.step_s), start_s, count


def _node(labels: dict[str, str], names: HostNames) -> str | None:
    hosts = [_without_port(labels[label]) for label in _HOST_LABELS if label in labels]
    exact = next((host for host in hosts if host in names.ids), None)
    return exact or next((found for host in hosts if (found := names.find(host))), None)


def _host(labels: dict[str, str]) -> str:
    return next((labels[label][:120] for label in _HOST_LABELS if label in labels), "no host label")


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdecimal() else host


def _part(labels: dict[str, str], metric: Metric) -> str | None:
    part = next((labels[label] for label in metric.parts if labels.get(label)), None)
    port = labels.get("port", "1") if metric.parts is _PORT else "1"
    return part if part is None or port == "1" else f"{part}:{port}"


def _gaps(values: Samples) -> str:
    known = np.flatnonzero(np.isfinite(values))
    if len(known) == 0:
        return "no value at all"
    longest = int(np.max(np.diff(known, append=len(values)))) - 1
    return f"{longest} samples missing in a row"
