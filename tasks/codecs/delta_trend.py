"""How is a chunk stored as its difference to where its numbers were heading, as earlier checkpoints show?"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
import numpy.typing as npt

from data.schemas.tensor import Octets
from tasks.codecs.delta import Delta
from tasks.codecs.protocol import Around

Numbers = npt.NDArray[np.float64]

_STORED = {"F16": "<f2", "BF16": "<u2", "F32": "<f4", "C64": "<f4", "F64": "<f8", "C128": "<f8"}
"""How numpy reads the numbers of each element type that can be predicted."""

_ONE = 4096  # what a weight of 1 is written as
_FIT_BITS, _FIT_MAX = 12, 1 << 17


@dataclass(frozen=True, slots=True)
class Trend:
    """Differences to a prediction: the base, and its own latest changes with a weight each.

    An optimiser with momentum moves a weight on much as it moved it before, so two changes that are known tell most of
    the next. The weights are fitted to each chunk by least squares, as in linear prediction (Makhoul 1975, doi
    10.1109/PROC.1975.9792), in whole numbers, so that every machine finds the same. The prediction is computed in
    float64 from products and sums alone and rounded to the element type; it is the base where it is not finite, and
    where the weighted changes are zero.

    The bytes: a weight for each change, latest first (int16, in 4096ths), then the bytes of :class:`Delta` with the
    prediction in place of the base. Nothing where there is no word.

    Args:
        changes: how many are looked at; as many archives below the base are needed.
    """

    kind: Literal["delta_trend"] = "delta_trend"
    version: Literal[1] = 1
    changes: Literal[1, 2] = 2

    def encode(self, raw: Octets, around: Around) -> memoryview:
        """Return the difference of ``raw`` to its prediction.

        Raises:
            ValueError: these are no floats, the earlier chunks are missing or of another length, or it does not shrink.
        """
        versions = self._versions(around, len(raw))
        if not len(raw):
            return memoryview(b"")
        with np.errstate(all="ignore"):
            weights = _fitted(_numbers(raw, around.dtype) - versions[0], _changes(versions))
            predicted = _predicted(around, versions, weights)
        packed = b"".join((weights.tobytes(), Delta().encode(raw, Around(around.dtype, predicted))))
        if len(packed) >= len(raw):
            raise ValueError(f"expected {len(raw)} bytes that resemble their prediction, found others")
        return memoryview(packed)

    def decode(self, packed: Octets, around: Around, limit: int) -> memoryview:
        """Return the chunk.

        Raises:
            ValueError: no difference to what these earlier chunks predict, or they hold more than ``limit`` bytes.
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
            ValueError: no difference to what these earlier chunks predict, or chunks that are not as long.
        """
        versions = self._versions(around, len(out))
        head = 2 * self.changes if len(out) else 0
        if len(packed) < head:
            raise ValueError(f"expected {self.changes} weights of 2 bytes, found {len(packed)} bytes")
        predicted = b""
        if head:
            with np.errstate(all="ignore"):
                predicted = _predicted(around, versions, np.frombuffer(packed, "<i2", count=self.changes))
        Delta().decode_into(memoryview(packed)[head:], Around(around.dtype, predicted), out)

    def _versions(self, around: Around, length: int) -> list[Numbers]:
        """Return the base and what was before it as numbers, latest first, refusing what does not fit."""
        if around.dtype not in _STORED:
            raise ValueError(f"expected elements of {', '.join(_STORED)}, found {around.dtype}")
        given = [around.base, *around.earlier[: self.changes]]
        held = [octets for octets in given if octets is not None and len(octets) == length]
        if len(held) <= self.changes or length % around.word_bytes:
            found = [None if octets is None else len(octets) for octets in given]
            raise ValueError(f"expected {self.changes + 1} chunks of {length} bytes, whole words each, found {found}")
        with np.errstate(all="ignore"):
            return [_numbers(octets, around.dtype) for octets in held]


def _numbers(octets: Octets, dtype: str) -> Numbers:
    """Return numbers of any of the element types."""
    stored = np.frombuffer(octets, _STORED[dtype])
    if dtype == "BF16":
        stored = (stored.astype("<u4") << 16).view("<f4")
    return stored.astype(np.float64)


def _changes(versions: list[Numbers]) -> list[Numbers]:
    return [later - earlier for later, earlier in pairwise(versions)]


def _fitted(wanted: Numbers, changes: list[Numbers]) -> npt.NDArray[np.int16]:
    """Return the weights of the changes that come nearest to the wanted ones, ``(changes,)``.

    What counts is a miss beside the size of a number's own changes, since that is what its bits are about. Sums are of
    whole numbers: their order would otherwise show in the result.
    """
    exponents = np.frexp(np.max(np.abs(changes), axis=0))[1]
    rows = [np.ldexp(each, _FIT_BITS - exponents) for each in (wanted, *changes)]
    good = np.all(np.isfinite(rows), axis=0) & (np.abs(rows[0]) < _FIT_MAX)
    whole = [np.rint(row[good]).astype(np.int64) for row in rows]
    sums = [[int(np.sum(one * other)) for other in whole] for one in whole]
    weights = [0.0] * len(changes)
    determinant = sums[1][1] * sums[2][2] - sums[1][2] ** 2 if len(changes) == 2 else 0
    if determinant > 0:
        weights[0] = (sums[0][1] * sums[2][2] - sums[0][2] * sums[1][2]) / determinant
        weights[1] = (sums[0][2] * sums[1][1] - sums[0][1] * sums[1][2]) / determinant
    elif sums[1][1] > 0:
        weights[0] = sums[0][1] / sums[1][1]
    limits = np.iinfo(np.int16)
    clipped: npt.NDArray[np.float64] = np.clip(np.rint(np.array(weights) * _ONE), limits.min, limits.max)
    return clipped.astype("<i2")


def _predicted(around: Around, versions: list[Numbers], weights: npt.NDArray[np.int16]) -> bytes:
    """Return the words that are predicted."""
    moves = np.zeros_like(versions[0])
    for weight, change in zip(weights, _changes(versions), strict=True):
        moves += float(weight) / _ONE * change
    stored = _STORED[around.dtype]
    if around.dtype == "BF16":
        single = (versions[0] + moves).astype("<f4")
        bits = single.view("<u4")
        bits = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16
        words, finite = bits.astype(stored), np.isfinite(single) & (bits & 0x7F80 != 0x7F80)
    else:
        rounded = (versions[0] + moves).astype(stored)
        words, finite = rounded.view(f"<u{rounded.itemsize}"), np.isfinite(rounded)
    base = np.frombuffer(around.base or b"", words.dtype)
    return np.where(finite & (moves != 0), words, base).tobytes()
