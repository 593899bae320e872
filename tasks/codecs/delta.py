"""How is a chunk stored as its difference to the same chunk of an earlier checkpoint?"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from data.schemas.tensor import Octets
from tasks.codecs.delta_kernels import HEAD_BYTES_MAX, decode_delta, encode_delta
from tasks.codecs.protocol import Around

_EXPONENT_BITS = {"F16": 5, "BF16": 8, "F32": 8, "F64": 11, "C64": 8, "C128": 11}
"""Of the numbers in each element type; the others are whole numbers to a difference."""


@dataclass(frozen=True, slots=True)
class Delta:
    """Differences of words as numbers in order, coded apart for each exponent of the base.

    The bytes: number of 16-bit words (uint32), a table for each of 16 groups of exponents that the base holds, the
    words, then bits; :mod:`tasks.codecs.delta_kernels` says what they mean. Nothing where there is no word.
    """

    kind: Literal["delta"] = "delta"
    version: Literal[1] = 1

    def encode(self, raw: Octets, around: Around) -> memoryview:
        """Return the difference of ``raw`` to the base.

        Raises:
            ValueError: there is no base as long as ``raw``, that is no whole number of words, or it does not shrink.
        """
        base = _base(around, len(raw))
        if not len(raw):
            return memoryview(b"")
        out = np.empty(len(raw) + HEAD_BYTES_MAX, dtype=np.uint8)
        exponent_bits = _EXPONENT_BITS.get(around.dtype, 0)
        used = encode_delta(_copied(raw), base, around.word_bytes, exponent_bits, out)
        if used == 0:
            raise ValueError(f"expected {len(raw)} bytes that resemble their base, found others")
        return out[:used].data

    def decode(self, packed: Octets, around: Around, limit: int) -> memoryview:
        """Return the chunk.

        Raises:
            ValueError: no difference to this base, or a base of more than ``limit`` bytes.
        """
        length = 0 if around.base is None else len(around.base)
        if length > limit:
            raise ValueError(f"expected a base of at most {limit} bytes, found {length}")
        base = _base(around, length)
        octets = np.empty(length, dtype=np.uint8)
        exponent_bits = _EXPONENT_BITS.get(around.dtype, 0)
        good = decode_delta(_copied(packed), base, around.word_bytes, exponent_bits, octets) if length else not packed
        if not good:
            raise ValueError(f"expected a difference to {length} bytes, found another")
        return octets.data


def _base(around: Around, length: int) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    """Return the base, refusing one that does not fit."""
    found = None if around.base is None else len(around.base)
    if around.base is None or found != length or length % around.word_bytes:
        raise ValueError(f"expected a base of {length} bytes, whole words of {around.word_bytes}, found {found}")
    return _copied(around.base)


def _copied(octets: Octets) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    """Copy bytes, so that kernels get aligned, writable arrays only, and are compiled for one kind."""
    return np.frombuffer(octets, dtype=np.uint8).copy()
