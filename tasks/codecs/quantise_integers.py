"""How does a run of integers, most of them near one another, become about as many bits as its entropy?

Neighbouring integers share a bin; a bin is coded by its frequency, the place within it as plain bits. Which bins is a
shortest path over the histogram, so that neither their table nor the unevenness within them costs much: the binning
of Loncaric et al. 2025 (Pcodec, arXiv:2502.06112), here with widths that are powers of two.

A run is the least integer (int32), a shift, the bins, their frequencies, a stream of :mod:`tasks.codecs.rans`, and the
places. Everything is compiled; the reader checks each position that it reads.
"""

import numpy as np
import numpy.typing as npt

from tasks.codecs import rans
from tasks.codecs.compiled import inner, u8
from tasks.codecs.rans import Bytes, Counts

Integers = npt.NDArray[np.int32]

CELLS = 1024
"""Cells of the histogram; a cell holds 2^shift integers."""

BINS = 256
"""No more bins, since each is a byte to the entropy coder."""

REACH = 1 << 30
"""Integers lie strictly between -REACH and REACH."""

RUN_BYTES_MAX = 6 + 3 * BINS + rans.TABLE_BYTES_MAX + 4 + 16 + 4 + 4
"""Bytes of a run beside those of its integers."""

INTEGER_BYTES_MAX = 6
"""Bytes of an integer: 32 bits of its place, and never as many as 16 of its bin."""

_CONSTANT = 255
_WIDTHS = 11
_BIN_BITS = 18.0
_GAP = 15


@inner
def write_run(integers: Integers, out: Bytes, at: int) -> int:
    """Write a run at ``at``; return where it ends.

    Args:
        integers: ``(n,)``, none of them at :data:`REACH` or beyond; at least one.
        out: ``(bytes,)``, room for ``INTEGER_BYTES_MAX * n + RUN_BYTES_MAX`` bytes from ``at``.
        at: position in ``out``.
    """
    low, high = integers[0], integers[0]
    for i in range(len(integers)):
        low = min(low, integers[i])
        high = max(high, integers[i])
    at = _put(out, at, u8(np.uint32(low)), 4)
    if low == high:
        return int(_put(out, at, u8(_CONSTANT), 1))
    span = np.int64(high) - np.int64(low)
    shift = 0
    while span >> shift >= CELLS:
        shift += 1
    cells = np.zeros(CELLS, np.int64)
    for i in range(len(integers)):
        cells[(np.int64(integers[i]) - low) >> shift] += 1
    starts, widths = np.empty(CELLS, np.int64), np.empty(CELLS, np.int64)
    bins = _choose_bins(cells, (span >> shift) + 1, len(integers), starts, widths)
    at = _put(out, at, u8(shift), 1)
    at = _write_bins(starts, widths, bins, out, at)
    return int(_write_places(integers, low, shift, starts, widths, bins, out, at))


@inner
def _choose_bins(cells: Counts, used: int, total: int, starts: Counts, widths: Counts) -> int:
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
def _write_bins(starts: Counts, widths: Counts, bins: int, out: Bytes, at: int) -> int:
    """Write how many bins there are, less one, and of each its width in 4 bits and the gap before it in 4 or 20."""
    at = _put(out, at, u8(bins - 1), 1)
    end = 0
    for bin_ in range(bins):
        gap = starts[bin_] - end
        end = starts[bin_] + (1 << widths[bin_])
        at = _put(out, at, u8(widths[bin_] | min(gap, _GAP) << 4), 1)
        if gap >= _GAP:
            at = _put(out, at, u8(gap), 2)
    return at


@inner
def _write_places(
    integers: Integers, low: int, shift: int, starts: Counts, widths: Counts, bins: int, out: Bytes, at: int
) -> int:
    """Write the bin of each integer by its frequency, then its place in the bin; return where they end."""
    of_cell = np.zeros(CELLS, np.uint8)
    base, bits = np.zeros(BINS, np.int64), np.zeros(BINS, np.uint64)
    for bin_ in range(bins):
        of_cell[starts[bin_] : starts[bin_] + (1 << widths[bin_])] = bin_
        base[bin_] = low + (starts[bin_] << shift)
        bits[bin_] = widths[bin_] + shift
    symbols = np.empty(len(integers), np.uint8)
    places = np.empty(len(integers) + 2, np.uint32)
    filled, room, used = u8(0), u8(0), 0
    for i in range(len(integers)):
        value = np.int64(integers[i])
        bin_ = of_cell[(value - low) >> shift]
        symbols[i] = bin_
        filled |= u8(value - base[bin_]) << room
        room += bits[bin_]
        places[used] = np.uint32(filled)
        full = u8(room >= u8(32))
        used += int(full)
        filled >>= full << u8(5)
        room -= full << u8(5)
    if room > u8(0):
        places[used] = np.uint32(filled)
        used += 1
    counts, shares = np.empty(256, np.int64), np.empty(256, np.int64)
    rans.count(symbols, counts)
    rans.frequencies(counts, shares)
    at = rans.write_table(shares, out, at)
    table = np.zeros((256, 4), np.uint64)
    rans.encoder_table(shares, table)
    words = np.empty(len(integers) + 9, np.uint16)
    begin = rans.encode(symbols, None, table, words)
    length = len(words) - begin
    at = _put(out, at, u8(length), 4)
    out[at : at + 2 * length] = words[begin:].view(np.uint8)
    at = _put(out, at + 2 * length, u8(used), 4)
    out[at : at + 4 * used] = places[:used].view(np.uint8)
    return at + 4 * used


