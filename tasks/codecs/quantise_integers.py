"""How does a run of integers, most of them near one another, become about as many bits as its entropy?

Neighbouring integers share a bin (:mod:`tasks.codecs.quantise_bins`); a bin is coded by its frequency, the place within
it as plain bits.

A run is the least integer (int32), a shift, the bins, their frequencies, a stream of :mod:`tasks.codecs.rans`, and the
places. Everything is compiled; the reader checks each position that it reads.
"""

import numpy as np
import numpy.typing as npt

from tasks.codecs import rans
from tasks.codecs.compiled import inner, u8
from tasks.codecs.quantise_bins import BINS, CELLS, SHIFT_MAX, choose_bins, get, put, read_bins, write_bins
from tasks.codecs.rans import Bytes, Counts

Integers = npt.NDArray[np.int32]

REACH = 1 << 30
"""Integers lie strictly between -REACH and REACH."""

RUN_BYTES_MAX = 6 + 3 * BINS + rans.TABLE_BYTES_MAX + 4 + 16 + 4 + 4
"""Bytes of a run beside those of its integers."""

INTEGER_BYTES_MAX = 6
"""Bytes of an integer: 32 bits of its place, and never as many as 16 of its bin."""

_CONSTANT = 255


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
    at = put(out, at, u8(np.uint32(low)), 4)
    if low == high:
        return int(put(out, at, u8(_CONSTANT), 1))
    span = np.int64(high) - np.int64(low)
    shift = 0
    while span >> shift >= CELLS:
        shift += 1
    cells = np.zeros(CELLS, np.int64)
    for i in range(len(integers)):
        cells[(np.int64(integers[i]) - low) >> shift] += 1
    starts, widths = np.empty(CELLS, np.int64), np.empty(CELLS, np.int64)
    bins = choose_bins(cells, (span >> shift) + 1, len(integers), starts, widths)
    at = put(out, at, u8(shift), 1)
    at = write_bins(starts, widths, bins, out, at)
    return int(_write_places(integers, low, shift, cells, starts, widths, bins, out, at))


@inner
def _write_places(
    integers: Integers,
    low: int,
    shift: int,
    cells: Counts,
    starts: Counts,
    widths: Counts,
    bins: int,
    out: Bytes,
    at: int,
) -> int:
    """Write the bin of each integer by its frequency, then its place in the bin; return where they end."""
    of_cell, widest = np.zeros(CELLS, np.uint64), 0
    counts, shares = np.zeros(256, np.int64), np.empty(256, np.int64)
    for bin_ in range(bins):
        end = starts[bin_] + (1 << widths[bin_])
        counts[bin_] = np.sum(cells[starts[bin_] : end])
        wide = widths[bin_] + shift
        widest = max(widest, wide)
        # a cell's bin, the bits of a place in it, and its first integer from the least of all
        of_cell[starts[bin_] : end] = u8(bin_) | u8(wide) << u8(8) | u8(starts[bin_] << shift) << u8(16)
    symbols = np.empty(len(integers), np.uint8)
    places = np.empty(len(integers) + 2, np.uint32)
    used = _pack_places(integers, low, shift, of_cell, widest, symbols, places)
    rans.frequencies(counts, shares)
    at = rans.write_table(shares, out, at)
    table = np.zeros((256, 4), np.uint64)
    rans.encoder_table(shares, table)
    words = np.empty(len(integers) + 9, np.uint16)
    begin = rans.encode(symbols, None, table, words)
    length = len(words) - begin
    at = put(out, at, u8(length), 4)
    out[at : at + 2 * length] = words[begin:].view(np.uint8)
    at = put(out, at + 2 * length, u8(used), 4)
    out[at : at + 4 * used] = places[:used].view(np.uint8)
    return int(at + 4 * used)


@inner
def _pack_places(
    integers: Integers,
    low: int,
    shift: int,
    of_cell: npt.NDArray[np.uint64],
    widest: int,
    symbols: Bytes,
    places: npt.NDArray[np.uint32],
) -> int:
    """Fill the bin of each integer, ``(n,)``, and the bits of their places; return how many words these take."""
    filled, room, used = u8(0), u8(0), 0
    # four places at a time where they fill no more than a word: each flush waits for the one before it
    whole = len(integers) & ~3 if widest <= 8 else 0
    for i in range(0, whole, 4):
        four, bits = u8(0), u8(0)
        for j in range(i, i + 4):
            further = u8(np.int64(integers[j]) - low)
            cell = of_cell[further >> u8(shift)]
            symbols[j] = np.uint8(cell)
            four |= (further - (cell >> u8(16))) << bits
            bits += (cell >> u8(8)) & u8(255)
        filled |= four << room
        room += bits
        places[used] = np.uint32(filled)
        full = u8(room >= u8(32))
        used += int(full)
        filled >>= full << u8(5)
        room -= full << u8(5)
    for i in range(whole, len(integers)):
        further = u8(np.int64(integers[i]) - low)
        cell = of_cell[further >> u8(shift)]
        symbols[i] = np.uint8(cell)
        filled |= (further - (cell >> u8(16))) << room
        room += (cell >> u8(8)) & u8(255)
        places[used] = np.uint32(filled)
        full = u8(room >= u8(32))
        used += int(full)
        filled >>= full << u8(5)
        room -= full << u8(5)
    if room > u8(0):
        places[used] = np.uint32(filled)
        used += 1
    return used


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
    low = int(np.int32(get(packed, at, 4)))
    shift = int(packed[at + 4])
    at += 5
    if shift == _CONSTANT:
        integers[:] = low
        return at
    if shift > SHIFT_MAX:
        return -1
    base, bits = np.zeros(BINS, np.int64), np.zeros(BINS, np.uint64)
    at = read_bins(packed, at, low, shift, base, bits)
    if at < 0:
        return -1
    shares = np.empty(256, np.int64)
    at = rans.read_table(packed, at, shares)
    if at < 0 or len(packed) - at < 4:
        return -1
    length = int(get(packed, at, 4))
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
    used = int(get(packed, at, 4))
    at += 4
    if 4 * used > len(packed) - at:
        return -1
    places = np.zeros(used + 2, np.uint32)
    places[:used].view(np.uint8)[:] = packed[at : at + 4 * used]
    return at + 4 * used if _place(symbols, base, bits, places, integers) else -1


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
