"""In which rounds do unequal messages cross a crossbar soonest? In those of a Birkhoff-von Neumann decomposition.

Messages may be cut and sent in several rounds, as in a preemptive open shop, whose least makespan is the largest sum of
a row or a column (Gonzalez and Sahni 1976, doi 10.1145/321978.321985). The matrix of times is filled up to equal sums;
then it is a sum of matchings (Birkhoff 1946), taken off one after another. Each takes at least one entry away, which
bounds their number. Matchings with long rounds are taken first, by thresholds that halve (Liu et al. 2015,
doi 10.1145/2716281.2836126), since every round has a price in latency; the fewest rounds are NP-hard to find (Dufosse
and Ucar 2016, doi 10.1016/j.laa.2016.02.023). All polynomial, all exact: no quantum step is needed here.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit

from tasks.compiled import inner

Ints = npt.NDArray[np.int64]

LARGEST = 1 << 60
"""Of a row or column sum: sums of sums must stay within 64 bits."""


@dataclass(frozen=True, slots=True, eq=False)
class Decomposition:
    """Matchings whose lengths add up to the makespan.

    Args:
        length: of each round, in the matrix's unit, ``(rounds,)``.
        partner: to whom each row sends, -1 for nobody, ``(rounds, rows)``.
        sent: how much it sends, at most the round's length, ``(rounds, rows)``.
        makespan: the largest sum of a row or column, and of all lengths.
        most_rounds: what the number of rounds is bounded by.
    """

    length: Ints
    partner: Ints
    sent: Ints
    makespan: int
    most_rounds: int


def decompose(amount: Ints) -> Decomposition:
    """Return the rounds in which ``amount`` is sent, soonest.

    Args:
        amount: whole units (nanoseconds, or bytes where all links are equal) from each row to each column,
            ``(rows, columns)``, none negative.

    Raises:
        ValueError: not a matrix of whole numbers from 0, or a sum is above 2**60.
    """
    if amount.ndim != 2 or amount.dtype.kind not in "iu":
        raise ValueError(f"amount: expected whole numbers of shape (rows, columns), got {amount.dtype} {amount.shape}")
    rows, columns = amount.shape
    size = max(rows, columns, 1)
    if amount.size and (amount.min() < 0 or float(amount.astype(np.float64).sum(axis=1).max()) > LARGEST):
        raise ValueError(f"amount: expected numbers from 0 whose sums stay below 2**60, got {amount.min()} or more")
    if amount.size and float(amount.astype(np.float64).sum(axis=0).max()) > LARGEST:
        raise ValueError("amount: expected sums of columns below 2**60, got more")
    wanted = np.zeros((size, size), np.int64)
    wanted[:rows, :columns] = amount
    makespan = int(max(wanted.sum(axis=0).max(), wanted.sum(axis=1).max()))
    filled = wanted + _filling(makespan - wanted.sum(axis=1), makespan - wanted.sum(axis=0))
    most = min(int(np.count_nonzero(filled)), size * size - 2 * size + 2) if makespan else 0
    length, partner = _peel(filled, makespan)
    sent = _sent(wanted.copy(), length, partner)
    partner = np.where(sent > 0, partner, -1)
    return Decomposition(length, partner[:, :rows], sent[:, :rows], makespan, most)


def _filling(rows: Ints, columns: Ints) -> Ints:
    """Return what fills rows and columns up, by the north-west corner rule: at most ``rows + columns - 1`` entries."""
    filling = np.zeros((rows.size, columns.size), np.int64)
    rows, columns = rows.copy(), columns.copy()
    i = j = 0
    while i < rows.size and j < columns.size:
        step = min(rows[i], columns[j])
        filling[i, j] += step
        rows[i] -= step
        columns[j] -= step
        if rows[i] == 0:
            i += 1
        else:
            j += 1
    return filling


@njit(cache=True)
def _peel(left: Ints, makespan: int) -> tuple[Ints, Ints]:
    """Take perfect matchings off ``left``, whose rows and columns all have the same sum, until nothing is left."""
    size = left.shape[0]
    length = np.zeros(64, np.int64)  # both grow as they fill: the bound on rounds times the rows may not fit
    partner = np.full((64, size), -1, np.int64)
    to_column = np.full(size, -1, np.int64)
    to_row = np.full(size, -1, np.int64)
    seen = np.zeros(size, np.int64)
    came_from = np.empty(size, np.int64)
    queue = np.empty(size, np.int64)
    stamp = 0
    threshold = 1
    while 2 * threshold <= makespan:
        threshold *= 2
    rounds, gone = 0, 0
    while gone < makespan:
        complete = True
        for row in range(size):
            column = to_column[row]
            if column >= 0 and left[row, column] < threshold:
                to_column[row], to_row[column] = -1, -1
        for row in range(size):
            if to_column[row] >= 0:
                continue
            stamp += 1
            if not _augment(left, threshold, row, to_column, to_row, seen, stamp, came_from, queue):
                complete = False
                break
        if not complete:
            threshold = max(1, threshold // 2)
            continue
        step = left[0, to_column[0]]
        for row in range(1, size):
            step = min(step, left[row, to_column[row]])
        if rounds == length.size:
            longer, wider = np.zeros(2 * rounds, np.int64), np.full((2 * rounds, size), -1, np.int64)
            longer[:rounds], wider[:rounds] = length, partner
            length, partner = longer, wider
        for row in range(size):
            left[row, to_column[row]] -= step
            partner[rounds, row] = to_column[row]
        length[rounds] = step
        rounds += 1
        gone += step
    return length[:rounds], partner[:rounds]


@inner
def _augment(
    left: Ints,
    threshold: int,
    start: int,
    to_column: Ints,
    to_row: Ints,
    seen: Ints,
    stamp: int,
    came_from: Ints,
    queue: Ints,
) -> bool:
    """Match ``start`` along a shortest alternating path over entries of at least ``threshold``, if there is one."""
    size = left.shape[0]
    head, tail = 0, 1
    queue[0] = start
    while head < tail:
        row = queue[head]
        head += 1
        for column in range(size):
            if seen[column] == stamp or left[row, column] < threshold:
                continue
            seen[column] = stamp
            came_from[column] = row
            if to_row[column] >= 0:
                queue[tail] = to_row[column]
                tail += 1
                continue
            while True:
                before = came_from[column]
                following = to_column[before]
                to_column[before], to_row[column] = column, before
                if before == start:
                    return True
                column = following
    return False


@njit(cache=True)
def _sent(wanted: Ints, length: Ints, partner: Ints) -> Ints:
    """Return what each row really sends in each round: a pair sends while it has something, then idles."""
    sent = np.zeros(partner.shape, np.int64)
    for t in range(length.size):
        for row in range(partner.shape[1]):
            column = partner[t, row]
            step = min(length[t], wanted[row, column])
            wanted[row, column] -= step
            sent[t, row] = step
    return sent
