"""Which step does each entry of a core deserve, and how large will it be in steps?

A change of a core's column counts in the tensor times the singular value of that column's bond. So columns are rounded
with a step in inverse proportion to it, one step for all of the tensor, as quantised Tucker does for its factors
(Ballester-Ripoll et al. 2020, doi 10.1109/TVCG.2019.2904063). Canonical form makes that exact: everything left of a
column has orthonormal columns, everything right of it orthonormal rows times the singular values.

All sizes are in half octaves, as integers, so that every machine finds the same steps and the same classes.
"""

import math

import numpy as np
import numpy.typing as npt

from tasks.codecs.networks import trains
from tasks.codecs.networks.coder import Integers
from tasks.codecs.networks.trains import Array, Cores

STEPS_PER_OCTAVE = 16
"""How finely the common step is chosen."""

FINENESS_MAX = 60 * STEPS_PER_OCTAVE
"""A common step of 2^-60 of the norm is below what 64-bit numbers can tell."""

_WIDE = 6
"""Cores of a Tucker network above which the core of a difference, twice as wide in each mode, would be too large."""

SIZE_MAX = 512
"""Half octaves: a bond column that is 2^-256 of the tensor."""


def canonical_train(cores: Cores) -> tuple[Cores, tuple[Array, ...]]:
    """Return the same tensor train with orthonormal columns in all but the last core, and each bond's singular values.

    Args:
        cores: ``(rank, mode, next rank)`` each.
    """
    moved = list(cores)
    for place in range(len(moved) - 1, 0, -1):  # rows orthonormal from the right
        rank, mode, after = moved[place].shape
        basis, triangle = np.linalg.qr(moved[place].reshape(rank, mode * after).T)
        moved[place] = basis.T.reshape(-1, mode, after)
        moved[place - 1] = moved[place - 1] @ triangle.T
    values = []
    for place in range(len(moved) - 1):
        rank, mode, after = moved[place].shape
        basis, singular, right = np.linalg.svd(moved[place].reshape(rank * mode, after), full_matrices=False)
        moved[place] = basis.reshape(rank, mode, -1)
        moved[place + 1] = np.tensordot(singular[:, None] * right, moved[place + 1], axes=(1, 0))
        values.append(singular)
    return tuple(moved), tuple(values)


def canonical_tucker(cores: Cores) -> tuple[Cores, tuple[Array, ...]]:
    """Return the same Tucker network with orthonormal factors and an all-orthogonal core, and each mode's values."""
    factors, core = list(cores[:-1]), cores[-1]
    for mode, factor in enumerate(factors):
        factors[mode], triangle = np.linalg.qr(factor)
        core = np.moveaxis(np.tensordot(triangle, core, axes=(1, mode)), 0, mode)
    values = []
    for mode, factor in enumerate(factors):
        matrix = np.moveaxis(core, mode, 0).reshape(core.shape[mode], -1)
        basis, singular, _ = np.linalg.svd(matrix, full_matrices=False)
        factors[mode] = factor @ basis
        core = np.moveaxis(np.tensordot(basis.T, core, axes=(1, mode)), 0, mode)
        values.append(singular)
    return (*factors, np.ascontiguousarray(core)), tuple(values)


def canonical_sum(cores: Cores) -> tuple[Cores, tuple[Array, ...]]:
    """Return the same CP network, its terms from large to small, weights in the first factor, and the weights."""
    norms = [np.linalg.norm(factor, axis=0) for factor in cores]
    weights = math.prod(norms[1:], start=norms[0])
    order = np.argsort(-weights, kind="stable")
    units = [factor / np.where(norm > 0.0, norm, 1.0) for factor, norm in zip(cores, norms, strict=True)]
    first, *others = (np.ascontiguousarray(factor[:, order]) for factor in units)
    return (first * weights[order], *others), (weights[order],)


def norm(kind: str, cores: Cores) -> float:
    """Return the Frobenius norm of a network in canonical form."""
    if kind != "cp":
        return float(np.linalg.norm(cores[-1]))
    gram = math.prod([factor.T @ factor for factor in cores], start=np.ones((cores[0].shape[1],) * 2))
    return math.sqrt(max(0.0, float(gram.sum())))


def sizes_of(values: Array, norm_of_all: float) -> Integers:
    """Return how far singular values lie below the norm, in half octaves."""
    with np.errstate(divide="ignore"):
        below = np.rint(-2.0 * np.log2(values / norm_of_all))
    return np.clip(below, -SIZE_MAX, SIZE_MAX).astype(np.int64)


