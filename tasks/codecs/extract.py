"""How does one tensor of an archive, or some rows of it, become a file of its own?"""

import io
import math
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np

from data.errors import BadRecord
from data.readers.checkpoint.numpy_file import DTYPES
from data.whole_file import claimed_file
from tasks.codecs.archive import open_archive
from tasks.codecs.arrays import ArrayTensor, safetensors_header
from tasks.codecs.bases import bases_in
from tasks.codecs.index import Stored
from tasks.codecs.origin import digest, unwritable
from tasks.codecs.restore import Restored, Restoring


@dataclass(frozen=True, slots=True)
class Part:
    """What of an archive is wanted.

    Args:
        tensor: its name.
        rows: of its first dimension, from the first to before the second; None for all.
    """

    tensor: str
    rows: tuple[int | None, int | None] | None = None


def extract_tensor(
    archive: Path,
    target: Path,
    part: Part,
    *,
    restoring: Restoring = Restoring(),  # noqa: B008  frozen
) -> Restored:
    """Write a tensor as ``*.safetensors`` or ``*.npy``; only the chunks that hold it are read, into memory.

    Raises:
        ValueError: another ending than those two.
        SourceUnavailable: the archive or a base is missing or cannot be read.
        BadRecord: there is no such tensor, the rows are not within it, numpy has no such type, something stands at
            ``target``, or the folder cannot be written.
    """
    if target.suffix not in (".safetensors", ".npy"):
        raise ValueError(f"expected a target *.safetensors or *.npy for one tensor, found {target.name}")
    if target.exists():
        raise BadRecord(str(target), "no file", "one that stands there; not overwritten")
    with open_archive(archive, bases_in(restoring.bases, archive), memory_bytes=restoring.memory_bytes) as opened:
        stored = opened.tensor(part.tensor)
        start, stop, shape = _range(archive, stored, part)
        header = _header(archive, stored, shape, target)
        octets = opened.read(stored, start, stop, restoring.workers)
    try:
        with claimed_file(target) as file:
            file.truncate(0)
            file.write(header)
            file.write(octets)
    except OSError as error:
        raise unwritable(target, error) from error
    return Restored(*digest(target), 1, same_file=False)


def _range(archive: Path, stored: Stored, part: Part) -> tuple[int, int, tuple[int, ...]]:
    """Return the first element, the one after the last, and the shape between them."""
    if part.rows is None:
        return 0, math.prod(stored.shape), stored.shape
    if not stored.shape:
        raise BadRecord(f"{archive}: {stored.name}", "a tensor with rows", "a single number")
    rows = stored.shape[0]
    start, stop = (rows if at is None and end else at or 0 for end, at in enumerate(part.rows))
    start, stop = (at + rows if at < 0 else at for at in (start, stop))
    if not 0 <= start <= stop <= rows:
        raise BadRecord(f"{archive}: {stored.name}", f"rows within 0:{rows}", f"{start}:{stop}")
    of_row = math.prod(stored.shape[1:])
    return start * of_row, stop * of_row, (stop - start, *stored.shape[1:])


def _header(archive: Path, stored: Stored, shape: tuple[int, ...], target: Path) -> bytes:
    if target.suffix == ".safetensors":
        return safetensors_header([ArrayTensor(stored.name, stored.dtype, shape, np.empty(0))])
    text = next((theirs for theirs, ours in DTYPES.items() if ours == stored.dtype), None)
    if text is None:
        raise BadRecord(f"{archive}: {stored.name}", "a type that numpy has, or a target *.safetensors", stored.dtype)
    header = io.BytesIO()
    described = cast("dict[str, object]", {"descr": text, "fortran_order": False, "shape": shape})
    np.lib.format.write_array_header_1_0(header, described)
    return header.getvalue()
