"""Which changes of a fleet are worth a window? Cheap additions first, then shifts, then what might be given back.

What is given back alone breaks a limit at a good plan, or it would have been given back; after an addition it may not.
So additions come first, and the pairs say which of them pays for which.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from tasks.fleet.model import Floats, Integers
from tasks.problems.fleet_proposals import MOST, Choices, propose
from tasks.problems.fleet_state import Rules, holds, place_nodes, state_of, sum_nodes

DRAWN_PER_SPIN = 64
"""Changes that are priced for each spin of a window."""

WIDEST = 8
"""Nodes that a change of a single offer takes at most."""


class Change(NamedTuple):
    """Nodes that offers gain or lose; possible while none falls below 0 or above its quota and all limits are kept."""

    offers: tuple[int, ...]
    counts: tuple[int, ...]


class Drawn(NamedTuple):
    """Changes that were drawn."""

    size: Integers  # (drawn,)
    offers: Integers  # (drawn, MOST)
    counts: Integers  # (drawn, MOST)
    more: Floats  # (drawn,) cost
    capacity: Floats  # (drawn,)
    alone: Integers  # (drawn,) 1 where limits other than service are kept


@njit(cache=True)
def draw(nodes: Integers, rules: Rules, choices: Choices, drawn: int, rng: np.random.Generator) -> Drawn:
    """Price ``drawn`` changes from ``nodes``: shifts, closed regions, and single offers up or down."""
    state = state_of(rules, nodes)
    out = Drawn(
        np.zeros(drawn, np.int64),
        np.zeros((drawn, MOST), np.int64),
        np.zeros((drawn, MOST), np.int64),
        np.zeros(drawn),
        np.zeros(drawn),
        np.zeros(drawn, np.int64),
    )
    for k in range(drawn):
        if rng.random() < 0.5:
            size = propose(rules, state, choices, 0.05, out.offers[k], out.counts[k], rng)
        else:
            offer = int(rng.random() * nodes.size)
            count = 1 + int(rng.random() * rng.random() * WIDEST)
            room = rules.quota[offer] - nodes[offer]
            count = min(count, room) if rng.random() < 0.5 else -min(count, nodes[offer])
            out.offers[k, 0], out.counts[k, 0] = offer, count
            size = 1 if count != 0 else 0
        out.size[k] = size
        for place in range(size):
            out.more[k] += place_nodes(rules, state, out.offers[k, place], out.counts[k, place])
            sum_nodes(rules, state, out.offers[k, place], out.counts[k, place])
            out.capacity[k] += rules.capacity[out.offers[k, place]] * out.counts[k, place]
        out.alone[k] = holds(rules, state)
        for place in range(size):
            place_nodes(rules, state, out.offers[k, place], -out.counts[k, place])
            sum_nodes(rules, state, out.offers[k, place], -out.counts[k, place])
    return out


def promising(nodes: Integers, rules: Rules, choices: Choices, size: int, rng: np.random.Generator) -> list[Change]:
    """Return at most ``size`` changes, those that add capacity first.

    What a unit of capacity is worth is taken from the dearest offers in use: a change is promising that costs little
    beyond the capacity which it brings.
    """
    drawn = draw(nodes, rules, choices, DRAWN_PER_SPIN * size, rng)
    used = nodes > 0
    price = rules.usd_per_h / rules.capacity
    worth = float(np.quantile(price[used], 0.9)) if used.any() else float(price.min())
    unit = float(np.median(rules.usd_per_h)) or 1.0
    value = drawn.more - worth * drawn.capacity - 0.1 * unit * rng.gumbel(size=drawn.size.size)
    picked: dict[Change, float] = {}
    quota = -(-size // 3)
    left = [quota, size - 2 * quota if size > 2 * quota else 1, quota]  # additions, shifts, what is given back
    for k in np.argsort(value, kind="stable").tolist():
        count = int(drawn.size[k])
        if not count:
            continue
        one_sided = count == 1
        part = 1 if not one_sided else (0 if drawn.capacity[k] > 0.0 else 2)
        change = Change(tuple(drawn.offers[k, :count].tolist()), tuple(drawn.counts[k, :count].tolist()))
        if left[part] == 0 or change in picked or (part < 2 and not drawn.alone[k]):
            continue
        left[part] -= 1
        picked[change] = float(drawn.capacity[k])
        if len(picked) == size:
            break
    return sorted(picked, key=lambda change: (-picked[change], change))
