"""Which way does a flow take? Equal-cost multipath: of all shortest ways, the one that a hash picks.

A switch hashes a flow's ends to one of its next hops that are nearest to the target (Hopps 2000, RFC 2992, weighs such
schemes). The hash mixes in the switch, or all switches would choose alike. It is SplitMix64's finaliser (Steele, Lea
and Flood 2014, doi 10.1145/2660193.2660195), so the same flow takes the same way in every run.
"""

import numpy as np
from numpy.typing import NDArray

from data.schemas.fabric import NOWHERE, Demands, Fabric, Floats, Ints, Routes

_SLICE = 1 << 22
"""Entries of the largest temporary array while next hops are weighed."""


def routes_of(fabric: Fabric, demands: Demands, *, salt: int = 0, relay: bool = True) -> Routes:
    """Return the way of each flow.

    Within an NVLink domain it is GPU, NVSwitch, GPU. Elsewhere it is an adapter, the fewest trunks, and an adapter;
    parallel cables draw flows in proportion to their capacity. Where no way between two switches is known, only the
    adapters count, as if all between them never blocked.

    Args:
        fabric: the network.
        demands: flows; those from a GPU to itself cross nothing.
        salt: another one hashes all flows anew, as other port numbers would.
        relay: send over NVLink to a GPU of one's own domain first that hangs on the target's switch, if there is one
            and oneself does not, as NCCL does on rails (PXN).
    """
    source, target = demands.source, demands.target
    key = _mixed(source.astype(np.uint64) << np.uint64(32) | target.astype(np.uint64), salt)
    inside = fabric.domain[source] == fabric.domain[target]
    abroad = ~inside
    start = source.copy()
    if relay and abroad.any():
        start[abroad] = _relays(fabric, source[abroad], target[abroad], key[abroad])
    none = np.full(len(source), NOWHERE)
    over = inside & (source != target)
    hand = start != source
    steps = [
        np.where(over | hand, fabric.nvlink_up[source], none),
        np.where(over, fabric.nvlink_down[target], np.where(hand, fabric.nvlink_down[start], none)),
    ]
    rows = np.flatnonzero(abroad)
    for taken in _network(fabric, start[rows], target[rows], key[rows]):
        step = none.copy()
        step[rows] = taken
        steps.append(step)
    ways = np.stack(steps, axis=1)
    first = np.concatenate([[0], np.cumsum((ways != NOWHERE).sum(axis=1))])
    return Routes(first.astype(np.int64), ways[ways != NOWHERE])


def _network(fabric: Fabric, start: Ints, target: Ints, key: NDArray[np.uint64]) -> list[Ints]:
    """Return the links that flows take from adapter to adapter, one array ``(flows,)`` for each step."""
    flows = np.arange(len(start))
    if not flows.size:
        return []
    out, into = _adapters(fabric, start, target, key)
    at, goal = fabric.adapter_switch[start, out], fabric.adapter_switch[target, into]
    steps = [fabric.adapter_up[start, out]]
    while True:
        left = fabric.hops[at, goal]
        moving = np.flatnonzero(left > 0)
        if not moving.size:
            break
        step = np.full(len(start), NOWHERE)
        taken, to = _next_hops(fabric, at[moving], goal[moving], key[moving])
        step[moving] = taken
        at = at.copy()
        at[moving] = to
        steps.append(step)
    steps.append(fabric.adapter_down[target, into])
    return steps


def _adapters(fabric: Fabric, start: Ints, target: Ints, key: NDArray[np.uint64]) -> tuple[Ints, Ints]:
    """Return which adapter each flow leaves and arrives by: the pair with the fewest trunks between, else by hash."""
    width = fabric.adapter_switch.shape[1]
    if width == 1:
        none = np.zeros(len(start), dtype=np.int64)
        return none, none
    a, b = fabric.adapter_switch[start][:, :, None], fabric.adapter_switch[target][:, None, :]
    hops = fabric.hops[a, b].astype(np.int64)
    hops[hops == NOWHERE] = np.iinfo(np.int16).max
    hops = np.where((a == NOWHERE) | (b == NOWHERE), np.iinfo(np.int64).max, hops).reshape(len(start), width * width)
    best = hops == hops.min(axis=1, keepdims=True)
    chosen = _pick(best.astype(np.float64), _unit(_mixed(key, 0x5EED)))
    return chosen // width, chosen % width


def _next_hops(fabric: Fabric, at: Ints, goal: Ints, key: NDArray[np.uint64]) -> tuple[Ints, Ints]:
    """Return the trunk that each flow takes at its switch, and where it leads, each ``(flows,)``."""
    taken, to = np.empty(len(at), dtype=np.int64), np.empty(len(at), dtype=np.int64)
    chunk = max(1, _SLICE // max(1, fabric.trunks.shape[1]))
    for begin in range(0, len(at), chunk):
        part = slice(begin, begin + chunk)
        trunks, ends = fabric.trunks[at[part]], fabric.trunk_to[at[part]]
        left = fabric.hops[at[part], goal[part]][:, None]
        nearer = (trunks != NOWHERE) & (fabric.hops[ends, goal[part][:, None]] == left - 1)
        weight = np.where(nearer, fabric.capacity_gb_per_s[trunks], 0.0)
        chosen = _pick(weight, _unit(_mixed(key[part] + at[part].astype(np.uint64), 0xECB)))
        rows = np.arange(len(trunks))
        taken[part], to[part] = trunks[rows, chosen], ends[rows, chosen]
    return taken, to


def _relays(fabric: Fabric, source: Ints, target: Ints, key: NDArray[np.uint64]) -> Ints:
    """Return the GPU by whose adapter each flow leaves: its own, or one of its domain on the target's switch."""
    switches = len(fabric.switches)
    goal = fabric.adapter_switch[target, 0]
    direct = (fabric.adapter_switch[source] == goal[:, None]).any(axis=1)
    gpu, adapter = np.nonzero(fabric.adapter_switch != NOWHERE)
    on = fabric.adapter_switch[gpu, adapter]
    answer = source.copy()
    missing = ~direct
    for group in (fabric.node, fabric.domain):  # on one's own node if possible
        order = np.argsort(group[gpu] * switches + on, kind="stable")
        sorted_keys = (group[gpu] * switches + on)[order]
        wanted = group[source] * switches + goal
        low, high = np.searchsorted(sorted_keys, wanted, "left"), np.searchsorted(sorted_keys, wanted, "right")
        found = missing & (high > low)
        place = low[found] + (_mixed(key[found], 0xA17) % (high - low)[found].astype(np.uint64)).astype(np.int64)
        answer[found] = gpu[order[place]]
        missing &= ~found
    return answer


def _pick(weight: Floats, chance: Floats) -> Ints:
    """Return a column of each row in proportion to ``weight``, for chances in [0, 1), ``(rows,)``."""
    total = np.cumsum(weight, axis=1)
    return np.asarray((total <= (chance * total[:, -1])[:, None]).sum(axis=1))


def _mixed(value: NDArray[np.uint64], salt: int) -> NDArray[np.uint64]:
    with np.errstate(over="ignore"):
        mixed = value + np.uint64((0x9E3779B97F4A7C15 * (salt + 1)) & 0xFFFFFFFFFFFFFFFF)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(mixed ^ (mixed >> np.uint64(31)))


def _unit(value: NDArray[np.uint64]) -> Floats:
    return np.asarray((value >> np.uint64(11)).astype(np.float64) / 2.0**53)
