"""Which shares of split experts make a layer fastest? An exact linear programme, solved where the shares are free.

Only slots whose expert has several replicas are in it, one replica takes what the others leave, and the rest of the
ranks' load is a constant: some thirty unknowns where the usual form has hundreds of rows and columns. Unknowns are the
shares but for the first of each expert, the longest time of each scenario, and that of all. A vertex is as many
constraints that hold with equality as there are unknowns; the walk goes along edges from vertex to better vertex (the
simplex method, Dantzig 1951) by the steepest (Goldfarb and Reid 1977, doi 10.1007/BF01593804), and a kink in the cost
is a constraint that may be crossed (Bartels, Conn and Sinclair 1978, doi 10.1137/0715015). It starts from even shares,
so it cannot make them worse; where a step gained nothing it picks the lowest number (Bland 1977,
doi 10.1287/moor.2.2.103), so that it does not cycle.

Constraints are numbered: that no rank takes longer in a scenario than its longest time says (rank x scenario), the
same for scenarios and the longest of all, then by slot that its share is at least 0, and that it is the even one.
"""

from typing import NamedTuple

import numpy as np

from tasks.problems.routing_compiled import inner, outer
from tasks.problems.routing_state import Flags, Floats, Integers

ROUNDING = 1e-11
"""Slopes and steps that are smaller are rounding; a perfectly balanced rank takes 1."""

SLOWEST = 1e-8
"""What approaches a constraint more slowly than this does not meet it: a smaller pivot would blow up the inverse."""

STEPS_PER_CONSTRAINT = 50
"""A walk needs about one; one that takes this many ends where it is."""


class Shares(NamedTuple):
    """The free slots of one layer, replicas of an expert side by side, and what their shares cost.

    Args:
        first: number of the first slot of each slot's expert, ``(slots,)``.
        last: one more than the number of the last, ``(slots,)``.
        rank: where it is, ``(slots,)``.
        time: what it takes its rank if it gets all tokens of its expert, ``(slots, scenarios)``.
        price: what that costs in crossings, ``(slots,)``.
        even: the even share, ``(slots,)``.
        evenness: price of a share that differs from the even one by 1.
        fixed: time of each rank without the free slots, ``(ranks, scenarios)``.
        likelihood: what the longest time of each scenario weighs, ``(scenarios,)``.
        risk: what the longest of all weighs beside it.
    """

    first: Integers
    last: Integers
    rank: Integers
    time: Floats
    price: Floats
    even: Floats
    evenness: float
    fixed: Floats
    likelihood: Floats
    risk: float


class Vertex(NamedTuple):
    """Where the walk is.

    Args:
        share: of each slot, ``(slots,)``.
        longest: longest time of a rank in each scenario, and of all, ``(scenarios + 1,)``.
        held: time of each rank, ``(ranks, scenarios)``.
        unknown: number of the unknown that a slot's share is, or -1, ``(slots,)``.
        side: which side of the even share the slot is on, 0 while it is held there, ``(slots,)``.
        kink: price of leaving the even share, ``(slots,)``.
        active: constraints that hold with equality, ``(unknowns,)``.
        met: whether a constraint is among them, ``(constraints,)``.
        inverse: of their normals, ``(unknowns, active constraints)``.
    """

    share: Floats
    longest: Floats
    held: Floats
    unknown: Integers
    side: Floats
    kink: Floats
    active: Integers
    met: Flags
    inverse: Floats


def best_shares(given: Shares) -> Floats:
    """Return the shares of the slots that cost least, ``(slots,)``."""
    at = _even(given)
    _walk(given, at)
    return at.share


def _even(given: Shares) -> Vertex:
    """Return the vertex of even shares: kinks hold the shares, the fullest ranks the times."""
    slots, scenarios = given.time.shape
    ranks = given.fixed.shape[0]
    bounds, every = (ranks + 1) * scenarios, np.arange(slots)
    ours = given.first != every
    unknown = np.where(ours, np.cumsum(ours) - 1, -1)
    pair = given.last - given.first == 2  # one cannot leave the even share without the other
    times, futures = int(ours.sum()), np.arange(scenarios)
    held = given.fixed.copy()
    np.add.at(held, given.rank, given.time * given.even[:, None])
    peak = held.argmax(axis=0)
    longest = held[peak, futures]
    top = int(longest.argmax())
    # the normals' matrix is triangular, with -1 below: its inverse is at hand
    inverse = np.diag(np.concatenate([np.ones(times), np.full(scenarios + 1, -1.0)]))
    at = Vertex(
        share=given.even.copy(),
        longest=np.append(longest, longest[top]),
        held=held,
        unknown=unknown,
        side=np.where(ours, 0.0, 1.0),
        kink=np.where(pair, np.where(ours, 2.0, 0.0), 1.0) * given.evenness,
        active=np.concatenate([bounds + slots + every[ours], peak * scenarios + futures, [ranks * scenarios + top]]),
        met=np.zeros(bounds + 2 * slots, np.bool_),
        inverse=inverse,
    )
    for scenario in futures:
        there = given.rank == peak[scenario]
        own = np.where(there, given.time[:, scenario], 0.0)
        inverse[times + scenario, :times] = (own - own[given.first])[ours]
    inverse[-1, :-1] = inverse[times + top, :-1]
    at.met[at.active] = True
    return at


