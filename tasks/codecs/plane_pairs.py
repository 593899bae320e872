"""How are bytes that nearly all lie close together coded two at a time? By a nibble each, in half the time.

A plane of pairs is the lowest of 15 neighbouring values, the number of exceptions (uint32), the number of 16-bit words
(uint32), a table, the words (:mod:`tasks.codecs.rans`), and the exceptions. A nibble says which of the 15 a byte is, 0
an exception; a symbol is two nibbles, one from each half of the plane. Exponents nearly always fit.

A half precision float has 5 bits of exponent: its upper byte is split into those, as pairs, and 3 bits of mantissa,
which are as good as noise. Eight bytes' threes lie in 3 bytes, from as many thirds.
"""

import numpy as np

from tasks.codecs import rans
from tasks.codecs.compiled import Scalar, inner, u8
from tasks.codecs.rans import Bytes, Counts

_EXCEPTIONS = 64  # of as many bytes of a paired plane at most one is an exception


@inner
def window(counts: Counts) -> int:
    """Return the lowest of the 15 neighbouring bytes that occur most."""
    held = rans.total(counts[:15])
    most, lowest = held, 0
    for value in range(1, 256 - 14):
        held += counts[value + 14] - counts[value - 1]
        if held > most:
            most, lowest = held, value
    return lowest


@inner
def write_pairs(plane: Bytes, lowest: int, out: Bytes, at: int) -> int:
    """Write a plane as pairs; return where they end, -1 if too many of its bytes are exceptions."""
    half = len(plane) // 2
    pairs = np.empty((half + 7) & ~7, np.uint8)
    pairs[half:] = 0xFF
    for i in range(half):
        low = np.uint8(plane[i] - np.uint8(lowest))
        high = np.uint8(plane[half + i] - np.uint8(lowest))
        low = low + np.uint8(1) if low < 15 else np.uint8(0)
        high = high + np.uint8(1) if high < 15 else np.uint8(0)
        pairs[i] = low | high << np.uint8(4)
    exceptions = np.empty(len(plane), np.uint8)
    held = 0
    eights = pairs.view(np.uint64)
    for eight in range(len(eights)):
        if _holds_zero(eights[eight]):
            for i in range(8 * eight, 8 * eight + 8):
                if pairs[i] & 15 == 0:
                    exceptions[held] = plane[i]
                    held += 1
                if pairs[i] >> 4 == 0:
                    exceptions[held] = plane[half + i]
                    held += 1
            if held * _EXCEPTIONS > len(plane):
                return -1
    if len(plane) % 2:
        exceptions[held] = plane[len(plane) - 1]
        held += 1
    counts = np.empty(256, np.int64)
    shares = np.empty(256, np.int64)
    rans.count(pairs[:half], counts)
    rans.frequencies(counts, shares)
    out[at] = lowest
    rans.write_number(held, out, at + 1)
    at = write_words(pairs[:half], shares, out, at + 5)
    out[at : at + held] = exceptions[:held]
    return at + held


@inner
def read_pairs(packed: Bytes, at: int, plane: Bytes) -> int:
    """Read what :func:`write_pairs` wrote; return where it ends, -1 if it is not that."""
    half = len(plane) // 2
    if len(packed) - at < 5:
        return -1
    lowest = packed[at]
    held = rans.read_number(packed, at + 1)
    pairs = np.empty((half + 7) & ~7, np.uint8)
    pairs[half:] = 0xFF
    at = read_words(packed, at + 5, pairs[:half])
    if at < 0 or held > len(packed) - at:
        return -1
    for i in range(half):
        plane[i] = (pairs[i] & np.uint8(15)) + np.uint8(lowest - 1)
        plane[half + i] = (pairs[i] >> np.uint8(4)) + np.uint8(lowest - 1)
    end = at + held
    eights = pairs.view(np.uint64)
    for eight in range(len(eights)):
        if _holds_zero(eights[eight]):
            for i in range(8 * eight, 8 * eight + 8):
                for side in range(2):
                    if (pairs[i] >> (4 * side)) & 15 == 0:
                        if at >= end:
                            return -1
                        plane[half * side + i] = packed[at]
                        at += 1
    if len(plane) % 2:
        if at >= end:
            return -1
        plane[len(plane) - 1] = packed[at]
        at += 1
    return at if at == end else -1


