"""How are byte planes laid out, and each coded as it needs, in compiled code?

A coded plane is one byte that says how, then: ``RAW`` its bytes; ``CONSTANT`` the byte that they all are; ``CODED`` the
number of 16-bit words (uint32, little-endian), a table and those words (:mod:`tasks.codecs.rans`); ``PAIRED`` its pairs
of nibbles (:mod:`tasks.codecs.plane_pairs`); ``SPLIT`` the lower 3 bits of each byte, then pairs of the upper 5.
"""

import numpy as np
import numpy.typing as npt

from tasks.codecs import plane_pairs, rans
from tasks.codecs.compiled import Scalar, inner, kernel, u4
from tasks.codecs.rans import Bytes

RAW, CONSTANT, CODED, PAIRED, SPLIT = 0, 1, 2, 3, 4
HEAD_BYTES_MAX = 1 + 1 + 4 + 4 + rans.TABLE_BYTES_MAX + 16
"""Bytes of a coded plane beside the words that its symbols take."""

_SMALLEST_STREAM = 5 + 16 + 8
_SPLIT_COST = 1.02  # what coding half as many symbols may cost in size
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
    turn = kind(1 if rotated else 0)
    back = kind(bits - 1 if rotated else 0)
    for i in range(len(words)):
        plane[i] = np.uint8((words[i] << turn | words[i] >> back) >> shift)


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
def _encode_plane(plane: Bytes, least_gain: float, paired: bool, out: Bytes, at: int) -> Scalar:
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
            end = plane_pairs.write_pairs(plane, plane_pairs.window(counts), out, at + 1)
            if end > 0:
                out[at] = PAIRED
                return end
            coarse = np.zeros(256, np.int64)
            for value in range(256):
                coarse[value >> 3] += counts[value]
            if rans.entropy_bits(coarse) + 3 * len(looked_at) < _SPLIT_COST * rans.entropy_bits(counts):
                end = plane_pairs.write_split(plane, plane_pairs.window(coarse), out, at + 1)
                if end > 0:
                    out[at] = SPLIT
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
            return plane_pairs.write_words(plane, shares, out, at + 1)
    out[at] = RAW
    return at + 1 + len(plane)


@inner
def _decode_plane(packed: Bytes, at: int, plane: Bytes) -> Scalar:
    """Read one plane that is not raw from ``at``; return where it ends, -1 if there is none."""
    if len(packed) - at < 2:
        return -1
    how = packed[at]
    if how == CONSTANT:
        plane[:] = packed[at + 1]
        return at + 2
    if how == CODED:
        return plane_pairs.read_words(packed, at + 1, plane)
    if how == PAIRED:
        return plane_pairs.read_pairs(packed, at + 1, plane)
    if how == SPLIT:
        return plane_pairs.read_split(packed, at + 1, plane)
    return -1
