"""How does a checkpoint become a smaller archive that is known to hold it?"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from data.errors import BadRecord
from data.readers.checkpoint.contents import CheckpointContents
from data.readers.checkpoint.file import read_checkpoint
from data.schemas.tensor import tensor_bytes
from data.whole_file import MODE, claimed_file
from tasks.codecs.archive import Archive, open_archive
from tasks.codecs.bases import bases_in
from tasks.codecs.compare import compare
from tasks.codecs.container import VERSION, read_index
from tasks.codecs.index import CHUNK_BYTES, Source
from tasks.codecs.journal import Journal
from tasks.codecs.keeping import Packing
from tasks.codecs.origin import digest, expect_unchanged, origin_of, unwritable
from tasks.codecs.treatment import Policy
from tasks.codecs.writer import write_archive

Progress = Callable[[str, int, int], None]
"""Told the phase, the bytes that it has done since the last time, and the bytes that it will do."""


@dataclass(frozen=True, slots=True)
class Compressed:
    """A checkpoint and its archive, which was restored and compared with it.

    Args:
        source_sha256: of the checkpoint's file, or of the digests of its files.
        source_bytes: of all its files.
        archive_sha256: of the archive.
        archive_bytes: of the archive.
        tensors: how many it holds.
        base: file name of the archive that it is a difference to; None where it stands alone.
        exact: whether every bit was kept.
        note: why it stands alone though a base was given.
    """

    source_sha256: str
    source_bytes: int
    archive_sha256: str
    archive_bytes: int
    tensors: int
    base: str | None = None
    exact: bool = True
    note: str = ""

    @property
    def ratio(self) -> float:
        """How many times smaller the archive is."""
        return self.source_bytes / self.archive_bytes


def compress_checkpoint(
    source: Path,
    archive: Path,
    *,
    base: Path | None = None,
    packing: Packing = Packing(),  # noqa: B008  frozen
    progress: Progress = lambda _phase, _done, _total: None,
) -> Compressed:
    """Write the archive of a checkpoint, and let it count only when it was read back and holds the very checkpoint.

    The archive is written under a temporary name beside ``archive``, read back and compared with the source, and then
    renamed; whatever fails, nothing is left behind. If the process is killed, the temporary file and a journal stay,
    and the next call for the same checkpoint with the same options continues after the last tensor that was finished.
    An archive of the same checkpoint that already stands there is compared and kept; any other file is never
    overwritten. Memory: a few chunks per worker; the whole state for torch, the whole tensor where it is stored so.

    Args:
        source: what :func:`data.readers.checkpoint.file.read_checkpoint` reads; it stays as it is.
        archive: where the archive is to stand, by custom ``*.qfz``.
        base: an archive of an earlier checkpoint. Tensors that are smaller as differences to it are stored so, and the
            new archive then needs it, beside it or where the reader says. One that already needs ``packing.chain``
            archives below it is not used.
        packing: how to pack.
        progress: told how far it is.

    Raises:
        ValueError: source and archive are the same file, or there is no such bound.
        SourceUnavailable: the source is missing, cannot be read, or changed while it was read; or another process is
            writing the archive.
        BadRecord: the source or the base is damaged or none, another file stands at ``archive``, or the folder cannot
            be written.
    """
    if source.resolve() == archive.resolve():
        raise ValueError(f"expected an archive beside its source, found one path for both: {source}")
    checkpoint = read_checkpoint(source)
    policy = packing.policy(checkpoint.tensors)
    origin = origin_of(checkpoint, lambda done: progress("hash", done, _size(checkpoint)))
    note = ""
    try:
        if archive.exists():
            _keep(archive, origin, checkpoint, base, packing, progress)
        else:
            note = _write(archive, origin, checkpoint, base, policy, packing, progress)
    except OSError as error:
        raise unwritable(archive, error) from error
    except ValueError as error:
        raise BadRecord(str(source), "a checkpoint that one archive can hold", str(error)) from error
    index = read_index(archive)
    return Compressed(
        origin.sha256,
        origin.size_bytes,
        *digest(archive),
        len(index.tensors),
        None if index.base is None else index.base.file,
        all(stored.error is None for stored in index.tensors),
        note,
    )


def _keep(
    archive: Path,
    origin: Source,
    checkpoint: CheckpointContents,
    base: Path | None,
    packing: Packing,
    progress: Progress,
) -> None:
    """Look at the archive that stands there; refuse one that is not ours to overwrite."""
    index = read_index(archive)
    if index.source != origin:
        found = f"an archive of {index.source.sha256}; not overwritten"
        raise BadRecord(str(archive), f"no file, or an archive of {origin.sha256}", found)
    lossy = next((stored for stored in index.tensors if stored.error is not None), None)
    if packing.keeps_all and lossy is not None:
        raise BadRecord(str(archive), "no file, or an exact archive", f"one that lost of {lossy.name}; not overwritten")
    if packing.verify:
        _verify(archive, archive, checkpoint, () if base is None else (base,), packing, progress)


def _write(
    archive: Path,
    origin: Source,
    checkpoint: CheckpointContents,
    base: Path | None,
    policy: Policy,
    packing: Packing,
    progress: Progress,
) -> str:
    """Write the archive; return why the base was not used, where it was not."""
    note = ""
    size = _size(checkpoint)
    with ExitStack() as held:
        below = None if base is None else held.enter_context(open_archive(base))
        if below is not None and below.depth >= packing.chain:
            note = f"{base} has {below.depth} archives below it, and at most {packing.chain} are wanted: kept alone"
            below = None
        file = held.enter_context(claimed_file(archive))
        if archive.exists():
            raise BadRecord(str(archive), "no file", "one that another process has just written; not overwritten")
        index = write_archive(
            file,
            origin,
            checkpoint.leaves,
            checkpoint.tensors,
            policy=policy,
            base=below,
            workers=packing.workers,
            written=lambda done: progress("compress", done, _raw_bytes(checkpoint)),
            journal=held.enter_context(_journal(archive, origin, below, packing)),
        )
        file.flush()
        if packing.verify:
            _verify(Path(file.name), archive, checkpoint, () if base is None else (base,), packing, progress)
        expect_unchanged(origin, checkpoint, lambda done: progress("hash again", done, size))
    if below is not None and index.base is None:
        note = f"no tensor is smaller as a difference to {below.path.name}: kept alone"
    return note


@contextmanager
def _journal(archive: Path, origin: Source, base: Archive | None, packing: Packing) -> Iterator[Journal]:
    """Open the journal of an archive while it is written; it stays only if the process is killed."""
    path = archive.with_name(f".{archive.name}.journal")
    writes = {
        "format": VERSION,
        "code": version("quantumflow"),
        "chunk_bytes": CHUNK_BYTES,
        "source": [origin.sha256, origin.size_bytes],
        "base": None if base is None else base.index_sha256,
        **packing.identity(),
    }
    try:
        with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, MODE), "r+b") as file:
            yield Journal(file, writes)
    finally:
        path.unlink(missing_ok=True)


def _verify(
    written: Path,
    archive: Path,
    checkpoint: CheckpointContents,
    bases: Sequence[Path],
    packing: Packing,
    progress: Progress,
) -> None:
    """Read an archive back, from wherever it is now, and compare it with its checkpoint."""
    total = _raw_bytes(checkpoint)
    with open_archive(written, bases_in(bases, archive)) as opened:
        compare(
            opened,
            checkpoint,
            exact=packing.keeps_all,
            workers=packing.workers,
            compared=lambda done: progress("verify", done, total),
        )


def _size(checkpoint: CheckpointContents) -> int:
    return sum(file.path.stat().st_size for file in checkpoint.files)


def _raw_bytes(checkpoint: CheckpointContents) -> int:
    return len(checkpoint.leaves) + sum(tensor_bytes(tensor.dtype, tensor.shape) for tensor in checkpoint.tensors)
