"""In how few rounds do equal messages cross a crossbar? In as many as the busiest port has messages, never more.

On an NVSwitch crossbar each port sends one message and receives one message at a time: rounds are matchings of a
bipartite multigraph, and its edges can be coloured with as many colours as its largest degree (Konig 1916,
doi 10.1007/BF01456961). The proof is the algorithm: where the two ends of an edge have no free colour in common, two
colours change places along the path that alternates between them. No quantum step is needed here, nor could one win.
"""

import numpy as np
import numpy.typing as npt
from numba import njit

Ints = npt.NDArray[np.int64]


def edge_colouring(source: Ints, target: Ints) -> Ints:
    """Return the colour of each edge of a bipartite multigraph, ``(edges,)``, 0 to the largest degree less one.

    Args:
        source: left end of each edge, ``(edges,)``, numbered from 0.
        target: right end, ``(edges,)``, numbered from 0 on its own.

    Raises:
        ValueError: the shapes differ, or an end is negative.
    """
    if source.ndim != 1 or source.shape != target.shape:
        raise ValueError(f"source, target: expected shape (edges,), got {source.shape} and {target.shape}")
    if not source.size:
        return np.empty(0, np.int64)
    if min(source.min(), target.min()) < 0:
        raise ValueError(f"source, target: expected numbers from 0, got {min(source.min(), target.min())}")
    degree = largest_degree(source, target)
    return np.asarray(_colour(source.astype(np.int64), target.astype(np.int64), degree))


def largest_degree(source: Ints, target: Ints) -> int:
    """Return how many edges the busiest end has: the least number of colours."""
    if not source.size:
        return 0
    return int(max(np.bincount(source).max(), np.bincount(target).max()))


@njit(cache=True)
def _colour(source: Ints, target: Ints, degree: int) -> Ints:
    """Colour the edges one by one; colours are held as the edge that an end has in each, -1 for none."""
    edges = source.size
    left = np.full((source.max() + 1, degree), -1, np.int64)
    right = np.full((target.max() + 1, degree), -1, np.int64)
    colour = np.empty(edges, np.int64)
    path = np.empty(left.shape[0] + right.shape[0] + 1, np.int64)
    for edge in range(edges):
        u, v = source[edge], target[edge]
        a = 0
        while left[u, a] >= 0:
            a += 1
        b = 0
        while right[v, b] >= 0:
            b += 1
        both = a
        while both < degree and (left[u, both] >= 0 or right[v, both] >= 0):
            both += 1
        if both < degree:
            a = both
        else:
            # a is free at u and taken at v, b free at v and taken at u: flip the a-b path that begins at v;
            # it never reaches u, for it comes to the left on a only, which u has not
            length, at, on_right, wanted = 0, v, True, a
            while True:
                following = right[at, wanted] if on_right else left[at, wanted]
                if following < 0:
                    break
                path[length] = following
                length += 1
                at = source[following] if on_right else target[following]
                on_right = not on_right
                wanted = b if wanted == a else a
            for i in range(length):
                left[source[path[i]], colour[path[i]]] = -1
                right[target[path[i]], colour[path[i]]] = -1
            for i in range(length):
                swapped = b if colour[path[i]] == a else a
                colour[path[i]] = swapped
                left[source[path[i]], swapped] = path[i]
                right[target[path[i]], swapped] = path[i]
        colour[edge] = a
        left[u, a] = edge
        right[v, a] = edge
    return colour
