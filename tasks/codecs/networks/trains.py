"""How does a tensor become a tensor train, with a given error at each bond?

TT-SVD (Oseledets 2011, doi 10.1137/090752286): bonds are cut from left to right, each by a truncated singular value
decomposition. What is left is a projection each time, so the squared errors of the bonds add up exactly, and what one
bond does not use of its share may be given to the next.
"""

import contextlib

import numpy as np
import numpy.typing as npt
from scipy.linalg import solve_triangular

Array = npt.NDArray[np.float64]
Cores = tuple[Array, ...]

_NORMAL_FROM = 48
"""Columns from which normal equations are worth their trouble."""

_APART = 1e-4
"""Share of the largest pivot below which columns count as parallel."""

_GRAM_FLOOR = 1e-10
"""Of the squared norm: below it a Gram matrix in 64-bit numbers no longer tells small singular values from rounding."""


def left_basis(matrix: Array, squares_allowed: float) -> Array:
    """Return an orthonormal basis of the leading left singular vectors, ``(rows, rank)``, rank at least 1.

    Args:
        matrix: ``(rows, columns)``.
        squares_allowed: most that the squared singular values which are left out may sum to.
    """
    rows, columns = matrix.shape
    total = float(np.vdot(matrix, matrix))
    if squares_allowed < _GRAM_FLOOR * total:
        basis, values, _ = np.linalg.svd(matrix, full_matrices=False)
        return np.ascontiguousarray(basis[:, : kept(values**2, squares_allowed)])
    if rows <= columns:
        squares, vectors = np.linalg.eigh(matrix @ matrix.T)
        rank = kept(np.maximum(squares[::-1], 0.0), squares_allowed)
        return np.ascontiguousarray(vectors[:, ::-1][:, :rank])
    squares, vectors = np.linalg.eigh(matrix.T @ matrix)
    rank = kept(np.maximum(squares[::-1], 0.0), squares_allowed)
    return np.ascontiguousarray(np.linalg.qr(matrix @ vectors[:, ::-1][:, :rank])[0])


def kept(squares: Array, allowed: float) -> int:
    """Return how many of ``squares``, descending, stay so that the rest sums to at most ``allowed``, and 1 at least."""
    tails = np.cumsum(squares[::-1])[::-1]
    return max(1, int(np.count_nonzero(tails > allowed)))


def decompose(tensor: Array, shares: tuple[float, ...], squares_allowed: float) -> Cores:
    """Return the cores of a tensor train, ``(rank, mode, next rank)`` each; all but the last have orthonormal columns.

    Args:
        tensor: of any shape.
        shares: of the squared error, one for each bond.
        squares_allowed: greatest sum of squared differences.
    """
    cores = []
    rank, rest, spare = 1, tensor.reshape(1, -1), 0.0
    for mode, share in zip(tensor.shape, shares, strict=False):  # the last mode has no bond after it
        matrix = rest.reshape(rank * mode, -1)
        spare += share * squares_allowed
        basis = left_basis(matrix, spare)
        rest = basis.T @ matrix
        lost = float(np.vdot(matrix, matrix)) - float(np.vdot(rest, rest))
        spare = max(0.0, spare - max(0.0, lost))
        cores.append(basis.reshape(rank, mode, -1))
        rank = basis.shape[1]
    cores.append(rest.reshape(rank, tensor.shape[-1], 1))
    return tuple(cores)


def reconstruct(cores: Cores) -> Array:
    """Return the tensor of a tensor train."""
    left = cores[0]
    for core in cores[1:]:
        left = left.reshape(-1, core.shape[0]) @ core.reshape(core.shape[0], -1)
    return left.reshape(tuple(core.shape[1] for core in cores))


def solved(matrix: Array, right: Array, smallest: float) -> Array:
    """Return the least-squares solution.

    Args:
        matrix: ``(rows, columns)``.
        right: ``(rows, any)``.
        smallest: share of the largest singular value below which others count as 0.
    """
    columns = matrix.shape[1]
    if columns > _NORMAL_FROM:
        gram = matrix.T @ matrix
        with contextlib.suppress(np.linalg.LinAlgError):  # as good as the long way where columns are far from parallel
            triangle = np.linalg.cholesky(gram)
            diagonal = np.diagonal(triangle)
            if diagonal.min() > _APART * diagonal.max():
                half = solve_triangular(triangle, matrix.T @ right, lower=True)
                return np.asarray(solve_triangular(triangle, half, lower=True, trans="T"), dtype=np.float64)
    return np.asarray(np.linalg.lstsq(matrix, right, rcond=smallest)[0], dtype=np.float64)


def shortened(cores: Cores, shares: tuple[float, ...], squares_allowed: float) -> Cores:
    """Return a train of lower ranks, within ``squares_allowed`` of the given one; cost grows with ranks, not with size.

    Args:
        cores: ``(rank, mode, next rank)`` each.
        shares: of the squared error, one for each bond.
        squares_allowed: greatest sum of squared differences.
    """
    moved = list(cores)
    for place in range(len(moved) - 1, 0, -1):  # rows orthonormal from the right: what is cut then counts as it is
        rank, mode, after = moved[place].shape
        basis, triangle = np.linalg.qr(moved[place].reshape(rank, mode * after).T)
        moved[place] = basis.T.reshape(-1, mode, after)
        moved[place - 1] = moved[place - 1] @ triangle.T
    spare = 0.0
    for place, share in enumerate(shares):
        rank, mode, after = moved[place].shape
        matrix = moved[place].reshape(rank * mode, after)
        spare += share * squares_allowed
        basis = left_basis(matrix, spare)
        rest = basis.T @ matrix
        lost = float(np.vdot(matrix, matrix)) - float(np.vdot(rest, rest))
        spare = max(0.0, spare - max(0.0, lost))
        moved[place] = basis.reshape(rank, mode, -1)
        moved[place + 1] = np.tensordot(rest, moved[place + 1], axes=(1, 0))
    return tuple(moved)


def norm_squared(cores: Cores) -> float:
    """Return the squared Frobenius norm of a train."""
    return inner(cores, cores)


def inner(ours: Cores, theirs: Cores) -> float:
    """Return the inner product of two trains."""
    carried = np.ones((1, 1))
    for one, other in zip(ours, theirs, strict=True):
        half = np.tensordot(carried, other, axes=(1, 0))
        carried = one.reshape(-1, one.shape[2]).T @ half.reshape(-1, other.shape[2])
    return float(carried[0, 0])
