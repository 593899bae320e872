"""How are moves that exclude one another made easy to search, without moving the optimum?

A window of moves may hold pairs that must not both be made; their couplings are penalties far
above every gain. A ramp on a standardised cost then resolves the penalties and nothing else: with
one conflict in five pairs, the optimum's probability at 12 spins was 0.01. Lowered to the smallest
penalties that provably keep the optimum, the same models gave 0.6.
"""

from dataclasses import replace

import numpy as np

from qiskit_solvers.ising import Floats, Ising


def ease_conflicts(ising: Ising) -> Ising:
    """Return a model with the same lowest energy, in which no conflict costs more than it must.

    With ``x_i = (1 - s_i) / 2`` (1: the move is made) the energy is ``sum_i d_i x_i + sum_{i<j}
    W_ij x_i x_j``, up to a constant. Making move ``i`` gains at most ``g_i = max(0, -d_i - sum_k
    min(0, W_ik))``. Each ``W_ij`` above ``min(g_i, g_j)`` is lowered to it: two moves under a
    lowered coupling still never pay, since undoing the one with the smaller ``g`` costs nothing.
    So the lowest energy stays, and so does every string that has it. Energies of strings that make
    both moves of a conflict fall; judge strings by the original model.
    """
    pairs = ising.pairs
    W = 4.0 * pairs.values

    def summed(of_pairs: Floats) -> Floats:
        """Return the sum over the pairs of each spin."""
        ends = [np.bincount(end, of_pairs, minlength=ising.spins) for end in (pairs.rows, pairs.columns)]
        return np.asarray(ends[0] + ends[1], dtype=np.float64)

    d = -2.0 * ising.h - summed(W) / 2.0
    gains = np.maximum(0.0, -d - summed(np.minimum(W, 0.0)))
    needed = np.minimum(gains[pairs.rows], gains[pairs.columns])
    lowered = np.where(W > 0.0, np.maximum(W - needed, 0.0), 0.0)  # by how much; 0 nearly everywhere
    J = ising.J.copy()
    J[pairs.rows, pairs.columns] = pairs.values - lowered / 4.0
    # x_i x_j = (1 - s_i - s_j + s_i s_j) / 4
    return replace(ising, h=ising.h + summed(lowered) / 4.0, J=J, offset=ising.offset - float(lowered.sum()) / 4.0)
