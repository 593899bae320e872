"""How do bytes become a Zstandard frame (RFC 8878), tuned for text or for weights?"""

import threading
from dataclasses import dataclass
from functools import cache
from typing import Literal

import zstandard

from data.schemas.tensor import Octets
from tasks.codecs.protocol import Around

_OWN = threading.local()  # a compressor for each thread: making one takes longer than packing a small tensor


@dataclass(frozen=True, slots=True)
class Zstd:
    """One frame that states its content size.

    Args:
        search: ``repeats`` looks for repeated runs, zstd's level 3. ``none`` hardly looks (64 table entries, runs of 7
            bytes and more) and codes each byte by its frequency (Huffman), with a table of its own for each byte plane:
            for weights, whose exponents are skewed but never repeat in runs, that is both smaller and faster. A decoder
            needs no word of it; it is kept so that an archive says how it was made.
    """

    kind: Literal["zstd"] = "zstd"
    version: Literal[1] = 1
    search: Literal["repeats", "none"] = "repeats"

    def encode(self, raw: Octets, around: Around) -> bytes:
        """Return ``raw`` as one frame; without a search the width of a word says how many planes lie in it."""
        if self.search == "repeats":
            return _compressor(self.search).compress(raw)
        compressor = _compressor(self.search).compressobj(size=len(raw))
        plane = max(1, len(raw) // around.word_bytes)
        packed = bytearray()
        view = memoryview(raw)
        for start in range(0, len(raw), plane):
            packed += compressor.compress(view[start : start + plane])
            packed += compressor.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)  # a block ends, so its table does
        return bytes(packed + compressor.flush(zstandard.COMPRESSOBJ_FLUSH_FINISH))

    def decode(self, packed: Octets, around: Around, limit: int) -> bytes:  # noqa: ARG002  every codec gets it
        """Return the content of the frame.

        Raises:
            ValueError: no frame, a damaged one, one without a content size, or one of more than ``limit`` bytes.
        """
        try:
            # the library allocates what the frame declares, whatever limit it is given: so look first
            declared = zstandard.frame_content_size(packed)
            if not 0 <= declared <= limit:
                raise ValueError(f"expected a zstd frame of at most {limit} bytes, found {declared} declared")
            return zstandard.ZstdDecompressor().decompress(packed, allow_extra_data=False)
        except zstandard.ZstdError as error:
            raise ValueError(f"expected a whole zstd frame, found: {error}") from error


def _compressor(search: str) -> zstandard.ZstdCompressor:
    """Return this thread's compressor; nothing of one frame goes into the next."""
    found: zstandard.ZstdCompressor | None = getattr(_OWN, search, None)
    if found is None:
        if search == "repeats":
            found = zstandard.ZstdCompressor(level=3)
        else:
            found = zstandard.ZstdCompressor(compression_params=_frequencies_only())
        setattr(_OWN, search, found)
    return found


@cache
def _frequencies_only() -> zstandard.ZstdCompressionParameters:
    """Return the parameters that keep zstd from searching; a target length of 0 is what keeps Huffman coding on."""
    return zstandard.ZstdCompressionParameters(
        strategy=zstandard.STRATEGY_FAST,
        min_match=7,
        target_length=0,
        hash_log=6,
        chain_log=6,
        search_log=1,
        window_log=22,
    )
