"""How does a tensor that is too large to be made become a tensor train, given a function of its entries?

Cross interpolation (Oseledets and Tyrtyshnikov 2010, doi 10.1016/j.laa.2009.07.024): a train is known from a few of the
tensor's fibres. Two neighbouring cores are looked at together, and an LU decomposition with full pivoting of that block
says which fibres to take and how many (Savostyanov and Oseledets 2011, doi 10.1109/nDS.2011.6076873; Nunez Fernandez et
al. 2022, doi 10.1103/PhysRevX.12.041018). Sweeps can miss what no fibre has met; so random entries are compared, and
the worst become pivots of the next sweeps.

The error is an estimate from random entries, not a bound: the tensor is never seen whole. Where a few entries hold
most of its norm, as in a corner of Hilbert's tensor, random entries say how near the many others are.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from numba import njit

from tasks.codecs.networks import scaled, trains
from tasks.codecs.networks.form import Network, NetworkForm, shares
from tasks.codecs.networks.named_forms import natural
from tasks.codecs.networks.quantised import from_bytes, quantise, to_bytes
from tasks.codecs.networks.trains import Array

Indices = npt.NDArray[np.int64]
Entries = Callable[[Indices], npt.NDArray[np.floating]]
"""Returns the entries, ``(n,)``, at the indices ``(n, dimensions)`` of the tensor."""

BLOCK_MAX = 1 << 25
"""Entries of two neighbouring cores that are looked at together: 256 MiB."""

_AT_ONCE = 1 << 18
_PROBES = 20_000
_FINER = 0.25
_CROSSED = 0.5
_MARGIN_OF_SAMPLES = 0.98
_LEAST_SHARE = 0.02
_TIGHTER = 0.9
_TRIES = 12
_SWEEPS = 4
_MARGIN = 0.5
"""Share of the error that interpolation may make; the rest is for cutting ranks afterwards."""


@dataclass(frozen=True, slots=True, eq=False)
class Crossed:
    """A tensor train of a tensor that was never made.

    Args:
        network: tt or qtt.
        relative_error: Frobenius norm of the difference over that of the tensor, estimated from random entries.
        evaluations: entries that were computed.
    """

    network: Network
    relative_error: float
    evaluations: int


@dataclass(slots=True, eq=False)
class _Counted:
    """A function of network indices that counts its calls."""

    entries: Entries
    form: NetworkForm
    most: int
    evaluations: int = 0

    def __call__(self, indices: Indices) -> Array:
        self.evaluations += len(indices)
        values = np.empty(len(indices))
        for start in range(0, len(indices), _AT_ONCE):
            some = coordinates(self.form, indices[start : start + _AT_ONCE])
            values[start : start + _AT_ONCE] = self.entries(some)
        return values


def cross(
    entries: Entries,
    form: NetworkForm,
    relative_error: float,
    rng: np.random.Generator,
    *,
    ranks_max: int = 64,
    rounds: int = 8,
    evaluations_max: int = 100_000_000,
) -> Crossed:
    """Return a tensor train of a function of indices.

    Args:
        entries: finite everywhere.
        form: tt or qtt.
        relative_error: Frobenius norm of the difference over that of the tensor.
        rng: for the random entries.
        ranks_max: greatest rank of a bond.
        rounds: times that the tolerance is tightened, or pivots are added.
        evaluations_max: entries computed after which no further sweep or round begins.

    Returns:
        The train and its error, estimated from 20,000 random entries; it may be above ``relative_error`` where
        ``ranks_max``, ``rounds`` or ``evaluations_max`` were too few.

    Raises:
        ValueError: the form is no train, entries are not finite, or two neighbouring modes are too long.
    """
    if form.kind not in ("tt", "qtt"):
        raise ValueError(f"form: expected tt or qtt, found {form.kind}")
    function = _Counted(entries, form, evaluations_max)
    modes = form.modes
    probes = random_indices(modes, _PROBES, rng)
    values = function(probes)
    size = math.sqrt(float(np.mean(values**2)))
    if not math.isfinite(size):
        raise ValueError("entries: expected finite numbers, found others")
    if len(modes) == 1 or size == 0.0:
        whole = function(np.indices(modes).reshape(1, -1).T) if len(modes) == 1 else np.zeros(1)
        cores = (whole.reshape(1, -1, 1),) if len(modes) == 1 else tuple(np.zeros((1, mode, 1)) for mode in modes)
        return Crossed(Network(cores, replace(form, budget=()), form.shape), 0.0, function.evaluations)
    start = probes[[int(np.argmax(np.abs(values)))]]
    rights = [start[:, bond:] for bond in range(len(modes) + 1)]
    lefts = [start[:, :bond] for bond in range(len(modes) + 1)]
    lefts[0], rights[-1] = start[:1, :0], start[:1, :0]
    tolerance = _MARGIN * relative_error * size
    best: Crossed | None = None
    for _ in range(rounds):
        cores = _swept(function, modes, lefts, rights, tolerance, ranks_max)
        squares = float(trains.norm_squared(cores))
        cores = trains.shortened(cores, shares(form), (1.0 - _MARGIN) * relative_error**2 * squares)
        network = Network(cores, replace(form, budget=()), form.shape)
        error, worst = _compared(network, function, random_indices(modes, _PROBES, rng))
        if best is None or error < best.relative_error:
            best = Crossed(network, error, function.evaluations)
        if error <= relative_error or function.evaluations > function.most:
            break
        tolerance *= _FINER
        for bond in range(1, len(modes)):
            lefts[bond] = np.unique(np.vstack([lefts[bond], worst[:, :bond]]), axis=0)
            rights[bond] = np.unique(np.vstack([rights[bond], worst[:, bond:]]), axis=0)
    if best is None:
        raise ValueError(f"rounds: expected at least 1, found {rounds}")
    return replace(best, evaluations=function.evaluations)


@dataclass(frozen=True, slots=True, eq=False)
class FittedImplicit:
    """Coded cores of a tensor that was never made.

    Args:
        octets: as of :func:`tasks.codecs.networks.quantised.to_bytes`.
        network: what they decode to.
        relative_error: estimated from random entries.
        evaluations: entries that were computed to make them.
    """

    octets: bytes
    network: Network
    relative_error: float
    evaluations: int


def fit_implicit(
    entries: Entries,
    form: NetworkForm,
    relative_error: float,
    rng: np.random.Generator,
    *,
    points: int = 2_000_000,
    evaluations_max: int = 100_000_000,
) -> FittedImplicit | None:
    """Return the coded train of a function of indices; None where random entries still differ by more than the error.

    Args:
        entries: finite everywhere.
        form: tt or qtt.
        relative_error: Frobenius norm of the difference over that of the tensor, after decoding.
        rng: for the random entries.
        points: random entries that the decoded train is compared at.
        evaluations_max: as of :func:`cross`.
    """
    crossed = cross(entries, form, _CROSSED * relative_error, rng, evaluations_max=evaluations_max)
    left = _MARGIN_OF_SAMPLES * math.sqrt(max(0.0, relative_error**2 - crossed.relative_error**2))
    for _ in range(_TRIES):
        if left <= _LEAST_SHARE * relative_error:
            return None
        octets = to_bytes(quantise(crossed.network, left))
        network = from_bytes(octets)
        error = sampled_error(network, entries, points, rng)
        if error <= relative_error:
            return FittedImplicit(octets, network, error, crossed.evaluations)
        left *= min(_TIGHTER, relative_error / error)
    return None


def sampled_error(network: Network, entries: Entries, points: int, rng: np.random.Generator) -> float:
    """Return the relative Frobenius error of a train, estimated from random entries.

    Args:
        network: tt or qtt.
        entries: of the tensor.
        points: how many.
        rng: which.
    """
    return _compared(network, _Counted(entries, network.form, 0), random_indices(network.form.modes, points, rng))[0]


def entries_of(network: Network, indices: Indices) -> Array:
    """Return entries of a train, ``(n,)``, at indices of its modes, ``(n, modes)``."""
    found = np.empty(len(indices))
    widest = max(core.shape[0] * core.shape[2] for core in network.cores)
    at_once = max(1, (1 << 22) // widest)
    for start in range(0, len(indices), at_once):
        some = indices[start : start + at_once]
        row = np.ones((len(some), 1))
        for mode, core in enumerate(network.cores):
            row = np.einsum("nr,rns->ns", row, core[:, some[:, mode], :])
        found[start : start + at_once] = row[:, 0]
    return found


def coordinates(form: NetworkForm, indices: Indices) -> Indices:
    """Return indices of the tensor, ``(n, dimensions)``, for indices of the network's modes, ``(n, modes)``."""
    found = np.zeros((len(indices), len(form.splits)), dtype=np.int64)
    for mode, table in enumerate(_shifts(form)):
        found += table[indices[:, mode]]
    return found


