"""How does an archive become the checkpoint again that it was made from?"""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from data.errors import BadRecord
from data.readers.checkpoint.file import read_checkpoint
from data.whole_file import claimed_file, claimed_folder
from tasks.codecs.archive import REBUILT_BYTES_MAX, Archive, open_archive
from tasks.codecs.bases import bases_in
from tasks.codecs.compare import compare
from tasks.codecs.compress import Progress
from tasks.codecs.container import read_index
from tasks.codecs.index import Index, SourceFile, Stored
from tasks.codecs.origin import digest, digest_of_all, unwritable
from tasks.codecs.restored_files import Done, write_npz, write_placed, write_torch

RESTORED_BYTES_MAX = 2**38
"""Bytes that an archive may declare before it is refused, unless the caller says otherwise: 256 GiB."""


@dataclass(frozen=True, slots=True)
class Restored:
    """A checkpoint that was written from an archive.

    Args:
        sha256: of the restored file, or of the digests of the restored files.
        size_bytes: of all of them.
        tensors: how many they hold, each bit for bit as it was, unless the archive says what was lost.
        same_file: every file is byte for byte the one that was compressed. True for safetensors and npy. A torch or npz
            file holds the same tensors and values, but another zip file around them; a lossy archive other numbers.
    """

    sha256: str
    size_bytes: int
    tensors: int
    same_file: bool


@dataclass(frozen=True, slots=True)
class Restoring:
    """How an archive is restored.

    Args:
        bases: archives, or folders of them, where its bases lie if not beside it.
        workers: threads that decode.
        verify: whether what was written is read back and compared before it counts.
        limit_bytes: an archive that declares more is refused before anything is written.
        memory_bytes: most that a tensor which is made as a whole may take.
    """

    bases: Sequence[Path] = ()
    workers: int = 1
    verify: bool = True
    limit_bytes: int = RESTORED_BYTES_MAX
    memory_bytes: int = REBUILT_BYTES_MAX


def restore_checkpoint(
    archive: Path,
    target: Path,
    *,
    restoring: Restoring = Restoring(),
    progress: Progress = lambda _phase, _done, _total: None,
) -> Restored:
    """Write the checkpoint that an archive holds; it appears whole and verified, or not at all.

    A safetensors or npy file is byte for byte the one that was compressed (its SHA-256 is compared), and so are shards
    and their index. A torch file holds the same state: tensors bit for bit, every other value equal, tied tensors tied;
    the zip file that ``torch.save`` writes around it may differ, and strides and memory formats are those of row-major
    tensors. An npz file holds the same arrays. Arrays that came from memory become a safetensors file. What already
    stands at ``target`` is kept if it has just that content, and never overwritten. Memory: a few chunks per worker;
    the whole state for torch.

    Args:
        archive: a ``*.qfz`` file.
        target: where the checkpoint is to stand: a file, or a folder for shards.
        restoring: how to restore it.
        progress: told how far it is.

    Raises:
        SourceUnavailable: the archive or a base of it is missing or cannot be read, or another process is writing the
            target.
        BadRecord: the archive is damaged or too large, something else stands at ``target``, or the folder cannot be
            written.
    """
    index = read_index(archive)
    if index.raw_bytes > restoring.limit_bytes:
        raise BadRecord(str(archive), f"at most {restoring.limit_bytes} bytes to restore", f"{index.raw_bytes} bytes")
    find = bases_in(restoring.bases, archive)
    try:
        with open_archive(archive, find, memory_bytes=restoring.memory_bytes) as opened:
            if target.exists():
                _compare(opened, target, restoring, progress)
            else:
                _expect_room(target, index)
                _write(opened, target, restoring, progress)
    except OSError as error:
        raise unwritable(target, error) from error
    names = [target / file.name for file in index.source.files] if len(index.source.files) > 1 else [target]
    digests = [digest(path) for path in names]
    sha256, size = digest_of_all([each for each, _ in digests]), sum(size for _, size in digests)
    return Restored(sha256, size, len(index.tensors), sha256 == index.source.sha256)


def _write(archive: Archive, target: Path, restoring: Restoring, progress: Progress) -> None:
    """Write the file or the folder."""
    index = archive.index
    leaves = archive.leaves()
    total = index.raw_bytes - len(leaves)

    def done(length: int) -> None:
        progress("restore", length, total)

    if len(index.source.files) > 1:
        with claimed_folder(target) as folder:
            at = held = 0
            for part in index.source.files:
                tensors, at = index.tensors[at : at + part.tensors], at + part.tensors
                own, held = leaves[held : held + part.leaves_bytes], held + part.leaves_bytes
                with (folder / part.name).open("xb") as shard:
                    write_placed(archive, shard, own, tensors, restoring.workers, done)
                    os.fsync(shard.fileno())
                _expect_same(archive, part, folder / part.name, restoring)
            if _lossy(index) and restoring.verify:
                _compare(archive, folder, restoring, progress)
        return
    with claimed_file(target) as file:
        _write_file(archive, file, leaves, restoring.workers, done)
        file.flush()
        written = Path(file.name)
        if index.source.format in ("safetensors", "npy") and not _lossy(index):
            _expect_same(archive, index.source.files[0], written, restoring)
        elif restoring.verify:
            _compare(archive, written, restoring, progress)


def _write_file(archive: Archive, file: BinaryIO, leaves: bytes, workers: int, done: Done) -> None:
    tensors: Sequence[Stored] = archive.index.tensors
    if archive.index.source.format == "torch":
        write_torch(archive, file, workers, done)
    elif archive.index.source.format == "npz":
        write_npz(archive, file, leaves, tensors, workers, done)
    else:
        write_placed(archive, file, leaves, tensors, workers, done)


def _compare(archive: Archive, written: Path, restoring: Restoring, progress: Progress) -> None:
    """Read back what was restored, and refuse it if it is not what the archive holds."""
    total = archive.index.raw_bytes
    compare(
        archive,
        read_checkpoint(written),
        exact=True,
        workers=restoring.workers,
        compared=lambda done: progress("verify", done, total),
    )


def _expect_same(archive: Archive, part: SourceFile, written: Path, restoring: Restoring) -> None:
    """Refuse a file that is not byte for byte the one that was compressed."""
    if not restoring.verify or _lossy(archive.index):
        return
    if digest(written) != (part.sha256, part.size_bytes):
        raise BadRecord(str(archive.path), f"a file with the SHA-256 {part.sha256}", "another file after restoring")


def _expect_room(target: Path, index: Index) -> None:
    free = shutil.disk_usage(target.parent).free
    if index.raw_bytes > free:
        raise BadRecord(str(target), f"{index.raw_bytes} bytes of free disk", f"{free} bytes")


def _lossy(index: Index) -> bool:
    return any(stored.error is not None for stored in index.tensors)
