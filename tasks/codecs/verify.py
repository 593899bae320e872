"""Is an archive sound, to the last byte, and are its bases there?"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tasks.codecs.archive import open_archive
from tasks.codecs.bases import bases_in
from tasks.codecs.compress import Progress


@dataclass(frozen=True, slots=True)
class Verified:
    """An archive every byte of which was read and hashed.

    Args:
        archive_bytes: of the archive.
        raw_bytes: of all tensors and leaves when restored.
        tensors: how many it holds.
        depth: archives below it that it needs.
    """

    archive_bytes: int
    raw_bytes: int
    tensors: int
    depth: int


def verify_archive(
    archive: Path,
    *,
    bases: Sequence[Path] = (),
    workers: int = 1,
    progress: Progress = lambda _phase, _done, _total: None,
) -> Verified:
    """Read every chunk of an archive, decode it, and hash it before and after; then hash the whole file.

    Raises:
        SourceUnavailable: the archive, or one of its bases, is missing or cannot be read.
        BadRecord: something is damaged; names the file, the tensor and the chunk.
    """
    with open_archive(archive, bases_in(bases, archive)) as opened:
        total = opened.footer.offset
        opened.verify(workers, lambda done: progress("verify", done, total))
        return Verified(archive.stat().st_size, opened.index.raw_bytes, len(opened.index.tensors), opened.depth)
