"""How is a chunk stored as its difference to where its numbers were heading, as earlier checkpoints show?"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from data.schemas.tensor import Octets
from tasks.codecs.delta import Delta
from tasks.codecs.delta_trend_kernels import foresee, products
from tasks.codecs.protocol import Around

_STORED = {"F16": "<f2", "BF16": "<u2", "F32": "<f4", "C64": "<f4", "F64": "<f8", "C128": "<f8"}
"""How numpy reads the numbers of each element type that can be predicted."""

_ONE = 4096  # what a weight of 1 is written as


@dataclass(frozen=True, slots=True)
class Trend:
    """Differences to a prediction: the base, and its own latest changes with a weight each.

    An optimiser with momentum moves a weight on much as it moved it before, so a few changes that are known tell most
    of the next. The weights are fitted to each chunk by least squares, as in linear prediction (Makhoul 1975, doi
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
    changes: Literal[1, 2, 3] = 2

    def encode(self, raw: Octets, around: Around) -> memoryview:
        """Return the difference of ``raw`` to its prediction.

        Raises:
            ValueError: these are no floats, the earlier chunks are missing or of another length, or it does not shrink.
        """
        versions = self._versions(around, len(raw))
        if not len(raw):
            return memoryview(b"")
        weights = _fitted(_numbers((raw, *versions), around.dtype))
        predicted = _predicted(around.dtype, versions, weights)
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
        predicted = memoryview(b"")
        if head:
            predicted = _predicted(around.dtype, versions, np.frombuffer(packed, "<i2", count=self.changes))
        Delta().decode_into(memoryview(packed)[head:], Around(around.dtype, predicted), out)

    def _versions(self, around: Around, length: int) -> list[Octets]:
        """Return the base and what was before it, latest first, refusing what does not fit."""
        if around.dtype not in _STORED:
            raise ValueError(f"expected elements of {', '.join(_STORED)}, found {around.dtype}")
        given = [around.base, *around.earlier[: self.changes]]
        held = [octets for octets in given if octets is not None and len(octets) == length]
        if len(held) <= self.changes or length % around.word_bytes:
            found = [None if octets is None else len(octets) for octets in given]
            raise ValueError(f"expected {self.changes + 1} chunks of {length} bytes, whole words each, found {found}")
        return held


def _numbers(versions: Sequence[Octets], dtype: str) -> npt.NDArray[Any]:
    """Return versions of a chunk of any of the element types as floats that kernels know, ``(versions, words)``."""
    stored = np.stack([np.frombuffer(octets, _STORED[dtype]) for octets in versions])
    if dtype == "BF16":
        return (stored.astype("<u4") << 16).view("<f4")
    if dtype == "F16":
        with np.errstate(invalid="ignore"):  # of a NaN that signals
            return stored.astype("<f4")
    return stored


def _fitted(versions: npt.NDArray[Any]) -> npt.NDArray[np.int16]:
    """Return the weights of the changes before the latest that come nearest to it, ``(changes,)``, the rest being 0."""
    sums: list[list[int]] = products(versions).tolist()
    wanted, gram = sums[0][1:], [row[1:] for row in sums[1:]]
    weights = np.zeros(len(wanted))
    for count in range(len(wanted), 0, -1):  # fewer, where one change is but another over again
        square = [row[:count] for row in gram[:count]]
        if (whole := _determinant(square)) > 0:
            for place in range(count):  # Cramer's rule
                swapped = [
                    [*row[:place], sought, *row[place + 1 :]] for row, sought in zip(square, wanted, strict=False)
                ]
                weights[place] = _determinant(swapped) / whole
            break
    limits = np.iinfo(np.int16)
    clipped: npt.NDArray[np.float64] = np.clip(np.rint(weights * _ONE), limits.min, limits.max)
    return clipped.astype("<i2")


def _determinant(square: list[list[int]]) -> int:
    """Return the determinant, of whole numbers of any length."""
    if len(square) == 1:
        return square[0][0]
    minors = (_determinant([[*row[:place], *row[place + 1 :]] for row in square[1:]]) for place in range(len(square)))
    return sum((-1) ** place * square[0][place] * minor for place, minor in enumerate(minors))


def _predicted(dtype: str, versions: list[Octets], weights: npt.NDArray[np.int16]) -> memoryview:
    """Return the words that are predicted."""
    numbers, base = _numbers(versions, dtype), np.frombuffer(versions[0], f"<u{np.dtype(_STORED[dtype]).itemsize}")
    if dtype == "F16":  # rounded once, from float64
        wide = np.full(len(base), np.nan)
        foresee(numbers, weights / _ONE, wide)
        with np.errstate(over="ignore"):
            half = wide.astype("<f2")
        words = np.where(np.isfinite(half), half.view("<u2"), base)
    else:
        rounded = numbers[0].copy()
        foresee(numbers, weights / _ONE, rounded)
        words = rounded.view(f"<u{rounded.itemsize}")
        if dtype == "BF16":
            upper = (words + 0x7FFF + (words >> 16 & 1)) >> 16
            words = np.where(upper & 0x7F80 != 0x7F80, upper, base).astype("<u2")
    return words.view(np.uint8).data
