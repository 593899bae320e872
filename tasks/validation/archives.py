"""Are the archives there, unaltered, and of which checkpoints?"""

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import zstandard
from pydantic import Field, TypeAdapter

from data.schemas.checkpoint import Archive, Checkpoint
from data.schemas.cluster import Snapshot
from data.schemas.plan import Compress, Plan
from tasks.validation.verdict import Check, judged

INDEX_BYTES_MAX = 64 * 1024 * 1024
"""Bytes of an archive's index, packed or not, that are read."""

_FOOTER = struct.Struct("<QQQ32s16sI8s")
"""Offset, length and raw length of the index, its digest and that of all before it, checksum, magic."""


@dataclass(frozen=True, slots=True)
class Source:
    """The checkpoint that an archive says it was made of."""

    sha256: str
    size_bytes: Annotated[int, Field(ge=0, lt=2**63)]


@dataclass(frozen=True, slots=True)
class _Index:
    source: Source


_INDEX = TypeAdapter(_Index)


@dataclass(frozen=True, slots=True)
class Archived:
    """What was found of the plan's archives.

    Args:
        check: on all of them; None where nobody said where they lie.
        source_bytes: size of the checkpoints that were archived, as the archives say where they can be read, and else
            as the gains of the actions do.
    """

    check: Check | None
    source_bytes: float


def look_at_archives(plan: Plan, snapshot: Snapshot, folder: Path | None) -> Archived:
    """Check that each archive of the plan lies in ``folder``, with its size and SHA-256, and is of its checkpoint."""
    checkpoints = {checkpoint.id: checkpoint for checkpoint in snapshot.checkpoints}
    wrong: list[str] = []
    size = 0.0
    made = [(action, action.after) for action in _compressions(plan) if action.after is not None]
    for action, archive in made:
        source: Source | None = None
        if folder is not None:
            try:
                source = _examined(checkpoints[action.checkpoint], archive, folder)
            except (OSError, RuntimeError, ValueError) as error:  # RuntimeError: links in a circle
                wrong.append(f"checkpoint {action.checkpoint}: {error}")
        size += archive.size_bytes + action.gain if source is None else source.size_bytes
    seen = f"{len(made)} archive(s), each with its size and SHA-256"
    return Archived(None if folder is None else judged("archives", wrong, seen), size)


def archive_bytes(plan: Plan) -> float:
    """Return the size of all archives of the plan."""
    return float(sum(action.after.size_bytes for action in _compressions(plan) if action.after is not None))


def _compressions(plan: Plan) -> Sequence[Compress]:
    return [action for action in plan.actions if isinstance(action, Compress)]


def _examined(checkpoint: Checkpoint, archive: Archive, folder: Path) -> Source:
    """Return what the archive says that it was made of.

    Raises:
        OSError: it is not there or cannot be read.
        ValueError: it is not the archive that the plan registers, or not of this checkpoint.
    """
    path = (folder / archive.path).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise ValueError(f"expected an archive inside {folder}, found {archive.path}")
    if not path.is_file():
        raise ValueError(f"{archive.path}: expected a file, found none")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        size = file.tell()
        if size != archive.size_bytes:
            raise ValueError(f"{archive.path}: expected {archive.size_bytes} bytes, found {size}")
        if digest != archive.sha256:
            raise ValueError(f"{archive.path}: expected sha256 {archive.sha256}, found {digest}")
        if size < _FOOTER.size:
            raise ValueError(f"{archive.path}: expected an archive, found {size} bytes")
        file.seek(-_FOOTER.size, 2)
        offset, length, raw_length, *_ = _FOOTER.unpack(file.read(_FOOTER.size))
        if max(length, raw_length) > INDEX_BYTES_MAX or offset + length > size:
            raise ValueError(f"{archive.path}: expected an index of at most {INDEX_BYTES_MAX} bytes within the file")
        file.seek(offset)
        packed = file.read(length)
    try:
        if zstandard.frame_content_size(packed) > INDEX_BYTES_MAX:  # it goes before max_output_size
            raise ValueError("one that unpacks to too much")
        text = zstandard.ZstdDecompressor().decompress(packed, max_output_size=raw_length)
        source = _INDEX.validate_json(text).source
    except (zstandard.ZstdError, ValueError) as error:
        raise ValueError(f"{archive.path}: expected an index that can be read, found {error}") from error
    if checkpoint.sha256 not in (None, source.sha256):
        raise ValueError(f"{archive.path}: expected an archive of {checkpoint.sha256}, found one of {source.sha256}")
    return source
