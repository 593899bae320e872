"""How does an archive lie in its file? Opening, chunks, index, footer; the page beside this file says it in full.

    opening   magic (8 bytes), format version (uint32), zero (uint32)
    chunks    one after the other, without gaps: the leaves', then each tensor's
    index     JSON in a zstd frame (:mod:`tasks.codecs.index`)
    footer    offset, length and raw length of the index (uint64 each), SHA-256 of the index (32 bytes), XXH3 of all
              bytes before it (16 bytes), CRC-32 of those fields (uint32), magic (8 bytes)

All numbers are little-endian. The footer stands last, so that an archive is written in one pass, and every byte is
covered by a checksum that is verified before the byte is used.
"""

import hashlib
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from data.errors import BadRecord, SourceUnavailable
from tasks.codecs.index import Index, dump_index, load_index
from tasks.codecs.protocol import Around
from tasks.codecs.zstd import Zstd

MAGIC = b"\x89QFZ\r\n\x1a\n"  # as PNG's: a transfer that drops the high bit or changes line ends is noticed at once
VERSION = 2
INDEX_BYTES_MAX = 64 * 1024 * 1024
"""Bytes of an index, packed and raw, that a reader accepts: more than a million chunks, a terabyte."""

_FREE_BYTES, _BYTES_EACH = 16 * 1024 * 1024, 64
_FREE_COMMAS = 500_000
_FREE_BRACKETS = 100_000
"""JSON that any index may have, and what each of its packed bytes allows beside that: an index of hashes packs to half,
so honest ones stay far below, and a few kilobytes cannot make a reader hold gigabytes of empty lists."""

_OPENING = struct.Struct("<8sII")
_FIELDS = struct.Struct("<QQQ32s16s")
_CLOSING = struct.Struct("<I8s")
_FOOTER_BYTES = _FIELDS.size + _CLOSING.size

OPENING = _OPENING.pack(MAGIC, VERSION, 0)
"""How every archive begins."""


@dataclass(frozen=True, slots=True)
class Footer:
    """Where the index lies, and what was hashed.

    Args:
        offset: first byte of the packed index, right after the last chunk.
        length: bytes of the packed index.
        raw_length: bytes of its JSON text.
        index_sha256: of the packed index.
        body_xxh3: XXH3 of 128 bits of every byte before it.
    """

    offset: int
    length: int
    raw_length: int
    index_sha256: bytes
    body_xxh3: bytes


def closing(index: Index, offset: int, body_xxh3: bytes) -> bytes:
    """Return what follows the last chunk: the index and the footer.

    Args:
        index: of all chunks.
        offset: bytes before it.
        body_xxh3: of those bytes.

    Raises:
        ValueError: the archive would have more chunks than a reader accepts.
    """
    text = dump_index(index)
    if len(text) > INDEX_BYTES_MAX:
        raise ValueError(
            f"expected an index of at most {INDEX_BYTES_MAX} bytes, found {len(text)}: split the checkpoint"
        )
    packed = bytes(Zstd().encode(text, Around()))
    _check_length(len(text), len(packed))
    _check_text(text, len(packed))
    fields = _FIELDS.pack(offset, len(packed), len(text), hashlib.sha256(packed).digest(), body_xxh3)
    return packed + fields + _CLOSING.pack(zlib.crc32(fields), MAGIC)


def read_index(path: Path) -> Index:
    """Read the index of an archive and check it against the file; no chunk is read.

    Raises:
        SourceUnavailable: there is no such file.
        BadRecord: the file is no archive, or a damaged or cut one; names the file, what was expected, what was found.
    """
    try:
        with path.open("rb") as file:
            return read_ends(file, path)[0]
    except OSError as error:
        raise SourceUnavailable(f"{path}: {error.strerror}") from error


def read_ends(file: BinaryIO, path: Path) -> tuple[Index, Footer]:
    """Read and check opening, footer and index of an open archive.

    Args:
        file: open for reading.
        path: its name, for messages.

    Raises:
        BadRecord: the file is no archive, or a damaged or cut one.
        OSError: it cannot be read.
    """
    try:
        return _read_ends(file)
    except ValueError as error:
        raise BadRecord(str(path), f"a whole archive of format version {VERSION}", str(error)) from error


def _read_ends(file: BinaryIO) -> tuple[Index, Footer]:
    """Read and check opening, footer and index; a ValueError says what is wrong."""
    size = file.seek(0, 2)
    if size < _OPENING.size + _FOOTER_BYTES:
        raise ValueError(f"{size} bytes")
    file.seek(0)
    magic, version, zero = _OPENING.unpack(file.read(_OPENING.size))
    if magic != MAGIC:
        raise ValueError(f"a file that starts with {magic!r}")
    if (version, zero) != (VERSION, 0):
        raise ValueError(f"format version {version}, reserved field {zero}")
    file.seek(size - _FOOTER_BYTES)
    fields = file.read(_FIELDS.size)
    checksum, magic = _CLOSING.unpack(file.read(_CLOSING.size))
    if magic != MAGIC or checksum != zlib.crc32(fields):
        raise ValueError("a footer that is damaged or cut off")
    footer = Footer(*_FIELDS.unpack(fields))
    if footer.offset + footer.length + _FOOTER_BYTES != size or footer.offset < _OPENING.size:
        raise ValueError(f"an index of {footer.length} bytes at byte {footer.offset} of {size}")
    if max(footer.length, footer.raw_length) > INDEX_BYTES_MAX:
        raise ValueError(f"an index of {footer.length} bytes, {footer.raw_length} raw")
    _check_length(footer.raw_length, footer.length)
    file.seek(footer.offset)
    packed = file.read(footer.length)
    if hashlib.sha256(packed).digest() != footer.index_sha256:
        raise ValueError("an index that does not match its SHA-256")
    text = Zstd().decode(packed, Around(), footer.raw_length)
    _check_text(text, len(packed))
    return load_index(text, footer.offset - _OPENING.size), footer


def _check_length(raw_length: int, length: int) -> None:
    """Refuse an index whose text is out of proportion to its packed bytes, before it is decoded."""
    longest = _FREE_BYTES + _BYTES_EACH * length
    if raw_length > longest:
        raise ValueError(f"expected {length} packed bytes of index to hold at most {longest}, found {raw_length}")


def _check_text(text: bytes, length: int) -> None:
    """Refuse an index of too many numbers or lists for its packed bytes, before a parser holds them all."""
    for signs, free in ((b",", _FREE_COMMAS), (b"[{", _FREE_BRACKETS)):
        found = sum(text.count(sign) for sign in signs)
        if found > free + length:
            raise ValueError(f"expected at most {free + length} of {signs.decode()!r} in an index, found {found}")
