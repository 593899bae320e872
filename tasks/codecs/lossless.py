"""Which chain makes the chunks of a tensor smallest, without losing a bit?"""

from data.schemas.tensor import ELEMENT_TYPES, Octets
from tasks.codecs.chain import Chain, encode
from tasks.codecs.planes import Planes
from tasks.codecs.protocol import Around
from tasks.codecs.treatment import Packed
from tasks.codecs.zstd import Zstd

_CHAINS: tuple[Chain, ...] = (
    (),
    (Zstd(search="repeats"),),
    (Zstd(search="none"),),
    (Planes(rotated=True), Zstd(search="none")),
    (Planes(rotated=False), Zstd(search="repeats")),
)


class Lossless:
    """Tries the chains that suit the elements, and keeps the smallest result, or the bytes themselves."""

    def pack(self, raw: Octets, around: Around) -> Packed:
        """Return the chunk as it goes to disk (:class:`tasks.codecs.treatment.Treatment`)."""
        element = ELEMENT_TYPES[around.dtype]
        if element.word_bytes == 1:
            suited = (1, 2)
        elif element.signed_float:
            suited = (1, 3)
        else:
            suited = (1, 4)
        smallest = Packed(_CHAINS[0], raw)
        for number in suited:
            octets = encode(_CHAINS[number], raw, around)
            if len(octets) < len(smallest.octets):
                smallest = Packed(_CHAINS[number], octets)
        return smallest
