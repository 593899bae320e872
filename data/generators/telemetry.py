"""What would the meters of a generated cluster have shown up to its moment?

Levels follow from who runs where since when; noise is a first-order autoregression around them. Jobs that finished
before the moment are not in a snapshot, and so not in these series.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from data.generators.fitted import TEMPERATURE_C
from data.generators.power import A100_MAX_W, gpu_draw_w
from data.schemas.cluster import Snapshot
from data.schemas.telemetry import LinkSeries, NodeSeries

WAITS_PER_GB = 2.0e4
"""Waits per gigabyte sent when a link is as long busy as idle; they grow as the queue of a saturated server does."""


def autoregression(count: int, samples: int, memory: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return standard normal series that remember, ``(count, samples)``; ``memory`` is the step's correlation."""
    series = rng.standard_normal((count, samples))
    for sample in range(1, samples):
        series[:, sample] = memory * series[:, sample - 1] + np.sqrt(1.0 - memory**2) * series[:, sample]
    return series


def node_series(
    snapshot: Snapshot, age_s: Mapping[str, float], samples: int, interval_s: float, rng: np.random.Generator
) -> tuple[NodeSeries, ...]:
    """Return one series for each node that is not down, the last sample at the snapshot's moment.

    Args:
        snapshot: the cluster.
        age_s: how long each running job has run, by id.
        samples: length of each series.
        interval_s: time between two samples.
        rng: source of chance.
    """
    nodes = [node for node in snapshot.nodes if node.state != "down"]
    row = {node.id: index for index, node in enumerate(nodes)}
    ago_s = interval_s * np.arange(samples - 1, -1, -1)
    power_w = np.array([[node.gpu_idle_w] * samples for node in nodes]).reshape(len(nodes), samples)
    busy = np.zeros((len(nodes), samples))
    for job in snapshot.jobs:
        on = (ago_s <= age_s.get(job.id, 0.0)).astype(np.float64)
        for worker in job.placement if job.state == "running" else ():
            node = nodes[row[worker.node]]
            share = len(worker.gpus) / node.gpus * on
            power_w[row[worker.node]] += share * (gpu_draw_w(job, node) - node.gpu_idle_w)
            busy[row[worker.node]] += share * (1.0 if job.utilisation is None else job.utilisation)
    power_w *= np.exp(0.03 * autoregression(len(nodes), samples, 0.7, rng))
    busy *= np.exp(0.04 * autoregression(len(nodes), samples, 0.5, rng))
    highest = np.array([node.gpu_power_max_w for node in nodes])[:, None]
    power_w = np.minimum(power_w, highest)
    warm = 0.5 * (power_w + power_w.mean(axis=1, keepdims=True)) / highest * A100_MAX_W  # metal is slow
    place = TEMPERATURE_C.sigma * rng.standard_normal((len(nodes), 1))
    heat_c = TEMPERATURE_C.offset + TEMPERATURE_C.slope * warm + np.abs(place) + 0.5 * rng.standard_normal(warm.shape)
    return tuple(
        NodeSeries(
            node=node.id,
            interval_s=interval_s,
            gpu_power_w=tuple(power_w[index].round(1).tolist()),
            utilisation=tuple(np.clip(busy[index], 0.0, 1.0).round(3).tolist()),
            temperature_c=tuple(heat_c[index].round(0).tolist()),
        )
        for index, node in enumerate(nodes)
    )


def link_series(
    snapshot: Snapshot, age_s: Mapping[str, float], samples: int, interval_s: float, rng: np.random.Generator
) -> tuple[LinkSeries, ...]:
    """Return one series for each uplink of a rack: what its gangs send to other racks, spread over the uplinks.

    Args:
        snapshot: the cluster; links whose source is a rack get a series.
        age_s: how long each running job has run, by id.
        samples: length of each series.
        interval_s: time between two samples.
        rng: source of chance.
    """
    rack_of = {node.id: node.rack for node in snapshot.nodes}
    uplinks = [link for link in snapshot.links if link.source in set(rack_of.values())]
    ago_s = interval_s * np.arange(samples - 1, -1, -1)
    sent = {link.source: np.zeros(samples) for link in uplinks}
    gangs: dict[str, dict[str, int]] = {}
    for job in snapshot.jobs:
        for worker in job.placement if job.state == "running" else ():
            gang = gangs.setdefault(job.gang_id, {})
            gang[rack_of[worker.node]] = gang.get(rack_of[worker.node], 0) + len(worker.gpus)
    for job in snapshot.jobs:
        on = (ago_s <= age_s.get(job.id, 0.0)).astype(np.float64)
        for worker in job.placement if job.state == "running" else ():
            gang, rack = gangs[job.gang_id], rack_of[worker.node]
            abroad = 1.0 - gang[rack] / sum(gang.values())
            if rack in sent:
                sent[rack] += len(worker.gpus) * job.traffic_gb_per_s * abroad * on
    noise = np.exp(0.15 * autoregression(len(uplinks), samples, 0.6, rng))
    skew = np.exp(0.2 * rng.standard_normal(len(uplinks)))  # flows are hashed to spines, not spread evenly
    beside: dict[str, float] = {}
    for index, link in enumerate(uplinks):
        beside[link.source] = beside.get(link.source, 0.0) + skew[index]
    series = []
    for index, link in enumerate(uplinks):
        share = skew[index] / beside[link.source]
        rate = np.minimum(sent[link.source] * share * noise[index], 0.98 * link.bandwidth_gb_per_s)
        load = rate / link.bandwidth_gb_per_s
        waits = WAITS_PER_GB * rate * load / (1.0 - load)
        series.append(LinkSeries(link.id, interval_s, tuple(rate.round(3).tolist()), tuple(waits.round(0).tolist())))
    return tuple(series)
