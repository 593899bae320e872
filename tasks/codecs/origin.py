"""Which files is a checkpoint, and are they still the same?"""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

from data.errors import BadRecord, SourceUnavailable
from data.readers.checkpoint.contents import CheckpointContents
from tasks.codecs.index import Source, SourceFile

Hashed = Callable[[int], None]
"""Told the bytes of each part of a file as it is hashed, for a progress bar."""

_AT_ONCE = 1024 * 1024


def digest(path: Path, hashed: Hashed = lambda _octets: None) -> tuple[str, int]:
    """Return the SHA-256 and the size in bytes of a file.

    Raises:
        SourceUnavailable: it is missing or cannot be read.
    """
    found, size = hashlib.sha256(), 0
    try:
        with path.open("rb", buffering=0) as file:
            while octets := file.read(_AT_ONCE):
                found.update(octets)
                size += len(octets)
                hashed(len(octets))
    except OSError as error:
        raise SourceUnavailable(f"{path}: {error.strerror}") from error
    return found.hexdigest(), size


def digest_of_all(digests: Sequence[str]) -> str:
    """Return the SHA-256 of a checkpoint: of its one file, or of the bytes of the digests of its files, in order."""
    if len(digests) == 1:
        return digests[0]
    return hashlib.sha256(b"".join(bytes.fromhex(each) for each in digests)).hexdigest()


def origin_of(checkpoint: CheckpointContents, hashed: Hashed = lambda _octets: None) -> Source:
    """Say which checkpoint it is; a file that stands alone is known without its name.

    Raises:
        SourceUnavailable: a file is missing or cannot be read.
    """
    files = []
    for file in checkpoint.files:
        name = file.path.name if len(checkpoint.files) > 1 else ""
        files.append(SourceFile(name, *digest(file.path, hashed), len(file.leaves), len(file.tensors)))
    sha256 = digest_of_all([file.sha256 for file in files])
    return Source(checkpoint.format, sha256, sum(file.size_bytes for file in files), tuple(files))


def expect_unchanged(origin: Source, checkpoint: CheckpointContents, hashed: Hashed = lambda _octets: None) -> None:
    """Refuse a checkpoint that its job wrote to in the meantime.

    Raises:
        SourceUnavailable: a file is gone, or is another now.
    """
    for before, file in zip(origin.files, checkpoint.files, strict=True):
        if (before.sha256, before.size_bytes) != digest(file.path, hashed):
            raise SourceUnavailable(f"{file.path}: changed while it was read; it is still being written")


def unwritable(path: Path, error: OSError) -> BadRecord:
    """Say in one sentence where writing failed and why."""
    return BadRecord(str(path), "a folder that can be written, with room for the file", error.strerror or str(error))
