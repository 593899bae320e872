"""How does a run of bytes become about as many bits as its entropy? By asymmetric numeral systems, in their range form.

Duda 2013, arXiv:1311.2540; states interleaved as by Giesen 2014, arXiv:1402.3392: four states take turns, so that the
processor works on four symbols at a time. A state lies in [2^15, 2^31); whenever it would leave that range 16 bits go
out or come in. Frequencies are in 4096ths. A stream is its table, then the states, then the words that the decoder
takes one after the other.

Everything here is compiled, holds no interpreter lock and trusts nobody: the decoder checks each position that it
reads, and ends with the states that the encoder began with, or the stream is refused.
"""

import numpy as np
import numpy.typing as npt

from tasks.codecs.compiled import Scalar, inner, u4, u8

Bytes = npt.NDArray[np.uint8]
Words = npt.NDArray[np.uint16]
Counts = npt.NDArray[np.int64]

SCALE_BITS = 12
SCALE = 1 << SCALE_BITS
TABLE_BYTES_MAX = 1024
"""No table is longer: 256 frequencies of 2 bytes, or of 1 byte with a run of zeros after it."""

_RECIPROCAL_BITS = 43
_LOWEST = 1 << 15
_WORD = np.uint64(16)


@inner
def count(symbols: Bytes, counts: Counts) -> None:
    """Count each byte of ``symbols``, ``(n,)``, into ``counts``, ``(256,)``."""
    lanes = np.zeros((4, 256), np.uint32)  # equal neighbours would wait for one another in one array
    whole = len(symbols) & ~3
    for i in range(0, whole, 4):
        lanes[0, symbols[i]] += np.uint32(1)
        lanes[1, symbols[i + 1]] += np.uint32(1)
        lanes[2, symbols[i + 2]] += np.uint32(1)
        lanes[3, symbols[i + 3]] += np.uint32(1)
    for i in range(whole, len(symbols)):
        lanes[0, symbols[i]] += np.uint32(1)
    for value in range(256):
        counts[value] = lanes[0, value] + lanes[1, value] + lanes[2, value] + lanes[3, value]


