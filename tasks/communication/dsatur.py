"""Which classical colouring is quick and good? First fit and DSATUR.

Both return proper colourings with as many colours as they happen to need, never more than the largest degree plus one.
"""

import numpy as np
import numpy.typing as npt
from numba import njit

from tasks.communication.conflict_graph import Conflicts
from tasks.compiled import inner

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


@inner
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