@inner
def read_run(packed: Bytes, at: int, integers: Integers) -> int:
    """Read a run into ``integers``, ``(n,)``; return where it ends, -1 if there is none.

    Args:
        packed: ``(bytes,)``, anything at all.
        at: position in ``packed``.
        integers: to be filled.
    """
    if len(packed) - at < 5:
        return -1
    low = int(np.int32(_get(packed, at, 4)))
    shift = int(packed[at + 4])
    at += 5
    if shift == _CONSTANT:
        integers[:] = low
        return at
    if shift > 21:
        return -1
    base, bits = np.zeros(BINS, np.int64), np.zeros(BINS, np.uint64)
    at = _read_bins(packed, at, low, shift, base, bits)
    if at < 0:
        return -1
    shares = np.empty(256, np.int64)
    at = rans.read_table(packed, at, shares)
    if at < 0 or len(packed) - at < 4:
        return -1
    length = int(_get(packed, at, 4))
    at += 4
    if 2 * length > len(packed) - at - 4:
        return -1
    words = np.zeros(length + 1, np.uint16)
    words[:length].view(np.uint8)[:] = packed[at : at + 2 * length]
    table = np.empty(rans.SCALE, np.uint32)
    rans.decoder_table(shares, table)
    symbols = np.empty(len(integers), np.uint8)
    if not rans.decode(words, None, table, symbols):
        return -1
    at += 2 * length
    used = int(_get(packed, at, 4))
    at += 4
    if 4 * used > len(packed) - at:
        return -1
    places = np.zeros(used + 2, np.uint32)
    places[:used].view(np.uint8)[:] = packed[at : at + 4 * used]
    return at + 4 * used if _place(symbols, base, bits, places, integers) else -1


@inner
def _read_bins(packed: Bytes, at: int, low: int, shift: int, base: Counts, bits: npt.NDArray[np.uint64]) -> int:
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
            gap = int(_get(packed, at, 2))
            at += 2
        start = end + gap
        end = start + (1 << width)
        if width >= _WIDTHS or end > CELLS:
            return -1
        base[bin_] = low + (start << shift)
        bits[bin_] = width + shift
    return at


@inner
def _place(
    symbols: Bytes, base: Counts, bits: npt.NDArray[np.uint64], places: npt.NDArray[np.uint32], integers: Integers
) -> bool:
    """Put each integer at its place in its bin; return whether there were just as many places.

    Args:
        symbols: bin of each integer, ``(n,)``.
        base: least integer of each bin, ``(256,)``.
        bits: of a place in each bin, ``(256,)``, at most 32.
        places: the bits and two words more.
        integers: to be filled, ``(n,)``.
    """
    end = u8(len(places) - 2) << u8(5)
    at = u8(0)
    for i in range(len(symbols)):
        bin_ = symbols[i]
        wide = bits[bin_]
        word = np.int64(at >> u8(5))
        held = (u8(places[word]) | u8(places[word + 1]) << u8(32)) >> (at & u8(31))
        integers[i] = np.int32(base[bin_] + np.int64(held & ((u8(1) << wide) - u8(1))))
        at += wide
        if at > end:
            return False
    return bool(end - at < u8(32))


@inner
def _put(out: Bytes, at: int, value: np.uint64, count: int) -> int:
    """Write the low bytes of ``value``, little-endian; return where they end."""
    for place in range(count):
        out[at + place] = np.uint8(value >> u8(8 * place))
    return at + count


@inner
def _get(packed: Bytes, at: int, count: int) -> np.uint64:
    """Read bytes, little-endian."""
    value = u8(0)
    for place in range(count):
        value |= u8(packed[at + place]) << u8(8 * place)
    return value
