"""Which changes of a fleet are tried? Shifts of capacity between offers, and regions that are closed.

A change is at most :data:`MOST` pairs of an offer and the nodes that it gains or loses. Capacity goes from where
something is rented to where something may be; in the same region that is another machine or another way of buying it.
"""

from typing import NamedTuple

import numpy as np

from tasks.compiled import inner
from tasks.fleet.model import Integers
from tasks.problems.fleet_state import Rules, State

MOST = 40
"""Offers that one change may take: those of a region that is closed, and those that it is spread over."""

SPREAD = 6
"""Offers over which a closed region is spread at most."""


class Choices(NamedTuple):
    """Where changes may begin and end."""

    by_price: Integers  # (offers,) by USD per hour for a unit of capacity
    first: Integers  # (regions + 1,) into by_region
    by_region: Integers  # (offers,)


def choices_of(rules: Rules) -> Choices:
    """Return the offers, sorted."""
    by_region = np.argsort(rules.region, kind="stable")
    first = np.searchsorted(rules.region[by_region], np.arange(rules.cloud.size + 1))
    order = np.argsort(rules.usd_per_h / rules.capacity, kind="stable")
    return Choices(order.astype(np.int64), first.astype(np.int64), by_region.astype(np.int64))


@inner
def _rented(state: State, rng: np.random.Generator) -> int:
    """Return an offer with nodes, or -1 where none was met."""
    for _ in range(64):
        offer = int(rng.random() * state.nodes.size)
        if state.nodes[offer] > 0:
            return offer
    return -1


@inner
def _open(rules: Rules, state: State, choices: Choices, region: int, other_than: int, rng: np.random.Generator) -> int:
    """Return an offer with room, cheap ones more often; in ``region``, or in any where that is -1; or -1."""
    begin, count = 0, state.nodes.size
    if region >= 0:
        begin, count = choices.first[region], choices.first[region + 1] - choices.first[region]
    for _ in range(16):
        if region >= 0:
            offer = choices.by_region[begin + int(rng.random() * count)]
        else:
            draw = rng.random()
            offer = choices.by_price[int(draw * draw * count)]
        if offer != other_than and state.nodes[offer] < rules.quota[offer]:
            return int(offer)
    return -1


@inner
def _some(most: int, rng: np.random.Generator) -> int:
    """Return a number from 1 to ``most``, all orders of magnitude alike."""
    return min(most, int(np.exp(rng.random() * np.log(most + 1.0))))


@inner
def _fill(
    rules: Rules,
    state: State,
    choices: Choices,
    need: float,
    begin: int,
    avoid: int,
    offers: Integers,
    counts: Integers,
    rng: np.random.Generator,
) -> int:
    """Spread ``need`` of capacity over open offers outside of region ``avoid``; return the pairs then, 0 if too few."""
    place = begin
    for _ in range(SPREAD):
        offer = _open(rules, state, choices, -1, -1, rng)
        if offer < 0 or rules.region[offer] == avoid:
            continue
        known = False
        for earlier in range(place):
            known = known or offers[earlier] == offer
        if known:
            continue
        count = min(int(np.ceil(need / rules.capacity[offer] - 1e-9)), rules.quota[offer] - state.nodes[offer])
        offers[place], counts[place] = offer, count
        place += 1
        need -= count * rules.capacity[offer]
        if need <= 1e-9 * rules.capacity[offer]:
            return place
        if place == offers.size:
            break
    return 0


@inner
def close(
    rules: Rules, state: State, choices: Choices, offers: Integers, counts: Integers, rng: np.random.Generator
) -> int:
    """Propose to close a region and to spread its capacity; return the pairs, 0 for none."""
    offer = _rented(state, rng)
    if offer < 0:
        return 0
    region, place, need = rules.region[offer], 0, 0.0
    for at in range(choices.first[region], choices.first[region + 1]):
        offer = choices.by_region[at]
        if state.nodes[offer] > 0:
            if place == offers.size - SPREAD:
                return 0
            offers[place], counts[place] = offer, -state.nodes[offer]
            need += state.nodes[offer] * rules.capacity[offer]
            place += 1
    need *= rng.random() ** 0.25  # some of it may be needless
    return int(_fill(rules, state, choices, need, place, region, offers, counts, rng))


@inner
def shift(
    rules: Rules,
    state: State,
    choices: Choices,
    offers: Integers,
    counts: Integers,
    rng: np.random.Generator,
) -> int:
    """Propose to take nodes of one or two offers and to add nodes of another; return the pairs, 0 for none."""
    source = _rented(state, rng)
    if source < 0:
        return 0
    taken = _some(state.nodes[source], rng)
    need = taken * rules.capacity[source]
    offers[0], counts[0], place = source, -taken, 1
    if rng.random() < 0.25:
        second = _rented(state, rng)
        if second >= 0 and second != source:
            most = max(1, min(state.nodes[second], int(need / rules.capacity[second])))
            taken = _some(most, rng)
            offers[1], counts[1], place = second, -taken, 2
            need += taken * rules.capacity[second]
    if rng.random() < 0.05:  # what is given back may have been needless
        return place
    target = _open(rules, state, choices, rules.region[source] if rng.random() < 0.3 else -1, source, rng)
    if target < 0 or (place == 2 and target == offers[1]):
        return 0
    exact = need / rules.capacity[target]
    count = int(np.ceil(exact - 1e-9)) if rng.random() < 0.6 else int(exact)
    count = min(count, rules.quota[target] - state.nodes[target])
    if count == 0:
        return place
    if count < int(exact) and place == 1:  # the quota's end: as much as goes there
        taken = int(count * rules.capacity[target] / rules.capacity[source] + 1e-9)
        if taken == 0:
            return 0
        counts[0] = -taken
    offers[place], counts[place] = target, count
    return place + 1


@inner
def propose(
    rules: Rules,
    state: State,
    choices: Choices,
    closing: float,
    offers: Integers,
    counts: Integers,
    rng: np.random.Generator,
) -> int:
    """Write a change into ``offers`` and ``counts``, ``(MOST,)``, and return its pairs; 0 where none was found."""
    if closing > 0.0 and rng.random() < closing:
        return int(close(rules, state, choices, offers, counts, rng))
    return int(shift(rules, state, choices, offers, counts, rng))
