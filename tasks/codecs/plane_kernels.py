"""How are byte planes laid out, and each coded as it needs, in compiled code?

A coded plane is one byte that says how, then: ``RAW`` its bytes; ``CONSTANT`` the byte that they all are; ``CODED`` the
number of 16-bit words (uint32, little-endian), a table and those words (:mod:`tasks.codecs.rans`). ``PAIRED``: the
lowest of 15 neighbouring values, the number of exceptions (uint32), the number of words (uint32), a table, the words,
and the exceptions: a nibble says which of the 15 a byte is, 0 an exception, and a symbol is two nibbles, one from each
half of the plane. Exponents nearly always fit, and half as many symbols take half the time.
"""

import numpy as np
import numpy.typing as npt

from tasks.codecs import rans
from tasks.codecs.compiled import inner, kernel, u4, u8
from tasks.codecs.rans import Bytes, Counts

RAW, CONSTANT, CODED, PAIRED = 0, 1, 2, 3
HEAD_BYTES_MAX = 1 + 1 + 4 + 4 + rans.TABLE_BYTES_MAX + 16
"""Bytes of a coded plane beside the words that its symbols take."""

_SMALLEST_STREAM = 5 + 16 + 8
_EXCEPTIONS = 64  # of as many bytes of a paired plane at most one is an exception
_BLOCK, _OF = 64, 512  # bytes that are counted before all are


@kernel
def encode_planes(octets: Bytes, word_bytes: int, rotated: bool, least_gain: float, paired: bool, out: Bytes) -> int:
    """Write the coded planes of little-endian words, top bytes first; return how many bytes they take.

    Args:
        octets: ``(words * word_bytes,)``, at least one word.
        word_bytes: 1, 2, 4 or 8.
        rotated: whether the top bit of each word, a float's sign, moves to its lowest place.
        least_gain: share of a plane that coding must save, or it stays raw, which is faster.
        paired: whether planes may be coded in pairs, which is faster and takes a thousandth more.
        out: ``(bytes,)``, at least ``len(octets) + word_bytes * HEAD_BYTES_MAX``.
    """
    length = len(octets) // word_bytes
    at = 0
    for place in range(word_bytes):
        plane = out[at + 1 : at + 1 + length]  # where it stays if it is raw
        if word_bytes == 8:
            _pick(octets.view(np.uint64), rotated, place, plane)
        elif word_bytes == 4:
            _pick(octets.view(np.uint32), rotated, place, plane)
        elif word_bytes == 2:
            _pick(octets.view(np.uint16), rotated, place, plane)
        else:
            _pick(octets, rotated, place, plane)
        at = _encode_plane(plane, least_gain, paired, out, at)
    return at


@kernel
def decode_planes(packed: Bytes, word_bytes: int, rotated: bool, octets: Bytes) -> bool:
    """Read coded planes into words, ``(words * word_bytes,)``; return whether ``packed`` was them and nothing else."""
    length = len(octets) // word_bytes
    decoded = np.empty((word_bytes, length), np.uint8)
    planes = [packed] * word_bytes
    at = 0
    for place in range(word_bytes):
        if at < len(packed) and packed[at] == RAW:
            planes[place] = packed[at + 1 : at + 1 + length]
            at += 1 + length
            if at > len(packed):
                return False
        else:
            planes[place] = decoded[place]
            at = _decode_plane(packed, at, decoded[place])
            if at < 0:
                return False
    if word_bytes == 8:
        _merge(planes, rotated, octets.view(np.uint64))
    elif word_bytes == 4:
        _merge_four(planes[0], planes[1], planes[2], planes[3], rotated, octets.view(np.uint32))
    elif word_bytes == 2:
        _merge_two(planes[0], planes[1], rotated, octets.view(np.uint16))
    else:
        _merge(planes, rotated, octets)
    return at == len(packed)


@inner
def _pick(words: np.ndarray, rotated: bool, place: int, plane: Bytes) -> None:
    """Take the byte at ``place``, 0 the highest, of every word; plain loops, many words at a time."""
    kind = words.dtype.type
    bits = 8 * words.itemsize
    shift = kind(bits - 8 - 8 * place)
    if rotated:
        for i in range(len(words)):
            plane[i] = np.uint8((words[i] << kind(1) | words[i] >> kind(bits - 1)) >> shift)
    else:
        for i in range(len(words)):
            plane[i] = np.uint8(words[i] >> shift)


@inner
def _merge(planes: list[Bytes], rotated: bool, words: np.ndarray) -> None:
    """Make words of planes."""
    kind = words.dtype.type
    bits = 8 * words.itemsize
    words[:] = 0
    for plane in planes:
        for i in range(len(words)):
            words[i] = words[i] << kind(8 % bits) | kind(plane[i])
    if rotated:
        for i in range(len(words)):
            words[i] = words[i] >> kind(1) | words[i] << kind(bits - 1)


