"""How does a checkpoint become a smaller archive, and the same checkpoint again?"""

import errno
import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import torch
from prefect import task
from prefect.cache_policies import NO_CACHE

from data.errors import BadRecord, SourceUnavailable
from data.readers.checkpoint.contents import CheckpointContents as CheckpointFile
from data.readers.checkpoint.file import read_checkpoint
from data.readers.checkpoint.torch_state import tensor_of_bytes, unpack_state
from data.whole_file import whole_file
from tasks.codecs.archive import Archive, open_archive
from tasks.codecs.container import read_index
from tasks.codecs.index import Index, Source, SourceFile
from tasks.codecs.writer import write_archive

RESTORED_BYTES_MAX = 2**38
"""Bytes that an archive may declare before it is refused, unless the caller says otherwise: 256 GiB."""


@dataclass(frozen=True, slots=True)
class Compressed:
    """A checkpoint and its archive, which was restored and compared with it bit by bit."""

    source_sha256: str
    source_bytes: int
    archive_sha256: str
    archive_bytes: int
    tensors: int

    @property
    def ratio(self) -> float:
        """How many times smaller the archive is."""
        return self.source_bytes / self.archive_bytes


@dataclass(frozen=True, slots=True)
class Restored:
    """A checkpoint that was written from an archive.

    Args:
        sha256: of the restored file.
        size_bytes: of the restored file.
        tensors: how many it holds, each bit for bit as it was.
        same_file: the file is byte for byte the one that was compressed. True for safetensors. A torch file holds the
            same tensors and values, but ``torch.save`` writes another zip file around them.
    """

    sha256: str
    size_bytes: int
    tensors: int
    same_file: bool


def compress_checkpoint(source: Path, archive: Path) -> Compressed:
    """Write the archive of a checkpoint, and let it count only when it was restored and is the same bit by bit.

    The archive is written under a temporary name beside ``archive``, restored from there, compared with the source, and
    then renamed; whatever fails, nothing is left behind. An archive of the same checkpoint that already stands there is
    compared and kept; any other file is never overwritten. Memory: a few chunks for safetensors, the whole state for
    torch.

    Args:
        source: a safetensors or torch file; it stays as it is.
        archive: where the archive is to stand, by custom ``*.qfz``.

    Raises:
        ValueError: source and archive are the same file.
        SourceUnavailable: the source is missing, cannot be read, or changed while it was read.
        BadRecord: the source is damaged or no checkpoint, another file stands at ``archive``, or the folder cannot be
            written.
    """
    if source.resolve() == archive.resolve():
        raise ValueError(f"expected an archive beside its source, found one path for both: {source}")
    checkpoint = read_checkpoint(source)
    origin = _origin(source, checkpoint)
    try:
        if archive.exists():
            _expect_archive_of(origin, archive)
            _compare(archive, checkpoint)
        else:
            with whole_file(archive) as file:
                write_archive(file, origin, checkpoint.leaves, checkpoint.tensors)
                file.flush()
                _compare(Path(file.name), checkpoint)
                _expect_unchanged(origin, source)
    except OSError as error:
        raise _unwritable(archive, error) from error
    except ValueError as error:
        raise BadRecord(str(source), "a checkpoint that one archive can hold", str(error)) from error
    return Compressed(origin.sha256, origin.size_bytes, *_digest(archive), len(checkpoint.tensors))


def restore_checkpoint(archive: Path, target: Path, *, limit_bytes: int = RESTORED_BYTES_MAX) -> Restored:
    """Write the checkpoint that an archive holds; it appears whole and verified, or not at all.

    A safetensors file is byte for byte the one that was compressed (its SHA-256 is compared). A torch file holds the
    same state: tensors bit for bit, every other value equal, tied tensors tied; the zip file that ``torch.save`` writes
    around it may differ, and strides and memory formats are those of row-major tensors. A file with just that content
    that already stands at ``target`` is kept; any other file is never overwritten. Memory: a chunk for safetensors, the
    whole state for torch.

    Args:
        archive: a ``*.qfz`` file.
        target: where the checkpoint is to stand.
        limit_bytes: an archive that declares more is refused before anything is written.

    Raises:
        SourceUnavailable: the archive is missing or cannot be read.
        BadRecord: the archive is damaged or too large, another file stands at ``target``, or the folder cannot be
            written.
    """
    index = read_index(archive)
    if index.raw_bytes > limit_bytes:
        raise BadRecord(str(archive), f"at most {limit_bytes} bytes to restore", f"{index.raw_bytes} bytes")
    try:
        if target.exists():
            _compare(archive, read_checkpoint(target))
        else:
            free = shutil.disk_usage(target.parent).free
            if index.raw_bytes > free:
                raise BadRecord(str(target), f"{index.raw_bytes} bytes of free disk", f"{free} bytes")
            with whole_file(target) as file:
                _write_checkpoint(archive, index, file)
                file.flush()
                _expect_restored(archive, index, Path(file.name))
    except OSError as error:
        raise _unwritable(target, error) from error
    return Restored(*_digest(target), len(index.tensors), index.source.format == "safetensors")


