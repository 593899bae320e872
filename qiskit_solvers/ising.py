"""What is minimised? An Ising model: fields h, couplings J and an offset over spins of +1 and -1."""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from qiskit_solvers.errors import TooLarge

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

_MOST_SPINS = 28
"""Of :func:`diagonal`: 2 GiB of energies."""


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """The couplings that are not zero: ``values[k]`` between spins ``rows[k] < columns[k]``, row by row.

    Args:
        rows: ``(pairs,)``.
        columns: ``(pairs,)``.
        values: ``(pairs,)``.
    """

    rows: Indices
    columns: Indices
    values: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Ising:
    """``E(s) = offset + sum_i h_i s_i + sum_{i<j} J_ij s_i s_j`` over spins ``s_i`` in {+1, -1}.

    Args:
        h: fields, ``(spins,)``.
        J: couplings, ``(spins, spins)``, strictly upper triangular; an array, or a scipy sparse array of any
            format where most couplings are zero, kept as a ``csr_array`` of the model's own without duplicates.
        offset: energy of the empty product.
        groups: one-hot groups: in each, exactly one spin is -1 (the choice that is made) in every string that
            counts. Disjoint; spins in no group are free.
        names: what the spins are called outside; empty, or one for each.

    Raises:
        ValueError: h or J is not an array or has a wrong shape, J is not strictly upper triangular, a coefficient is
            not real and finite, groups overlap or name a spin that is not there, or names do not fit or repeat.
    """

    h: Floats
    J: Any  # an array, or scipy.sparse.csr_array, which has no types
    offset: float = 0.0
    groups: tuple[tuple[int, ...], ...] = ()
    names: tuple[Hashable, ...] = ()

    def __post_init__(self) -> None:
        _check_real("h", self.h, isinstance(self.h, np.ndarray))
        _check_real("J", self.J, isinstance(self.J, np.ndarray) or sparse.issparse(self.J))
        _check_real("offset", np.asarray(self.offset), True)
        if self.h.ndim != 1:
            raise ValueError(f"h: expected shape (spins,), got {self.h.shape}")
        if self.J.shape != (self.h.size, self.h.size):
            raise ValueError(f"J: expected shape {(self.h.size, self.h.size)}, got {self.J.shape}")
        thin = sparse.issparse(self.J)
        if thin:
            J = sparse.csr_array(self.J, copy=True)  # the caller keeps his as it is
            J.sum_duplicates()
            object.__setattr__(self, "J", J)
        if (sparse.tril(self.J).count_nonzero() if thin else np.any(np.tril(self.J))) > 0:
            raise ValueError("J: expected a strictly upper triangular matrix, got entries on or below the diagonal")
        couplings = self.J.data if thin else self.J
        if not (np.isfinite(self.h).all() and np.isfinite(couplings).all() and np.isfinite(self.offset)):
            raise ValueError("h, J, offset: expected finite numbers, got NaN or infinity")
        _check_groups(self.groups, self.h.size)
        if self.names:
            _check_names(self.names, self.h.size)

    @property
    def spins(self) -> int:
        """Number of spins."""
        return int(self.h.size)

    @property
    def pairs(self) -> Pairs:
        """The couplings that are not zero, row by row."""
        if sparse.issparse(self.J):
            rows, columns = self.J.nonzero()
            values = self.J.data[self.J.data != 0]  # in the same order, since nothing stands twice
        else:
            rows, columns = np.nonzero(self.J)
            values = self.J[rows, columns]
        return Pairs(rows.astype(np.int64), columns.astype(np.int64), np.asarray(values, dtype=np.float64))

    @property
    def couplings(self) -> Floats:
        """J as an array, ``(spins, spins)``."""
        return np.asarray(self.J.toarray() if sparse.issparse(self.J) else self.J, dtype=np.float64)


def energies(ising: Ising, strings: npt.NDArray[np.int8]) -> Floats:
    """Return the energy of each spin string, ``(strings, spins) -> (strings,)``.

    Raises:
        ValueError: the strings are not as long as the model has spins.
    """
    spins = np.atleast_2d(strings).astype(np.float64)
    if spins.ndim != 2 or spins.shape[1] != ising.spins:
        raise ValueError(f"strings: expected (strings, {ising.spins}), got {spins.shape}")
    quadratic = np.einsum("ki,ki->k", spins @ ising.J, spins)
    return np.asarray(ising.offset + spins @ ising.h + quadratic, dtype=np.float64)


def diagonal(ising: Ising) -> Floats:
    """Return the energies of all strings, ``(2**spins,)``.

    Entry ``x`` is the string with spin ``i`` equal to ``+1 - 2 * bit_i(x)``, bit 0 the least
    significant: Qiskit's order, qubit ``i`` in |0> for spin +1.

    Raises:
        TooLarge: more than 28 spins, 2 GiB; nothing has been allocated.
    """
    if ising.spins > _MOST_SPINS:
        raise TooLarge(f"diagonal: expected at most {_MOST_SPINS} spins, got {ising.spins}")
    J = ising.couplings
    energy = np.empty(1 << ising.spins)
    field = np.empty(max(1, energy.size // 2))
    energy[0] = ising.offset
    for i in range(ising.spins):
        # local field on spin i from spins j < i, over all strings of those spins
        field[0] = ising.h[i]
        for j in range(i):
            low, high = field[: 1 << j], field[1 << j : 2 << j]
            np.subtract(low, J[j, i], out=high)
            low += J[j, i]
        size = 1 << i
        np.subtract(energy[:size], field[:size], out=energy[size : 2 * size])
        energy[:size] += field[:size]
    return energy


def strings_of(indices: npt.NDArray[np.int64], spins: int) -> npt.NDArray[np.int8]:
    """Return the spin strings ``(indices, spins)`` that stand at ``indices`` of :func:`diagonal`."""
    bits = (indices[:, None] >> np.arange(spins)) & 1
    return (1 - 2 * bits).astype(np.int8)


def _check_real(name: str, given: Any, is_array: bool) -> None:
    if not is_array:
        raise ValueError(f"{name}: expected an array, got {type(given).__name__}")
    if given.dtype.kind not in "biuf":
        raise ValueError(f"{name}: expected real numbers, got {given.dtype}")


def _check_groups(groups: tuple[tuple[int, ...], ...], spins: int) -> None:
    grouped = [spin for group in groups for spin in group]
    if any(not group for group in groups):
        raise ValueError("groups: expected at least one spin in each, got an empty group")
    if not all(isinstance(spin, int | np.integer) for spin in grouped):
        raise ValueError(f"groups: expected whole numbers of spins, got {groups}")
    if len(set(grouped)) < len(grouped):
        repeated = sorted({spin for spin in grouped if grouped.count(spin) > 1})
        raise ValueError(f"groups: expected disjoint groups, got spins {repeated} more than once")
    if any(not 0 <= spin < spins for spin in grouped):
        raise ValueError(f"groups: expected spins 0 to {spins - 1}, got {min(grouped)} to {max(grouped)}")


def _check_names(names: tuple[Hashable, ...], spins: int) -> None:
    try:
        distinct = len(set(names))
    except TypeError as error:
        raise ValueError(f"names: expected hashable names, got {names}") from error
    if not distinct == len(names) == spins:
        raise ValueError(f"names: expected {spins} distinct names, got {len(names)}, {distinct} of them distinct")
