"""How are weights for latest changes fitted and numbers foreseen by them, in compiled code that rounds as numpy does?

Both sides of an archive must foresee the same bits, on whatever machine. So there are sums, products and roundings of
float64 alone, in one order, nothing fused; and a fit is of whole numbers, whose sums have no order.
"""

import numpy as np
import numpy.typing as npt

from tasks.codecs.compiled import inner, kernel

Floats = npt.NDArray[np.float32] | npt.NDArray[np.float64]

FIT_BITS, FIT_MAX = 12, 1 << 17
"""Bits that the largest change of a number before the latest gets in a fit; and where one that ran off is left out."""

_BLOCK = 4096  # words that stay in a processor's nearest memory
_SIZE, _EXPONENT = np.int64(2**63 - 1), np.int64(0x7FF << 52)
_LEAST = np.int64(23 << 52)  # 2^-1000; changes below are taken for none: their scale would be infinite
_WHOLE = 1.5 * 2.0**52  # with which the lowest bits of a number are the nearest whole one, the even one of two


@kernel
def foresee(versions: np.ndarray, weights: npt.NDArray[np.float64], foreseen: np.ndarray) -> None:
    """Write the numbers that are foreseen; leave those as they are that do not move, or would not be finite.

    Args:
        versions: ``(changes + 1, words)``, latest first.
        weights: ``(changes,)``.
        foreseen: ``(words,)``, of the type that they are rounded to.
    """
    words = versions.shape[1]
    kind = foreseen.dtype.type
    moves = np.zeros(words, np.float64)
    for change in range(len(weights)):
        weight, later, earlier = weights[change], versions[change], versions[change + 1]
        for i in range(words):
            moves[i] += weight * (np.float64(later[i]) - np.float64(earlier[i]))
    base = versions[0]
    for i in range(words):
        rounded = kind(np.float64(base[i]) + moves[i])
        if moves[i] != 0.0 and abs(rounded) < np.inf:
            foreseen[i] = rounded


@kernel
def products(versions: np.ndarray) -> npt.NDArray[np.int64]:
    """Return the sums of the products of the latest change and those before it, ``(changes, changes)``.

    What counts is a change beside the size of the number's own, since that is what its bits are about: each number's
    changes are scaled by a power of two, so that the largest before the latest takes FIT_BITS bits, and rounded.

    Args:
        versions: ``(changes + 1, words)``, latest first.
    """
    changes, words = len(versions) - 1, versions.shape[1]
    found = np.zeros((changes, changes), np.int64)
    for start in range(0, words, _BLOCK):
        _add_products(versions[:, start : start + _BLOCK], found)
    return found


@inner
def _add_products(versions: np.ndarray, found: npt.NDArray[np.int64]) -> None:
    changes, words = len(versions) - 1, versions.shape[1]
    moves = np.empty((changes, words), np.float64)
    largest = np.zeros(words, np.int64)  # as bits, which grow with a number; those of what is no number are the most
    for change in range(changes):
        later, earlier, move = versions[change], versions[change + 1], moves[change]
        for i in range(words):
            move[i] = np.float64(later[i]) - np.float64(earlier[i])
        if change > 0:
            bits = move.view(np.int64)
            for i in range(words):
                largest[i] = max(largest[i], bits[i] & _SIZE)
    factors = np.empty(words, np.float64)
    scales = factors.view(np.int64)
    for i in range(words):  # FIT_BITS over the power of two above the largest
        scale = (np.int64(2045 + FIT_BITS) - (largest[i] >> 52)) << 52
        scales[i] = scale if _LEAST <= largest[i] < _EXPONENT else np.int64(0)
    whole = np.empty((changes, words), np.int32)
    for change in range(changes):
        move, integers = moves[change], whole[change]
        for i in range(words):
            move[i] *= factors[i]
        if change == 0:
            for i in range(words):
                factors[i] = factors[i] if abs(move[i]) < FIT_MAX else 0.0
        for i in range(words):
            move[i] = (move[i] if factors[i] > 0.0 else 0.0) + _WHOLE
        bits = move.view(np.int64)
        for i in range(words):
            integers[i] = np.int32(bits[i])
    for one in range(changes):
        for other in range(one + 1):
            total = np.int64(0)
            for i in range(words):
                total += np.int64(whole[one, i]) * np.int64(whole[other, i])
            found[one, other] += total
            if one != other:
                found[other, one] += total