@outer
def _walk(given: Shares, at: Vertex) -> None:
    """Go from vertex to vertex until no edge leads to a lower cost; ``at`` is changed."""
    slots, scenarios = given.time.shape
    kinks, size = at.met.size - slots, at.active.size
    slope, move, turn = np.empty(size), np.empty(size), np.empty(slots)
    rate = np.empty_like(at.held)
    length = 1.0
    for _ in range(STEPS_PER_CONSTRAINT * at.met.size):
        stalled = length <= ROUNDING
        _find_slopes(given, at, slope)
        leaves = _steepest(at, slope, stalled)
        if leaves < 0:
            return
        sign = -1.0 if slope[leaves] > 0.0 else 1.0
        if at.active[leaves] >= kinks:
            at.side[at.active[leaves] - kinks] = sign
        for unknown in range(size):
            move[unknown] = sign * at.inverse[unknown, leaves]
        _turn(given, at, move, turn)
        _load(given, turn, rate)
        enters, length = _nearest(given, at, move, turn, rate, stalled)
        if enters < 0:  # only rounding can say so, since the cost cannot fall for ever
            return
        for slot in range(slots):
            at.share[slot] += length * turn[slot]
        for scenario in range(scenarios + 1):
            at.longest[scenario] += length * move[size - scenarios - 1 + scenario]
        if enters >= kinks:
            at.share[enters - kinks] = given.even[enters - kinks]
            at.side[enters - kinks] = 0.0
        elif enters >= kinks - slots:
            at.share[enters - kinks + slots] = 0.0
        _load(given, at.share, at.held)
        for rank in range(at.held.shape[0]):
            for scenario in range(scenarios):
                at.held[rank, scenario] += given.fixed[rank, scenario]
        _exchange(given, at, leaves, enters, slope)


@inner
def _turn(given: Shares, at: Vertex, move: Floats, turn: Floats) -> None:
    """Write how fast each share changes, ``(slots,)``, from how fast the unknowns do."""
    for slot in range(turn.size):
        turn[slot] = 0.0
        if at.unknown[slot] >= 0:
            turn[slot] = move[at.unknown[slot]]
        else:
            for other in range(slot + 1, given.last[slot]):
                turn[slot] -= move[at.unknown[other]]


@inner
def _find_slopes(given: Shares, at: Vertex, slope: Floats) -> None:
    """Write the slope of the cost along the edge that leaves each active constraint, ``(unknowns,)``."""
    slots, scenarios = given.time.shape
    gradient = np.zeros(slope.size)
    for scenario in range(scenarios):
        gradient[slope.size - scenarios - 1 + scenario] = given.likelihood[scenario]
    gradient[slope.size - 1] = given.risk
    for slot in range(slots):
        pull = given.price[slot] + at.side[slot] * at.kink[slot]
        if at.unknown[slot] >= 0:
            gradient[at.unknown[slot]] += pull
        else:
            for other in range(slot + 1, given.last[slot]):
                gradient[at.unknown[other]] -= pull
    _transform(at, gradient, slope)


@inner
def _transform(at: Vertex, row: Floats, into: Floats) -> None:
    """Write a row of coefficients of the unknowns, times the inverse."""
    into[:] = 0.0
    for unknown in range(row.size):
        if row[unknown] != 0.0:
            for column in range(row.size):
                into[column] += row[unknown] * at.inverse[unknown, column]


