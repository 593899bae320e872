"""When is a link congested? A flow-level simulator of whole fabrics, which knows and so can label.

No public set of labelled link congestion exists for GPU clusters, so labels come from here: random gangs with random
parallelism hold the GPUs of a fabric (:mod:`data.generators.topologies`, or a dump of a real one), send what
:mod:`data.generators.traffic` says over the ways that :mod:`data.generators.ecmp` finds, and at each moment share links
max-min fairly (:mod:`data.generators.flow_level`). What a counter would show until now is observed; what flows lack
later is the label.

Waits are those of a lossless network: a port counts ``port_xmit_wait`` while it has something to send and the next
switch gives it no credits. So a full link makes the ports before it wait, and hardly its own. Packets, retransmissions
and adaptive routing are not simulated.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data.generators.ecmp import routes_of
from data.generators.flow_level import carried, fair_shares
from data.generators.gangs import gangs_on, levels
from data.generators.topologies import dgx, fat_tree, nvl72, torus, two_tiers
from data.generators.traffic import Mix, demands_of
from data.schemas.fabric import Demands, Fabric, Floats, Ints, Routes

BLOCKING = 40.0
"""Waits per GB that is held back further on, over those per GB that is sent by a port busy half of the time."""

LACKING = 0.1
"""A link is short at a moment if the flows that it holds back lack this share of what they ask of it."""

OFTEN = 0.25
"""A link is congested if it is short for this share of the later moments."""


@dataclass(frozen=True, slots=True, eq=False)
class LinkHistory:
    """Ports of one network: counters until now, and whether their links are congested later.

    A row is one direction of a cable, as the port that sends into it counts.

    Args:
        fabric: name of the network.
        bandwidth_gb_per_s: ``(links,)``.
        throughput_gb_per_s: what ``port_xmit_data`` shows, ``(links, observed moments)``.
        waits_per_s: ``port_xmit_wait``; NaN in the row of a port that does not count it, ``(links, observed)``.
        nvlink_load: ``DCGM_FI_DEV_NVLINK_BANDWIDTH_TOTAL`` of the GPUs of the machine at one end, as a share of what
            their NVLinks carry; NaN between switches and where nobody meters it, ``(links, observed)``.
        ends: the places where the link starts and ends, ``(links, 2)``.
        congested: the label, ``(links,)``.
    """

    fabric: str
    bandwidth_gb_per_s: Floats
    throughput_gb_per_s: Floats
    waits_per_s: Floats
    nvlink_load: Floats
    ends: Ints
    congested: NDArray[np.bool_]


def link_history(rng: np.random.Generator, *, observed: int = 24, later: int = 12) -> LinkHistory:
    """Return the history of a random network of the kinds that operators build, see :func:`history_on`."""
    return history_on(random_fabric(rng), rng, observed=observed, later=later)


def random_fabric(rng: np.random.Generator) -> Fabric:
    """Return a small fabric of a random kind, size and oversubscription."""
    kind, over, spines = int(rng.integers(5)), float(rng.uniform(1.0, 5.0)), int(rng.integers(2, 5))
    if kind == 0:
        return nvl72(int(rng.integers(2, 4)), spines=spines, oversubscription=over)
    if kind == 1:
        return dgx(int(rng.integers(8, 25)), unit=int(rng.integers(4, 9)), spines=spines, oversubscription=over)
    if kind == 2:
        return two_tiers(int(rng.integers(8, 33)), spines=spines, oversubscription=over)
    if kind == 3:
        return fat_tree(4, oversubscription=over)
    return torus((int(rng.integers(2, 5)), int(rng.integers(3, 5)), int(rng.integers(2, 4))))


def history_on(fabric: Fabric, rng: np.random.Generator, *, observed: int = 24, later: int = 12) -> LinkHistory:
    """Return what the counters of ``fabric`` show under random gangs, and which links will be congested.

    Args:
        fabric: the network.
        rng: source of chance.
        observed: moments until now.
        later: moments that the label looks at.
    """
    moments = observed + later
    jobs = gangs_on(fabric, rng)
    mix = Mix(*rng.uniform(0.5, 4.0, size=4).tolist())
    asked = demands_of(jobs, fabric, mix)
    outside = fabric.domain[asked.source] != fabric.domain[asked.target]
    network, local = _only(asked, outside), _only(asked, ~outside)
    # machines are crossbars inside: only the network is shared out
    routes = routes_of(fabric, network, salt=int(rng.integers(1 << 30)), relay=False)
    scale = _scale(fabric, network, len(jobs), rng)
    over_time = levels(len(jobs), moments, rng)
    demand = over_time[:, network.owner] * (network.gb_per_s * scale[network.owner])[None, :]
    shares = fair_shares(demand, routes, fabric.capacity_gb_per_s)
    links = len(fabric.cables)
    got, wanted = (carried(rates, routes, links) for rates in (shares.rate_gb_per_s, demand))
    lack = np.where(shares.holding, wanted - got, 0.0)
    short = lack > LACKING * np.maximum(wanted, 1e-9)

    ports = np.array([index for index in range(links) if _is_port(fabric, index)])
    bandwidth = fabric.capacity_gb_per_s[ports]
    rate = got[:, ports]
    load = np.minimum(rate / bandwidth, 0.9)
    blocked = _blocked(demand - shares.rate_gb_per_s, shares.holding, routes, links)[:, ports]
    # a port waits for its turn, as a single server's queue does, and for credits of whoever is full further on
    waits = 10.0 ** rng.uniform(2.0, 6.0) * (rate * load / (1.0 - load) + BLOCKING * blocked)
    waits *= np.exp(0.5 * rng.standard_normal(waits.shape))
    waits[:, rng.random(len(ports)) < rng.choice([0.0, 0.1, 1.0], p=[0.6, 0.2, 0.2])] = np.nan
    shown = np.clip(rate * np.exp(0.05 * rng.standard_normal(rate.shape)), 0.0, bandwidth)
    served = _served(shares.rate_gb_per_s, demand, network, len(jobs))
    nvlink = _nvlink_load(fabric, local, over_time * served * scale[None, :], ports)
    nvlink *= np.exp(0.05 * rng.standard_normal(nvlink.shape))
    if rng.random() < 0.3:  # nobody meters it
        nvlink[:] = np.nan
    return LinkHistory(
        fabric=fabric.name,
        bandwidth_gb_per_s=bandwidth,
        throughput_gb_per_s=np.ascontiguousarray(shown[:observed].T),
        waits_per_s=np.ascontiguousarray(waits[:observed].T),
        nvlink_load=np.ascontiguousarray(np.clip(nvlink, 0.0, 1.0)[:observed].T),
        ends=np.stack([fabric.tail[ports], fabric.head[ports]], axis=1),
        congested=short[observed:][:, ports].mean(axis=0) >= OFTEN,
    )


def _only(asked: Demands, chosen: NDArray[np.bool_]) -> Demands:
    return Demands(asked.source[chosen], asked.target[chosen], asked.gb_per_s[chosen], asked.owner[chosen])


def _is_port(fabric: Fabric, link: int) -> bool:
    """Say whether a link is a cable of the network; machines of a torus reach themselves without one."""
    return fabric.kinds[link] != "nvlink" and not fabric.cables[link].endswith(":inside")


def _scale(fabric: Fabric, network: Demands, jobs: int, rng: np.random.Generator) -> Floats:
    """Return the GB/s of a job's unit of traffic: its busiest GPU sends a random share of what its adapter takes."""
    adapter = fabric.adapter_up[:, 0]
    sharing = np.bincount(adapter, minlength=len(fabric.cables))
    each = fabric.capacity_gb_per_s[adapter] / sharing[adapter]
    busy: Floats = np.zeros((jobs, len(fabric.gpus)))
    np.add.at(busy, (network.owner, network.source), network.gb_per_s / each[network.source])
    busiest = busy.max(axis=1, initial=0.0)
    level = rng.beta(1.5, 2.0, size=jobs)
    speed = fabric.capacity_gb_per_s[fabric.nvlink_up].mean()
    return np.asarray(level * np.where(busiest > 0, 1.0 / np.maximum(busiest, 1e-12), 0.5 * speed))