@inner
def frequencies(counts: Counts, shares: Counts) -> None:
    """Share 4096 among the symbols that occur, ``(256,)`` each, at least 1 and at most 4095 to each of them.

    A symbol that stands alone is given a neighbour that never comes, since a state cannot hold a certainty.
    """
    symbols = total(counts)
    kinds = 0
    for value in range(256):
        kinds += counts[value] > 0
    left = SCALE
    for value in range(256):
        shares[value] = 0
        if counts[value] > 0:
            shares[value] = max(1, min(SCALE - 1, (counts[value] * SCALE + symbols // 2) // symbols))
            left -= shares[value]
    if kinds < 2:
        for value in range(2):
            if shares[value] == 0 and left > 0:
                shares[value] = left
                left = 0
    if left == 0:
        return
    step = 1 if left > 0 else -1
    costs = np.full(256, np.inf)
    for value in range(256):
        _price(counts, shares, step, value, costs)
    while left != 0:  # rounding left a rest: give or take where it costs least
        best = np.argmin(costs)
        shares[best] += step
        _price(counts, shares, step, best, costs)
        left -= step


@inner
def _price(counts: Counts, shares: Counts, step: int, value: int, costs: npt.NDArray[np.float64]) -> None:
    """Set ``costs[value]``, the bits that ``step`` more of a share costs; infinite where there is none to give."""
    if shares[value] > max(0, -step) and shares[value] + step < SCALE:
        costs[value] = counts[value] * np.log2(shares[value] / (shares[value] + step))
    else:
        costs[value] = np.inf


@inner
def total(counts: Counts) -> int:
    """Return the sum of counts."""
    found = 0
    for value in range(len(counts)):
        found += counts[value]
    return found


@inner
def entropy_bits(counts: Counts) -> float:
    """Return the bits that symbols of these counts would take at their entropy."""
    symbols = total(counts)
    bits = 0.0
    for value in range(256):
        if counts[value] > 0:
            bits += counts[value] * np.log2(symbols / counts[value])
    return bits


@inner
def stream_bits(counts: Counts, shares: Counts) -> float:
    """Return the bits that symbols of these counts take under these shares."""
    bits = 0.0
    for value in range(256):
        if counts[value] > 0:
            bits += counts[value] * (SCALE_BITS - np.log2(shares[value]))
    return bits


@inner
def write_table(shares: Counts, out: Bytes, at: int) -> int:
    """Write ``shares``, ``(256,)``, at ``at``; return where they end.

    One byte up to 127, two above; zero is followed by how many more zeros come. They end when nothing is left.
    """
    left = SCALE
    value = 0
    while left > 0:
        share = shares[value]
        value += 1
        left -= share
        if share >= 128:
            out[at] = 128 | (share & 127)
            out[at + 1] = share >> 7
            at += 2
            continue
        out[at] = share
        at += 1
        if share == 0:
            first = value
            while shares[value] == 0:
                value += 1
            out[at] = value - first
            at += 1
    return at


@inner
def read_table(octets: Bytes, at: int, shares: Counts) -> int:
    """Read what :func:`write_table` wrote into ``shares``, ``(256,)``; return where it ends, -1 if it is none."""
    shares[:] = 0
    left: Scalar = SCALE
    value = 0
    while left > 0:
        if value >= 256 or at >= len(octets):
            return -1
        share = np.int64(octets[at])
        at += 1
        if share >= 128:
            if at >= len(octets):
                return -1
            share = (share & 127) | (np.int64(octets[at]) << 7)
            at += 1
        shares[value] = share
        left -= share
        value += 1
        if share == 0:
            if at >= len(octets):
                return -1
            value += octets[at]
            at += 1
    return at if left == 0 else -1


@inner
def encoder_table(shares: Counts, table: npt.NDArray[np.uint64]) -> None:
    """Fill ``table``, ``(256, 4)``, with a symbol's greatest state, reciprocal, complement and start."""
    start = 0
    for value in range(256):
        share = shares[value]
        if share > 0:
            table[value, 0] = u8(share) << u8(31 - SCALE_BITS)
            table[value, 1] = (u8(1) << u8(_RECIPROCAL_BITS)) // u8(share) + u8(1)
            table[value, 2] = SCALE - share
            table[value, 3] = start
        start += share


@inner
def decoder_table(shares: Counts, table: npt.NDArray[np.uint32]) -> None:
    """Fill ``table``, ``(4096,)``: symbol in 8 bits, its share in 12, and how far a slot lies in it in 12."""
    slot = 0
    for value in range(256):
        for within in range(shares[value]):
            table[slot] = (
                np.uint32(value) | np.uint32(shares[value]) << np.uint32(8) | np.uint32(within) << np.uint32(20)
            )
            slot += 1


@inner
def _pushed(
    state: np.uint64, table: npt.NDArray[np.uint64], row: np.uint64, words: Words, at: np.uint64
) -> tuple[Scalar, Scalar]:
    """Put a symbol into a state; where it is full its low 16 bits go to ``words[at]`` first, and ``at`` moves down."""
    words[at] = np.uint16(state)
    full = u8(state >= table[row])
    state >>= full << u8(4)
    turns = (state * table[row + u8(1)]) >> u8(_RECIPROCAL_BITS)
    return state + table[row + u8(3)] + turns * table[row + u8(2)], at - full


@inner
def _row(contexts: Bytes | None, symbols: Bytes, i: np.uint64) -> Scalar:
    """Return where symbol ``i`` begins in the tables."""
    if contexts is None:
        return u8(symbols[i]) << u8(2)
    return u8(contexts[i]) << u8(10) | u8(symbols[i]) << u8(2)


@inner
def encode(symbols: Bytes, contexts: Bytes | None, tables: npt.NDArray[np.uint64], words: Words) -> int:
    """Write the stream of ``symbols`` at the end of ``words``; return where it begins.

    Args:
        symbols: ``(n,)``.
        contexts: ``(n,)``, which table each symbol has; None for the first always.
        tables: :func:`encoder_table` of each context, one below the other, ``(contexts * 256, 4)``.
        words: ``(length,)``, at least ``n + 9``.
    """
    flat = tables.reshape(-1)
    at = u8(len(words) - 1)  # positions without a sign: others are looked at each time, whether they count from the end
    a = b = c = d = u8(_LOWEST)
    whole = u8(len(symbols) & ~3)
    i = u8(len(symbols))
    while i > whole:
        i -= u8(1)
        a, at = _pushed(a, flat, _row(contexts, symbols, i), words, at)
    while i > u8(0):
        i -= u8(4)
        d, at = _pushed(d, flat, _row(contexts, symbols, i + u8(3)), words, at)
        c, at = _pushed(c, flat, _row(contexts, symbols, i + u8(2)), words, at)
        b, at = _pushed(b, flat, _row(contexts, symbols, i + u8(1)), words, at)
        a, at = _pushed(a, flat, _row(contexts, symbols, i), words, at)
    begin: Scalar = np.int64(at) + 1
    for state in (d, c, b, a):
        begin -= 2
        words[begin] = np.uint16(state)
        words[begin + 1] = np.uint16(state >> u8(16))
    return int(begin)


@inner
def _pulled(state: np.uint32, entry: np.uint32, words: Words, at: np.uint64) -> tuple[Scalar, Scalar]:
    """Take a symbol out of a state; where that leaves it too low, 16 bits come from ``words[at]``."""
    share, within = (entry >> u4(8)) & u4(SCALE - 1), entry >> u4(20)
    state = share * (state >> u4(SCALE_BITS)) + within
    low = state < u4(_LOWEST)
    fed = state << u4(16) | u4(words[at])
    return (fed if low else state), at + u8(low)


@inner
def decode(words: Words, contexts: Bytes | None, tables: npt.NDArray[np.uint32], symbols: Bytes) -> bool:
    """Read a stream into ``symbols``; return whether it was one.

    Args:
        words: the stream and one word more, ``(length + 1,)``.
        contexts: as it was encoded.
        tables: :func:`decoder_table` of each context, one after the other, ``(contexts * 4096,)``.
        symbols: ``(n,)``, to be filled.
    """
    if len(words) - 1 < 8:
        return False
    states = np.zeros(4, np.uint32)
    for k in range(4):
        states[k] = u4(words[2 * k]) | u4(words[2 * k + 1]) << u4(16)
        if states[k] >= u4(_LOWEST << 16) or states[k] < u4(_LOWEST):
            return False
    end, at, i = u8(len(words) - 1), u8(8), u8(0)
    a, b, c, d = states[0], states[1], states[2], states[3]
    whole = u8(len(symbols) & ~3)
    while i < whole and at + u8(4) <= end:
        first = tables[_slot(contexts, i, a)]
        second = tables[_slot(contexts, i + u8(1), b)]
        third = tables[_slot(contexts, i + u8(2), c)]
        fourth = tables[_slot(contexts, i + u8(3), d)]
        symbols[i] = np.uint8(first)
        symbols[i + u8(1)] = np.uint8(second)
        symbols[i + u8(2)] = np.uint8(third)
        symbols[i + u8(3)] = np.uint8(fourth)
        a, at = _pulled(a, first, words, at)
        b, at = _pulled(b, second, words, at)
        c, at = _pulled(c, third, words, at)
        d, at = _pulled(d, fourth, words, at)
        i += u8(4)
    states[0], states[1], states[2], states[3] = a, b, c, d
    while i < u8(len(symbols)):  # near the end of the stream, where each step is looked at
        lane: Scalar = np.int64(i) & 3 if i < whole else 0
        entry = tables[_slot(contexts, i, states[lane])]
        symbols[i] = np.uint8(entry)
        states[lane], at = _pulled(states[lane], entry, words, at)
        if at > end:
            return False
        i += u8(1)
    return at == end and bool(np.all(states == u4(_LOWEST)))


@inner
def _slot(contexts: Bytes | None, i: np.uint64, state: np.uint32) -> Scalar:
    """Return where a state's next symbol stands in the tables."""
    if contexts is None:
        return state & u4(SCALE - 1)
    return u4(contexts[i]) << u4(SCALE_BITS) | (state & u4(SCALE - 1))


@inner
def write_number(number: int, out: Bytes, at: int) -> None:
    """Write a number as uint32, little-endian."""
    for place in range(4):
        out[at + place] = number >> (8 * place)


@inner
def read_number(octets: Bytes, at: int) -> Scalar:
    """Read a uint32."""
    number: Scalar = 0
    for place in range(4):
        number |= np.int64(octets[at + place]) << (8 * place)
    return number