def steps(kind: str, place: int, places: int, sizes: tuple[Integers, ...], fineness: int) -> Array:
    """Return the step of each column of a core, ``(columns,)``, over the norm; one for all where they are alike.

    Args:
        kind: tt, tucker or cp.
        place: of the core.
        places: how many cores there are.
        sizes: of each bond (train), mode (Tucker), or of the terms (CP).
        fineness: sixteenths of an octave by which the common step lies below the norm.
    """
    if kind == "cp":
        above = np.zeros_like(sizes[0]) if place == 0 else sizes[0]
    elif place == places - 1:
        above = np.zeros(1, dtype=np.int64)
    else:
        above = sizes[place]
    return np.exp2(above / 2.0 - fineness / STEPS_PER_OCTAVE)


def expected(
    kind: str, place: int, shape: tuple[int, ...], sizes: tuple[Integers, ...], fineness: int
) -> npt.NDArray[np.int64]:
    """Return how large each entry of a core is expected to be in steps, in half octaves, of the core's ``shape``.

    Args:
        kind: of the network.
        place: of the core.
        shape: of the core.
        sizes: of each bond (train), mode (Tucker), or of the terms (CP).
        fineness: sixteenths of an octave by which the common step lies below the norm.
    """
    fineness = fineness * 2 // STEPS_PER_OCTAVE
    if kind == "cp":
        return np.broadcast_to(fineness - sizes[0] - _octaves(shape[0]), shape)
    if kind == "tucker" and place == len(sizes):
        total = np.full(shape, fineness, dtype=np.int64)
        for mode, below in enumerate(sizes):
            total -= below.reshape((-1,) + (1,) * (len(shape) - 1 - mode))
        return total
    if kind == "tucker":
        return np.broadcast_to(fineness - sizes[place] - _octaves(shape[0]), shape)
    before = sizes[place - 1] if place else np.zeros(1, dtype=np.int64)
    after = sizes[place] if place < len(sizes) else np.zeros(1, dtype=np.int64)
    both = before[:, None, None] + after[None, None, :] + _octaves(shape[1])
    return np.broadcast_to(fineness - both, shape)


def _octaves(length: int) -> int:
    """Return the half octaves of the root of a length, to the nearest."""
    return (length * length).bit_length() // 2


def squared_distance(kind: str, ours: Cores, theirs: Cores, *, exact: bool) -> float:
    """Return the squared Frobenius distance of two networks over the same modes, without making either tensor.

    Args:
        kind: tt, tucker or cp.
        ours: in canonical form.
        theirs: any.
        exact: whether distances below 1e-5 of the norm count. Otherwise, and always for CP and for Tucker of many
            modes, inner products are subtracted, which is much faster, and good down to about 1e-7 of the norm.
    """
    if kind == "cp":
        both = [np.hstack([one, other]) for one, other in zip(ours, theirs, strict=True)]
        both[0] = np.hstack([ours[0], -theirs[0]])
        return norm("cp", tuple(both)) ** 2
    if kind == "tucker":
        if not exact or len(ours) > _WIDE:
            crossed = [one.T @ other for one, other in zip(ours, theirs[:-1], strict=False)]
            itself = [other.T @ other for other in theirs[:-1]]
            inner = float(np.vdot(ours[-1], _turned(theirs[-1], crossed)))
            return max(0.0, norm(kind, ours) ** 2 + float(np.vdot(theirs[-1], _turned(theirs[-1], itself))) - 2 * inner)
        core = np.zeros(tuple(sum(lengths) for lengths in zip(ours[-1].shape, theirs[-1].shape, strict=True)))
        core[tuple(slice(0, length) for length in ours[-1].shape)] = ours[-1]
        core[tuple(slice(length, None) for length in ours[-1].shape)] = -theirs[-1]
        pairs = zip(ours[:-1], theirs[:-1], strict=True)
        core = _turned(core, [np.linalg.qr(np.hstack(pair))[1] for pair in pairs])
        return float(np.vdot(core, core))
    if not exact:
        inner = trains.inner(theirs, theirs) - 2.0 * trains.inner(ours, theirs)
        return max(0.0, norm(kind, ours) ** 2 + inner)
    carried = np.array([[1.0, -1.0]])
    for one, other in zip(ours, theirs, strict=True):
        rows = np.zeros((one.shape[0] + other.shape[0], one.shape[1], one.shape[2] + other.shape[2]))
        rows[: one.shape[0], :, : one.shape[2]] = one
        rows[one.shape[0] :, :, one.shape[2] :] = other
        rows = np.tensordot(carried, rows, axes=(1, 0))
        carried = np.linalg.qr(rows.reshape(-1, rows.shape[2]))[1]
    last = carried.sum(axis=1)
    return float(np.vdot(last, last))


def _turned(core: Array, matrices: list[Array]) -> Array:
    """Return a Tucker core after a matrix in each mode."""
    for mode, matrix in enumerate(matrices):
        core = np.moveaxis(np.tensordot(matrix, core, axes=(1, mode)), 0, mode)
    return core
