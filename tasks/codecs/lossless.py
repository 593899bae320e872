"""Which chain makes the chunks of a tensor smallest, without losing a bit, and without trying them all?"""

from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

import numpy as np

from data.schemas.tensor import ELEMENT_TYPES, Octets, Tensor
from tasks.codecs.chain import Chain, encode
from tasks.codecs.coded_planes import CodedPlanes
from tasks.codecs.compiled import read_only
from tasks.codecs.delta import Delta
from tasks.codecs.delta_trend import Trend
from tasks.codecs.planes import Planes
from tasks.codecs.protocol import Around
from tasks.codecs.repeats import repeated_share
from tasks.codecs.treatment import BaseTensor, Packed, Policy, Treatment
from tasks.codecs.zstd import Zstd

Effort = Literal["fast", "small"]
"""Fast: about as fast as zstd's level 3. Small: a few thousandths smaller, in twice the time."""

_FEW: Chain = (Planes(rotated=True), Zstd(search="none"))  # whose tables are the shortest
_REPEATS: Chain = (Zstd(),)
_INTEGERS: Chain = (Planes(), Zstd())
_ROWS: Chain = (Planes(rotated=True), Zstd())
_DELTA: Chain = (Delta(),)
_TRENDS: tuple[Chain, ...] = ((Trend(changes=1),), (Trend(changes=2),), (Trend(changes=3),))
_EVERYTHING_BELOW = 16 * 1024  # bytes of a chunk on which every chain is tried
_REPEATED = 0.15  # share of runs that must have been there before; of weights' exponents up to 0.1 were, by chance
_LOOKED_AT = 128 * 1024  # bytes of a chunk whose highest bytes are looked at
_SPARSE = 0.4  # share that only planes with runs of equal bytes come down to
_CLEARLY = 0.9  # share of the size without a base at which a difference needs no second opinion


@dataclass(frozen=True, slots=True)
class Lossless:
    """Packs chunks by the chains that suit their elements and content, and keeps the smallest.

    Args:
        effort: how much time a thousandth is worth.
        share: of their raw bytes that chunks come to without a base, where that is known.
        difference: to the base or to what earlier archives let expect; the former where there are not enough of them.
    """

    effort: Effort = "fast"
    share: float | None = None
    difference: Chain = _DELTA

    def pack(self, raw: Octets, around: Around) -> Packed:
        """Return the chunk as it goes to disk (:class:`tasks.codecs.treatment.Treatment`)."""
        smallest = Packed((), raw)
        if around.base is not None:
            with suppress(ValueError):  # it does not shrink
                smallest = Packed(self.difference, encode(self.difference, raw, around))
                if self.share is not None and len(smallest.octets) < _CLEARLY * self.share * len(raw):
                    return smallest
        element = ELEMENT_TYPES[around.dtype]
        planes: Chain = (CodedPlanes(rotated=element.signed_float, effort=self.effort),)
        smallest = _smaller(smallest, planes, raw, around)
        everything = not element.signed_float or self.effort == "small" or len(raw) < _EVERYTHING_BELOW
        sparse = len(smallest.octets) < _SPARSE * len(raw)
        if everything or sparse or _repeats(raw):
            smallest = _smaller(smallest, _REPEATS, raw, around)
        if element.word_bytes > 1 and (everything or sparse or _repeats(_tops(raw, element.word_bytes))):
            smallest = _smaller(smallest, _INTEGERS, raw, around)
            if element.signed_float:
                smallest = _smaller(smallest, _ROWS, raw, around)
        if len(raw) < _EVERYTHING_BELOW:
            smallest = _smaller(smallest, _FEW, raw, around)
        return smallest


def lossless(effort: Effort = "fast") -> Policy:
    """Return the policy that keeps every bit; where there is a base and a difference to it is smaller, it takes that.

    Delta or not is tried on the first chunk of each tensor: weights, moments and counters are decided apart.
    """

    def policy(tensor: Tensor, base: BaseTensor | None) -> Treatment:
        alone = Lossless(effort)
        if base is None:
            return Treatment(alone)
        first = next(tensor.pieces(base.piece_bytes), b"")
        if not first:
            return Treatment(alone)
        below = base.history(0)
        around = Around(tensor.dtype, below[0], earlier=below[1:])
        without = alone.pack(first, Around(tensor.dtype))
        share = len(without.octets) / len(first)
        forms = [Lossless(effort, share, chain) for chain in (_DELTA, *_TRENDS[: len(around.earlier)])]
        sizes = [len(form.pack(first, around).octets) for form in forms]
        best = sizes.index(min(sizes))
        if sizes[best] < len(without.octets):
            return Treatment(forms[best], delta=True)
        return Treatment(alone)

    return policy


def _smaller(than: Packed, chain: Chain, raw: Octets, around: Around) -> Packed:
    """Return the chunk packed by ``chain`` where that is smaller."""
    octets = encode(chain, raw, around)
    return Packed(chain, octets) if len(octets) < len(than.octets) else than


def _repeats(octets: Octets) -> bool:
    """Return whether a search for repeated runs is likely to find some."""
    return bool(
        repeated_share(read_only(octets)[: len(octets) & ~7], 64 if len(octets) > _LOOKED_AT else 16) > _REPEATED
    )


def _tops(raw: Octets, word_bytes: int) -> Octets:
    """Return the highest bytes of words at the beginning; in moments of rows that are alike they come back."""
    return np.frombuffer(raw, dtype=np.uint8)[word_bytes - 1 : _LOOKED_AT : word_bytes].tobytes()
