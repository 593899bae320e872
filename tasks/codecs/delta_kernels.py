"""How are two versions of the same numbers turned into classes and bits that follow, in compiled code?

The difference of two words, as numbers in order (a float's bits are: negative ones complemented, the others with their
top bit set), is turned over where the base is negative, so that it says how much a magnitude grew, and zigzagged: 0,
-1, 1, -2, ... The lowest bit is then the sign. The class holds it, the length of the bits above, and the few bits after
their first one, and is coded by asymmetric numeral systems; the bits that are left follow as they are.

A training step moves weights by about the same amount, whatever their size, so by more units in the last place where
the exponent is lower. So each exponent of the base has frequencies of its own; both sides know the base.
"""

import numpy as np
import numpy.typing as npt

from tasks.codecs import rans
from tasks.codecs.compiled import Scalar, inner, kernel, u8
from tasks.codecs.rans import Bytes

CONTEXTS = 16
HEAD_BYTES_MAX = 4 + 16 + CONTEXTS * rans.TABLE_BYTES_MAX + 16

_RARE = 1024  # exponents that fewer than one word in so many has are taken for the one below


@kernel
def encode_delta(raw: Bytes, base: Bytes, word_bytes: int, exponent_bits: int, out: Bytes) -> int:
    """Write the difference of ``raw`` to ``base``; return how many bytes it takes, 0 where it is no shorter than raw.

    Args:
        raw: ``(words * word_bytes,)``, at least one word.
        base: ``(words * word_bytes,)``.
        word_bytes: 1, 2, 4 or 8.
        exponent_bits: of a float, after its sign; 0 for whole numbers.
        out: ``(bytes,)``, at least ``len(raw) + HEAD_BYTES_MAX``.
    """
    words = len(raw) // word_bytes
    zigzag = np.empty(words, np.uint64)
    contexts = np.empty(words, np.uint8)
    if word_bytes == 8:
        _zigzag(raw.view(np.uint64), base.view(np.uint64), exponent_bits > 0, zigzag)
        _contexts(base.view(np.uint64), exponent_bits, contexts)
    elif word_bytes == 4:
        _zigzag(raw.view(np.uint32), base.view(np.uint32), exponent_bits > 0, zigzag)
        _contexts(base.view(np.uint32), exponent_bits, contexts)
    elif word_bytes == 2:
        _zigzag(raw.view(np.uint16), base.view(np.uint16), exponent_bits > 0, zigzag)
        _contexts(base.view(np.uint16), exponent_bits, contexts)
    else:
        _zigzag(raw, base, exponent_bits > 0, zigzag)
        _contexts(base, exponent_bits, contexts)
    return int(_write_classes(zigzag, contexts, _kept_bits(word_bytes), out, len(raw)))


@kernel
def decode_delta(packed: Bytes, base: Bytes, word_bytes: int, exponent_bits: int, octets: Bytes) -> bool:
    """Read what :func:`encode_delta` wrote into ``octets``; return whether it was that and nothing else."""
    words = len(octets) // word_bytes
    zigzag = np.empty(words, np.uint64)
    contexts = np.empty(words, np.uint8)
    if word_bytes == 8:
        _contexts(base.view(np.uint64), exponent_bits, contexts)
    elif word_bytes == 4:
        _contexts(base.view(np.uint32), exponent_bits, contexts)
    elif word_bytes == 2:
        _contexts(base.view(np.uint16), exponent_bits, contexts)
    else:
        _contexts(base, exponent_bits, contexts)
    if not _read_classes(packed, contexts, _kept_bits(word_bytes), 8 * word_bytes, zigzag):
        return False
    if word_bytes == 8:
        _add(base.view(np.uint64), zigzag, exponent_bits > 0, octets.view(np.uint64))
    elif word_bytes == 4:
        _add(base.view(np.uint32), zigzag, exponent_bits > 0, octets.view(np.uint32))
    elif word_bytes == 2:
        _add(base.view(np.uint16), zigzag, exponent_bits > 0, octets.view(np.uint16))
    else:
        _add(base, zigzag, exponent_bits > 0, octets)
    return True


