"""Which classical colouring is quick and good? First fit, DSATUR, and Misra-Gries where only ports are shared.

All return proper colourings with as many colours as they happen to need; first fit never needs more than the largest
degree plus one, Misra-Gries never more than that of the graph of GPUs.
"""

import numpy as np
import numpy.typing as npt
from numba import njit

from tasks.communication.conflict_graph import Conflicts

Ints = npt.NDArray[np.int64]


def first_fit(conflicts: Conflicts, order: Ints) -> Ints:
    """Return for each transfer the first round that is free when its turn comes, ``(transfers,)``.

    Args:
        conflicts: the graph.
        order: a permutation, ``(transfers,)``; longest first is the usual choice for unequal transfers.
    """
    return np.asarray(_first_fit(conflicts.first, conflicts.neighbour, order))


def dsatur(conflicts: Conflicts, weight: npt.NDArray[np.float64] | None = None) -> Ints:
    """Return Brelaz's colouring (1979, doi 10.1145/359094.359101), ``(transfers,)``.

    Next is always the vertex whose neighbours have the most different colours; of equal ones the heaviest, then that
    of the highest degree, then the first.

    Args:
        conflicts: the graph.
        weight: breaks ties before the degree does, ``(transfers,)``; None is Brelaz's own rule.
    """
    second = np.zeros(conflicts.degrees.size) if weight is None else weight
    return np.asarray(_dsatur(conflicts.first, conflicts.neighbour, second))


@njit(cache=True)
def _free(vertex: int, first: Ints, neighbour: Ints, colour: Ints, taken: Ints) -> int:
    """Return the first colour that no neighbour of ``vertex`` has; ``taken`` is scratch, ``(colours,)``."""
    for e in range(first[vertex], first[vertex + 1]):
        if colour[neighbour[e]] >= 0:
            taken[colour[neighbour[e]]] = vertex
    found = 0
    while taken[found] == vertex:
        found += 1
    return found


@njit(cache=True)
def _first_fit(first: Ints, neighbour: Ints, order: Ints) -> Ints:
    count = first.size - 1
    colour = np.full(count, -1, np.int64)
    taken = np.full(count + 1, -1, np.int64)
    for vertex in order:
        colour[vertex] = _free(vertex, first, neighbour, colour, taken)
    return colour


@njit(cache=True)
def _dsatur(first: Ints, neighbour: Ints, weight: npt.NDArray[np.float64]) -> Ints:
    count = first.size - 1
    colour = np.full(count, -1, np.int64)
    taken = np.full(count + 1, -1, np.int64)
    saturation = np.zeros(count, np.int64)
    for _ in range(count):
        best = -1
        for v in range(count):
            if colour[v] >= 0:
                continue
            if best < 0 or saturation[v] > saturation[best]:
                best = v
            elif saturation[v] == saturation[best]:
                degree, highest = first[v + 1] - first[v], first[best + 1] - first[best]
                if weight[v] > weight[best] or (weight[v] == weight[best] and degree > highest):
                    best = v
        given = _free(best, first, neighbour, colour, taken)
        for e in range(first[best], first[best + 1]):
            v = neighbour[e]
            if colour[v] >= 0:
                continue
            known = False
            for f in range(first[v], first[v + 1]):
                if colour[neighbour[f]] == given:
                    known = True
                    break
            if not known:
                saturation[v] += 1
        colour[best] = given
    return colour


def misra_gries(source: Ints, target: Ints) -> Ints:
    """Return an edge colouring of a simple graph with at most its largest degree plus one colours, ``(edges,)``.

    This is the half-duplex case with nothing shared but ports. Vizing's bound by fans and alternating paths (Misra and
    Gries 1992, doi 10.1016/0020-0190(92)90041-S).

    Args:
        source: one end of each edge, ``(edges,)``, numbered from 0.
        target: the other, ``(edges,)``, of the same numbering.

    Raises:
        ValueError: an edge is a loop, or two edges join the same ends.
    """
    ends = np.sort(np.stack([source, target], axis=1), axis=1)
    if np.any(source == target) or len(np.unique(ends, axis=0)) < len(ends):
        raise ValueError("source, target: expected a simple graph, got a loop or two edges between the same ends")
    vertices = int(ends.max()) + 1 if ends.size else 0
    degree = int(np.bincount(ends.ravel()).max()) if ends.size else 0
    at: list[dict[int, int]] = [{} for _ in range(vertices)]  # at[vertex][colour] is the neighbour over it
    of: dict[tuple[int, int], int] = {}

    def free(vertex: int) -> int:
        return next(colour for colour in range(degree + 1) if colour not in at[vertex])

    def give(one: int, other: int, colour: int) -> None:
        of[one, other] = of[other, one] = colour
        at[one][colour], at[other][colour] = other, one

    def take(one: int, other: int) -> int:
        colour = of.pop((one, other))
        del of[other, one], at[one][colour], at[other][colour]
        return colour

    for u, v in zip(source.tolist(), target.tolist(), strict=True):
        fan = _fan(u, v, at)
        c, d = free(u), free(fan[-1])
        path, here, colour = [], u, d
        while colour in at[here]:
            following = at[here][colour]
            path.append((here, following))
            here, colour = following, c if colour == d else d
        freed = [(one, other, take(one, other)) for one, other in path]
        for one, other, old in freed:
            give(one, other, c if old == d else d)
        # the fan may have been broken by the flip: keep the part at whose end d is free
        last = next(i for i in range(len(fan)) if d not in at[fan[i]] and _is_fan(fan[: i + 1], u, at, of))
        moved = [take(u, fan[i + 1]) for i in range(last)]
        for i in range(last):
            give(u, fan[i], moved[i])
        give(u, fan[last], d)
    return np.array([of[u, v] for u, v in zip(source.tolist(), target.tolist(), strict=True)], np.int64)


def _fan(u: int, v: int, at: list[dict[int, int]]) -> list[int]:
    """Return a maximal fan of ``u`` from ``v`` on: each next edge has a colour that is free at the last end."""
    fan, inside = [v], {v}
    while True:
        following = next((w for c, w in sorted(at[u].items()) if w not in inside and c not in at[fan[-1]]), None)
        if following is None:
            return fan
        fan.append(following)
        inside.add(following)


def _is_fan(fan: list[int], u: int, at: list[dict[int, int]], of: dict[tuple[int, int], int]) -> bool:
    return all(of[u, fan[i + 1]] not in at[fan[i]] for i in range(len(fan) - 1))
