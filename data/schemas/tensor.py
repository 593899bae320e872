"""Which element types may a tensor of a checkpoint have, and what is a tensor to whoever copies it?"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

Octets = bytes | bytearray | memoryview
"""Raw bytes, however they are held."""

DIMENSIONS_MAX = 64
"""As many dimensions as numpy and torch take."""


@dataclass(frozen=True, slots=True)
class ElementType:
    """How one element lies in memory, little-endian.

    Args:
        bits: width of one element.
        word_bytes: width of the number inside it; a complex element holds two.
        signed_float: the top bit of a word is a sign, the exponent follows.
    """

    bits: int
    word_bytes: int
    signed_float: bool = False


ELEMENT_TYPES: Mapping[str, ElementType] = MappingProxyType(
    {
        "BOOL": ElementType(8, 1),
        "U8": ElementType(8, 1),
        "I8": ElementType(8, 1),
        "U16": ElementType(16, 2),
        "I16": ElementType(16, 2),
        "U32": ElementType(32, 4),
        "I32": ElementType(32, 4),
        "U64": ElementType(64, 8),
        "I64": ElementType(64, 8),
        "F4": ElementType(4, 1),
        "F6_E2M3": ElementType(6, 1),
        "F6_E3M2": ElementType(6, 1),
        "F8_E4M3": ElementType(8, 1),
        "F8_E4M3FNUZ": ElementType(8, 1),
        "F8_E5M2": ElementType(8, 1),
        "F8_E5M2FNUZ": ElementType(8, 1),
        "F8_E8M0": ElementType(8, 1),
        "F16": ElementType(16, 2, signed_float=True),
        "BF16": ElementType(16, 2, signed_float=True),
        "F32": ElementType(32, 4, signed_float=True),
        "F64": ElementType(64, 8, signed_float=True),
        "C64": ElementType(64, 4, signed_float=True),
        "C128": ElementType(128, 8, signed_float=True),
    }
)
"""By the names that safetensors gives them; bfloat16 is a type of its own. C128 exists in torch files only."""


class Tensor(Protocol):
    """A tensor of a checkpoint, read piece by piece, row-major and little-endian."""

    @property
    def name(self) -> str:
        """Name, unique within its checkpoint."""
        ...

    @property
    def dtype(self) -> str:
        """A key of :data:`ELEMENT_TYPES`."""
        ...

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each dimension; empty for a scalar."""
        ...

    def pieces(self, piece_bytes: int) -> Iterator[Octets]:
        """Yield the bytes in order, ``piece_bytes`` at a time; only the last piece may be shorter."""
        ...


def tensor_bytes(dtype: str, shape: tuple[int, ...]) -> int:
    """Count the bytes of a tensor.

    Raises:
        ValueError: unknown element type, too many or negative dimensions, or a size that is no whole number of bytes.
    """
    if dtype not in ELEMENT_TYPES:
        raise ValueError(f"expected an element type of {', '.join(ELEMENT_TYPES)}, found {dtype!r}")
    if len(shape) > DIMENSIONS_MAX or any(length < 0 for length in shape):
        raise ValueError(f"expected at most {DIMENSIONS_MAX} dimensions, none negative, found {shape[:8]}")
    bits = math.prod(shape) * ELEMENT_TYPES[dtype].bits
    if bits % 8:
        raise ValueError(f"expected a whole number of bytes, found {bits} bits for {dtype} {shape}")
    return bits // 8
