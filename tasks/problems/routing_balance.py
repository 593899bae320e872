"""How evenly does an expert map load the ranks? Balancedness, defined once."""

import numpy as np

from tasks.problems.routing_state import Floats, Integers


def balancedness(
    loads: Floats, placement: Integers, ranks: int, shares: Floats | None = None, speed: Floats | None = None
) -> float:
    """Return the sum over layers of the time of a perfectly balanced layer / the sum of the longest time of a rank.

    With ranks alike that is mean load of a rank / largest load of a rank, each summed over the layers; 1 without load.

    Args:
        loads: tokens per expert, ``(layers, experts)``.
        placement: expert in each slot, ``(layers, slots)``.
        ranks: rank ``r`` holds slots ``r * slots / ranks ...``.
        shares: share of its expert's tokens that each slot takes, ``(layers, slots)``; None splits them evenly.
        speed: of each rank, above 0, ``(ranks,)``; None where they are alike.
    """
    speed = np.ones(ranks) if speed is None else speed
    mean = largest = 0.0
    for layer, (load, row) in enumerate(zip(loads, placement, strict=True)):
        even = 1.0 / np.maximum(np.bincount(row, minlength=load.size), 1)[row]
        taken = load[row] * (even if shares is None else shares[layer])
        held = taken.reshape(ranks, -1).sum(axis=1)
        mean += float(held.sum() / speed.sum())
        largest += float((held / speed).max())
    return mean / largest if largest > 0.0 else 1.0