@inner
def _kept_bits(word_bytes: int) -> int:
    """Return how many bits after the first a class holds, so that no word needs more than 256 classes."""
    if word_bytes == 1:
        return 6
    if word_bytes == 2:
        return 3
    return 2 if word_bytes == 4 else 1


@inner
def _ordered(word: int, top: int, signed_float: bool) -> int:
    """Return a float's bits as a number that grows with it."""
    if signed_float:
        return ~word if word & top else word | top
    return word


@inner
def _zigzag(words: np.ndarray, base: np.ndarray, signed_float: bool, zigzag: npt.NDArray[np.uint64]) -> None:
    """Fill ``zigzag``, ``(words,)``, with the differences of words to their base."""
    kind = words.dtype.type
    bits = 8 * words.itemsize
    top = kind(1) << kind(bits - 1)
    for i in range(len(words)):
        difference = kind(_ordered(words[i], top, signed_float) - _ordered(base[i], top, signed_float))
        if signed_float and base[i] & top:
            difference = kind(kind(0) - difference)
        sign = kind(0) - kind(difference >> kind(bits - 1))
        zigzag[i] = kind(kind(difference << kind(1)) ^ sign)


@inner
def _add(base: np.ndarray, zigzag: npt.NDArray[np.uint64], signed_float: bool, words: np.ndarray) -> None:
    """Fill ``words`` with the base and the differences to it."""
    kind = words.dtype.type
    bits = 8 * words.itemsize
    top = kind(1) << kind(bits - 1)
    for i in range(len(words)):
        folded = kind(zigzag[i])
        difference = kind(kind(folded >> kind(1)) ^ kind(kind(0) - kind(folded & kind(1))))
        if signed_float and base[i] & top:
            difference = kind(kind(0) - difference)
        ordered = kind(_ordered(base[i], top, signed_float) + difference)
        if signed_float:
            words[i] = kind(ordered ^ top) if ordered & top else kind(~ordered)
        else:
            words[i] = ordered


@inner
def _contexts(base: np.ndarray, exponent_bits: int, contexts: Bytes) -> None:
    """Fill ``contexts``, ``(words,)``: how far an exponent lies below the highest that is not rare, 15 at most."""
    if exponent_bits == 0:
        contexts[:] = 0
        return
    kind = base.dtype.type
    shift = kind(8 * base.itemsize - 1 - exponent_bits)
    mask = (1 << exponent_bits) - 1
    counts = np.zeros(mask + 1, np.int64)
    for i in range(len(base)):
        counts[np.int64(base[i] >> shift) & mask] += 1
    highest = mask
    while counts[highest] * _RARE < len(base) and highest > 0:
        highest -= 1
    for i in range(len(base)):
        below: Scalar = highest - (np.int64(base[i] >> shift) & mask)
        contexts[i] = min(max(below, 0), CONTEXTS - 1)


