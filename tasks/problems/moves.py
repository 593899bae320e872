"""How do moves become an Ising model? Through exact cost differences of one move and of pairs of moves.

The all-leave string is the current decision, every string is feasible once sewn, and there is no penalty
weight. The literature calls these fusion moves (Lempitsky et al. 2010, doi 10.1109/TPAMI.2009.143).
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from qiskit_solvers.ising import Ising
from tasks.problems.protocol import Window

Decision = TypeVar("Decision")
Move = TypeVar("Move")


def fusion_window(
    decision: Decision,
    moves: Sequence[Move],
    apply: Callable[[Decision, Move], Decision | None],
    cost: Callable[[Decision], float],
) -> Window[Decision]:
    """Return the window of ``moves`` from ``decision``.

    Args:
        decision: what all-leave stands for.
        moves: candidate moves; earlier ones go first where two exclude each other, and where one that is not
            possible by itself needs another (it then does nothing alone).
        apply: makes one move, or returns None where it is not possible any more.
        cost: the exact cost of a decision.
    """

    def sew(string: npt.NDArray[np.int8]) -> Decision:
        sewn = decision
        for index in np.flatnonzero(string < 0):
            moved = apply(sewn, moves[int(index)])
            if moved is not None:
                sewn = moved
        return sewn

    count = len(moves)
    base = cost(decision)
    single = np.zeros(count)
    pair = np.zeros((count, count))  # what making both adds over making each
    firsts = [apply(decision, move) for move in moves]
    for i, first in enumerate(firsts):
        single[i] = 0.0 if first is None else cost(first) - base
    for i, first in enumerate(firsts):
        if first is None:  # making it first changes nothing
            continue
        for j in range(i + 1, count):
            both = apply(first, moves[j])
            reached = single[i] if both is None else cost(both) - base
            pair[i, j] = reached - single[i] - single[j]
    return Window(_from_bits(base, single, pair), sew)


def _from_bits(base: float, linear: npt.NDArray[np.float64], quadratic: npt.NDArray[np.float64]) -> Ising:
    """Return the Ising model of ``base + sum a_i x_i + sum_{i<j} b_ij x_i x_j`` with ``x = (1 - s) / 2``."""
    both = quadratic + quadratic.T
    h = -linear / 2 - both.sum(axis=1) / 4
    return Ising(h=h, J=quadratic / 4, offset=float(base + linear.sum() / 2 + quadratic.sum() / 4))
