"""What is a codec? A value that turns the bytes of a chunk into fewer bytes, and back."""

from typing import Protocol

from data.schemas.tensor import Octets


class Codec(Protocol):
    """The contract of every lossless codec; each is a frozen dataclass of its options, tagged by kind and version."""

    def encode(self, raw: Octets, word_bytes: int) -> bytes:
        """Return the bytes that :meth:`decode` turns back into ``raw``.

        Args:
            raw: a whole number of words.
            word_bytes: width of the numbers inside, a hint that every codec gets and some use.
        """
        ...

    def decode(self, packed: Octets, word_bytes: int, limit: int) -> bytes:
        """Return what was encoded.

        Args:
            packed: what :meth:`encode` returned, or anything at all.
            word_bytes: as when it was encoded.
            limit: bytes that must not be exceeded; checked before they are allocated.

        Raises:
            ValueError: ``packed`` is not what :meth:`encode` returns, or holds more than ``limit`` bytes.
        """
        ...