@inner
def _merge_four(a: Bytes, b: Bytes, c: Bytes, d: Bytes, rotated: bool, words: npt.NDArray[np.uint32]) -> None:
    """As :func:`_merge`, in one pass."""
    turn = u4(1 if rotated else 0)
    back = u4(31 if rotated else 0)
    for i in range(len(words)):
        word = u4(a[i]) << u4(24) | u4(b[i]) << u4(16) | u4(c[i]) << u4(8) | u4(d[i])
        words[i] = word >> turn | word << back


@inner
def _merge_two(a: Bytes, b: Bytes, rotated: bool, words: npt.NDArray[np.uint16]) -> None:
    """As :func:`_merge`, in one pass."""
    turn = u4(1 if rotated else 0)
    back = u4(15 if rotated else 0)
    for i in range(len(words)):
        word = u4(a[i]) << u4(8) | u4(b[i])
        words[i] = np.uint16(word >> turn | word << back)


@inner
def _encode_plane(plane: Bytes, least_gain: float, paired: bool, out: Bytes, at: int) -> int:
    """Write one coded plane at ``at``; return where it ends.

    Args:
        plane: ``(words,)``; it lies in ``out``, one byte after ``at``.
        least_gain: share of it that coding must save.
        paired: whether it may be coded in pairs.
        out: ``(bytes,)``.
        at: where it begins.
    """
    counts = np.empty(256, np.int64)
    worth = 8.0 * (1.0 - least_gain)
    looked_at = plane
    if len(plane) > 16 * _OF:
        looked_at = np.empty(len(plane) // _OF * _BLOCK, np.uint8)
        for block in range(len(plane) // _OF):
            for i in range(_BLOCK):
                looked_at[block * _BLOCK + i] = plane[block * _OF + i]
    rans.count(looked_at, counts)
    if rans.entropy_bits(counts) < worth * len(looked_at):
        if paired and len(looked_at) < len(plane) and counts[plane[0]] < len(looked_at):
            end = _write_pairs(plane, _window(counts), out, at)
            if end > at:
                return end
        if len(looked_at) < len(plane):
            rans.count(plane, counts)
        if counts[plane[0]] == len(plane):
            out[at + 1] = plane[0]
            out[at] = CONSTANT
            return at + 2
        shares = np.empty(256, np.int64)
        rans.frequencies(counts, shares)
        table_bytes = rans.write_table(shares, np.empty(rans.TABLE_BYTES_MAX, np.uint8), 0)
        if rans.stream_bits(counts, shares) + 8 * (table_bytes + _SMALLEST_STREAM) < worth * len(plane):
            out[at] = CODED
            return _write_words(plane, shares, out, at + 1)
    out[at] = RAW
    return at + 1 + len(plane)


@inner
def _window(counts: Counts) -> int:
    """Return the lowest of the 15 neighbouring bytes that occur most."""
    held = rans.total(counts[:15])
    most, lowest = held, 0
    for value in range(1, 256 - 14):
        held += counts[value + 14] - counts[value - 1]
        if held > most:
            most, lowest = held, value
    return lowest


@inner
def _write_pairs(plane: Bytes, lowest: int, out: Bytes, at: int) -> int:
    """Write a plane as pairs; return where they end, ``at`` if too many of its bytes are exceptions."""
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
                return at
    if len(plane) % 2:
        exceptions[held] = plane[len(plane) - 1]
        held += 1
    counts = np.empty(256, np.int64)
    shares = np.empty(256, np.int64)
    rans.count(pairs[:half], counts)
    rans.frequencies(counts, shares)
    out[at] = PAIRED
    out[at + 1] = lowest
    rans.write_number(held, out, at + 2)
    at = _write_words(pairs[:half], shares, out, at + 6)
    out[at : at + held] = exceptions[:held]
    return at + held


@inner
def _read_pairs(packed: Bytes, at: int, plane: Bytes) -> int:
    """Read a plane of pairs, whose first byte lies before ``at``; return where it ends, -1 if there is none."""
    half = len(plane) // 2
    if len(packed) - at < 5:
        return -1
    lowest = packed[at]
    held = rans.read_number(packed, at + 1)
    pairs = np.empty((half + 7) & ~7, np.uint8)
    pairs[half:] = 0xFF
    at = _read_words(packed, at + 5, pairs[:half])
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
def _holds_zero(eight: np.uint64) -> bool:
    """Return whether one of 16 nibbles may be 0; sometimes yes though none is."""
    return ((eight - u8(0x1111111111111111)) & ~eight & u8(0x8888888888888888)) != 0


@inner
def _write_words(symbols: Bytes, shares: Counts, out: Bytes, at: int) -> int:
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
def _read_words(packed: Bytes, at: int, symbols: Bytes) -> int:
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
def _decode_plane(packed: Bytes, at: int, plane: Bytes) -> int:
    """Read one plane that is not raw from ``at``; return where it ends, -1 if there is none."""
    if len(packed) - at < 2:
        return -1
    how = packed[at]
    if how == CONSTANT:
        plane[:] = packed[at + 1]
        return at + 2
    if how == CODED:
        return _read_words(packed, at + 1, plane)
    if how == PAIRED:
        return _read_pairs(packed, at + 1, plane)
    return -1