@lru_cache(maxsize=8)
def _shifts(form: NetworkForm) -> tuple[Indices, ...]:
    """Return what each value of each of the network's modes adds to the tensor's index, ``(values, dimensions)``."""
    weights = [
        (dimension, math.prod(factors[level + 1 :]))
        for dimension, factors in enumerate(form.splits)
        for level in range(len(factors))
    ]
    tables, first = [], 0
    for mode, run in zip(form.modes, form.groups, strict=True):
        table = np.zeros((mode, len(form.splits)), dtype=np.int64)
        parts = np.unravel_index(np.arange(mode), form.permuted_shape[first : first + run])
        for place, part in enumerate(parts):
            dimension, weight = weights[form.permutation[first + place]]
            table[:, dimension] += part * weight
        tables.append(table)
        first += run
    return tuple(tables)


def random_indices(modes: tuple[int, ...], points: int, rng: np.random.Generator) -> Indices:
    """Return random indices, ``(points, modes)``."""
    return np.stack([rng.integers(0, mode, points) for mode in modes], axis=1)


def as_tucker(network: Network, relative_error: float) -> Network:
    """Return a train over whole modes as a Tucker network within ``relative_error`` of it; the tensor is not made."""
    if network.form != natural(network.form.kind, network.shape):
        raise ValueError("network: expected a train over the tensor's own modes in their order, found another")
    cores, values = scaled.canonical_train(network.cores)
    allowed = relative_error**2 * float(np.vdot(cores[-1], cores[-1])) / len(cores)
    factors = []
    for core, weights in zip(cores, (*values, np.ones(1)), strict=True):
        centre = np.moveaxis(core * weights, 1, 0).reshape(core.shape[1], -1)
        factors.append(trains.left_basis(centre, allowed))
    inner = tuple(
        np.einsum("nk,rns->rks", factor, core) for factor, core in zip(factors, cores, strict=True)
    )  # fmt: skip
    return Network((*factors, trains.reconstruct(inner)), natural("tucker", network.shape), network.shape)