def inspect_archive(archive: Path) -> Index:
    """Return what an archive holds: its source, and each tensor with type, shape, chunks and chains of operations.

    Only the index is read and checked; damage to the chunks shows when they are restored.

    Raises:
        SourceUnavailable: the archive is missing or cannot be read.
        BadRecord: the file is no archive, or its index is damaged.
    """
    return read_index(archive)


def _origin(source: Path, checkpoint: CheckpointFile) -> Source:
    """Say which file is compressed."""
    sha256, size = _digest(source)
    file = SourceFile("", sha256, size, len(checkpoint.leaves), len(checkpoint.tensors))
    return Source(checkpoint.format, sha256, size, (file,))


def _digest(path: Path) -> tuple[str, int]:
    """Return the SHA-256 and the size in bytes of a file."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest(), file.tell()
    except OSError as error:
        raise SourceUnavailable(f"{path}: {error.strerror}") from error


def _compare(path: Path, checkpoint: CheckpointFile) -> None:
    """Restore every chunk of the archive and refuse the first that differs from the checkpoint."""
    with open_archive(path) as archive:
        index = archive.index
        found = [(stored.name, stored.dtype, stored.shape) for stored in index.tensors]
        wanted = [(tensor.name, tensor.dtype, tensor.shape) for tensor in checkpoint.tensors]
        if (index.source.format, found) != (checkpoint.format, wanted):
            raise BadRecord(
                str(path), f"the {len(wanted)} tensors of its checkpoint", f"{len(found)} tensors, not the same"
            )
        if archive.leaves() != checkpoint.leaves:
            raise BadRecord(f"{path}: leaves", "those of its checkpoint", "others")
        for stored, tensor in zip(index.tensors, checkpoint.tensors, strict=True):
            for number, (restored, original) in enumerate(
                zip(archive.pieces(stored), tensor.pieces(stored.piece_bytes), strict=True)
            ):
                if restored != original:
                    raise BadRecord(f"{path}: {stored.name}, chunk {number}", "the bytes of its checkpoint", "others")


def _expect_archive_of(origin: Source, archive: Path) -> None:
    """Refuse a file that is not the archive of this very checkpoint: it is not ours to overwrite."""
    found = read_index(archive).source
    if found != origin:
        raise BadRecord(
            str(archive), f"no file, or an archive of {origin.sha256}", f"an archive of {found.sha256}; not overwritten"
        )


def _expect_unchanged(origin: Source, source: Path) -> None:
    """Refuse a source that its job wrote to in the meantime."""
    if (origin.sha256, origin.size_bytes) != _digest(source):
        raise SourceUnavailable(f"{source}: changed while it was read; it is still being written")


def _expect_restored(archive: Path, index: Index, written: Path) -> None:
    """Read back what was restored, and refuse it if it is not what was compressed."""
    if index.source.format == "torch":
        _compare(archive, read_checkpoint(written))
    elif _digest(written) != (index.source.sha256, index.source.size_bytes):
        raise BadRecord(str(archive), f"a file with the SHA-256 {index.source.sha256}", "another file after restoring")


def _write_checkpoint(path: Path, index: Index, file: BinaryIO) -> None:
    """Write the checkpoint that an archive holds into an empty file."""
    with open_archive(path) as archive:
        if index.source.format == "torch":
            state = _read_state(archive)
            try:
                torch.save(state, file)
            except RuntimeError as error:  # torch's own word for a file that takes no more bytes
                raise OSError(errno.EIO, f"torch.save: {error}") from error
            return
        file.write(archive.leaves())
        for stored in archive.index.tensors:
            for piece in archive.pieces(stored):
                file.write(piece)


def _read_state(archive: Archive) -> object:
    """Return the state of a torch archive."""
    tensors = {}
    try:
        for stored in archive.index.tensors:
            tensors[stored.name] = tensor_of_bytes(archive.read(stored), stored.dtype, stored.shape)
        return unpack_state(archive.leaves(), tensors)
    except ValueError as error:
        raise BadRecord(str(archive.path), "the state of a torch file", str(error)) from error


def _unwritable(path: Path, error: OSError) -> BadRecord:
    """Say in one sentence where writing failed and why."""
    return BadRecord(str(path), "a folder that can be written, with room for the file", error.strerror or str(error))


@task(name="compress-checkpoint", task_run_name="compress-{source.name}", cache_policy=NO_CACHE)
def compress_to_archive(source: Path, archive: Path) -> Compressed:
    """Run :func:`compress_checkpoint` as a Prefect task."""
    return compress_checkpoint(source, archive)


@task(name="restore-checkpoint", task_run_name="restore-{archive.name}", cache_policy=NO_CACHE)
def restore_from_archive(archive: Path, target: Path) -> Restored:
    """Run :func:`restore_checkpoint` as a Prefect task."""
    return restore_checkpoint(archive, target)
