"""What did Prometheus measure? Series of nodes and links from DCGM's and the node exporter's metrics."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from data.errors import BadRecord, BadSource
from data.readers.dump import is_id
from data.readers.host_names import HostNames, host_names
from data.readers.prometheus.api import PrometheusApi, prometheus_api
from data.readers.prometheus.metrics import (
    ENERGY,
    ENGINE_ACTIVE,
    GPU_UTILISATION,
    INFINIBAND_RATE,
    INFINIBAND_SENT,
    INFINIBAND_WAITS,
    NVLINK,
    POWER,
    TEMPERATURE,
    Gathered,
    Window,
    gather,
)
from data.readers.prometheus.sample_grid import Samples, mean_known
from data.schemas.cluster import Link, Node, Snapshot
from data.schemas.telemetry import LinkSeries, NodeSeries

MAX_SAMPLES = 11_000
"""What a Prometheus server returns for one series at most."""

MAX_NAMED = 20
"""Hosts without a node that are named one by one."""


@dataclass(frozen=True, slots=True, eq=False)
class Telemetry:
    """What was measured, up to ``end_s`` (Unix seconds, a multiple of the step).

    Args:
        links: links that only the measurement knows, with the rate that their port reports.
        set_aside: series and hosts that were not used.
        notes: assumptions and counts in plain words.
    """

    end_s: float
    node_series: tuple[NodeSeries, ...]
    link_series: tuple[LinkSeries, ...]
    links: tuple[Link, ...] = ()
    set_aside: tuple[BadRecord, ...] = ()
    notes: tuple[str, ...] = ()


def read_series(
    url: str,
    nodes: Sequence[Node],
    *,
    range_s: float,
    step_s: float,
    links: Sequence[Link] = (),
    end_s: float | None = None,
    token_variable: str | None = None,
    timeout_s: float = 30.0,
    carry: int = 2,
) -> Telemetry:
    """Read the last ``range_s`` seconds of power, utilisation, temperature and link traffic.

    Hosts are matched to nodes by id, then by short host name. Power comes from DCGM_FI_DEV_POWER_USAGE, else from the
    energy counter; utilisation from DCGM_FI_PROF_GR_ENGINE_ACTIVE, else from DCGM_FI_DEV_GPU_UTIL. A link series is
    named ``<node>:<device>`` for an InfiniBand port (``<node>:<device>:<port>`` beyond the first), ``<node>:nvlink``
    for the sum over a node's GPUs, both directions.

    Args:
        url: base address of the server, ``http`` or ``https``.
        nodes: whose series are wanted.
        range_s: seconds that the series cover.
        step_s: seconds between samples, no shorter than the scrape interval.
        links: links that are known already; one that is not is added where its rate is known.
        end_s: time of the last sample, Unix seconds, rounded down to a multiple of the step; the server's now by
            default.
        token_variable: name of the environment variable with a bearer token.
        timeout_s: seconds that one answer may take.
        carry: missing samples in a row for which the last value stands in; a GPU with a longer gap is set aside.

    Raises:
        SourceUnavailable: the server does not answer, or fails.
        BadSource: it refuses, answers something else, or has no series of any of the nodes.
        ValueError: an argument is out of range.
    """
    if not (0.1 <= step_s <= 86_400 and step_s <= range_s <= step_s * MAX_SAMPLES):
        raise ValueError(f"expected 0.1 <= step_s <= range_s <= {MAX_SAMPLES} steps, got {step_s} and {range_s}")
    if carry < 0:
        raise ValueError(f"carry: expected 0 or more samples, got {carry}")
    with prometheus_api(url, timeout_s=timeout_s, token_variable=token_variable) as api:
        end = (api.now_s() if end_s is None else end_s) // step_s * step_s
        window = Window(end_s=end, step_s=step_s, count=int(range_s / step_s + 1e-9), carry=carry)
        measured = _measure(api, host_names(node.id for node in nodes), window)
    notes = [note for gathered in measured.every() for note in gathered.notes]
    node_series = _node_series(window, nodes, measured, notes)
    link_series = _link_series(window, measured)
    ports = {link.id: link for link in _ports(measured.rate)}
    known = {link.id for link in links} | ports.keys()
    bad = [record for gathered in measured.every() for record in gathered.set_aside]
    bad += _strangers(api.url, measured)
    bad += [
        BadRecord(f"{api.url}: link {series.link}", "a link of the snapshot or a port that tells its rate", "neither")
        for series in link_series
        if series.link not in known
    ]
    link_series = [series for series in link_series if series.link in known]
    new = ports.keys() - {link.id for link in links}
    if not node_series and not link_series:
        nothing = BadRecord(api.url, f"series of at least one of {len(nodes)} nodes", "none")
        raise BadSource(api.url, [*bad, nothing])
    return Telemetry(
        end_s=end,
        node_series=tuple(node_series),
        link_series=tuple(link_series),
        links=tuple(ports[series.link] for series in link_series if series.link in new),
        set_aside=tuple(bad),
        notes=tuple(f"{api.url}: {note}" for note in notes),
    )


def with_series(snapshot: Snapshot, telemetry: Telemetry) -> Snapshot:
    """Return ``snapshot`` with its series replaced by the measured ones, and with the links that only these know.

    Series of nodes that the snapshot does not have are left out.
    """
    ids = {node.id for node in snapshot.nodes}
    known = {link.id for link in snapshot.links}
    links = (*snapshot.links, *(link for link in telemetry.links if link.id not in known and link.source in ids))
    named = {link.id for link in links}
    return replace(
        snapshot,
        links=links,
        node_series=tuple(series for series in telemetry.node_series if series.node in ids),
        link_series=tuple(series for series in telemetry.link_series if series.link in named),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Measured:
    """What was gathered by metric; stand-ins are empty where nothing had to be stood in for."""

    power: Gathered
    energy: Gathered
    active: Gathered
    utilisation: Gathered
    temperature: Gathered
    nvlink: Gathered
    sent: Gathered
    waits: Gathered
    rate: Gathered

    def every(self) -> tuple[Gathered, ...]:
        """Return all of them."""
        return (
            *(self.power, self.energy, self.active, self.utilisation, self.temperature),
            *(self.nvlink, self.sent, self.waits, self.rate),
        )


def _measure(api: PrometheusApi, names: HostNames, window: Window) -> _Measured:
    power, active = gather(api, POWER, names, window), gather(api, ENGINE_ACTIVE, names, window)
    sent, waits = gather(api, INFINIBAND_SENT, names, window), gather(api, INFINIBAND_WAITS, names, window)
    complete_power, complete_active = (len(one.by_node()) == len(names.ids) for one in (power, active))
    now = replace(window, count=1)
    return _Measured(
        power=power,
        energy=Gathered() if complete_power else gather(api, ENERGY, names, window),
        active=active,
        utilisation=Gathered() if complete_active else gather(api, GPU_UTILISATION, names, window),
        temperature=gather(api, TEMPERATURE, names, window),
        nvlink=gather(api, NVLINK, names, window),
        sent=sent,
        waits=waits,
        rate=gather(api, INFINIBAND_RATE, names, now) if sent.parts or waits.parts else Gathered(),
    )


def _strangers(url: str, measured: _Measured) -> list[BadRecord]:
    """Return the hosts that are no nodes, one record each while they are few: a server may watch a whole site."""
    hosts = sum((gathered.strangers for gathered in measured.every()), Counter[str]())
    named = sorted(hosts.items())[:MAX_NAMED]
    bad = [BadRecord(f"{url}: host {host!r}", "the id of a node", f"{count} series") for host, count in named]
    if len(hosts) > len(named):
        rest = sum(hosts.values()) - sum(count for _, count in named)
        bad.append(BadRecord(f"{url}: {len(hosts) - len(named)} more hosts", "ids of nodes", f"{rest} series"))
    return bad


def _node_series(window: Window, nodes: Sequence[Node], measured: _Measured, notes: list[str]) -> list[NodeSeries]:
    """Return the series of each node that has any, and add to the notes what was odd."""
    series = []
    short = silent = 0
    fewer = []
    power_of, used_of, hot_of = (one.by_node() for one in (measured.energy, measured.utilisation, measured.temperature))
    for gathered, spare in ((measured.power, power_of), (measured.active, used_of)):
        preferred = gathered.by_node()
        stood_in = spare.keys() - preferred.keys()
        spare |= preferred
        what = "power from the energy counter" if spare is power_of else "utilisation from DCGM_FI_DEV_GPU_UTIL"
        notes += [f"{what}: {len(stood_in)} nodes"] if stood_in else []
    for node in nodes:
        watts, used, hot = power_of.get(node.id, {}), used_of.get(node.id, {}), hot_of.get(node.id, {})
        rows = [mean_known(watts.values())] if watts else []
        rows += [mean_known(used.values())] if used else []
        rows += [np.fmax.reduce(list(hot.values()))] if hot else []
        if not rows:
            silent += 1
            continue
        seen = max(len(watts), len(used), len(hot))
        fewer += [f"{node.id} {seen} of {node.gpus}"] if seen < node.gpus else []
        start = max(int(np.argmax(np.isfinite(row))) for row in rows)
        short += start > 0
        values = iter(tuple(row[start:].tolist()) for row in rows)
        series.append(
            NodeSeries(
                node=node.id,
                interval_s=float(window.step_s),
                gpu_power_w=next(values) if watts else (),
                utilisation=next(values) if used else (),
                temperature_c=next(values) if hot else (),
            )
        )
    notes += [f"{silent} of {len(nodes)} nodes without any series"] if silent else []
    notes += [f"{short} nodes measured for less than the range: shorter series"] if short else []
    notes += [f"GPUs without a series: {', '.join(fewer[:5])}; {len(fewer)} nodes"] if fewer else []
    return series


def _link_series(window: Window, measured: _Measured) -> list[LinkSeries]:
    throughput: dict[str, Samples] = {}
    for node, gpus in measured.nvlink.by_node().items():
        throughput[f"{node}:nvlink"] = np.sum(list(gpus.values()), axis=0)
    throughput |= {f"{node}:{port}": row for (node, port), row in measured.sent.parts.items()}
    waiting = {f"{node}:{port}": row for (node, port), row in measured.waits.parts.items()}
    series = []
    for name in dict.fromkeys([*throughput, *waiting]):
        rows = [row for row in (throughput.get(name), waiting.get(name)) if row is not None]
        start = max(int(np.argmax(np.isfinite(row))) for row in rows)
        values = iter(tuple(row[start:].tolist()) for row in rows)
        series.append(
            LinkSeries(
                link=name,
                interval_s=float(window.step_s),
                throughput_gb_per_s=next(values) if name in throughput else (),
                waits_per_s=next(values) if name in waiting else (),
            )
        )
    return [one for one in series if is_id(one.link)]


def _ports(rate: Gathered) -> list[Link]:
    return [
        Link(f"{node}:{port}", node, "fabric", float(row[-1]), kind="infiniband")
        for (node, port), row in rate.parts.items()
        if is_id(f"{node}:{port}")
    ]
