"""What is the cheapest tensor train over a given order of modes? Dynamic programming over its bonds, compiled.

For a price of error, bits per unit of relative squared error, the cheapest train is a shortest path: its nodes are
bonds with a rank, an edge is the core between two of them, and a core may merge several modes. This is exact, over
ranks, merges and, where cores are quantised, the step; the budget of error is met by bisection on its price (Everett
1963, doi 10.1287/opre.11.3.399).
"""

import numpy as np
import numpy.typing as npt

from tasks.codecs.compiled import inner, kernel
from tasks.codecs.network_search.rate import GAUSS_BITS, HIGHEST, LOWEST, PER_UNIT

Array = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]

PARAMETER_BITS = 32.0
"""Of a number that is not quantised."""

CORE_BITS, COLUMN_BITS = 96.0, 12.0
"""What a quantised core states beside its numbers, and each of its columns: estimates. Written trains came out
5 to 30 % smaller than priced, since their coder knows more of each number than its column;
only the ranking of prices counts."""


@inner
def coded(place: float, rates: Array) -> tuple[float, float]:
    """Return bits and squared error (in squared steps) of a number, by the logarithm of its variance."""
    if place >= HIGHEST:
        return 0.5 * place / np.log(2.0) + GAUSS_BITS, 1.0 / 12.0
    if place < LOWEST:
        return 0.0, np.exp(place)
    at = (place - LOWEST) * PER_UNIT
    low = int(at)
    part = at - low
    return (
        rates[low, 0] * (1.0 - part) + rates[low + 1, 0] * part,
        rates[low, 1] * (1.0 - part) + rates[low + 1, 1] * part,
    )


@kernel
def core_prices(  # noqa: D417 - the step is named by its symbol's word
    rows: float, logarithms: Array, ranks: Counts, count: int, step: float, rates: Array, out: Array
) -> None:
    """Write bits and relative squared error of a core for each rank of its bond into ``out``, ``(ranks, 2)``.

    Args:
        rows: numbers in each column.
        logarithms: of the relative squared singular values of the bond, ``(rank,)``, which weigh a column's error.
        ranks: ascending; the first ``count`` count.
        step: of quantisation, relative to the tensor's norm; 0: numbers are stored as they are.
    """
    if step == 0.0:
        for a in range(count):
            out[a, 0] = PARAMETER_BITS * rows * ranks[a]
            out[a, 1] = 0.0
        return
    bits, error, column = CORE_BITS, 0.0, 0
    unit = np.log(rows * step * step)
    for a in range(count):
        while column < ranks[a]:
            one, lost = coded(logarithms[column] - unit, rates)
            bits += rows * one + COLUMN_BITS
            error += rows * lost * step * step
            column += 1
        out[a, 0] = bits
        out[a, 1] = error


@kernel
def cheapest(
    modes: Counts,
    counts: Counts,
    ranks: Counts,
    tails: Array,
    logarithms: Array,
    widest: int,
    price: float,
    quantised: bool,
    rates: Array,
    chosen: Counts,
) -> tuple[float, float]:
    """Return bits and relative squared error of the train that is cheapest at a price, its ranks in ``chosen``.

    Args:
        modes: lengths in the order of the train, ``(modes,)``.
        counts: ranks to choose from at each bond, ``(modes + 1,)``; the first and the last bond have rank 1.
        ranks: ``(modes + 1, candidates)``, ascending.
        tails: relative squared error of cutting at each rank, as ranks.
        logarithms: of the relative squared singular values, ``(modes + 1, largest rank)``.
        widest: product of the modes that a core may merge.
        price: of error, bits per relative squared error.
        quantised: whether cores are; the step follows from the price.
        rates: of :func:`~tasks.codecs.network_search.rate.table`.
        chosen: rank at each bond, 0 where its neighbours are merged, ``(modes + 1,)``; overwritten.
    """
    d = modes.size
    wide = ranks.shape[1]
    step = np.sqrt(6.0 / (price * np.log(2.0))) if quantised else 0.0
    best = np.full((d + 1, wide), np.inf)
    bits = np.zeros((d + 1, wide))
    error = np.zeros((d + 1, wide))
    from_bond = np.zeros((d + 1, wide), np.int64)
    from_rank = np.zeros((d + 1, wide), np.int64)
    best[0, 0] = 0.0
    out = np.zeros((wide, 2))
    for i in range(d):
        for a in range(counts[i]):
            if not best[i, a] < np.inf:
                continue
            length = 1
            for j in range(i + 1, d + 1):
                length *= modes[j - 1]
                if j > i + 1 and length > widest:
                    break
                if j == d:  # the last core has rows instead of columns: the bond before it weighs them
                    core_prices(float(length), logarithms[i], ranks[i, a : a + 1], 1, step, rates, out)
                else:
                    core_prices(float(ranks[i, a] * length), logarithms[j], ranks[j], counts[j], step, rates, out)
                for b in range(counts[j]):
                    lost = out[b, 1] + tails[j, b]
                    total = best[i, a] + out[b, 0] + price * lost
                    if total < best[j, b]:
                        best[j, b] = total
                        bits[j, b] = bits[i, a] + out[b, 0]
                        error[j, b] = error[i, a] + lost
                        from_bond[j, b] = i
                        from_rank[j, b] = a
    chosen[:] = 0
    bond, at = d, 0
    while bond > 0 and best[d, 0] < np.inf:
        chosen[bond] = ranks[bond, at]
        bond, at = from_bond[bond, at], from_rank[bond, at]
    chosen[0] = 1
    return (bits[d, 0], error[d, 0]) if best[d, 0] < np.inf else (np.inf, np.inf)
