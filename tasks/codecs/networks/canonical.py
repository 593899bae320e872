"""How does a tensor become a sum of outer products of vectors?

Canonical polyadic decomposition by alternating least squares (Carroll and Chang 1970, doi 10.1007/BF02310791; survey:
Kolda and Bader 2009, doi 10.1137/07070111X). The rank grows by one whenever the error no longer falls; there is no
way to know the rank beforehand.
"""

import math

import numpy as np

from tasks.codecs.networks.trains import Array, Cores, solved

_SWEEPS = 60
"""At most so many rounds of least squares for each rank."""

_STALLED = 1e-3
"""Relative fall of the squared error in a round below which another term is worth more."""


class RankTooHigh(Exception):
    """The error asked for needs as many parameters as the tensor has elements, or more."""


def decompose(tensor: Array, relative_error: float, rng: np.random.Generator) -> Cores:
    """Return factors, ``(mode, rank)`` each; the first holds the weights, the columns of the others have norm 1.

    Args:
        tensor: not zero.
        relative_error: greatest Frobenius norm of the difference over that of the tensor.
        rng: where each new term begins.

    Raises:
        RankTooHigh: the error was not reached with fewer parameters than the tensor has elements.
    """
    squares = float(np.vdot(tensor, tensor))
    unfolded = [np.moveaxis(tensor, mode, 0).reshape(length, -1) for mode, length in enumerate(tensor.shape)]
    ranks = tensor.size // sum(tensor.shape)
    factors: list[Array] = [np.zeros((length, 0)) for length in tensor.shape]
    lost = math.inf
    for _ in range(max(1, ranks)):
        factors = [np.hstack([factor, _random_column(factor, rng)]) for factor in factors]
        before = math.inf
        for _ in range(_SWEEPS):
            for mode in range(len(factors)):
                others = [factor for place, factor in enumerate(factors) if place != mode]
                rows = khatri_rao(others)
                gram = math.prod([other.T @ other for other in others], start=np.ones((rows.shape[1],) * 2))
                factors[mode] = solved(gram, (unfolded[mode] @ rows).T, 1e-13).T
                if mode:
                    factors[0], factors[mode] = _weights_first(factors[0], factors[mode])
            found = unfolded[0] - factors[0] @ khatri_rao(factors[1:]).T
            lost = float(np.vdot(found, found))
            if lost <= relative_error**2 * squares:
                return tuple(np.ascontiguousarray(factor) for factor in factors)
            if lost > (1.0 - _STALLED) * before:
                break
            before = lost
    raise RankTooHigh(f"expected an error of {relative_error} by rank {ranks}, found {math.sqrt(lost / squares):.3g}")


def khatri_rao(factors: list[Array] | Cores) -> Array:
    """Return the columnwise products of factors, ``(product of modes, rank)``, the last mode fastest."""
    if not factors:
        return np.ones((1, 1))
    rows = factors[0]
    for factor in factors[1:]:
        rows = (rows[:, None, :] * factor[None, :, :]).reshape(-1, factor.shape[1])
    return rows


def reconstruct(cores: Cores) -> Array:
    """Return the tensor of factors."""
    shape = tuple(core.shape[0] for core in cores)
    if len(cores) == 1:
        total: Array = cores[0].sum(axis=1)
        return total
    tensor: Array = (cores[0] @ khatri_rao(cores[1:]).T).reshape(shape)
    return tensor


def _random_column(factor: Array, rng: np.random.Generator) -> Array:
    column = rng.standard_normal((factor.shape[0], 1))
    return column / np.linalg.norm(column)


def _weights_first(first: Array, other: Array) -> tuple[Array, Array]:
    norms = np.linalg.norm(other, axis=0)
    norms = np.where(norms > 0.0, norms, 1.0)
    return first * norms, other / norms
