"""How do the peers pack a tensor's bytes without loss? Each is called as its own documentation says, on one thread."""

import importlib.util
import lzma
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import zstandard

Octets = npt.NDArray[np.uint8]
WIDTHS = {"F32": 4, "BF16": 2, "F16": 2}


@dataclass(frozen=True, slots=True)
class Peer:
    """A way to pack the bytes of a tensor, and back; both take the element type.

    Args:
        name: as its users know it.
        package: what must be installed.
        slow: measured on an excerpt only.
    """

    name: str
    package: str
    pack: Callable[[bytes, str], bytes]
    unpack: Callable[[bytes, str], bytes]
    slow: bool = False


def installed(peers: Sequence[Peer]) -> tuple[Peer, ...]:
    """Return the peers that are there; the others are named on the screen."""
    absent = sorted({peer.package for peer in peers if importlib.util.find_spec(peer.package) is None})
    if absent:
        print(f"not measured, since missing: {', '.join(absent)} (make peers)")
    return tuple(peer for peer in peers if peer.package not in absent)


def ordered(words: npt.NDArray[np.unsignedinteger]) -> npt.NDArray[np.unsignedinteger]:
    """Return floats' bits as numbers that grow with them."""
    top = words.dtype.type(1 << (8 * words.itemsize - 1))
    return np.where(words & top, ~words, words | top)


def zigzagged(raw: bytes, base: bytes, dtype: str) -> npt.NDArray[np.unsignedinteger]:
    """Return the differences of floats as numbers in order, folded: 0, -1, 1, -2."""
    kind = f"<u{WIDTHS[dtype]}"
    difference = ordered(np.frombuffer(raw, kind)) - ordered(np.frombuffer(base, kind))
    signed = difference.view(f"<i{WIDTHS[dtype]}")
    return ((signed << 1) ^ (signed >> (8 * WIDTHS[dtype] - 1))).view(kind)


def planes(raw: bytes, dtype: str) -> bytes:
    """Lay the bytes of words side by side."""
    return np.frombuffer(raw, np.uint8).reshape(-1, WIDTHS[dtype]).T.tobytes()


def _unplanes(raw: bytes, dtype: str) -> bytes:
    return np.frombuffer(raw, np.uint8).reshape(WIDTHS[dtype], -1).T.tobytes()


def _zipnn(dtype: str) -> object:
    from zipnn import ZipNN

    names = {"F32": "float32", "BF16": "bfloat16", "F16": "float16"}
    return ZipNN(input_format="byte", bytearray_dtype=names[dtype], threads=1)


def _pack_zipnn(raw: bytes, dtype: str) -> bytes:
    return bytes(_zipnn(dtype).compress(bytearray(raw)))  # type: ignore[attr-defined]


def _unpack_zipnn(packed: bytes, dtype: str) -> bytes:
    return bytes(_zipnn(dtype).decompress(packed))  # type: ignore[attr-defined]


def _pack_blosc(raw: bytes, dtype: str) -> bytes:
    import blosc2

    options = {"codec": blosc2.Codec.ZSTD, "clevel": 1, "filters": [blosc2.Filter.SHUFFLE], "nthreads": 1}
    return bytes(blosc2.compress2(raw, typesize=WIDTHS[dtype], **options))


def _unpack_blosc(packed: bytes, dtype: str) -> bytes:
    import blosc2

    return bytes(blosc2.decompress2(packed, nthreads=1))


def pack_pcodec(words: npt.NDArray[np.generic]) -> bytes:
    """Return numbers as pcodec packs them at its level 8."""
    from pcodec import ChunkConfig, standalone

    return bytes(standalone.simple_compress(words, ChunkConfig(compression_level=8)))


def _as_pcodec_takes(raw: bytes, dtype: str) -> npt.NDArray[np.generic]:
    return np.frombuffer(raw, {"F32": "<f4", "BF16": "<u2", "F16": "<f2"}[dtype])


def _unpack_pcodec(packed: bytes, dtype: str) -> bytes:
    from pcodec import standalone

    return bytes(standalone.simple_decompress(packed).tobytes())


def _z4ai_name(dtype: str) -> str:
    return {"F32": "fp32", "BF16": "bf16", "F16": "fp16"}[dtype]


def _pack_z4ai(raw: bytes, dtype: str) -> bytes:
    import z4ai

    return bytes(z4ai.compress(raw, dtype=_z4ai_name(dtype), threads=1))


def _unpack_z4ai(packed: bytes, dtype: str) -> bytes:
    import z4ai

    return bytes(z4ai.decompress(packed))


def pack_z4ai_delta(raw: bytes, base: bytes, dtype: str) -> bytes:
    """Return the difference as z4ai packs it."""
    import z4ai

    return bytes(z4ai.compress_delta(raw, base, dtype=_z4ai_name(dtype), threads=1))


def pack_xor(raw: bytes, base: bytes, dtype: str) -> bytes:
    """Return the exclusive or of both, its bytes side by side, in a zstd frame of level 3."""
    mixed = np.frombuffer(raw, np.uint8) ^ np.frombuffer(base, np.uint8)
    return zstandard.ZstdCompressor(level=3).compress(planes(mixed.tobytes(), dtype))


ZSTD = Peer(
    "zstd-3",
    "zstandard",
    lambda raw, _dtype: zstandard.ZstdCompressor(level=3).compress(raw),
    lambda packed, _dtype: zstandard.ZstdDecompressor().decompress(packed),
)
BLOSC = Peer("blosc2 zstd-1 shuffle", "blosc2", _pack_blosc, _unpack_blosc)
ZIPNN = Peer("ZipNN", "zipnn", _pack_zipnn, _unpack_zipnn)
PCODEC = Peer("pcodec 8", "pcodec", lambda raw, dtype: pack_pcodec(_as_pcodec_takes(raw, dtype)), _unpack_pcodec)
Z4AI = Peer("z4ai", "z4ai", _pack_z4ai, _unpack_z4ai)
XZ = Peer(
    "shuffle, xz-6",
    "lzma",
    lambda raw, dtype: lzma.compress(planes(raw, dtype)),
    lambda packed, dtype: _unplanes(lzma.decompress(packed), dtype),
    slow=True,
)
PEERS = (ZSTD, BLOSC, ZIPNN, PCODEC, Z4AI, XZ)
