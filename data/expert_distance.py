"""How far is each place of a network from each expert?"""

from collections.abc import Sequence

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import dijkstra

from data.schemas.tokens import ExpertGraph, Floats, Integers


def connected(
    places: tuple[str, ...],
    domains: Sequence[str],
    experts: Integers,
    capacity: Floats,
    ways: Sequence[tuple[int, int, float]],
) -> ExpertGraph:
    """Return the experts with their distances: shortest ways (Dijkstra 1959, doi 10.1007/BF01386390) over the longest.

    Args:
        places: names of all places.
        domains: name of the NVLink domain of each place.
        experts: which of the places are experts, ``(experts,)``.
        capacity: speed of each expert relative to the others, ``(experts,)``.
        ways: two places and the length of the edge that joins them, above 0. Without any, an expert is near (0.5) in
            its own domain and far (1) in another.
    """
    _, codes = np.unique(np.array(domains), return_inverse=True)
    place_domain = codes.astype(np.int64)
    return ExpertGraph(
        experts=tuple(places[expert] for expert in experts.tolist()),
        capacity=capacity,
        domain=place_domain[experts],
        places=places,
        place_domain=place_domain,
        distance=_distance(ways, place_domain, experts),
    )


def _distance(ways: Sequence[tuple[int, int, float]], place_domain: Integers, columns: Integers) -> Floats:
    """Return how far each place is from each expert, 0 to 1, ``(places, experts)``."""
    count = place_domain.size
    if not ways:
        near = np.where(place_domain[:, None] == place_domain[columns][None, :], 0.5, 1.0)
        near[columns, np.arange(columns.size)] = 0.0
        return near
    rows, ends, length = (np.array(column) for column in zip(*ways, strict=True))
    # parallel edges: the widest is taken, since a sparse matrix would add them up
    order = np.argsort(length, kind="stable")
    _, first = np.unique(np.minimum(rows, ends)[order] * count + np.maximum(rows, ends)[order], return_index=True)
    kept = order[first]
    net = coo_array((length[kept], (rows[kept], ends[kept])), shape=(count, count)).tocsr()
    paths = dijkstra(net, directed=False, indices=columns).T
    reached = paths[np.isfinite(paths)]
    longest = float(reached.max(initial=0.0)) or 1.0
    return np.asarray(np.where(np.isfinite(paths), paths / longest, 1.0))
