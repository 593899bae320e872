"""Is an archive sound, to the last byte, are its bases there, and can every tensor be made from what it holds?

Of a tensor that is stored chunk by chunk the index names the hash of the decoded bytes, and nothing is left to ask. Of
one that is made as a whole, by a recipe, it names the hash of what it is made from, since machines may round the last
bit of it differently. So such a tensor is made, and held against what the index says was lost: by the triangle
inequality its norm is within the norm of the error of the norm that the original had, and both follow from the note.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data.errors import BadRecord
from tasks.codecs.archive import REBUILT_BYTES_MAX, Archive, open_archive
from tasks.codecs.bases import bases_in
from tasks.codecs.compress import Progress
from tasks.codecs.index import BoundMode, Error, Stored
from tasks.codecs.quantise_chunk import QUANTISABLE, values_of

ROUNDING = 1e-4
"""Share of a tensor's norm by which rounding may differ from one machine to another, with plenty to spare."""

_RELATIVE: tuple[BoundMode, ...] = ("relative_rms", "relative_frobenius")


@dataclass(frozen=True, slots=True)
class Verified:
    """An archive every byte of which was read and hashed.

    Args:
        archive_bytes: of the archive.
        raw_bytes: of all tensors and leaves when restored.
        tensors: how many it holds.
        depth: archives below it that it needs.
        rebuilt: tensors that were made by their recipes and held against what was lost.
        not_rebuilt: tensors with a recipe that were not made: too large, or not asked for.
    """

    archive_bytes: int
    raw_bytes: int
    tensors: int
    depth: int
    rebuilt: int = 0
    not_rebuilt: int = 0


def verify_archive(
    archive: Path,
    *,
    bases: Sequence[Path] = (),
    workers: int = 1,
    quick: bool = False,
    memory_bytes: int = REBUILT_BYTES_MAX,
    progress: Progress = lambda _phase, _done, _total: None,
) -> Verified:
    """Read every chunk of an archive, decode it, and hash it before and after; hash the file; make what has recipes.

    Args:
        archive: a ``*.qfz`` file.
        bases: archives, or folders of them, where its bases lie if not beside it.
        workers: threads that decode.
        quick: leave out what is made by recipes.
        memory_bytes: most that a tensor which is made as a whole may take; larger ones are counted, not made.
        progress: told how far it is.

    Raises:
        SourceUnavailable: the archive, or one of its bases, is missing or cannot be read.
        BadRecord: something is damaged, or is not what the index says; names the file, the tensor and the chunk.
    """
    with open_archive(archive, bases_in(bases, archive), memory_bytes=memory_bytes) as opened:
        total = opened.footer.offset
        opened.verify(workers, lambda done: progress("verify", done, total))
        made = [stored for stored in opened.index.tensors if stored.recipe is not None and stored.same_as is None]
        wanted = [] if quick else [stored for stored in made if stored.raw_bytes <= memory_bytes]
        for stored in opened.index.tensors:
            _expect_bound_kept(archive, stored)
        for stored in wanted:
            _expect_error_of(opened, stored, workers)
            progress("rebuild", stored.raw_bytes, sum(each.raw_bytes for each in wanted))
        return Verified(
            archive.stat().st_size,
            opened.index.raw_bytes,
            len(opened.index.tensors),
            opened.depth,
            len(wanted),
            len(made) - len(wanted),
        )


def _expect_bound_kept(archive: Path, stored: Stored) -> None:
    """Refuse a note on what was lost that contradicts its own bound."""
    error = stored.error
    if error is None:
        return
    found = error.max_abs if error.mode == "absolute" else error.relative_rms if error.mode in _RELATIVE else 0.0
    if found > error.bound * (1.0 + 1e-9):
        raise BadRecord(f"{archive}: {stored.name}", f"an error within {error.mode} {error.bound!r}", repr(found))


def _expect_error_of(opened: Archive, stored: Stored, workers: int) -> None:
    """Make a tensor, and refuse one whose norm cannot be that of the original with the error of the index."""
    error = stored.error
    noted = error is not None and error.relative_rms > 0.0 and stored.dtype in QUANTISABLE
    elements, squares = 0, 0.0
    for piece in opened.pieces(stored, workers):
        values = values_of(piece, stored.dtype).astype(np.float64) if noted else np.empty(0)
        finite = values[np.isfinite(values)]
        elements, squares = elements + finite.size, squares + float(finite @ finite)
    if error is None or not noted:
        return
    low, high = _norms(error, elements)
    norm = math.sqrt(squares)
    if not low <= norm <= high:
        where = f"{opened.path}: {stored.name}, made from {stored.recipe.kind if stored.recipe else 'chunks'}"
        raise BadRecord(where, f"a norm between {low:.9g} and {high:.9g}, as of what was lost", f"{norm:.9g}")


def _norms(error: Error, elements: int) -> tuple[float, float]:
    """Return the smallest and the greatest norm that a tensor of finite ``elements`` can have with this error."""
    lost = error.rms * math.sqrt(elements)
    original = lost / error.relative_rms
    spare = ROUNDING * original
    return max(0.0, original - lost) - spare, original + lost + spare
