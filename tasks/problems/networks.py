"""In which order should a tensor's modes stand in its train? Moves are swaps and relocations of modes.

The noun beside the searches of :mod:`tasks.codecs.network_search`: here the shared loop refines an order, so that
windows of moves go to annealing or to QAOA as for every other noun.
"""

import itertools
import math
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from data.schemas.plan import Action
from tasks.codecs.network_search.ledger import Ledger, Order, Spent
from tasks.codecs.network_search.searches import AnnealOrders
from tasks.problems.moves import fusion_window
from tasks.problems.protocol import Figure, Found, Window


@dataclass(frozen=True, slots=True)
class Move:
    """Swap two modes, or put ``mode`` just before ``other``; possible from any order."""

    kind: Literal["swap", "before"]
    mode: int
    other: int


@dataclass(frozen=True, slots=True, eq=False)
class Networks:
    """The problem: the cheapest order, where a tensor that no network shortens is stored as it is.

    Args:
        ledger: prices orders in bits. An order that it has no evaluations left for counts as the tensor itself.
        modes: number of them.
        elements: of the tensor, 32 bits each.
        name: in reports.
    """

    ledger: Ledger
    modes: int
    elements: int
    name: str = "networks"
    notes: tuple[str, ...] = field(default=())

    def incumbent(self) -> Order:
        """Return the tensor's own order."""
        return tuple(range(self.modes))

    def cost(self, decision: Order) -> float:
        """Return the bits of an order, at most those of the tensor itself."""
        dense = 32.0 * self.elements
        try:
            return min(self.ledger.price(decision), dense)
        except Spent:
            return dense

    def bound(self) -> float:
        """Return 0: nothing better is proved without pricing every order."""
        return 0.0

    def search(self, decision: Order, evaluations: int, rng: np.random.Generator) -> Found[Order]:
        """Anneal from ``decision``."""
        if evaluations < 1:
            return Found(decision, 0, 0)
        ours = Ledger(self.cost, evaluations)
        AnnealOrders()(ours, decision, rng)
        falls = int(np.count_nonzero(np.diff(ours.curve()) < 0.0))
        return Found(ours.best, len(ours.priced), falls)

    def window(self, decision: Order, size: int, rng: np.random.Generator) -> Window[Order]:
        """Return a window of swaps of neighbours and of moves drawn at random, half and half."""
        near = [Move("swap", one, other) for one, other in itertools.pairwise(decision)]
        moves = dict.fromkeys(near[place] for place in rng.permutation(len(near))[: (size + 1) // 2].tolist())
        pairs = [(one, other) for one in range(self.modes) for other in range(self.modes) if one != other]
        for place in rng.permutation(len(pairs)).tolist():
            if len(moves) >= size:
                break
            one, other = pairs[place]
            moves.setdefault(Move("before", one, other) if rng.random() < 0.5 else Move("swap", one, other))
        return fusion_window(decision, list(moves), made, self.cost)

    def actions(self, decision: Order) -> tuple[Action, ...]:  # noqa: ARG002 - the contract
        """Return none: the order stands in the archive, nobody carries it out."""
        return ()

    def figures(self, decision: Order) -> tuple[Figure, ...]:
        """Return the size and what it is of the tensor."""
        bits = self.cost(decision)
        return (
            Figure(f"{self.name}.bytes", "B", math.ceil(bits / 8.0), "lower"),
            Figure(f"{self.name}.ratio", "1", 32.0 * self.elements / bits, "higher"),
        )


def made(order: Order, move: Move) -> Order:
    """Return an order after a move."""
    changed = list(order)
    if move.kind == "swap":
        one, other = changed.index(move.mode), changed.index(move.other)
        changed[one], changed[other] = changed[other], changed[one]
    else:
        changed.remove(move.mode)
        changed.insert(changed.index(move.other), move.mode)
    return tuple(changed)
