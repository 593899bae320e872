"""Which neighbouring integers share a bin, so that a run of them takes the fewest bits? Compiled.

A histogram of the integers is cut into bins, each a power of two of cells wide. The cheapest cut is a shortest path
over the cells: the binning of Loncaric et al. 2025 (Pcodec, arXiv:2502.06112), here with widths that are powers of two.
"""

import numpy as np
import numpy.typing as npt

from tasks.codecs import rans
from tasks.codecs.compiled import inner, u8
from tasks.codecs.rans import Bytes, Counts

CELLS = 1024
"""Cells of the histogram; a cell holds 2^shift integers."""

BINS = 256
"""No more bins, since each is a byte to the entropy coder."""

SHIFT_MAX = 21
"""With which the cells reach over every integer that a run may hold."""

_WIDTHS = 11
_BIN_BITS = 18.0
_GAP = 15


@inner
def choose_bins(cells: Counts, used: int, total: int, starts: Counts, widths: Counts) -> int:
    """Fill the first cell and the binary logarithm of the width of each bin, in cells; return how many bins.

    The cheapest way to cut the cells: a bin costs its table entry and, for each integer in it, the bits of its
    frequency and of its place. Empty cells need no bin.
    """
    before = np.zeros(used + 1, np.int64)
    for cell in range(used):
        before[cell + 1] = before[cell] + cells[cell]
    cost, taken = np.empty(used + 1, np.float64), np.empty(used + 1, np.int64)
    rare = total / rans.SCALE
    entry_bits = _BIN_BITS
    while True:
        cost[0] = 0.0
        for end in range(1, used + 1):
            cost[end], taken[end] = np.inf, 0
            if cells[end - 1] == 0:
                cost[end], taken[end] = cost[end - 1], -1
            for width in range(_WIDTHS):
                start = end - (1 << width)
                if start < 0:
                    break
                inside = before[end] - before[start]
                if inside == 0:
                    continue
                # a share is at least one 4096th, and what a rare bin is given too much the others lack
                bits = entry_bits + inside * width
                if inside < rare:
                    bits += inside * rans.SCALE_BITS + 1.4427 * (rare - inside)
                else:
                    bits += inside * np.log2(total / inside)
                if cost[start] + bits < cost[end]:
                    cost[end], taken[end] = cost[start] + bits, width
        bins = 0
        end = used
        while end > 0:
            if taken[end] < 0:
                end -= 1
                continue
            end -= 1 << taken[end]
            bins += 1
        if bins <= BINS:
            break
        entry_bits *= 2.0
    end, bin_ = used, bins
    while end > 0:
        if taken[end] < 0:
            end -= 1
            continue
        bin_ -= 1
        widths[bin_] = taken[end]
        end -= 1 << taken[end]
        starts[bin_] = end
    return bins


@inner
def write_bins(starts: Counts, widths: Counts, bins: int, out: Bytes, at: int) -> int:
    """Write how many bins there are, less one, and of each its width in 4 bits and the gap before it in 4 or 20."""
    at = put(out, at, u8(bins - 1), 1)
    end = 0
    for bin_ in range(bins):
        gap = starts[bin_] - end
        end = starts[bin_] + (1 << widths[bin_])
        at = put(out, at, u8(widths[bin_] | min(gap, _GAP) << 4), 1)
        if gap >= _GAP:
            at = put(out, at, u8(gap), 2)
    return at


@inner
def read_bins(packed: Bytes, at: int, low: int, shift: int, base: Counts, bits: npt.NDArray[np.uint64]) -> int:
    """Read bins into their least integer and the bits of a place, ``(256,)`` both; return where they end or -1."""
    if at >= len(packed):
        return -1
    bins = int(packed[at]) + 1
    at += 1
    end = 0
    for bin_ in range(bins):
        if at >= len(packed):
            return -1
        width, gap = int(packed[at]) & 15, int(packed[at]) >> 4
        at += 1
        if gap == _GAP:
            if len(packed) - at < 2:
                return -1
            gap = int(get(packed, at, 2))
            at += 2
        start = end + gap
        end = start + (1 << width)
        if width >= _WIDTHS or end > CELLS:
            return -1
        base[bin_] = low + (start << shift)
        bits[bin_] = width + shift
    return at


@inner
def put(out: Bytes, at: int, value: np.uint64, count: int) -> int:
    """Write the low bytes of ``value``, little-endian; return where they end."""
    for place in range(count):
        out[at + place] = np.uint8(value >> u8(8 * place))
    return at + count


@inner
def get(packed: Bytes, at: int, count: int) -> np.uint64:
    """Read bytes, little-endian."""
    value = u8(0)
    for place in range(count):
        value |= u8(packed[at + place]) << u8(8 * place)
    return value
