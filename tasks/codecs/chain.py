"""Which codecs follow one another, and how does a chunk go through them?"""

from typing import Annotated

from pydantic import Field

from data.schemas.tensor import Octets
from tasks.codecs.coded_planes import CodedPlanes
from tasks.codecs.delta import Delta
from tasks.codecs.delta_trend import Trend
from tasks.codecs.planes import Planes
from tasks.codecs.protocol import Around
from tasks.codecs.quantise import Quantised
from tasks.codecs.quantise_groups import QuantisedGroups
from tasks.codecs.zstd import Zstd

Operation = Annotated[
    Planes | Zstd | CodedPlanes | Delta | Trend | Quantised | QuantisedGroups, Field(discriminator="kind")
]
"""Every codec that an archive may name; another kind or another version is refused when its index is read."""

Chain = Annotated[tuple[Operation, ...], Field(max_length=8)]
"""Codecs in the order in which they encode; the empty chain leaves the bytes as they are."""


def encode(chain: Chain, raw: Octets, around: Around) -> Octets:
    """Return ``raw`` after every codec of the chain, first to last."""
    for codec in chain:
        raw = codec.encode(raw, around)
    return raw


def decode(chain: Chain, packed: Octets, around: Around, raw_bytes: int) -> Octets:
    """Return what was encoded: every codec of the chain, last to first.

    No codec here makes a chunk longer than its raw bytes, so ``raw_bytes`` limits every step.

    Raises:
        ValueError: the bytes do not decode, or not to ``raw_bytes`` bytes.
    """
    for codec in reversed(chain):
        packed = codec.decode(packed, around, raw_bytes)
    if len(packed) != raw_bytes:
        raise ValueError(f"expected {raw_bytes} bytes, found {len(packed)}")
    return packed


def decode_into(chain: Chain, packed: Octets, around: Around, out: memoryview) -> None:
    """Fill ``out`` with what was encoded, as :func:`decode` returns it; what decodes last writes there, where it can.

    Raises:
        ValueError: the bytes do not decode, or not to as many as ``out`` takes; it may hold some of them then.
    """
    for codec in reversed(chain[1:]):
        packed = codec.decode(packed, around, len(out))
    if chain and isinstance(chain[0], CodedPlanes | Delta | Trend):
        chain[0].decode_into(packed, around, out)
    else:
        out[:] = decode(chain[:1], packed, around, len(out))
