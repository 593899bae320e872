"""What is minimised? An Ising model: fields h, couplings J and an offset over spins of +1 and -1."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Ising:
    """``E(s) = offset + sum_i h_i s_i + sum_{i<j} J_ij s_i s_j`` over spins ``s_i`` in {+1, -1}.

    Args:
        h: fields, ``(spins,)``.
        J: couplings, ``(spins, spins)``, strictly upper triangular.
        offset: energy of the empty product.

    Raises:
        ValueError: a shape is wrong, J is not strictly upper triangular, or a coefficient is not finite.
    """

    h: Floats
    J: Floats
    offset: float = 0.0

    def __post_init__(self) -> None:
        if self.h.ndim != 1:
            raise ValueError(f"h: expected shape (spins,), got {self.h.shape}")
        if self.J.shape != (self.h.size, self.h.size):
            raise ValueError(f"J: expected shape {(self.h.size, self.h.size)}, got {self.J.shape}")
        if np.any(np.tril(self.J)):
            raise ValueError("J: expected a strictly upper triangular matrix, got entries on or below the diagonal")
        if not (np.isfinite(self.h).all() and np.isfinite(self.J).all() and np.isfinite(self.offset)):
            raise ValueError("h, J, offset: expected finite numbers, got NaN or infinity")

    @property
    def spins(self) -> int:
        """Number of spins."""
        return int(self.h.size)


def energies(ising: Ising, strings: npt.NDArray[np.int8]) -> Floats:
    """Return the energy of each spin string, ``(strings, spins) -> (strings,)``."""
    spins = np.atleast_2d(strings).astype(np.float64)
    quadratic = np.einsum("ki,ki->k", spins @ ising.J, spins)
    return np.asarray(ising.offset + spins @ ising.h + quadratic, dtype=np.float64)


def diagonal(ising: Ising) -> Floats:
    """Return the energies of all strings, ``(2**spins,)``.

    Entry ``x`` is the string with spin ``i`` equal to ``+1 - 2 * bit_i(x)``, bit 0 the least
    significant: Qiskit's order, qubit ``i`` in |0> for spin +1.
    """
    energy = np.full(1, ising.offset)
    for i in range(ising.spins):
        # local field on spin i from spins j < i, over all strings of those spins
        field = np.full(1, ising.h[i])
        for j in range(i):
            field = np.concatenate([field + ising.J[j, i], field - ising.J[j, i]])
        energy = np.concatenate([energy + field, energy - field])
    return energy


def strings_of(indices: npt.NDArray[np.int64], spins: int) -> npt.NDArray[np.int8]:
    """Return the spin strings ``(indices, spins)`` that stand at ``indices`` of :func:`diagonal`."""
    bits = (indices[:, None] >> np.arange(spins)) & 1
    return (1 - 2 * bits).astype(np.int8)
