"""Which codecs follow one another, and which chain makes a chunk smallest?"""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from data.schemas.tensor import ElementType, Octets
from tasks.codecs.planes import Planes
from tasks.codecs.zstd import Zstd

Operation = Annotated[Planes | Zstd, Field(discriminator="kind")]
"""Every codec that an archive may name; another kind or another version is refused when its index is read."""

Chain = tuple[Operation, ...]
"""Codecs in the order in which they encode; the empty chain leaves the bytes as they are."""

CHAINS: tuple[Chain, ...] = (
    (),
    (Zstd(search="repeats"),),
    (Zstd(search="none"),),
    (Planes(rotated=True), Zstd(search="none")),
    (Planes(rotated=False), Zstd(search="repeats")),
)
"""What new archives choose from; the order decides ties."""


@dataclass(frozen=True, slots=True)
class Packed:
    """A chunk as it goes to disk, and the chain (a position in :data:`CHAINS`) that made it."""

    chain: int
    octets: Octets


def pack(raw: Octets, element: ElementType) -> Packed:
    """Try the chains that suit the elements, and keep the smallest result; the bytes themselves if nothing is smaller.

    Args:
        raw: a whole number of elements.
        element: their type.
    """
    if element.word_bytes == 1:
        suited = (1, 2)
    elif element.signed_float:
        suited = (1, 3)
    else:
        suited = (1, 4)
    smallest = Packed(0, raw)
    for number in suited:
        octets = encode(CHAINS[number], raw, element.word_bytes)
        if len(octets) < len(smallest.octets):
            smallest = Packed(number, octets)
    return smallest


def encode(chain: Chain, raw: Octets, word_bytes: int) -> Octets:
    """Return ``raw`` after every codec of the chain, first to last."""
    for codec in chain:
        raw = codec.encode(raw, word_bytes)
    return raw


def decode(chain: Chain, packed: Octets, word_bytes: int, raw_bytes: int) -> Octets:
    """Return what was encoded: every codec of the chain, last to first.

    No codec here makes a chunk longer than its raw bytes, so ``raw_bytes`` limits every step.

    Raises:
        ValueError: the bytes do not decode, or not to ``raw_bytes`` bytes.
    """
    for codec in reversed(chain):
        packed = codec.decode(packed, word_bytes, raw_bytes)
    if len(packed) != raw_bytes:
        raise ValueError(f"expected {raw_bytes} bytes, found {len(packed)}")
    return packed
