"""Does an archive hold what its checkpoint does: every bit, or every number within the loss that it states?"""

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from data.errors import BadRecord
from data.readers.checkpoint.contents import CheckpointContents
from data.schemas.tensor import Octets, Tensor
from tasks.codecs.archive import Archive
from tasks.codecs.in_order import in_order
from tasks.codecs.index import Error, Stored
from tasks.codecs.treatment import Loss

Compared = Callable[[int], None]
"""Told the raw bytes of each chunk as it is compared, for a progress bar."""

_FLOATS = {"F16": "<f2", "F32": "<f4", "F64": "<f8", "C64": "<f4", "C128": "<f8"}
_ROUNDING = 1e-9
"""Of sums that are taken in another order than when the archive was written."""


@dataclass(frozen=True, slots=True, eq=False)
class _Pair:
    """A chunk of a tensor as the checkpoint has it; ``restored`` where its tensor was made as a whole."""

    stored: Stored
    number: int
    original: Octets
    restored: Octets | None = None


def compare(
    archive: Archive,
    checkpoint: CheckpointContents,
    *,
    exact: bool,
    workers: int = 1,
    compared: Compared = lambda _octets: None,
) -> None:
    """Restore every chunk of the archive and refuse the first that is not the checkpoint's.

    Args:
        archive: an open archive.
        checkpoint: what it was made from, or what was restored from it.
        exact: whether every bit must be the same. Otherwise tensors of which something was lost must be within the loss
            that the index states, and that loss within the bound; numbers that are not finite are always exact.
        workers: threads that decode.
        compared: told of each chunk.

    Raises:
        BadRecord: they differ; names the file, the tensor and the chunk.
    """
    index, path = archive.index, archive.path
    found = [(stored.name, stored.dtype, stored.shape) for stored in index.tensors]
    wanted = [(tensor.name, tensor.dtype, tensor.shape) for tensor in checkpoint.tensors]
    formats = ("arrays", "safetensors") if index.source.format == "arrays" else (index.source.format,)
    if checkpoint.format not in formats or found != wanted:
        expected = f"the {len(wanted)} tensors of its checkpoint"
        raise BadRecord(str(path), expected, f"{len(found)} tensors, not the same")
    if archive.leaves() != checkpoint.leaves:
        raise BadRecord(f"{path}: leaves", "those of its checkpoint", "others")

    def looked_at(pair: _Pair) -> tuple[_Pair, Loss | None]:
        restored = archive.piece(pair.stored, pair.number) if pair.restored is None else pair.restored
        if restored == pair.original:
            return pair, None
        where = f"{path}: {pair.stored.name}, chunk {pair.number}"
        if exact or pair.stored.error is None:
            raise BadRecord(where, "the bytes of its checkpoint", "others")
        return pair, _lost(where, pair.stored.dtype, pair.original, restored)

    losses: dict[str, list[Loss]] = {}
    with ThreadPoolExecutor(workers) as pool:
        pairs = _pairs(archive, index.tensors, checkpoint.tensors)
        for pair, loss in in_order(pool, looked_at, pairs, 2 * workers):
            compared(len(pair.original))
            if loss is not None:
                losses.setdefault(pair.stored.name, []).append(loss)
    for stored in index.tensors:
        if stored.error is not None and stored.name in losses:
            _expect_within(f"{path}: {stored.name}", stored.error, losses[stored.name])


def _pairs(archive: Archive, stored: Sequence[Stored], tensors: Sequence[Tensor]) -> Iterator[_Pair]:
    for each, tensor in zip(stored, tensors, strict=True):
        content = archive.content_of(each)
        pieces = tensor.pieces(content.piece_bytes)
        if content.recipe is None:
            yield from (_Pair(each, number, original) for number, original in enumerate(pieces))
        else:  # made once, not once for each chunk
            for number, (restored, original) in enumerate(zip(archive.pieces(each), pieces, strict=True)):
                yield _Pair(each, number, original, restored)


def _lost(where: str, dtype: str, original: Octets, restored: Octets) -> Loss:
    """Measure what was lost of a chunk, in float64; numbers that are not finite must be the same bits."""
    before, after = _numbers(where, dtype, original), _numbers(where, dtype, restored)
    if before.shape != after.shape:
        raise BadRecord(where, f"{before.size} numbers", f"{after.size}")
    finite = np.isfinite(before)
    bits = (np.frombuffer(each, dtype=f"u{len(original) // max(1, before.size)}") for each in (original, restored))
    left, right = (each[~finite] for each in bits)
    if not np.array_equal(left, right) or not np.isfinite(after[finite]).all():
        raise BadRecord(where, "the same numbers where they are not finite", "others")
    with np.errstate(over="ignore"):
        difference = np.abs(before[finite] - after[finite])
        squares, energy = float(np.sum(difference**2)), float(np.sum(before[finite] ** 2))
    return Loss(float(difference.max(initial=0.0)), squares, energy, int(finite.sum()), 0)


def _numbers(where: str, dtype: str, octets: Octets) -> npt.NDArray[np.float64]:
    if dtype == "BF16":
        words = np.frombuffer(octets, dtype="<u2").astype("<u4") << 16
        return words.view("<f4").astype(np.float64)
    if dtype not in _FLOATS:
        raise BadRecord(where, "the bytes of its checkpoint: nothing of this type may be lost", dtype)
    return np.frombuffer(octets, dtype=_FLOATS[dtype]).astype(np.float64)


def _expect_within(where: str, stated: Error, losses: Sequence[Loss]) -> None:
    """Refuse a tensor that lost more than the archive states, or than was promised."""
    greatest = max(loss.max_abs for loss in losses)
    squares, energy = (math.fsum(getattr(loss, of) for loss in losses) for of in ("squares", "energy"))
    relative = math.sqrt(squares / energy) if energy else 0.0
    if greatest > stated.max_abs * (1 + _ROUNDING):
        raise BadRecord(where, f"differences of at most {stated.max_abs}", str(greatest))
    measured = {"absolute": greatest, "relative_rms": relative, "relative_frobenius": relative}.get(stated.mode, 0.0)
    if measured > stated.bound * (1 + _ROUNDING):
        raise BadRecord(where, f"a loss of at most {stated.bound} ({stated.mode})", str(measured))
