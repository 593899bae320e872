"""What of an expert map is served? Slots on failed ranks serve nothing; live replicas take what is meant for them."""

import numpy as np

from tasks.problems.routing_costs import even_shares
from tasks.problems.routing_state import Flags, Floats, Integers


def served(expert_of: Integers, shares: Floats | None, live: Flags, experts: int) -> tuple[Integers, Floats]:
    """Return the experts of the slots on live ranks, and their shares, which add up to 1 for each expert served.

    What is meant for failed ranks goes to the live replicas in proportion, or evenly where none of them has any.

    Args:
        expert_of: expert in each slot, ``(layers, slots)``.
        shares: of its expert's tokens that each slot takes, ``(layers, slots)``; None splits them evenly.
        live: which slots are on a live rank, ``(slots,)``.
        experts: of a layer.
    """
    placement = np.ascontiguousarray(expert_of[:, live])
    even = even_shares(placement, experts)
    if shares is None:
        return placement, even
    taken = np.ascontiguousarray(shares[:, live])
    if live.all():
        return placement, taken
    for layer, held in enumerate(placement):
        total = np.bincount(held, weights=taken[layer], minlength=experts)[held]
        taken[layer] = np.where(total > 0.0, taken[layer] / np.where(total > 0.0, total, 1.0), even[layer])
    return placement, taken