@inner
def _steepest(at: Vertex, slope: Floats, stalled: bool) -> int:
    """Return which active constraint to leave: by the steepest edge, or the lowest number; -1 for none."""
    kinks = at.met.size - at.share.size
    lengths = np.zeros(slope.size)  # squared, of the edges
    for unknown in range(slope.size):
        for column in range(slope.size):
            lengths[column] += at.inverse[unknown, column] ** 2
    leaves, most = -1, 0.0
    for column in range(slope.size):
        constraint = at.active[column]
        gain = slope[column] if constraint < kinks else abs(slope[column]) - at.kink[constraint - kinks]
        if gain <= ROUNDING:
            continue
        if stalled:
            if leaves < 0 or constraint < at.active[leaves]:
                leaves = column
        elif gain * gain > most * lengths[column]:
            leaves, most = column, gain * gain / lengths[column]
    return leaves


@inner
def _nearest(given: Shares, at: Vertex, move: Floats, turn: Floats, rate: Floats, stalled: bool) -> tuple[int, float]:
    """Return which constraint is met first, and after how long; of several that whose pivot is largest, or the first.

    ``move``, ``turn`` and ``rate`` are how fast the unknowns, shares and ranks' times change.
    """
    slots, scenarios = given.time.shape
    times = move.size - scenarios - 1
    ranks = given.fixed.shape[0]
    bounds = (ranks + 1) * scenarios
    nearest, length, fastest = -1, np.inf, 0.0
    for constraint in range(at.met.size):
        if at.met[constraint]:
            continue
        scenario, slot = constraint % scenarios, (constraint - bounds) % slots
        if constraint < ranks * scenarios:
            rank = constraint // scenarios
            speed = rate[rank, scenario] - move[times + scenario]
            room = at.longest[scenario] - at.held[rank, scenario]
        elif constraint < bounds:
            speed = move[times + scenario] - move[times + scenarios]
            room = at.longest[scenarios] - at.longest[scenario]
        elif constraint < bounds + slots:
            speed, room = -turn[slot], at.share[slot]
        elif at.kink[slot] > 0.0:
            speed, room = -at.side[slot] * turn[slot], at.side[slot] * (at.share[slot] - given.even[slot])
        else:
            continue
        if speed <= SLOWEST:
            continue
        time = max(0.0, room) / speed
        if time < length - ROUNDING or (not stalled and time <= length + ROUNDING and speed > fastest):
            nearest, length, fastest = constraint, time, speed
    return nearest, length


@inner
def _exchange(given: Shares, at: Vertex, leaves: int, enters: int, room: Floats) -> None:
    """Let a constraint take the place of another in the inverse; ``room`` is overwritten, ``(unknowns,)``."""
    normal = np.empty(room.size)
    _write_normal(given, at, enters, normal)
    _transform(at, normal, room)
    pivot, room[leaves] = room[leaves], 0.0
    for unknown in range(room.size):
        factor = at.inverse[unknown, leaves] / pivot
        if factor != 0.0:
            for column in range(room.size):
                at.inverse[unknown, column] -= factor * room[column]
            at.inverse[unknown, leaves] = factor
    at.met[at.active[leaves]], at.met[enters] = False, True
    at.active[leaves] = enters


@inner
def _load(given: Shares, share: Floats, held: Floats) -> None:
    """Write the time that shares take each rank, ``(ranks, scenarios)``."""
    held[:] = 0.0
    for slot in range(share.size):
        for scenario in range(held.shape[1]):
            held[given.rank[slot], scenario] += given.time[slot, scenario] * share[slot]


@inner
def _write_normal(given: Shares, at: Vertex, constraint: int, normal: Floats) -> None:
    """Write the coefficients of the unknowns in a constraint, ``(unknowns,)``."""
    slots, scenarios = given.time.shape
    times = normal.size - scenarios - 1
    bounds = (given.fixed.shape[0] + 1) * scenarios
    normal[:] = 0.0
    if constraint < bounds - scenarios:
        normal[times + constraint % scenarios] = -1.0
        for slot in range(slots):
            if given.rank[slot] == constraint // scenarios:
                _add_share(given, at, slot, given.time[slot, constraint % scenarios], normal)
    elif constraint < bounds:
        normal[times + constraint % scenarios] = 1.0
        normal[normal.size - 1] = -1.0
    else:
        value = -1.0 if constraint < bounds + slots else 1.0
        _add_share(given, at, (constraint - bounds) % slots, value, normal)


@inner
def _add_share(given: Shares, at: Vertex, slot: int, value: float, normal: Floats) -> None:
    """Add a slot's share, times ``value``, to coefficients of the unknowns."""
    if at.unknown[slot] >= 0:
        normal[at.unknown[slot]] += value
    else:
        for other in range(slot + 1, given.last[slot]):
            normal[at.unknown[other]] -= value
