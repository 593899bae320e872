"""How is a QUBO written as an Ising model, and back? The same values, string for string, bit 1 for spin -1."""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from qiskit_solvers.ising import Floats, Ising

Groups = tuple[tuple[int, ...], ...]
Names = tuple[Hashable, ...]

ASYMMETRY = 1e-12
"""A matrix is symmetric if the two sides differ by at most this part of its largest entry."""


@dataclass(frozen=True, slots=True, eq=False)
class Qubo:
    """``value(x) = x^T Q x + offset`` over bits ``x_i`` in {0, 1}.

    Args:
        Q: ``(bits, bits)``, upper triangular with its diagonal; an array, or a scipy sparse array.
            :func:`qubo_of` takes any square matrix.
        offset: value of the string of zeros.
        groups: one-hot groups: in each, exactly one bit is 1 in every string that counts. Disjoint.
        names: what the bits are called outside; empty, or one for each.

    Raises:
        ValueError: Q is not square or has entries below the diagonal, a coefficient is not finite, or groups or
            names do not fit.
    """

    Q: Any
    offset: float = 0.0
    groups: Groups = ()
    names: Names = ()

    def __post_init__(self) -> None:
        _check_square("Q", self.Q)
        thin = sparse.issparse(self.Q)
        if (sparse.tril(self.Q, -1).count_nonzero() if thin else np.any(np.tril(self.Q, -1))) > 0:
            raise ValueError("Q: expected an upper triangular matrix, got entries below the diagonal; see qubo_of")
        _check_finite("Q, offset", self.Q, self.offset)
        # groups and names are held to what an Ising model asks of them
        Ising(np.zeros(self.bits), sparse.csr_array((self.bits, self.bits)), 0.0, self.groups, self.names)

    @property
    def bits(self) -> int:
        """Number of bits."""
        return int(self.Q.shape[0])


def qubo_of(matrix: Any, offset: float = 0.0, groups: Groups = (), names: Names = ()) -> Qubo:
    """Return the QUBO ``x^T matrix x + offset`` of any square matrix, dense or sparse.

    What stands below the diagonal is added to its mirror image above: ``x_i x_j`` is ``x_j x_i``.

    Raises:
        ValueError: the matrix is not square, not real or not finite, or groups or names do not fit.
    """
    given = _floats("matrix", matrix)
    _check_square("matrix", given)
    _check_finite("matrix, offset", given, offset)
    if sparse.issparse(given):
        return Qubo(sparse.csr_array(sparse.triu(given) + sparse.tril(given, -1).T), offset, groups, names)
    return Qubo(np.triu(given) + np.tril(given, -1).T, offset, groups, names)


def ising_of(h: npt.ArrayLike, J: Any, offset: float = 0.0, groups: Groups = (), names: Names = ()) -> Ising:
    """Return the model ``offset + sum_i h_i s_i + sum_{i<j} J_ij s_i s_j`` of a symmetric J, dense or sparse.

    Each pair counts once: ``J_ij = J_ji`` is the coupling of the pair, not half of it. Where a text sums over
    all ``i, j``, its pair couplings are twice its entries: hand ``2 J`` in.

    Args:
        h: fields, ``(spins,)``.
        J: couplings, ``(spins, spins)``, symmetric (up to :data:`ASYMMETRY`; the upper side is taken), zero on
            the diagonal.
        offset: energy of the empty product.
        groups: one-hot groups of spins.
        names: what the spins are called; empty, or one for each.

    Raises:
        ValueError: J is not square, not symmetric or not zero on its diagonal, a coefficient is not real and
            finite, or shapes, groups or names do not fit.
    """
    fields, couplings = np.atleast_1d(_floats("h", h)), _floats("J", J)
    _check_square("J", couplings)
    _check_finite("h, J, offset", couplings, fields, offset)
    apart = abs(couplings - couplings.T)
    if apart.shape[0] and apart.max() > ASYMMETRY * abs(couplings).max():
        i, j = (int(k) for k in np.unravel_index(int(apart.argmax()), apart.shape))
        raise ValueError(
            f"J: expected a symmetric matrix, got {couplings[i, j]} at {(i, j)} and {couplings[j, i]} at {(j, i)}"
        )
    if np.any(couplings.diagonal()):
        raise ValueError("J: expected zeros on the diagonal (s_i s_i is 1: add them to the offset), got others")
    thin = sparse.issparse(couplings)
    upper = sparse.csr_array(sparse.triu(couplings, 1)) if thin else np.triu(couplings, 1)
    return Ising(fields, upper, offset, groups, names)


def to_ising(qubo: Qubo) -> Ising:
    """Return the model with ``x = (1 - s) / 2``; names and groups are kept, and sparse stays sparse."""
    diagonal = np.asarray(qubo.Q.diagonal(), dtype=np.float64)
    pairs = _above_diagonal(qubo.Q)
    around = np.asarray(pairs.sum(axis=0) + pairs.sum(axis=1), dtype=np.float64)
    return Ising(
        h=-diagonal / 2.0 - around / 4.0,
        J=pairs / 4.0,
        offset=float(qubo.offset + diagonal.sum() / 2.0 + pairs.sum() / 4.0),
        groups=qubo.groups,
        names=qubo.names,
    )


def to_qubo(ising: Ising) -> Qubo:
    """Return the QUBO with ``s = 1 - 2 x``; names and groups are kept, and sparse stays sparse."""
    pairs = _above_diagonal(ising.J)
    around = np.asarray(pairs.sum(axis=0) + pairs.sum(axis=1), dtype=np.float64)
    linear = -2.0 * (ising.h + around)
    thin = sparse.issparse(pairs)
    return Qubo(
        Q=sparse.csr_array(4.0 * pairs + sparse.diags_array(linear)) if thin else 4.0 * pairs + np.diag(linear),
        offset=float(ising.offset + ising.h.sum() + pairs.sum()),
        groups=ising.groups,
        names=ising.names,
    )


def values(qubo: Qubo, bits: npt.ArrayLike) -> Floats:
    """Return the value of each bit string, ``(strings, bits) -> (strings,)``.

    Raises:
        ValueError: the strings do not have the QUBO's number of bits.
    """
    x = np.atleast_2d(np.asarray(bits, dtype=np.float64))
    if x.shape[1] != qubo.bits:
        raise ValueError(f"bits: expected shape (strings, {qubo.bits}), got {x.shape}")
    return np.asarray(qubo.offset + np.einsum("ki,ki->k", x @ qubo.Q, x), dtype=np.float64)


def _above_diagonal(matrix: Any) -> Any:
    thin = sparse.issparse(matrix)
    return sparse.csr_array(sparse.triu(matrix, 1), dtype=np.float64) if thin else np.triu(matrix, 1).astype(np.float64)


def _floats(name: str, given: Any) -> Any:
    """Return real numbers as an array, or as a sparse array if they are sparse."""
    array = given if sparse.issparse(given) else np.asarray(given)
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{name}: expected real numbers, got {array.dtype}")
    return sparse.csr_array(array, dtype=np.float64) if sparse.issparse(array) else array.astype(np.float64)


def _check_square(name: str, matrix: Any) -> None:
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"{name}: expected a square matrix, got shape {matrix.shape}")


def _check_finite(names: str, matrix: Any, *others: Any) -> None:
    numbers = (matrix.data if sparse.issparse(matrix) else matrix, *others)
    if not all(np.isfinite(part).all() for part in numbers):
        raise ValueError(f"{names}: expected finite numbers, got NaN or infinity")
