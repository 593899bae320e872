"""What would a fresh expert map look like, laid over the one in force so that little moves?

Replicas go to the expert whose replicas are heaviest (which minimises the heaviest replica), replicas go to groups
of slots heaviest first (LPT; Graham 1969, doi 10.1137/0117039), and groups go to the ranks that already hold most of
them (linear assignment; Crouse 2016, doi 10.1109/TAES.2016.140952). Slots are then put in a canonical order.
"""

import heapq
from collections import Counter

import numpy as np
from scipy.optimize import linear_sum_assignment

from tasks.problems.routing_state import Floats, Integers


def fresh_map(loads: Floats, in_force: Integers, slowness: Floats) -> Integers:
    """Return a map balanced from nothing, ``(layers, slots)``; layers without load stay as they are.

    Args:
        loads: of each expert, ``(layers, experts)``.
        in_force: expert in each slot, ``(layers, slots)``.
        slowness: 1 / speed of each rank, ``(ranks,)``; where ranks differ, what is packed for one stays there.
    """
    result = in_force.copy()
    ranks, experts = slowness.size, loads.shape[1]
    alike = bool((slowness == slowness[0]).all())
    for layer in np.flatnonzero(loads.sum(axis=1) > 0.0):
        groups = _packed(loads[layer], in_force.shape[1], slowness)
        if alike:
            groups = groups[_least_moves(groups, in_force[layer].reshape(ranks, -1), experts)]
        result[layer] = groups.ravel()
    return result


def lightest_replicas(load: Floats, slots: int) -> Integers:
    """Return replicas of each expert, ``(experts,)``, so that the heaviest replica is as light as ``slots`` allow."""
    counts = np.ones(load.size, dtype=np.int64)
    heap = [(-weight, expert) for expert, weight in enumerate(load.tolist())]
    heapq.heapify(heap)
    for _ in range(slots - load.size):
        expert = heap[0][1]
        counts[expert] += 1
        heapq.heapreplace(heap, (-load[expert] / counts[expert], expert))
    return counts


def _packed(load: Floats, slots: int, slowness: Floats) -> Integers:
    """Return the experts of each group of slots, ``(ranks, slots per rank)``."""
    counts = lightest_replicas(load, slots)
    share = load / counts
    ranks = slowness.size
    room = slots // ranks
    slow = slowness.tolist()
    groups: list[list[int]] = [[] for _ in range(ranks)]
    heap = [(0.0, group) for group in range(ranks)]
    for expert in np.repeat(np.arange(load.size), counts)[
        np.argsort(-np.repeat(share, counts), kind="stable")
    ].tolist():
        weight, group = heap[0]
        groups[group].append(expert)
        if len(groups[group]) < room:
            heapq.heapreplace(heap, (weight + share[expert] * slow[group], group))
        else:
            heapq.heappop(heap)
    return np.array(groups, dtype=np.int64)


def _least_moves(groups: Integers, held: Integers, experts: int) -> Integers:
    """Return the group of each rank, ``(ranks,)``, that keeps most experts where they are."""
    wanted, has = (np.zeros((rows.shape[0], experts), np.float32) for rows in (groups, held))
    np.put_along_axis(wanted, groups, 1.0, axis=1)
    np.put_along_axis(has, held, 1.0, axis=1)
    _, group = linear_sum_assignment(has @ wanted.T, maximize=True)
    return np.asarray(group, dtype=np.int64)


def unserved(placement: Integers, experts: int) -> Integers:
    """Return the experts without a slot as (layer, expert), ``(missing, 2)``."""
    held = np.zeros((placement.shape[0], experts), np.bool_)
    held[np.arange(placement.shape[0])[:, None], placement] = True
    return np.argwhere(~held)


def repaired(placement: Integers, loads: Floats, in_force: Integers, per_rank: int, budget: int) -> Integers:
    """Return the map with a slot for every expert without one, as far as spare replicas and the budget go.

    The busiest expert comes first, and takes the lightest replica of those that can be spared.

    Args:
        placement: expert in each slot, ``(layers, slots)``.
        loads: of each expert, ``(layers, experts)``.
        in_force: as ``placement``; what it moved already counts towards the budget.
        per_rank: slots of a rank.
        budget: replicas that may be moved.
    """
    result = placement.copy()
    missing = unserved(placement, loads.shape[1])
    left = budget - _moved(placement, in_force, per_rank)
    for layer, expert in missing[np.argsort(-loads[missing[:, 0], missing[:, 1]], kind="stable")].tolist():
        counts = np.bincount(result[layer], minlength=loads.shape[1])
        share = loads[layer] / np.maximum(counts, 1)
        spare = np.flatnonzero(counts[result[layer]] > 1)
        if left < 1 or not spare.size:
            continue
        result[layer, spare[np.argmin(share[result[layer, spare]])]] = expert
        left -= 1
    return result


def _moved(placement: Integers, in_force: Integers, per_rank: int) -> int:
    """Return the replicas that a rank must load, over all layers."""
    moved = 0
    for now, was in zip(placement, in_force, strict=True):
        for first in range(0, now.size, per_rank):
            span = slice(first, first + per_rank)
            moved += (Counter(now[span].tolist()) - Counter(was[span].tolist())).total()
    return moved


def canonical(placement: Integers, in_force: Integers, ranks: int) -> Integers:
    """Return the same map with experts in the slots they had, newcomers of a rank in order in the slots left over."""
    result = placement.copy()
    room = placement.shape[1] // ranks
    blocks = (placement != in_force).reshape(placement.shape[0], ranks, room).any(axis=2)
    for layer, rank in zip(*np.nonzero(blocks), strict=True):
        span = slice(rank * room, (rank + 1) * room)
        left = sorted(placement[layer, span].tolist())
        row = []
        for expert in in_force[layer, span].tolist():
            stays = expert in left
            if stays:
                left.remove(expert)
            row.append(expert if stays else -1)
        newcomers = iter(left)
        result[layer, span] = [next(newcomers) if expert < 0 else expert for expert in row]
    return result


def carried(shares: Floats, placement: Integers, rearranged: Integers, ranks: int) -> Floats:
    """Return the shares of ``placement`` where its replicas stand in ``rearranged``, a reordering within each rank."""
    blocks = (placement.shape[0], ranks, -1)
    was, now = (np.argsort(rows.reshape(blocks), axis=2, kind="stable") for rows in (placement, rearranged))
    result = np.empty_like(shares).reshape(blocks)
    np.put_along_axis(result, now, np.take_along_axis(shares.reshape(blocks), was, axis=2), axis=2)
    return result.reshape(shares.shape)
