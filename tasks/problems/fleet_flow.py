"""Can regions of these capacities serve all users? A minimum-cost flow says so exactly, or gives a cut that proves not.

Each unit that is served late costs 1, and any other nothing; so users can be served exactly if the cheapest flow of all
demand costs at most what may be late. The flow is found by shortest paths with all paths of a length at once (the
primal-dual method; Ahuja, Magnanti and Orlin 1993, Network Flows, section 9.8; Dinic 1970 for those of one length).
Lengths are whole numbers, so few rounds are needed, and the cut that a failure leaves has whole weights.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from tasks.compiled import inner
from tasks.fleet.model import Flags, FleetModel, Floats, Integers
from tasks.fleet.service import kinds_of_zones, late_allowance

TOLERANCE = 5e-10
"""Of all demand, below which nothing is missing: half of what the planners allow, so that they agree."""

NOTHING = 1e-14
"""Of all demand: room on an arc that counts as none."""

FAR = 2**30


class Network(NamedTuple):
    """Arcs from a source over zones, regions and pools of late service to a sink; arc ``a ^ 1`` leads back.

    Nodes are the source, zones, pools, regions and the sink, in this order.
    """

    head: Integers  # (arcs,)
    length: Integers  # (arcs,) 1 where service is late, -1 on the way back
    room: Floats  # (arcs,) before any flow; regions' own is filled in for each question
    first: Integers  # (nodes + 1,) into by_tail
    by_tail: Integers  # (arcs,)
    out: Integers  # (regions,) arc from each region to the sink
    region: int  # node of the first region
    near: Flags  # (zones, regions)
    kind: Integers  # (zones,)
    reach: Flags  # (kinds, regions)
    demand: Floats  # (zones,)
    total: float
    most_late: float


class Flow(NamedTuple):
    """What a flow came to."""

    missing: float  # demand that no path is left for
    late: float
    used: Floats  # (regions,)
    weight: Floats  # (regions,) of the cut that proves that it is too little; zeros where it is enough
    counts_late: bool  # whether what may be late helps in that cut


def network_of(model: FleetModel) -> Network:
    """Return the arcs of a fleet."""
    kind, reach = kinds_of_zones(model)
    zones, regions = model.near.shape
    kinds, total = len(reach), float(model.demand.sum())
    zone, region = np.nonzero(model.near)
    pool, target = np.nonzero(reach)
    every, at = np.arange(zones), 1 + zones + kinds
    sink = at + regions
    ways = (
        (np.zeros(zones, np.int64), 1 + every, model.demand, 0),
        (1 + zone, at + region, model.demand[zone], 0),
        (1 + every, 1 + zones + kind, model.demand, 1),
        (1 + zones + pool, at + target, np.full(pool.size, total), 0),
        (at + np.arange(regions), np.full(regions, sink), np.zeros(regions), 0),
    )
    tail = np.concatenate([way[0] for way in ways])
    head = np.concatenate([way[1] for way in ways])
    room = np.concatenate([way[2] for way in ways])
    length = np.concatenate([np.full(way[0].size, way[3], np.int64) for way in ways])
    tails = np.column_stack([tail, head]).ravel()
    by_tail = np.argsort(tails, kind="stable")
    first = np.searchsorted(tails[by_tail], np.arange(sink + 2))
    return Network(
        head=np.column_stack([head, tail]).ravel(),
        length=np.column_stack([length, -length]).ravel(),
        room=np.column_stack([room, np.zeros(room.size)]).ravel(),
        first=first.astype(np.int64),
        by_tail=by_tail.astype(np.int64),
        out=2 * np.arange(tail.size - regions, tail.size),
        region=at,
        near=model.near,
        kind=kind,
        reach=reach,
        demand=model.demand,
        total=total,
        most_late=late_allowance(model),
    )


@inner
def _lengths(network: Network, room: Floats, least: float) -> Integers:
    """Return the length of the shortest way from the source to each node, :data:`FAR` where there is none."""
    nodes = network.first.size - 1
    away = np.full(nodes, FAR, np.int64)
    waiting = np.zeros(nodes, np.bool_)
    queue = np.empty(nodes, np.int64)
    away[0], queue[0], begin, count = 0, 0, 0, 1
    while count:
        node = queue[begin]
        begin, count = (begin + 1) % nodes, count - 1
        waiting[node] = False
        for place in range(network.first[node], network.first[node + 1]):
            arc = network.by_tail[place]
            if room[arc] <= least:
                continue
            head, length = network.head[arc], away[node] + network.length[arc]
            if length < away[head]:
                away[head] = length
                if not waiting[head]:
                    waiting[head] = True
                    queue[(begin + count) % nodes] = head
                    count += 1
    return away


@inner
def _hops(network: Network, room: Floats, away: Integers, least: float) -> Integers:
    """Return the arcs from the source to each node over shortest ways, -1 where there are none."""
    nodes = network.first.size - 1
    hops = np.full(nodes, -1, np.int64)
    queue = np.empty(nodes, np.int64)
    hops[0], queue[0], begin, end = 0, 0, 0, 1
    while begin < end:
        node = queue[begin]
        begin += 1
        for place in range(network.first[node], network.first[node + 1]):
            arc = network.by_tail[place]
            head = network.head[arc]
            if hops[head] < 0 and room[arc] > least and away[head] == away[node] + network.length[arc]:
                hops[head] = hops[node] + 1
                queue[end] = head
                end += 1
    return hops


@inner
def _push(network: Network, room: Floats, away: Integers, hops: Integers, least: float) -> float:
    """Send what goes over ways with the fewest arcs among the shortest, and return how much that is."""
    nodes = network.first.size - 1
    sink = nodes - 1
    place = network.first[:nodes].copy()
    path = np.empty(nodes, np.int64)
    sent, depth, node = 0.0, 0, 0
    while True:
        if node == sink:
            amount, stop = np.inf, 0
            for step in range(depth):
                if room[path[step]] < amount:
                    amount, stop = room[path[step]], step
            for step in range(depth):
                room[path[step]] -= amount
                room[path[step] ^ 1] += amount
            sent += amount
            depth, node = stop, network.head[path[stop] ^ 1]
            continue
        forward = False
        while place[node] < network.first[node + 1]:
            arc = network.by_tail[place[node]]
            head = network.head[arc]
            if room[arc] > least and hops[head] == hops[node] + 1 and away[head] == away[node] + network.length[arc]:
                path[depth] = arc
                depth, node, forward = depth + 1, head, True
                break
            place[node] += 1
        if not forward:
            if depth == 0:
                return sent
            depth -= 1
            node = network.head[path[depth] ^ 1]
            place[node] += 1


@njit(cache=True)
def cheapest_flow(network: Network, capacity: Floats, slack: float) -> Flow:
    """Return the flow with the least that is late, or the cut that shows that there is no flow which is good enough.

    Args:
        network: of the fleet.
        capacity: of each region, ``(regions,)``.
        slack: by which demand may be missing, and too much be late.
    """
    regions, sink = network.out.size, network.first.size - 2
    least = NOTHING * network.total
    room = network.room.copy()
    for region in range(regions):
        room[network.out[region]] = max(0.0, capacity[region])
    served, late = 0.0, 0.0
    weight = np.zeros(regions)
    counts_late = False
    while True:
        away = _lengths(network, room, least)
        if away[sink] >= FAR:
            if network.total - served > slack:
                for region in range(regions):
                    weight[region] = 1.0 if away[network.region + region] < FAR else 0.0
            break
        while True:
            hops = _hops(network, room, away, least)
            if hops[sink] < 0:
                break
            sent = _push(network, room, away, hops, least)
            served += sent
            late += sent * away[sink]
        if late > network.most_late + slack:
            counts_late = True
            for region in range(regions):
                weight[region] = max(0, away[sink] - away[network.region + region])
            break
    used = np.empty(regions)
    for region in range(regions):
        used[region] = room[network.out[region] ^ 1]
    missing = 0.0 if counts_late else max(0.0, network.total - served)
    return Flow(missing, late, used, weight, counts_late)


@njit(cache=True)
def cut_need(network: Network, weight: Floats, counts_late: bool) -> float:
    """Return what ``weight @ capacity`` must at least be for users to be served, whatever ``weight`` is.

    The zones' weights are the largest that the inequality allows: what the lightest region that may serve the zone has,
    near or, one more where lateness counts, anywhere.

    Args:
        network: of the fleet.
        weight: of each region, at least 0, ``(regions,)``.
        counts_late: whether what may be late helps.
    """
    zones, regions = network.near.shape
    anywhere = np.full(network.reach.shape[0], np.inf)
    for kind in range(anywhere.size):
        for region in range(regions):
            if network.reach[kind, region] and weight[region] < anywhere[kind]:
                anywhere[kind] = weight[region]
    need = -network.most_late if counts_late else 0.0
    for zone in range(zones):
        if network.demand[zone] <= 0.0:
            continue
        least = anywhere[network.kind[zone]] + (1.0 if counts_late else 0.0)
        for region in range(regions):
            if network.near[zone, region] and weight[region] < least:
                least = weight[region]
        need += least * network.demand[zone]
    return need
