"""How does an archive lie in its file, and how is it written and read without trusting the disk?

    opening   magic (8 bytes), format version (uint32), zero (uint32)
    chunks    one after the other, without gaps: the leaves', then each tensor's
    index     JSON in a zstd frame (:mod:`tasks.codecs.index`)
    footer    offset, length and raw length of the index (uint64 each), its SHA-256 (32 bytes),
              CRC-32 of those fields (uint32), magic (8 bytes)

All numbers are little-endian. The footer stands last, so that an archive is written in one pass, and every byte is
covered by a checksum that is verified before the byte is used.
"""

import hashlib
import itertools
import struct
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from data.errors import BadRecord, SourceUnavailable
from data.schemas.tensor import ELEMENT_TYPES, Octets, Tensor
from tasks.codecs import chain
from tasks.codecs.index import CHUNK_BYTES, Chunk, Index, Source, Stored, dump_index, load_index
from tasks.codecs.zstd import Zstd

MAGIC = b"\x89QFZ\r\n\x1a\n"  # as PNG's: a transfer that drops the high bit or changes line ends is noticed at once
VERSION = 1
INDEX_BYTES_MAX = 64 * 1024 * 1024
"""Bytes of an index, packed and raw, that a reader accepts: about 600,000 chunks, 300 GB."""

_OPENING = struct.Struct("<8sII")
_FIELDS = struct.Struct("<QQQ32s")
_CLOSING = struct.Struct("<I8s")
_FOOTER_BYTES = _FIELDS.size + _CLOSING.size


def write_archive(file: BinaryIO, source: Source, leaves: bytes, tensors: Iterable[Tensor]) -> Index:
    """Write an archive in one pass, a chunk in memory at a time; the same input gives the same bytes.

    Args:
        file: empty, and open for writing.
        source: the checkpoint that is compressed.
        leaves: what in it is no tensor.
        tensors: in the order in which they are to be restored.

    Returns:
        The index as it was written.

    Raises:
        ValueError: the archive would have more chunks than a reader accepts.
        OSError: the disk is full.
    """
    file.write(_OPENING.pack(MAGIC, VERSION, 0))
    offset = _OPENING.size
    stored = []
    pieces = (memoryview(leaves)[start : start + CHUNK_BYTES] for start in range(0, len(leaves), CHUNK_BYTES))
    bare = ((Stored(t.name, t.dtype, t.shape, ()), t.pieces(CHUNK_BYTES)) for t in tensors)
    for entry, raw in itertools.chain([(Stored("leaves", "U8", (len(leaves),), ()), pieces)], bare):
        stored.append(_write_chunks(file, offset, entry, raw))
        offset += stored[-1].packed_bytes
    index = Index(source, chain.CHAINS, stored[0], tuple(stored[1:]))
    text = dump_index(index)
    if len(text) > INDEX_BYTES_MAX:
        raise ValueError(
            f"expected an index of at most {INDEX_BYTES_MAX} bytes, found {len(text)}: split the checkpoint"
        )
    packed = Zstd().encode(text, 1)
    fields = _FIELDS.pack(offset, len(packed), len(text), hashlib.sha256(packed).digest())
    file.write(packed + fields + _CLOSING.pack(zlib.crc32(fields), MAGIC))
    return index


def read_index(path: Path) -> Index:
    """Read the index of an archive and check it against the file; no chunk is read.

    Raises:
        SourceUnavailable: there is no such file.
        BadRecord: the file is no archive, or a damaged or cut one; names the file, what was expected, what was found.
    """
    try:
        with path.open("rb") as file:
            return _read_index(file, path)
    except OSError as error:
        raise SourceUnavailable(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise BadRecord(str(path), f"a whole archive of format version {VERSION}", str(error)) from error


def read_pieces(path: Path, index: Index, stored: Stored) -> Iterator[Octets]:
    """Yield the bytes of a tensor, chunk by chunk, each verified before and after it is decoded.

    Raises:
        SourceUnavailable: the file is gone or cannot be read.
        BadRecord: a chunk is damaged; names the file, the tensor and the chunk.
    """
    word_bytes = ELEMENT_TYPES[stored.dtype].word_bytes
    try:
        with path.open("rb") as file:
            for number, chunk in enumerate(stored.chunks):
                where = f"{path}: {stored.name}, chunk {number}"
                file.seek(chunk.offset)
                packed = file.read(chunk.length)
                _expect_checksum(where, packed, chunk.checksum)
                try:
                    raw = chain.decode(index.chains[chunk.chain], packed, word_bytes, chunk.raw_length)
                except ValueError as error:
                    raise BadRecord(where, "bytes that the chain of the index decodes", str(error)) from error
                _expect_checksum(f"{where}, restored", raw, chunk.raw_checksum)
                yield raw
    except OSError as error:
        raise SourceUnavailable(f"{path}: {error.strerror}") from error


def _write_chunks(file: BinaryIO, offset: int, bare: Stored, pieces: Iterable[Octets]) -> Stored:
    """Write the chunks of one tensor from ``offset`` on; return the tensor with them."""
    chunks = []
    for raw in pieces:
        packed = chain.pack(raw, ELEMENT_TYPES[bare.dtype])
        file.write(packed.octets)
        length = len(packed.octets)
        chunks.append(Chunk(offset, length, len(raw), packed.chain, zlib.crc32(packed.octets), zlib.crc32(raw)))
        offset += length
    return Stored(bare.name, bare.dtype, bare.shape, tuple(chunks))


def _read_index(file: BinaryIO, path: Path) -> Index:
    """Read and check opening, footer and index; a ValueError says what is wrong."""
    size = path.stat().st_size
    if size < _OPENING.size + _FOOTER_BYTES:
        raise ValueError(f"{size} bytes")
    magic, version, zero = _OPENING.unpack(file.read(_OPENING.size))
    if magic != MAGIC:
        raise ValueError(f"a file that starts with {magic!r}")
    if (version, zero) != (VERSION, 0):
        raise ValueError(f"format version {version}, reserved field {zero}")
    file.seek(size - _FOOTER_BYTES)
    fields = file.read(_FIELDS.size)
    checksum, closing = _CLOSING.unpack(file.read(_CLOSING.size))
    if closing != MAGIC or checksum != zlib.crc32(fields):
        raise ValueError("a footer that is damaged or cut off")
    offset, length, raw_length, digest = _FIELDS.unpack(fields)
    if offset + length + _FOOTER_BYTES != size or max(length, raw_length) > INDEX_BYTES_MAX:
        raise ValueError(f"an index of {length} bytes ({raw_length} raw) at byte {offset} of {size}")
    file.seek(offset)
    packed = file.read(length)
    if hashlib.sha256(packed).digest() != digest:
        raise ValueError("an index that does not match its SHA-256")
    return load_index(Zstd().decode(packed, 1, raw_length), _OPENING.size, offset)


def _expect_checksum(where: str, octets: Octets, expected: int) -> None:
    """Refuse bytes whose CRC-32 is another."""
    found = zlib.crc32(octets)
    if found != expected:
        raise BadRecord(where, f"bytes with the CRC-32 {expected:08x}", f"{found:08x}")
