"""When is a link congested? A flow-level simulator of leaf-spine networks, which knows and so can label.

No public set of labelled link congestion exists for GPU clusters, so labels come from here: gangs send rings or
all-to-all between leaves, flows are hashed to spines, and at each moment share links max-min fairly (Bertsekas and
Gallager 1992, Data Networks, section 6.5). What a counter would show until now is observed; what flows lack later is
the label. Queues, retransmissions and adaptive routing are not simulated.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

NIC_GB_PER_S = 50.0
"""What a host sends at most."""

LACKING = 0.1
"""A link is short at a moment if the flows that it holds back lack this share of what they ask of it."""

OFTEN = 0.25
"""A link is congested if it is short for this share of the later moments."""


@dataclass(frozen=True, slots=True, eq=False)
class LinkHistory:
    """Links of one network: counters until now, and whether they are congested later.

    Args:
        bandwidth_gb_per_s: ``(links,)``.
        throughput_gb_per_s: what the counters show, ``(links, observed moments)``.
        waits_per_s: the same for waits; NaN in the row of a link that does not count them, ``(links, observed)``.
        congested: the label, ``(links,)``.
    """

    bandwidth_gb_per_s: Floats
    throughput_gb_per_s: Floats
    waits_per_s: Floats
    congested: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Flows:
    """Flows over a network; each crosses one uplink and one downlink.

    Args:
        links: crossed by each, ``(flows, 2)``.
        demand_gb_per_s: asked for at each moment, ``(moments, flows)``.
    """

    links: Ints
    demand_gb_per_s: Floats


def fair_rates(demand: Floats, links: Ints, bandwidth: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """Return max-min fair rates by progressive filling, all moments at once.

    Every flow grows at the same pace until it has what it asks for or one of its links is full.

    Args:
        demand: GB/s asked for, ``(moments, flows)``.
        links: crossed by each flow, ``(flows, hops)``.
        bandwidth: GB/s, ``(links,)``.

    Returns:
        Rates ``(moments, flows)``, and the links that hold a flow back ``(moments, links)``.
    """
    moments, flows = demand.shape
    crosses = np.zeros((flows, bandwidth.size))
    np.add.at(crosses, (np.arange(flows)[:, None], links), 1.0)
    rate = np.zeros((moments, flows))
    free = np.tile(bandwidth, (moments, 1))
    growing = demand > 0
    full = np.zeros((moments, bandwidth.size), dtype=bool)
    tiny = 1e-9 * float(bandwidth.max(initial=1.0))
    while growing.any():
        users = growing @ crosses
        with np.errstate(divide="ignore", invalid="ignore"):
            room = np.where(users > 0, free / users, np.inf).min(axis=1)
        lacks = np.where(growing, demand - rate, np.inf).min(axis=1)
        step = np.where(growing.any(axis=1), np.minimum(room, lacks), 0.0)
        rate += growing * step[:, None]
        free -= users * step[:, None]
        stuck = (free <= tiny) & (users > 0)
        full |= stuck & ((growing & (demand - rate > tiny)) @ crosses > 0)
        growing &= (demand - rate > tiny) & ~((stuck @ crosses.T) > 0)
    return rate, full


def link_history(rng: np.random.Generator, *, observed: int = 24, later: int = 12) -> LinkHistory:
    """Return a random leaf-spine network under random gangs.

    Args:
        rng: source of chance.
        observed: moments until now.
        later: moments that the label looks at.
    """
    leaves, spines = int(rng.integers(4, 13)), int(rng.integers(2, 5))
    hosts = int(rng.integers(4, 17))
    oversubscription = rng.uniform(1.0, 5.0)
    uplink = hosts * NIC_GB_PER_S / oversubscription / spines
    bandwidth = np.full(2 * leaves * spines, uplink)
    moments = observed + later
    flows = _flows(leaves, spines, hosts, moments, rng)
    rate, full = fair_rates(flows.demand_gb_per_s, flows.links, bandwidth)

    crosses = np.zeros((len(flows.links), bandwidth.size))
    np.add.at(crosses, (np.arange(len(flows.links))[:, None], flows.links), 1.0)
    carried = rate @ crosses
    asked = flows.demand_gb_per_s @ crosses
    lack = np.where(full, (flows.demand_gb_per_s - rate) @ crosses, 0.0)
    short = lack > LACKING * np.maximum(asked, 1e-9)

    load = np.minimum(carried / bandwidth, 0.98)
    # what queues even on average: the waiting of a single server, and what was turned away on top
    waits = 10.0 ** rng.uniform(2.0, 6.0) * (carried * load / (1.0 - load) + 40.0 * lack)
    waits *= np.exp(0.5 * rng.standard_normal(waits.shape))
    waits[:, rng.random(bandwidth.size) < rng.choice([0.0, 0.1, 1.0], p=[0.6, 0.2, 0.2])] = np.nan
    shown = np.clip(carried * np.exp(0.05 * rng.standard_normal(carried.shape)), 0.0, bandwidth)
    return LinkHistory(
        bandwidth_gb_per_s=bandwidth,
        throughput_gb_per_s=np.ascontiguousarray(shown[:observed].T),
        waits_per_s=np.ascontiguousarray(waits[:observed].T),
        congested=short[observed:].mean(axis=0) >= OFTEN,
    )


def _flows(leaves: int, spines: int, hosts: int, moments: int, rng: np.random.Generator) -> Flows:
    """Return the flows of random gangs; hosts are dealt to gangs, some of which start or end within the moments."""
    order = rng.permutation(leaves * hosts)
    links: list[tuple[int, int]] = []
    demand: list[Floats] = []
    position = 0
    while position < 0.9 * len(order):
        size = int(2 ** rng.integers(1, 6))
        gang = np.sort(order[position : position + size]) if rng.random() < 0.4 else order[position : position + size]
        position += size
        asked = _gang_demand(moments, rng)
        for source, target, share in _pairs(gang // hosts, rng):
            spine = int(rng.integers(spines))  # hashing sends a whole flow over one spine
            links.append((source * spines + spine, (leaves + target) * spines + spine))
            demand.append(asked * share)
    if not links:
        return Flows(np.empty((0, 2), dtype=np.int64), np.empty((moments, 0)))
    return Flows(np.array(links, dtype=np.int64), np.stack(demand, axis=1))


def _gang_demand(moments: int, rng: np.random.Generator) -> Floats:
    """Return what a host of a gang sends at each moment: a level with memory, within the time that the gang runs."""
    level = NIC_GB_PER_S * rng.beta(1.5, 2.0)
    noise = rng.standard_normal(moments)
    for moment in range(1, moments):
        noise[moment] = 0.8 * noise[moment - 1] + 0.6 * noise[moment]
    start = int(rng.integers(-2 * moments, moments))
    alive = (np.arange(moments) >= start) & (np.arange(moments) < start + rng.exponential(3.0 * moments))
    drift = np.exp(rng.normal(0.0, 0.02) * np.arange(moments))
    return np.asarray(np.minimum(NIC_GB_PER_S, level * np.exp(0.25 * noise) * drift) * alive)


def _pairs(leaf: Ints, rng: np.random.Generator) -> list[tuple[int, int, float]]:
    """Return source leaf, target leaf and share of a host's traffic for each pair of hosts that talk across leaves."""
    count = len(leaf)
    if rng.random() < 0.5 or count > 16:  # a ring: each host sends all of it to the next
        pairs = [(host, (host + 1) % count, 1.0) for host in range(count) if count > 1]
    else:  # all-to-all
        pairs = [(one, other, 1.0 / (count - 1)) for one in range(count) for other in range(count) if one != other]
    return [(int(leaf[one]), int(leaf[other]), share) for one, other, share in pairs if leaf[one] != leaf[other]]
