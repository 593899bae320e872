"""How are the bytes of an archive read, from a file or from memory, by several threads?"""

import contextlib
import io
import os
import threading
from pathlib import Path

import xxhash

from data.errors import BadRecord, SourceUnavailable
from data.schemas.tensor import Octets
from tasks.codecs.container import Footer, read_ends
from tasks.codecs.index import Index

_HASHED_AT_ONCE = 1024 * 1024


class ArchiveFile:
    """An archive whose ends are read and checked.

    Args:
        path: a ``*.qfz`` file, or the name that messages give to ``octets``.
        octets: the archive, where it lies in memory and not in a file.

    Raises:
        SourceUnavailable: the file is missing or cannot be read.
        BadRecord: it is no archive, or a damaged one.
    """

    def __init__(self, path: Path, octets: Octets | None = None) -> None:
        self.path = path
        self._octets = None if octets is None else memoryview(octets)
        self._descriptor = -1
        self._own = threading.local()
        if self._octets is None:
            self._descriptor, self.index, self.footer = _opened(path)
        else:
            self.index, self.footer = read_ends(io.BytesIO(self._octets), path)

    def close(self) -> None:
        """Close the file; twice does no harm."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def read(self, length: int, offset: int) -> memoryview:
        """Return bytes of the file; a thread that reads again puts others in their place.

        Raises:
            SourceUnavailable: the file cannot be read.
            BadRecord: it ends before that.
        """
        if self._octets is not None:
            return self._octets[offset : offset + length]  # the index was checked against its length
        held: bytearray = getattr(self._own, "octets", bytearray())
        if len(held) < length:
            held = self._own.octets = bytearray(length)
        octets = memoryview(held)[:length]
        try:
            found = os.preadv(self._descriptor, [octets], offset)
        except OSError as error:
            raise SourceUnavailable(f"{self.path}: {error.strerror}") from error
        if found != length:
            raise BadRecord(str(self.path), f"{length} bytes at byte {offset}", f"{found}: it was cut meanwhile")
        return octets

    def verify(self) -> None:
        """Hash everything before the index.

        Raises:
            SourceUnavailable: the file cannot be read.
            BadRecord: the hash is another than the footer's.
        """
        digest = xxhash.xxh3_128()
        for start in range(0, self.footer.offset, _HASHED_AT_ONCE):
            digest.update(self.read(min(_HASHED_AT_ONCE, self.footer.offset - start), start))
        if digest.digest() != self.footer.body_xxh3:
            raise BadRecord(str(self.path), "the XXH3 of the footer", digest.hexdigest())


def _opened(path: Path) -> tuple[int, Index, Footer]:
    """Open a file and read its ends."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            with os.fdopen(os.dup(descriptor), "rb") as file:
                return descriptor, *read_ends(file, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.close(descriptor)
            raise
    except OSError as error:
        raise SourceUnavailable(f"{path}: {error.strerror}") from error
