"""How cheap can an expert map at best be? A proven lower bound from loads, slots, and the replicas that may move.

Per layer the fullest rank holds at least:

- the mean;
- the heaviest replica, which is lightest if each further slot goes to the heaviest;
- with ``m`` moved replicas, what is left of a rank's load. A rank's share of an expert only falls if it gives up a
  slot of it, or if the expert gains a replica elsewhere. So each moved replica lowers at most one expert on a given
  rank, and over all ranks at most ``1 + replicas`` pairs of rank and expert (one by leaving, one on each rank that
  holds the newcomer's expert). A rank that is to come down to a level must lose as many experts as its largest ones.

The last is a falling sequence in ``m``; under its convex hull the moves are dealt out to the layers, steepest first.
Crossings are bounded by nought.
"""

import numpy as np

from tasks.problems.routing_start import lightest_replicas
from tasks.problems.routing_state import Floats, Integers, Layout


def lower_bound(layout: Layout, budget: int, uneven: bool) -> float:
    """Return a lower bound on the cost of every map that moves at most ``budget`` replicas.

    Args:
        layout: the deployment.
        budget: replicas that may be moved.
        uneven: replicas may take unequal shares; then a rank's load may fall without any move.
    """
    total, steps = 0.0, [np.zeros(0)]
    for layer in np.flatnonzero(layout.loaded):
        floor = _floors(layout, int(layer), uneven)
        total += float(floor[0])
        steps.append(-np.diff(_hull(floor)))
    gains = np.sort(np.concatenate(steps))[::-1][: max(0, budget)]
    return max(0.0, total - float(np.maximum(gains - layout.move_weight, 0.0).sum()))


def _floors(layout: Layout, layer: int, uneven: bool) -> Floats:
    """Return the least imbalance of a layer after 0, 1, ... moved replicas: mean and worst of those by scenario."""
    # squares add up to least where all slots take the same (Cauchy and Schwarz)
    unforeseen = layout.noise * float(layout.mean_loads[layer].sum()) / np.sqrt(layout.in_force.shape[1])
    each = np.array([_floor(layout, layer, scenario, uneven) for scenario in range(layout.likelihood.size)])
    return np.asarray(layout.likelihood @ each + layout.risk * each.max(axis=0) + unforeseen)


def _floor(layout: Layout, layer: int, scenario: int, uneven: bool) -> Floats:
    load, held = layout.loads[layer, :, scenario], layout.in_force[layer]
    ranks = layout.domain.size
    lightest = float((load / lightest_replicas(load, held.size)).max() * layout.slowness.min())
    standing = max(0.0, lightest - 1.0)
    if uneven:
        return np.full(held.size, standing)
    counts = np.bincount(held, minlength=load.size)
    levels = _levels(load / np.maximum(counts, 1), held.reshape(ranks, -1)) * layout.slowness[:, None]
    ordered = np.sort(levels.ravel())[::-1]
    reach = 1 + int(counts.max())
    falling = [
        max(
            float(levels[:, min(moved, levels.shape[1] - 1)].max()),
            float(ordered[min(moved * reach, ordered.size - 1)]),
        )
        for moved in range(held.size)
    ]
    return np.asarray(np.maximum(np.array(falling) - 1.0, standing))


def _levels(share: Floats, held: Integers) -> Floats:
    """Return each rank's load without its 0, 1, ... largest experts, ``(ranks, slots per rank + 1)``."""
    ranks, room = held.shape
    first = np.sort(held, axis=1)
    repeats = np.zeros((ranks, share.size))
    for slot in range(room):
        np.add.at(repeats, (np.arange(ranks), first[:, slot]), 1.0)
    largest = -np.sort(-repeats * share, axis=1)[:, :room]
    gone = np.concatenate([np.zeros((ranks, 1)), np.cumsum(largest, axis=1)], axis=1)
    return np.asarray(np.maximum(gone[:, -1:] - gone, 0.0))


def _hull(floor: Floats) -> Floats:
    """Return the largest convex sequence that is nowhere above ``floor``."""
    kept = [0]
    for index in range(1, floor.size):
        while len(kept) > 1:
            a, b = kept[-2], kept[-1]
            if (floor[b] - floor[a]) * (index - a) < (floor[index] - floor[a]) * (b - a):
                break
            kept.pop()
        kept.append(index)
    return np.interp(np.arange(floor.size), kept, floor[kept])