@inner
def _write_classes(zigzag: npt.NDArray[np.uint64], contexts: Bytes, kept: int, out: Bytes, most: int) -> int:
    """Write classes and bits into ``out``; return how many bytes they take, 0 if ``most`` or more."""
    words = len(zigzag)
    classes = np.empty(words, np.uint8)
    below = np.empty(words, np.uint8)
    counts = np.zeros((CONTEXTS, 256), np.int64)
    lengths = _lengths(zigzag)
    bits: Scalar = 0
    for i in range(words):
        unkept: Scalar = max(np.int64(lengths[i]) - 1 - kept, 0)
        below[i] = unkept
        bits += unkept
        kept_part = (unkept << kept) + np.int64(zigzag[i] >> u8(unkept + 1))
        classes[i] = np.uint8(kept_part << 1 | np.int64(zigzag[i] & u8(1)))
    for i in range(words):
        counts[contexts[i], classes[i]] += 1
    shares = np.zeros((CONTEXTS, 256), np.int64)
    tables = np.empty((CONTEXTS * 256, 4), np.uint64)
    expected = float(bits)
    for context in range(CONTEXTS):
        if rans.total(counts[context]) > 0:
            rans.frequencies(counts[context], shares[context])
            rans.encoder_table(shares[context], tables[256 * context : 256 * context + 256])
            expected += rans.stream_bits(counts[context], shares[context])
    if expected >= 8.0 * most:
        return 0
    stream = np.empty(words + 9, np.uint16)
    begin = rans.encode(classes, contexts, tables, stream)
    length = len(stream) - begin
    at = 4
    rans.write_number(length, out, 0)
    for context in range(CONTEXTS):
        if rans.total(counts[context]) > 0:
            at = rans.write_table(shares[context], out, at)
    octets = stream.view(np.uint8)
    for i in range(2 * length):
        out[at + i] = octets[2 * begin + i]
    at += 2 * length
    eights = np.zeros(bits // 64 + 2, np.uint64)
    place: Scalar = 0
    for i in range(words):
        shift = u8(below[i])
        value = (zigzag[i] >> u8(1)) & ((u8(1) << shift) - u8(1))
        offset = u8(place & 63)
        eights[place >> 6] |= value << offset
        eights[(place >> 6) + 1] |= (value >> u8(1)) >> (u8(63) - offset)
        place += np.int64(shift)
    octets = eights.view(np.uint8)
    for i in range((bits + 7) // 8):
        out[at + i] = octets[i]
    at += (bits + 7) // 8
    return at if at < most else 0


@inner
def _read_classes(packed: Bytes, contexts: Bytes, kept: int, word_bits: int, zigzag: npt.NDArray[np.uint64]) -> bool:
    """Read classes and bits into ``zigzag``; return whether ``packed`` was them and nothing else."""
    words = len(zigzag)
    seen = np.zeros(CONTEXTS, np.uint8)
    for i in range(words):
        seen[contexts[i]] = 1
    if len(packed) < 4:
        return False
    length = rans.read_number(packed, 0)
    at = 4
    shares = np.empty(256, np.int64)
    tables = np.empty(CONTEXTS * rans.SCALE, np.uint32)
    for context in range(CONTEXTS):
        if seen[context]:
            at = rans.read_table(packed, at, shares)
            if at < 0:
                return False
            rans.decoder_table(shares, tables[context * rans.SCALE : (context + 1) * rans.SCALE])
    if 2 * length > len(packed) - at:
        return False
    stream = np.zeros(length + 1, np.uint16)
    octets = stream.view(np.uint8)
    for i in range(2 * length):
        octets[i] = packed[at + i]
    at += 2 * length
    classes = np.empty(words, np.uint8)
    if not rans.decode(stream, contexts, tables, classes):
        return False
    below = np.empty(words, np.uint8)
    bits: Scalar = 0
    for i in range(words):
        unkept: Scalar = max((np.int64(classes[i]) >> (kept + 1)) - 1, 0)
        below[i] = unkept
        bits += unkept
        if unkept > word_bits - 2 - kept:
            return False
    if len(packed) - at != (bits + 7) // 8:
        return False
    eights = np.zeros(bits // 64 + 2, np.uint64)
    octets = eights.view(np.uint8)
    for i in range((bits + 7) // 8):
        octets[i] = packed[at + i]
    place: Scalar = 0
    for i in range(words):
        shift = u8(below[i])
        offset = u8(place & 63)
        value = eights[place >> 6] >> offset | (eights[(place >> 6) + 1] << u8(1)) << (u8(63) - offset)
        first = u8((np.int64(classes[i]) >> 1) - (np.int64(below[i]) << kept))
        upper = first << shift | (value & ((u8(1) << shift) - u8(1)))
        zigzag[i] = upper << u8(1) | u8(classes[i] & 1)
        place += np.int64(shift)
    return True


@inner
def _lengths(zigzag: npt.NDArray[np.uint64]) -> Bytes:
    """Return the length in bits of each number without its lowest bit, ``(words,)``; 0 has 0."""
    lengths = np.empty(len(zigzag), np.uint8)
    rounded = np.empty(len(zigzag), np.float64)
    for i in range(len(zigzag)):  # without the bit after its first, a number is not rounded up to the next length
        number = zigzag[i] >> u8(1)
        rounded[i] = np.float64(number & ~(number >> u8(1)))
    raised = rounded.view(np.uint64)
    for i in range(len(zigzag)):
        lengths[i] = np.uint8((raised[i] >> u8(52)) - u8(1022)) if zigzag[i] > u8(1) else np.uint8(0)
    return lengths
