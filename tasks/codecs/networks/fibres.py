"""Which fibres of a tensor tell all of it? Sweeps over pairs of neighbouring cores of a train, with LU pivots.

The block that two cores make together is eliminated with full pivoting until what is left is within a tolerance; the
pivots are the fibres that the next pair is looked at through (Savostyanov and Oseledets 2011, doi
10.1109/nDS.2011.6076873; Nunez Fernandez et al. 2022, doi 10.1103/PhysRevX.12.041018).
"""

import numpy as np
from numba import njit

from tasks.codecs.networks import trains
from tasks.codecs.networks.entries import Counted, Indices
from tasks.codecs.networks.trains import Array

BLOCK_MAX = 1 << 25
"""Entries of two neighbouring cores that are looked at together: 256 MiB."""

_SWEEPS = 4


def swept(
    function: Counted,
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


def _cores(function: Counted, modes: tuple[int, ...], lefts: list[Indices], rights: list[Indices]) -> tuple[Array, ...]:
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
