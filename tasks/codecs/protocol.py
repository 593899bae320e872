"""What is a codec? A value that turns the bytes of a chunk into fewer bytes, and back."""

from dataclasses import dataclass
from typing import Protocol

from data.schemas.tensor import ELEMENT_TYPES, Octets


@dataclass(frozen=True, slots=True, eq=False)
class Around:
    """What is known about a chunk, beside its bytes, whenever it is encoded or decoded.

    Args:
        dtype: of the tensor, a key of :data:`data.schemas.tensor.ELEMENT_TYPES`.
        base: the same range of the same tensor in the base archive, as long as the chunk's raw bytes.
        first: words of the tensor before this chunk; known when it is encoded, 0 when it is decoded.
        earlier: what the base is a difference to in its own base, and that one in turn, latest first, at most three.
    """

    dtype: str = "U8"
    base: Octets | None = None
    first: int = 0
    earlier: tuple[Octets, ...] = ()

    @property
    def word_bytes(self) -> int:
        """Width of the numbers inside."""
        return ELEMENT_TYPES[self.dtype].word_bytes


class Codec(Protocol):
    """The contract of every codec; each is a frozen dataclass of its options, tagged by kind and version."""

    def encode(self, raw: Octets, around: Around) -> Octets:
        """Return the bytes that :meth:`decode` turns back into ``raw``, exactly or within the bound that it states.

        Args:
            raw: a whole number of words.
            around: what is known beside it; some codecs use it.
        """
        ...

    def decode(self, packed: Octets, around: Around, limit: int) -> Octets:
        """Return what was encoded.

        Args:
            packed: what :meth:`encode` returned, or anything at all.
            around: as when it was encoded.
            limit: bytes that must not be exceeded; checked before they are allocated.

        Raises:
            ValueError: ``packed`` is not what :meth:`encode` returns, or holds more than ``limit`` bytes.
        """
        ...