def _compared(network: Network, function: _Counted, indices: Indices) -> tuple[float, Indices]:
    """Return the relative error over some entries, and the indices of the four that are worst."""
    values = function(indices)
    differences = entries_of(network, indices) - values
    energy = float(np.vdot(values, values))
    worst = np.argsort(np.abs(differences))[-4:]
    return math.sqrt(float(np.vdot(differences, differences)) / energy) if energy else 0.0, indices[worst]


def _swept(
    function: _Counted,
    modes: tuple[int, ...],
    lefts: list[Indices],
    rights: list[Indices],
    tolerance: float,
    ranks_max: int,
) -> tuple[Array, ...]:
    """Sweep there and back, changing ``lefts`` and ``rights``, until no rank grows; return the cores."""
    before: list[int] = []
    for _ in range(_SWEEPS):
        bonds = [*range(len(modes) - 1), *range(len(modes) - 3, -1, -1)]
        for bond in bonds:
            rows = _extended(lefts[bond], modes[bond], last=True)
            columns = _extended(rights[bond + 2], modes[bond + 1], last=False)
            if len(rows) * len(columns) > BLOCK_MAX:
                raise ValueError(f"form: expected two modes of {BLOCK_MAX} entries at most, found {len(rows)} rows")
            block = function(_paired(rows, columns)).reshape(len(rows), len(columns))
            chosen_rows, chosen_columns = _pivots(block, tolerance, ranks_max)
            lefts[bond + 1], rights[bond + 1] = rows[chosen_rows], columns[chosen_columns]
        ranks = [len(left) for left in lefts]
        if function.evaluations > function.most:
            break
        if before and max(new - old for new, old in zip(ranks, before, strict=True)) <= 0:
            break
        before = ranks
    return _cores(function, modes, lefts, rights)