@inner
def _holds_zero(eight: np.uint64) -> Scalar:
    """Return whether one of 16 nibbles may be 0; sometimes yes though none is."""
    return ((eight - u8(0x1111111111111111)) & ~eight & u8(0x8888888888888888)) != 0


@inner
def write_words(symbols: Bytes, shares: Counts, out: Bytes, at: int) -> Scalar:
    """Write number of words, table and words; return where they end."""
    table = np.empty((256, 4), np.uint64)
    rans.encoder_table(shares, table)
    words = np.empty(len(symbols) + 9, np.uint16)
    begin = rans.encode(symbols, None, table, words)
    length = len(words) - begin
    rans.write_number(length, out, at)
    at = rans.write_table(shares, out, at + 4)
    octets = words.view(np.uint8)
    for i in range(2 * length):
        out[at + i] = octets[2 * begin + i]
    return at + 2 * length


@inner
def read_words(packed: Bytes, at: int, symbols: Bytes) -> int:
    """Read what :func:`_write_words` wrote; return where it ends, -1 if it is not that."""
    if len(packed) - at < 4:
        return -1
    length = rans.read_number(packed, at)
    shares = np.empty(256, np.int64)
    at = rans.read_table(packed, at + 4, shares)
    if at < 0 or 2 * length > len(packed) - at:
        return -1
    words = np.zeros(length + 1, np.uint16)
    octets = words.view(np.uint8)
    for i in range(2 * length):
        octets[i] = packed[at + i]
    table = np.empty(rans.SCALE, np.uint32)
    rans.decoder_table(shares, table)
    return at + 2 * length if rans.decode(words, None, table, symbols) else -1


@inner
def write_split(plane: Bytes, lowest: int, out: Bytes, at: int) -> Scalar:
    """Write the lower 3 bits of each byte, then the upper 5 as pairs; return as :func:`write_pairs`."""
    upper = np.empty(len(plane), np.uint8)
    for i in range(len(plane)):
        upper[i] = plane[i] >> 3
    eighth = len(plane) // 8
    lower = np.empty(3 * eighth, np.uint8)
    for i in range(eighth):
        g, h = plane[6 * eighth + i], plane[7 * eighth + i]
        lower[i] = plane[i] & 7 | (plane[eighth + i] & 7) << 3 | (g & 3) << 6
        lower[eighth + i] = plane[2 * eighth + i] & 7 | (plane[3 * eighth + i] & 7) << 3 | (h & 3) << 6
        last = plane[4 * eighth + i] & 7 | (plane[5 * eighth + i] & 7) << 3
        lower[2 * eighth + i] = last | (g & 4) << 4 | (h & 4) << 5
    tail = plane[8 * eighth :].copy()
    begin = at + 3 * eighth + len(tail)
    end = write_pairs(upper, lowest, out, begin)
    if end < 0:
        return end
    for i in range(3 * eighth):
        out[at + i] = lower[i]
    for i in range(len(tail)):
        out[at + 3 * eighth + i] = tail[i] & 7
    return end


@inner
def read_split(packed: Bytes, at: int, plane: Bytes) -> Scalar:
    """Read what :func:`write_split` wrote; return where it ends, -1 if it is not that."""
    eighth = len(plane) // 8
    begin = at + 3 * eighth + len(plane) - 8 * eighth
    if begin > len(packed):
        return -1
    end = read_pairs(packed, begin, plane)
    if end < 0:
        return end
    first, second, third = packed[at:], packed[at + eighth :], packed[at + 2 * eighth :]
    for i in range(eighth):
        a, b, c = first[i], second[i], third[i]
        plane[i] = plane[i] << 3 | a & 7
        plane[eighth + i] = plane[eighth + i] << 3 | (a >> 3) & 7
        plane[2 * eighth + i] = plane[2 * eighth + i] << 3 | b & 7
        plane[3 * eighth + i] = plane[3 * eighth + i] << 3 | (b >> 3) & 7
        plane[4 * eighth + i] = plane[4 * eighth + i] << 3 | c & 7
        plane[5 * eighth + i] = plane[5 * eighth + i] << 3 | (c >> 3) & 7
        plane[6 * eighth + i] = plane[6 * eighth + i] << 3 | a >> 6 | (c >> 4) & 4
        plane[7 * eighth + i] = plane[7 * eighth + i] << 3 | b >> 6 | (c >> 5) & 4
    for i in range(8 * eighth, len(plane)):
        plane[i] = plane[i] << 3 | packed[at + 3 * eighth + i - 8 * eighth] & 7
    return end
