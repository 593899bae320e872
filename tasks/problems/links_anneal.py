"""Which rounds does the classical search try? One transfer elsewhere, or two rounds exchanged along a Kempe chain."""

import numpy as np
import numpy.typing as npt
from numba import njit

from tasks.compiled import inner
from tasks.problems.xorshift import below

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

LONGEST_CHAIN = 64
"""Transfers that a Kempe chain moves at most; longer ones are hardly ever accepted."""


@inner
def clash_table(of: Ints, rounds: int, seconds: Floats, first: Ints, neighbour: Ints, price: float) -> Floats:
    """Return what conflicts of each transfer would cost in each round, ``(transfers, rounds)``."""
    table = np.zeros((of.size, rounds))
    for v in range(of.size):
        for e in range(first[v], first[v + 1]):
            u = neighbour[e]
            table[v, of[u]] += price * min(seconds[u], seconds[v])
    return table


@inner
def longest_without(v: int, where: int, seconds: Floats, head: Ints, after: Ints) -> float:
    """Return the longest transfer of a round if ``v`` were not in it."""
    longest = 0.0
    u = head[where]
    while u >= 0:
        if u != v and seconds[u] > longest:
            longest = seconds[u]
        u = after[u]
    return longest


@njit(cache=True)
def move(
    v: int,
    to: int,
    seconds: Floats,
    first: Ints,
    neighbour: Ints,
    price: float,
    of: Ints,
    clash: Floats,
    head: Ints,
    after: Ints,
    before: Ints,
) -> None:
    """Take ``v`` out of its round's list, put it first in that of ``to``, and tell its neighbours."""
    start = of[v]
    if before[v] >= 0:
        after[before[v]] = after[v]
    else:
        head[start] = after[v]
    if after[v] >= 0:
        before[after[v]] = before[v]
    of[v] = to
    before[v], after[v] = -1, head[to]
    if head[to] >= 0:
        before[head[to]] = v
    head[to] = v
    for e in range(first[v], first[v + 1]):
        u = neighbour[e]
        share = price * min(seconds[u], seconds[v])
        clash[u, start] -= share
        clash[u, to] += share


@njit(cache=True)
def chain(v: int, to: int, first: Ints, neighbour: Ints, of: Ints, mark: Ints, stamp: int, found: Ints) -> int:
    """Fill ``found`` with the Kempe chain of ``v`` between its round and ``to``; 0 if it is too long."""
    start = of[v]
    found[0], mark[v], count, at = v, stamp, 1, 0
    while at < count:
        u = found[at]
        at += 1
        for e in range(first[u], first[u + 1]):
            w = neighbour[e]
            if mark[w] != stamp and of[w] != of[u] and (of[w] == start or of[w] == to):
                if count == found.size:
                    return 0
                mark[w] = stamp
                found[count] = w
                count += 1
    return count


@inner
def swapped(
    start: int,
    to: int,
    count: int,
    found: Ints,
    seconds: Floats,
    first: Ints,
    neighbour: Ints,
    price: float,
    of: Ints,
    clash: Floats,
    head: Ints,
    after: Ints,
    mark: Ints,
    stamp: int,
) -> tuple[float, float, float]:
    """Return the change of the cost if a chain changed sides, and the longest of both rounds after that.

    Between rounds a chain has no neighbours outside it, so only conflicts within a round can end.
    """
    here = there = 0.0
    for where in (start, to):
        u = head[where]
        while u >= 0:
            goes_to_start = (where == start) != (mark[u] == stamp)
            if goes_to_start:
                here = max(here, seconds[u])
            else:
                there = max(there, seconds[u])
            u = after[u]
    ended = 0.0
    for i in range(count):
        u = found[i]
        if clash[u, of[u]] > 1e-12:
            for e in range(first[u], first[u + 1]):
                w = neighbour[e]
                if of[w] == of[u] and mark[w] != stamp:
                    ended += price * min(seconds[u], seconds[w])
    return here + there - ended, here, there


@njit(cache=True, nogil=True)  # heartbeats and logs leave while it runs
def anneal(
    start: Ints,
    rounds: int,
    seconds: Floats,
    first: Ints,
    neighbour: Ints,
    price: float,
    evaluations: int,
    hot: float,
    cold: float,
    seed: int,
) -> tuple[Ints, int, int]:
    """Return the best rounds seen, moves evaluated, and how often the best improved.

    Args:
        start: round of each transfer, ``(transfers,)``.
        rounds: that there are.
        seconds: of each transfer.
        first: offsets of the conflict graph.
        neighbour: its neighbours.
        price: of one second of conflict.
        evaluations: transfers that may be moved on trial.
        hot: first temperature, in seconds.
        cold: last temperature.
        seed: of the generator, below 2**63.
    """
    count = start.size
    state = np.empty(1, np.uint64)
    state[0] = np.uint64(seed) ^ np.uint64(0x9E3779B97F4A7C15)
    if state[0] == 0:
        state[0] = np.uint64(1)
    of = start.copy()
    clash = clash_table(of, rounds, seconds, first, neighbour, price)
    head = np.full(rounds, -1, np.int64)
    after, before = np.full(count, -1, np.int64), np.full(count, -1, np.int64)
    longest = np.zeros(rounds)
    for v in range(count):
        after[v] = head[of[v]]
        if head[of[v]] >= 0:
            before[head[of[v]]] = v
        head[of[v]] = v
        longest[of[v]] = max(longest[of[v]], seconds[v])
    best = of.copy()
    current = lowest = 0.0
    done = accepted = 0
    mark = np.zeros(count, np.int64)
    found = np.empty(min(count, LONGEST_CHAIN), np.int64)
    stamp = 0
    while done < evaluations:
        temperature = hot * (cold / hot) ** (done / evaluations)
        limit = -temperature * np.log((below(1 << 30, state) + 1) / (1 << 30))
        v = below(count, state)
        if below(4, state) == 0:  # who is the longest of its round is who makes it long
            u = head[of[v]]
            while u >= 0:
                if seconds[u] > seconds[v]:
                    v = u
                u = after[u]
        old = of[v]
        to = of[below(count, state)] if below(32, state) else below(rounds, state)
        done += 1
        if to == old:
            continue
        if clash[v, to] <= 1e-12 or below(2, state):
            change = clash[v, to] - clash[v, old] + max(0.0, seconds[v] - longest[to])
            rest = longest[old]
            if seconds[v] >= rest:
                rest = longest_without(v, old, seconds, head, after)
                change += rest - longest[old]
            if change > limit:
                continue
            longest[old], longest[to] = rest, max(longest[to], seconds[v])
            move(v, to, seconds, first, neighbour, price, of, clash, head, after, before)
        else:
            stamp += 1
            size = chain(v, to, first, neighbour, of, mark, stamp, found)
            done += size
            if size == 0:
                continue
            sides, here, there = swapped(
                old, to, size, found, seconds, first, neighbour, price, of, clash, head, after, mark, stamp
            )
            change = sides - longest[old] - longest[to]
            if change > limit:
                continue
            longest[old], longest[to] = here, there
            for i in range(size):
                u = found[i]
                goes = to if of[u] == old else old
                move(u, goes, seconds, first, neighbour, price, of, clash, head, after, before)
        current += change
        if current < lowest - 1e-12 * (1.0 + abs(lowest)):
            lowest = current
            accepted += 1
            best[:] = of
    return best, done, accepted
