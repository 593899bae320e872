"""Which expert map is meant by moves that were planned earlier, and how is a new one kept near to it?"""

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from data.schemas.plan import Action, MoveReplicas
from tasks.problems.routing_start import unserved
from tasks.problems.routing_state import Flags, Integers


def carried_map(
    actions: Sequence[Action],
    deployment: str,
    in_force: Integers,
    live: Flags,
    experts: int,
    per_rank: int,
    budget: int,
) -> Integers:
    """Return the expert of each slot, ``(layers, slots)``: what of ``actions`` still fits, the rest as in force.

    A slot changes if it still holds what it held then. A layer whose changes would leave an expert without a live
    slot is left alone, and where the budget is too small for all layers, those that gained least are.

    Args:
        actions: of the earlier plan; those of other nouns and deployments are passed over.
        deployment: its id.
        in_force: expert in each slot, ``(layers, slots)``.
        live: which slots are on a live rank, ``(slots,)``.
        experts: of a layer.
        per_rank: slots of a rank.
        budget: replicas that may be moved.
    """
    result = in_force.copy()
    layers, slots = in_force.shape
    ours = [each for each in actions if isinstance(each, MoveReplicas) and each.deployment == deployment]
    left = budget
    for action in sorted(ours, key=lambda each: (-each.gain, each.layer)):
        if action.layer >= layers:
            continue
        row = in_force[action.layer].copy()
        for slot, before, after in zip(action.slots, action.before, action.after, strict=True):
            if slot < slots and live[slot] and after < experts and row[slot] == before:
                row[slot] = after
        lost = len(unserved(row[None, live], experts)) > len(unserved(in_force[[action.layer]][:, live], experts))
        moved = moved_replicas(row[None, live], in_force[[action.layer]][:, live], per_rank)
        if not lost and moved <= left:
            result[action.layer] = row
            left -= moved
    return result


def moved_replicas(placement: Integers, in_force: Integers, per_rank: int) -> int:
    """Return the replicas that a rank must load, over all layers, each ``(layers, slots)``."""
    ranks = zip(placement.reshape(-1, per_rank).tolist(), in_force.reshape(-1, per_rank).tolist(), strict=True)
    return sum((Counter(now) - Counter(was)).total() for now, was in ranks)


def nearest_rows(
    new: Integers,
    earlier: Integers,
    allowance: float,
    cost: Callable[[Integers], float],
    allowed: Callable[[Integers], bool],
) -> Integers:
    """Return ``new`` with the layers of ``earlier``, cheapest first, that together cost no more than ``allowance``.

    Args:
        new: expert in each slot, ``(layers, slots)``.
        earlier: likewise.
        allowance: most that the result may cost more than ``new``.
        cost: of a map.
        allowed: whether a map keeps to the limits.
    """
    start = cost(new)
    differ = np.flatnonzero((new != earlier).any(axis=1))
    alone = np.array([cost(_with_row(new, earlier, layer)) for layer in differ.tolist()])
    result = new
    for layer in differ[np.argsort(alone, kind="stable")].tolist():
        candidate = _with_row(result, earlier, layer)
        if cost(candidate) <= start + allowance and allowed(candidate):
            result = candidate
    return result


def _with_row(placement: Integers, other: Integers, layer: int) -> Integers:
    result = placement.copy()
    result[layer] = other[layer]
    return result
