"""How is a chunk stored as its difference to the same chunk of an earlier checkpoint?"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from data.schemas.tensor import Octets
from tasks.codecs.compiled import read_only
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
        used = encode_delta(read_only(raw), base, around.word_bytes, exponent_bits, out)
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
        octets = np.empty(length, dtype=np.uint8).data
        self.decode_into(packed, around, octets)
        return octets

    def decode_into(self, packed: Octets, around: Around, out: memoryview) -> None:
        """Fill ``out`` with the chunk.

        Raises:
            ValueError: no difference to this base, or a base that is not as long.
        """
        base = _base(around, len(out))
        exponent_bits = _EXPONENT_BITS.get(around.dtype, 0)
        if not len(out):
            good = not packed
        else:
            octets = np.frombuffer(out, dtype=np.uint8)
            good = decode_delta(read_only(packed), base, around.word_bytes, exponent_bits, octets)
        if not good:
            raise ValueError(f"expected a difference to {len(out)} bytes, found another")


def _base(around: Around, length: int) -> npt.NDArray[np.uint8]:
    """Return the base, refusing one that does not fit."""
    found = None if around.base is None else len(around.base)
    if around.base is None or found != length or length % around.word_bytes:
        raise ValueError(f"expected a base of {length} bytes, whole words of {around.word_bytes}, found {found}")
    return read_only(around.base)
