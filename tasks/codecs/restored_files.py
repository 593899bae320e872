"""How are the files of a checkpoint written from an archive, on several threads, a few chunks in memory at a time?"""

import contextlib
import errno
import json
import os
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import BinaryIO

from data.errors import BadRecord
from data.readers.checkpoint.numpy_file import is_member
from data.schemas.tensor import Octets
from tasks.codecs.archive import Archive
from tasks.codecs.in_order import in_order
from tasks.codecs.index import Stored

Done = Callable[[int], None]
"""Told the raw bytes of each chunk as it is restored, for a progress bar."""


@dataclass(frozen=True, slots=True, eq=False)
class _Job:
    """A chunk and its place in the file; every chunk where its tensor is made as a whole."""

    stored: Stored
    number: int | None
    offset: int


def write_placed(
    archive: Archive, file: BinaryIO, leaves: bytes, tensors: Sequence[Stored], workers: int, done: Done
) -> None:
    """Write a file whose leaves come first and then its tensors, as they are: safetensors, npy.

    The file gets its whole length before anything is decoded, so that a full disk is known at once; each thread then
    writes its chunks where they belong.

    Raises:
        SourceUnavailable: the archive cannot be read.
        BadRecord: a chunk is damaged.
        OSError: the disk is full.
    """
    file.truncate(0)
    file.write(leaves)
    file.flush()
    descriptor, size = file.fileno(), len(leaves) + sum(stored.raw_bytes for stored in tensors)
    _allocate(descriptor, size)

    def restore(job: _Job) -> int:
        pieces: Iterable[Octets]
        pieces = archive.pieces(job.stored) if job.number is None else (archive.piece(job.stored, job.number),)
        at = job.offset
        for piece in pieces:
            _write_at(descriptor, piece, at)
            at += len(piece)
        return at - job.offset

    with ThreadPoolExecutor(workers) as pool:
        for length in in_order(pool, restore, _jobs(archive, tensors, len(leaves)), 2 * workers):
            done(length)
    file.seek(size)


def write_npz(
    archive: Archive, file: BinaryIO, leaves: bytes, tensors: Sequence[Stored], workers: int, done: Done
) -> None:
    """Write an npz file: the same arrays under the same names; the zip file around them may be another.

    Raises:
        SourceUnavailable: the archive cannot be read.
        BadRecord: a chunk is damaged, or the leaves are not those of an npz file.
        OSError: the disk is full.
    """
    try:
        tree = json.loads(leaves)
        compression = zipfile.ZIP_DEFLATED if tree["deflated"] else zipfile.ZIP_STORED
        headers = [(str(member), bytes.fromhex(header)) for member, header in tree["arrays"]]
        if len(headers) != len(tensors):
            raise ValueError(f"{len(headers)} headers for {len(tensors)} arrays")
        for member, _ in headers:
            if not is_member(member):
                raise ValueError(f"a member called {member[:80]!r}")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadRecord(str(archive.path), "the leaves of an npz file", str(error)) from error
    file.truncate(0)
    with zipfile.ZipFile(file, "w", compression) as written:
        for (member, header), stored in zip(headers, tensors, strict=True):
            entry = zipfile.ZipInfo(member)  # of no date, so that the same archive gives the same file
            entry.compress_type = compression
            with written.open(entry, "w", force_zip64=True) as out:
                out.write(header)
                for piece in archive.pieces(stored, workers):
                    out.write(piece)
                    done(len(piece))


def write_torch(archive: Archive, file: BinaryIO, workers: int, done: Done) -> None:
    """Write a torch file: tensors bit for bit, every other value equal, tied tensors tied; one state in memory.

    Raises:
        SourceUnavailable: the archive cannot be read.
        BadRecord: a chunk is damaged, or the leaves are not those of a torch state.
        OSError: the disk is full.
    """
    import torch

    from data.readers.checkpoint.torch_state import tensor_of_bytes, unpack_state

    tensors = {}
    try:
        for stored in archive.index.tensors:
            tensors[stored.name] = tensor_of_bytes(archive.read(stored, workers=workers), stored.dtype, stored.shape)
            done(stored.raw_bytes)
        state = unpack_state(archive.leaves(), tensors)
    except ValueError as error:
        raise BadRecord(str(archive.path), "the state of a torch file", str(error)) from error
    file.truncate(0)
    try:
        torch.save(state, file)
    except RuntimeError as error:  # torch's own word for a file that takes no more bytes
        raise OSError(errno.EIO, f"torch.save: {error}") from error


def _jobs(archive: Archive, tensors: Sequence[Stored], at: int) -> Iterator[_Job]:
    for stored in tensors:
        content = archive.content_of(stored)
        if content.recipe is not None:
            yield _Job(stored, None, at)
        else:
            for number in range(len(content.lengths)):
                yield _Job(stored, number, at + number * content.piece_bytes)
        at += stored.raw_bytes


def _allocate(descriptor: int, size: int) -> None:
    """Give a file its length, and the disk it needs where the file system can promise it."""
    if size:
        with contextlib.suppress(OSError):
            os.posix_fallocate(descriptor, 0, size)
            return
    os.ftruncate(descriptor, size)


def _write_at(descriptor: int, octets: Octets, offset: int) -> None:
    view = memoryview(octets).cast("B")
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written