def _blocked(lack: Floats, holding: NDArray[np.bool_], routes: Routes, links: int) -> Floats:
    """Return the GB/s that each link cannot pass on since a later link of the way holds the flow, ``(moments, links)``.

    Args:
        lack: of each flow, ``(moments, flows)``.
        holding: links that hold flows back, ``(moments, links)``.
        routes: of the flows.
        links: in the network.
    """
    held = holding[:, routes.links].astype(np.int64)
    upto = np.cumsum(held, axis=1)  # holding links until here, over all flows
    through = np.concatenate([np.zeros((len(lack), 1), dtype=np.int64), upto], axis=1)[:, routes.first[1:]]
    later = through[:, routes.flow] > upto
    index = routes.links[None, :] + links * np.arange(len(lack))[:, None]
    sums = np.bincount(index.ravel(), (lack[:, routes.flow] * later).ravel(), minlength=len(lack) * links)
    return np.asarray(sums.reshape(len(lack), links))


def _served(rate: Floats, demand: Floats, network: Demands, jobs: int) -> Floats:
    """Return how much of what each job asks of the network it gets, ``(moments, jobs)``; it stalls by as much."""
    got, wanted = np.zeros((len(rate), jobs)), np.zeros((len(rate), jobs))
    for sums, values in ((got, rate), (wanted, demand)):
        np.add.at(sums.T, network.owner, values.T)
    return np.divide(got, wanted, out=np.ones_like(got), where=wanted > 0)


def _nvlink_load(fabric: Fabric, local: Demands, level: Floats, ports: Ints) -> Floats:
    """Return the load of the NVLinks of the machine at one end of each port, ``(moments, ports)``; NaN without one.

    Args:
        fabric: the network.
        local: traffic within NVLink domains.
        level: GB/s of each job's unit of traffic, ``(moments, jobs)``.
        ports: links.
    """
    machines = int(fabric.node.max()) + 1
    per_job = np.zeros((level.shape[1], machines))
    for end in (local.source, local.target):
        np.add.at(per_job, (local.owner, fabric.node[end]), local.gb_per_s)
    both_ways = 2.0 * np.bincount(fabric.node, fabric.capacity_gb_per_s[fabric.nvlink_up], minlength=machines)
    load = np.minimum(level @ per_job / both_ways, 1.0)
    ends = np.minimum(fabric.tail[ports], fabric.head[ports])  # machines come first among places
    return np.where(ends < machines, load[:, np.minimum(ends, machines - 1)], np.nan)
