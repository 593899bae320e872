"""What does each flow get when all of them share the links fairly? Max-min fair rates over a fabric.

Rates are max-min fair (Bertsekas and Gallager 1992, Data Networks, section 6.5): nobody can have more without taking
from somebody who has no more. Progressive filling raises all rates at one pace until a link is full. Here links fill
side by side: what a link offers each of its unsettled flows only grows as others settle, so a link that is the
tightest for all of its flows has already reached its level. The answer is the same, in far fewer passes. Queues,
packets, retransmissions and adaptive routing are not simulated.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data.generators.ecmp import routes_of
from data.schemas.fabric import Demands, Fabric, Floats, Ints, Routes

_CLOSE = 1e-9
"""Rates that differ by this share of one another are the same."""


@dataclass(frozen=True, slots=True, eq=False)
class Shares:
    """Fair rates, at one moment or at several.

    Args:
        rate_gb_per_s: ``(moments, flows)``.
        holding: links that hold a flow back: full, with a flow that has no more elsewhere, ``(moments, links)``.
    """

    rate_gb_per_s: Floats
    holding: NDArray[np.bool_]


def fair_shares(demand_gb_per_s: Floats, routes: Routes, capacity_gb_per_s: Floats) -> Shares:
    """Return max-min fair rates; all moments are solved in one go.

    Args:
        demand_gb_per_s: asked for, ``(moments, flows)``.
        routes: of the flows; one that crosses no link has what it asks for.
        capacity_gb_per_s: ``(links,)``.

    Raises:
        ValueError: ``routes`` are of another number of flows.
    """
    moments, flows = demand_gb_per_s.shape
    if len(routes.first) != flows + 1:
        raise ValueError(f"routes: expected {flows} flows, got {len(routes.first) - 1}")
    count = len(capacity_gb_per_s)
    # a copy of the network for each moment: flows and links are numbered on
    asked = np.ascontiguousarray(demand_gb_per_s, dtype=np.float64).ravel()
    lengths = np.tile(np.diff(routes.first), moments)
    crossed = (routes.links[None, :] + count * np.arange(moments)[:, None]).ravel()
    rate, holding = _settle(asked, lengths, crossed, np.tile(capacity_gb_per_s, moments))
    return Shares(rate.reshape(moments, flows), holding.reshape(moments, count))


def achieved_bandwidth(fabric: Fabric, demands: Demands, routes: Routes | None = None) -> Floats:
    """Return what each flow of ``demands`` gets on ``fabric`` in GB/s, ``(flows,)``.

    Args:
        fabric: the network.
        demands: who sends what to whom.
        routes: of the demands; None means those that :func:`data.generators.ecmp.routes_of` finds.
    """
    routes = routes_of(fabric, demands) if routes is None else routes
    shares = fair_shares(demands.gb_per_s[None, :], routes, fabric.capacity_gb_per_s)
    return np.asarray(shares.rate_gb_per_s[0])


def carried(rate_gb_per_s: Floats, routes: Routes, links: int) -> Floats:
    """Return the sum over the flows of each link: rates ``(moments, flows)`` to ``(moments, links)``."""
    moments = len(rate_gb_per_s)
    index = routes.links[None, :] + links * np.arange(moments)[:, None]
    weights = np.repeat(rate_gb_per_s, np.diff(routes.first), axis=1)
    sums = np.bincount(index.ravel(), weights.ravel(), minlength=moments * links)
    return sums.astype(np.float64).reshape(moments, links)  # without any crossing they are integers


def _settle(asked: Floats, lengths: Ints, crossed: Ints, capacity: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """Return rates ``(flows,)`` and the links that hold flows back ``(links,)``.

    Args:
        asked: ``(flows,)``.
        lengths: links that each flow crosses, ``(flows,)``.
        crossed: these links, flow by flow, ``(sum of lengths,)``.
        capacity: ``(links,)``.
    """
    rate = np.where(lengths > 0, 0.0, asked)
    holding = np.zeros(capacity.size, dtype=bool)
    free = capacity.astype(np.float64)
    open_flows = np.flatnonzero((lengths > 0) & (asked > 0))
    keep = np.repeat((lengths > 0) & (asked > 0), lengths)
    link, lengths, want = crossed[keep], lengths[open_flows], asked[open_flows]
    while open_flows.size:
        users = np.bincount(link, minlength=capacity.size)
        share = np.divide(free, users, out=np.full(capacity.size, np.inf), where=users > 0)
        first = np.concatenate([[0], np.cumsum(lengths)[:-1]])
        offer = np.minimum.reduceat(share[link], first)
        content = want <= offer * (1.0 + _CLOSE)
        expected = np.minimum(want, offer)
        least = np.full(capacity.size, np.inf)
        np.minimum.at(least, link, np.repeat(expected, lengths))
        # nobody on such a link will get less elsewhere, so all of its flows get its share
        tight = (users > 0) & (least >= share * (1.0 - _CLOSE))
        held = np.maximum.reduceat(tight[link].astype(np.int8), first) > 0
        settled = content | held
        rate[open_flows[settled]] = expected[settled]
        short = np.repeat(held & ~content, lengths) & tight[link]
        holding[link[short]] = True
        gone = np.repeat(settled, lengths)
        free -= np.bincount(link[gone], np.repeat(expected, lengths)[gone], minlength=capacity.size)
        np.maximum(free, 0.0, out=free)
        link, lengths, want, open_flows = link[~gone], lengths[~settled], want[~settled], open_flows[~settled]
    return rate, holding
