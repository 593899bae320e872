"""How are the byte planes of a chunk coded, each as it needs: raw, constant, or by the frequencies of its bytes?

In trained weights only the exponent repeats, and the sign is a coin toss, so a float is first rotated left by one bit:
sign eeeeeeee mmm... becomes eeeeeeee mmm... sign. The plane of exponents is coded; planes of mantissas are as good as
noise and stay as they are, unless the weights were born in a narrower type: then some of their planes are zero.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from data.schemas.tensor import Octets
from tasks.codecs.compiled import read_only
from tasks.codecs.plane_kernels import HEAD_BYTES_MAX, decode_planes, encode_planes
from tasks.codecs.protocol import Around

_LENGTH_BYTES = 4
_LEAST_GAIN = {"fast": 0.02, "small": 0.001}


@dataclass(frozen=True, slots=True)
class CodedPlanes:
    """The number of words (uint32), then each plane, the most significant first.

    Args:
        rotated: the top bit of each word, a float's sign, becomes its lowest.
        effort: whether planes that shrink by less than a fiftieth are coded too. A decoder needs no word of it.
    """

    kind: Literal["coded_planes"] = "coded_planes"
    version: Literal[1] = 1
    rotated: bool = False
    effort: Literal["fast", "small"] = "fast"

    def encode(self, raw: Octets, around: Around) -> memoryview:
        """Return the planes of ``raw``; a few bytes longer than it where nothing can be gained.

        Raises:
            ValueError: ``raw`` is no whole number of words, or a word is not 1, 2, 4 or 8 bytes wide.
        """
        word_bytes = around.word_bytes
        if word_bytes not in (1, 2, 4, 8) or len(raw) % word_bytes:
            raise ValueError(
                f"expected whole words of 1, 2, 4 or 8 bytes, found {len(raw)} bytes of width {word_bytes}"
            )
        out = np.empty(_LENGTH_BYTES + len(raw) + word_bytes * HEAD_BYTES_MAX, dtype=np.uint8)
        out[:_LENGTH_BYTES] = np.frombuffer((len(raw) // word_bytes).to_bytes(_LENGTH_BYTES, "little"), dtype=np.uint8)
        used = 0
        if len(raw):
            gain = _LEAST_GAIN[self.effort]
            paired = self.effort == "fast"
            used = encode_planes(read_only(raw), word_bytes, self.rotated, gain, paired, out[_LENGTH_BYTES:])
        return out[: _LENGTH_BYTES + used].data

    def decode(self, packed: Octets, around: Around, limit: int) -> memoryview:
        """Return the words of the planes.

        Raises:
            ValueError: no such planes, or more than ``limit`` bytes of words.
        """
        word_bytes = around.word_bytes
        words = int.from_bytes(packed[:_LENGTH_BYTES], "little")
        if len(packed) < _LENGTH_BYTES or words * word_bytes > limit:
            raise ValueError(f"expected planes of at most {limit} bytes, found {words} words of {word_bytes} bytes")
        octets = np.empty(words * word_bytes, dtype=np.uint8).data
        self.decode_into(packed, around, octets)
        return octets

    def decode_into(self, packed: Octets, around: Around, out: memoryview) -> None:
        """Fill ``out`` with the words of the planes.

        Raises:
            ValueError: no such planes, or not as many bytes.
        """
        word_bytes = around.word_bytes
        words = int.from_bytes(packed[:_LENGTH_BYTES], "little")
        if len(packed) < _LENGTH_BYTES or words * word_bytes != len(out):
            raise ValueError(f"expected {len(out)} bytes, found {words * word_bytes} of planes")
        if not words:
            good = len(packed) == _LENGTH_BYTES
        else:
            body = read_only(packed)[_LENGTH_BYTES:]
            good = decode_planes(body, word_bytes, self.rotated, np.frombuffer(out, dtype=np.uint8))
        if not good:
            raise ValueError(f"expected {word_bytes} coded planes of {words} bytes each, found others")
