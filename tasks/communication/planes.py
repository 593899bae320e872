"""Which plane sends which round, where several equal planes work side by side?

A plane is a copy of the fabric with a port for every GPU: an NVSwitch plane, or a rail with a NIC at each GPU. Rounds
on different planes share nothing, so whole rounds go to planes as jobs go to machines: the longest first, each to the
plane that is done first (Graham 1969, doi 10.1137/0117039). Rounds that may be cut fill one plane after another
instead, and all planes end together (McNaughton 1959, doi 10.1287/mnsc.6.1.1).
"""

import heapq
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from data.schemas.transfers import Round
from tasks.communication.birkhoff import Decomposition, Ints


def on_planes(rounds: Sequence[Round], planes: int) -> tuple[Round, ...]:
    """Return whole ``rounds`` with their planes: those of plane 0 first, each plane's in the order given.

    Args:
        rounds: that may be sent in any order.
        planes: at least 1.
    """
    ends = [(0.0, plane) for plane in range(planes)]
    plane_of = [0] * len(rounds)
    for index in sorted(range(len(rounds)), key=lambda i: (-rounds[i].seconds, i)):
        end, plane = heapq.heappop(ends)
        plane_of[index] = plane
        heapq.heappush(ends, (end + rounds[index].seconds, plane))
    placed = [replace(turn, plane=plane) for turn, plane in zip(rounds, plane_of, strict=True)]
    return tuple(sorted(placed, key=lambda turn: turn.plane))


def cut_for_planes(found: Decomposition, planes: int) -> list[tuple[int, int, Ints, Ints]]:
    """Return plane, length, partners and amounts of the rounds of ``found``, cut so that all planes end together.

    What is left of a round opens the next plane, thus maybe goes at the same time: on ports of its own.

    Args:
        found: rounds in whole units.
        planes: at least 1.

    Returns:
        At most ``planes - 1`` rounds more than before; none is longer than ``makespan / planes``, rounded up.
    """
    most = -(-found.makespan // planes)
    placed: list[tuple[int, int, Ints, Ints]] = []
    plane, room = 0, most
    for length, partner, sent in zip(found.length.tolist(), found.partner, found.sent, strict=True):
        left, waiting = length, sent
        while left > 0:
            step = min(left, room)
            now = np.minimum(waiting, step)
            placed.append((plane, step, np.where(now > 0, partner, -1), now))
            waiting, left, room = waiting - now, left - step, room - step
            if room == 0:
                plane, room = plane + 1, most
    return placed


def end_of_planes(rounds: Sequence[Round]) -> float:
    """Return when the last plane is done, in seconds."""
    ends: dict[int, float] = {}
    for turn in rounds:
        ends[turn.plane] = ends.get(turn.plane, 0.0) + turn.seconds
    return max(ends.values())


def least_end(longest: Sequence[float], planes: int) -> float:
    """Return what no assignment to planes ends before.

    Whole rounds take at least their share of the sum; and of the longest ``j * planes + 1`` one plane has ``j + 1``.

    Args:
        longest: what rounds last at least, descending.
        planes: at least 1.
    """
    shared = sum(longest) / planes
    return max([shared, *((place // planes + 1) * longest[place] for place in range(0, len(longest), planes))])
