"""Which moves are worth a window? Those near to paying: they shorten a round or end a conflict, or make room for it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tasks.communication.conflict_graph import Conflicts
from tasks.problems.links_anneal import Floats, Ints

CANDIDATES_PER_SPIN = 6
"""Moves priced for each spin of a window."""


@dataclass(frozen=True, slots=True)
class Change:
    """A move: give some transfers, one or a whole Kempe chain, these rounds; possible from any state."""

    transfers: tuple[int, ...]
    rounds: tuple[int, ...]


def promising(
    round_of: Ints,
    rounds: int,
    seconds: Floats,
    conflicts: Conflicts,
    congestion: float,
    cost: Callable[[Ints], float],
    size: int,
    rng: np.random.Generator,
) -> list[Change]:
    """Return at most ``size`` different moves, half of them the cheapest and half what makes room for them.

    Args:
        round_of: the rounds now, ``(transfers,)``.
        rounds: that there are.
        seconds: of each transfer.
        conflicts: who clashes.
        congestion: price of a second of conflict.
        cost: of rounds.
        size: moves at most.
        rng: chooses which transfers are looked at, long and clashing ones more often.
    """
    if rounds < 2 or size < 1:
        return []
    count = seconds.size
    longest = np.zeros(rounds)
    np.maximum.at(longest, round_of, seconds)
    clash = clashes(np.arange(count), round_of, rounds, seconds, conflicts)
    mean = float(seconds.mean())
    interest = congestion * clash[np.arange(count), round_of] + seconds * (seconds >= longest[round_of]) + 0.05 * mean
    looked_at = min(count, max(2, CANDIDATES_PER_SPIN * size // 4))
    chosen = rng.choice(count, looked_at, replace=False, p=interest / interest.sum())
    used = np.unique(round_of)
    base = cost(round_of)
    priced: list[tuple[float, int, Change]] = []
    for v in chosen.tolist():
        price = congestion * (clash[v] - clash[v, round_of[v]]) + np.maximum(0.0, seconds[v] - longest)
        price[round_of[v]] = np.inf
        empty = next((r for r in range(rounds) if longest[r] == 0), None)
        options = [r for r in np.argsort(price, kind="stable").tolist() if r in used or r == empty][:4]
        for to in options:
            if to == round_of[v]:
                continue
            for change in (Change((v,), (to,)), kempe(v, to, round_of, conflicts)):
                after = round_of.copy()
                after[list(change.transfers)] = change.rounds
                priced.append((cost(after) - base, len(priced), change))
    picked: dict[Change, None] = {}
    for _, _, change in sorted(priced):
        if len(picked) >= (size + 1) // 2:
            break
        picked.setdefault(change)
    for change in list(picked):
        for move in makes_room(change, round_of, clash, longest, congestion, seconds, conflicts):
            if len(picked) >= size:
                break
            picked.setdefault(move)
    for _, _, change in sorted(priced):
        if len(picked) >= size:
            break
        picked.setdefault(change)
    return list(picked)


def clashes(who: Ints, round_of: Ints, rounds: int, seconds: Floats, conflicts: Conflicts) -> Floats:
    """Return for how long each of ``who`` would clash in each round, ``(who, rounds)`` seconds."""
    table = np.zeros((who.size, rounds))
    for row, v in enumerate(who.tolist()):
        near = conflicts.of(v)
        np.add.at(table[row], round_of[near], np.minimum(seconds[near], seconds[v]))
    return table


def kempe(v: int, to: int, round_of: Ints, conflicts: Conflicts) -> Change:
    """Return the change of rounds along the Kempe chain of ``v`` between its round and ``to``."""
    start = int(round_of[v])
    chain, at = {v: to}, [v]
    while at:
        u = at.pop()
        for w in conflicts.of(u).tolist():
            if w not in chain and round_of[w] in (start, to) and round_of[w] != round_of[u]:
                chain[w] = to if round_of[w] == start else start
                at.append(w)
    order = sorted(chain)
    return Change(tuple(order), tuple(chain[u] for u in order))


def makes_room(
    change: Change,
    round_of: Ints,
    clash: Floats,
    longest: Floats,
    congestion: float,
    seconds: Floats,
    conflicts: Conflicts,
) -> list[Change]:
    """Return where the transfers that a single move would clash with, or leave as the longest, could go themselves."""
    if len(change.transfers) > 1:
        return []
    v, to = change.transfers[0], change.rounds[0]
    near = conflicts.of(v)
    in_the_way = near[round_of[near] == to]
    rest = np.flatnonzero((round_of == round_of[v]) & (np.arange(seconds.size) != v))
    follows = rest[np.argsort(-seconds[rest], kind="stable")][:1]
    moves = []
    for u in [*in_the_way[:3].tolist(), *follows.tolist()]:
        price = congestion * clash[u] + np.maximum(0.0, seconds[u] - longest)
        price[round_of[u]] = np.inf
        moves.append(Change((u,), (int(np.argmin(price)),)))
    return moves