def _cores(
    function: _Counted, modes: tuple[int, ...], lefts: list[Indices], rights: list[Indices]
) -> tuple[Array, ...]:
    """Return the train that agrees with the function on the fibres through the pivots."""
    cores = []
    for bond, mode in enumerate(modes):
        rows = _extended(lefts[bond], mode, last=True)
        fibres = function(_paired(rows, rights[bond + 1])).reshape(len(rows), -1)
        if bond < len(modes) - 1:
            pivots = function(_paired(lefts[bond + 1], rights[bond + 1])).reshape(len(lefts[bond + 1]), -1)
            fibres = trains.solved(pivots.T, fibres.T, 1e-14).T
        cores.append(fibres.reshape(len(lefts[bond]), mode, -1))
    return tuple(cores)


def _extended(indices: Indices, mode: int, *, last: bool) -> Indices:
    """Return indices with every value of one more mode after them, or before them."""
    values = np.arange(mode)
    if last:
        return np.hstack([np.repeat(indices, mode, axis=0), np.tile(values, len(indices))[:, None]])
    return np.hstack([np.repeat(values, len(indices))[:, None], np.tile(indices, (mode, 1))])


def _paired(rows: Indices, columns: Indices) -> Indices:
    """Return every row's indices before every column's."""
    return np.hstack([np.repeat(rows, len(columns), axis=0), np.tile(columns, (len(rows), 1))])


def _pivots(block: Array, tolerance: float, ranks_max: int) -> tuple[Indices, Indices]:
    """Return rows and columns of the pivots of an LU decomposition that is stopped where all that is left is small."""
    count = min(*block.shape, ranks_max)
    rows, columns = np.zeros(count, dtype=np.int64), np.zeros(count, dtype=np.int64)
    found = _eliminate(np.ascontiguousarray(block), tolerance, rows, columns)
    return rows[: max(1, found)], columns[: max(1, found)]


@njit(cache=True, nogil=True)
def _eliminate(block: Array, tolerance: float, rows: Indices, columns: Indices) -> int:
    """Pivot fully, in place, until ``rows`` is full or all that is left is within ``tolerance``; return how often."""
    row = 0
    column = 0
    greatest = 0.0
    for i in range(block.shape[0]):
        for j in range(block.shape[1]):
            if abs(block[i, j]) > greatest:
                greatest = abs(block[i, j])
                row = i
                column = j
    for rank in range(len(rows)):
        if greatest == 0.0 or (rank > 0 and greatest <= tolerance):
            return rank
        rows[rank] = row
        columns[rank] = column
        right = block[row].copy()
        below = block[:, column] / block[row, column]
        greatest = 0.0
        for i in range(block.shape[0]):
            share = below[i]
            for j in range(block.shape[1]):
                left = block[i, j] - share * right[j]
                block[i, j] = left
                if abs(left) > greatest:
                    greatest = abs(left)
                    row = i
                    column = j
    return len(rows)
