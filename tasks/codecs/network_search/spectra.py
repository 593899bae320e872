"""How strongly do some modes of a tensor depend on the others? The singular values between every two sides.

A tensor train over any order of the modes has at each bond the singular values of the matrix whose rows are the modes
before the bond and whose columns are the modes after it (Oseledets 2011, doi 10.1137/090752286). So the spectra of all
``2 ** (modes - 1) - 1`` bipartitions price every order without a decomposition of its own.

The tensor is first compressed by a higher-order singular value decomposition (De Lathauwer et al. 2000,
doi 10.1137/S0895479896305696) far below the error of interest. The spectra are those of its small core; the modes that
a split makes of one long mode are reached through that mode's factor, whose sides are compressed likewise.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

MOST_ENTRIES = 1 << 24
"""Of a matrix between two sides, 128 MiB; a tensor that needs more has no low ranks there."""

NEGLIGIBLE = 1e-15
"""Of the energy: below it a Gram matrix in 64-bit numbers holds nothing but rounding."""


@dataclass(frozen=True, slots=True, eq=False)
class Compressed:
    """A tensor as factors with orthonormal columns around a core.

    Args:
        core: ``(rank of each mode)``.
        factors: ``(length, rank)`` of each mode.
        energy: sum of the squared elements of the tensor itself.
    """

    core: Array
    factors: tuple[Array, ...]
    energy: float


def compressed(tensor: npt.NDArray[np.floating], relative_error: float) -> Compressed:
    """Return a tensor as factors and core.

    Args:
        tensor: of any shape, finite, not zero.
        relative_error: Frobenius norm of what is left out over that of the tensor.
    """
    core = tensor.astype(np.float64)
    energy = float(np.vdot(core, core))
    if not (math.isfinite(energy) and energy > 0.0):
        raise ValueError(f"tensor: expected finite elements, not all zero, found a sum of squares of {energy}")
    budget = relative_error**2 * energy / max(1, core.ndim)
    factors = []
    for mode in range(core.ndim):
        matrix = np.moveaxis(core, mode, 0).reshape(core.shape[mode], -1)
        factor = _basis(matrix, budget)
        others = tuple(length for place, length in enumerate(core.shape) if place != mode)
        core = np.moveaxis((factor.T @ matrix).reshape(factor.shape[1], *others), 0, mode)
        factors.append(factor)
    return Compressed(np.ascontiguousarray(core), tuple(factors), energy)


class Spectra:
    """The spectra of one tensor, each computed when it is first asked for.

    Args:
        tensor: compressed well below the error of interest.
        splits: factors of each mode, the slowest first; ``(n,)`` leaves a mode whole.
        relative_error: to which the sides of split modes are compressed; of the same size as the tensor's.
    """

    def __init__(self, tensor: Compressed, splits: tuple[tuple[int, ...], ...], relative_error: float) -> None:
        """Check that the splits fit; nothing is computed yet."""
        lengths = tuple(factor.shape[0] for factor in tensor.factors)
        if tuple(math.prod(factors) for factors in splits) != lengths:
            raise ValueError(f"splits: expected factors of {lengths}, found {splits}")
        self.tensor = tensor
        self.splits = splits
        self.modes = tuple(factor for factors in splits for factor in factors)
        self._budget = relative_error**2 / max(1, len(self.modes))
        self._known: dict[int, Array] = {}
        self._inner: dict[tuple[int, int], Array] = {}
        self._weights = _mode_weights(tensor.core, tensor.energy)

    @property
    def computed(self) -> int:
        """How many spectra were computed so far."""
        return len(self._known)

    def squares(self, subset: int) -> Array:
        """Return the squared singular values between a set of split modes and the rest, over the tensor's energy.

        Args:
            subset: bit ``k`` stands for split mode ``k``, counted through ``splits``.

        Returns:
            ``(rank,)``, descending; what compression left out is missing from their sum, which is at most 1. Empty
            where the matrix between the sides would have more than :data:`MOST_ENTRIES`.
        """
        whole = (1 << len(self.modes)) - 1
        key = min(subset & whole, whole & ~subset)
        if key not in self._known:
            self._known[key] = self._compute(key) if key else np.ones(1)
        return self._known[key]

    def _compute(self, subset: int) -> Array:
        """Return a spectrum; the core's axes go through the split modes one by one, onto one side or both."""
        core = self.tensor.core
        rows: list[int] = []
        columns: list[int] = []
        first = axis = 0
        for mode, factors in enumerate(self.splits):
            full = (1 << len(factors)) - 1
            inside = (subset >> first) & full
            first += len(factors)
            if inside in (0, full):
                (rows if inside else columns).append(axis)
                axis += 1
                continue
            inner = self._sides(mode, inside)
            if core.size // core.shape[axis] * inner.shape[0] * inner.shape[1] > MOST_ENTRIES:
                return np.zeros(0)
            core = np.moveaxis(np.tensordot(inner, core, axes=(2, axis)), (0, 1), (axis, axis + 1))
            rows.append(axis)
            columns.append(axis + 1)
            axis += 2
        height = math.prod(core.shape[place] for place in rows)
        values = _squares(core.transpose(rows + columns).reshape(height, -1)) / self.tensor.energy
        return np.asarray(values[: max(1, int(np.count_nonzero(values > NEGLIGIBLE)))])

    def _sides(self, mode: int, inside: int) -> Array:
        """Return what links both sides of a split mode with its rank in the core, ``(one side, other side, rank)``."""
        known = self._inner.get((mode, inside))
        if known is not None:
            return known
        factors = self.splits[mode]
        chosen = [place for place in range(len(factors)) if inside >> place & 1]
        rest = [place for place in range(len(factors)) if not inside >> place & 1]
        factor = self.tensor.factors[mode]
        rank = factor.shape[1]
        height = math.prod(factors[place] for place in chosen)
        block = factor.reshape(*factors, rank).transpose([*chosen, *rest, len(factors)]).reshape(height, -1, rank)
        weighted = block * self._weights[mode]
        # the weights are the mode's singular values, so what is cut here is cut from the tensor, relative to its norm
        one = _basis(weighted.reshape(height, -1), self._budget)
        other = _basis(weighted.transpose(1, 0, 2).reshape(block.shape[1], -1), self._budget)
        self._inner[mode, inside] = np.einsum("abr,ap,bq->pqr", block, one, other, optimize=True)
        return self._inner[mode, inside]


def _mode_weights(core: Array, energy: float) -> list[Array]:
    """Return for each mode the relative norms of the core's slices, ``(rank,)``."""
    modes = range(core.ndim)
    squares = core**2
    return [np.sqrt(squares.sum(axis=tuple(m for m in modes if m != mode)) / energy) for mode in modes]


def _basis(matrix: Array, budget: float) -> Array:
    """Return an orthonormal basis of the columns, ``(rows, rank)``, that loses at most ``budget`` of squares."""
    if matrix.shape[0] > matrix.shape[1]:
        tall, small = np.linalg.qr(matrix)
        return np.ascontiguousarray(tall @ _basis(small, budget))
    squares, vectors = np.linalg.eigh(matrix @ matrix.T)
    tails = np.cumsum(np.maximum(squares, 0.0))  # ascending: the sum of the smallest so far
    drop = min(int(np.searchsorted(tails, budget, side="right")), squares.size - 1)
    return np.ascontiguousarray(vectors[:, ::-1][:, : squares.size - drop])


def _squares(matrix: Array) -> Array:
    """Return the squared singular values, descending."""
    gram = matrix @ matrix.T if matrix.shape[0] <= matrix.shape[1] else matrix.T @ matrix
    return np.asarray(np.maximum(np.linalg.eigvalsh(gram)[::-1], 0.0))
