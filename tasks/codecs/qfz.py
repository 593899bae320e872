"""How are tensors saved into an archive and loaded from one, as with safetensors?

    from tasks.codecs import qfz

    qfz.save_file(model.state_dict(), "model.qfz")
    state = qfz.load_file("model.qfz", framework="torch")
    with qfz.open_file("model.qfz") as archive:
        row = archive.get_slice("embedding.weight")[5]

Arrays of numpy and tensors of torch, side by side if need be. numpy has no bfloat16 and no float8: such tensors are
loaded with ``framework="torch"``.
"""

import io
import json
import math
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, cast

import numpy as np
import numpy.typing as npt

from data.errors import BadRecord
from data.schemas.tensor import Octets, tensor_bytes
from data.whole_file import whole_file
from tasks.codecs.archive import Archive, open_archive
from tasks.codecs.arrays import Framework, array_of, safetensors_header, tensor_of
from tasks.codecs.bases import bases_in
from tasks.codecs.index import Source, Stored
from tasks.codecs.keeping import Packing
from tasks.codecs.writer import write_archive

if TYPE_CHECKING:
    import torch

    Array = npt.NDArray[Any] | torch.Tensor

_IN_MEMORY = Path("archive in memory.qfz")


def save(
    tensors: "Mapping[str, Array]",
    metadata: Mapping[str, str] | None = None,
    *,
    base: Path | None = None,
    packing: Packing = Packing(),  # noqa: B008  frozen
) -> bytes:
    """Return tensors as an archive.

    Args:
        tensors: arrays or tensors by name; equal ones are stored once.
        metadata: text by name, returned by :meth:`Opened.metadata`.
        base: an archive of earlier tensors that differences may be taken to; it is needed again to load.
        packing: what is kept, with how much effort, on how many threads.

    Raises:
        ValueError: a tensor of a type that archives do not know, or no such bound.
        SourceUnavailable, BadRecord: the base is missing or damaged.
    """
    file = io.BytesIO()
    _write(cast("io.BufferedRandom", file), tensors, metadata, base, packing)
    return file.getvalue()


def save_file(
    tensors: "Mapping[str, Array]",
    path: str | Path,
    metadata: Mapping[str, str] | None = None,
    *,
    base: str | Path | None = None,
    packing: Packing = Packing(),  # noqa: B008  frozen
) -> None:
    """Write tensors into an archive; it takes the place of what stood at ``path`` when it is whole, and not before.

    Args:
        tensors: arrays or tensors by name; equal ones are stored once.
        path: of the archive.
        metadata: text by name, returned by :meth:`Opened.metadata`.
        base: an archive of earlier tensors that differences may be taken to. It must lie beside ``path`` when that is
            read, or its reader says where.
        packing: what is kept, with how much effort, on how many threads.

    Raises:
        ValueError: a tensor of a type that archives do not know, no such bound, or the base is ``path`` itself.
        SourceUnavailable, BadRecord: the base is missing or damaged.
        OSError: the folder cannot be written, or the disk is full.
    """
    path, base = Path(path), None if base is None else Path(base)
    if base is not None and base.resolve() == path.resolve():
        raise ValueError(f"expected a base beside the archive, found one path for both: {path}")
    with whole_file(path) as file:
        _write(file, tensors, metadata, base, packing)


def load(
    octets: Octets, *, framework: Framework = "numpy", bases: Sequence[Path] = (), workers: int = 1
) -> "dict[str, Array]":
    """Return the tensors of an archive that lies in memory.

    Raises:
        ValueError: a tensor of a type that the framework does not have.
        SourceUnavailable: a base is missing.
        BadRecord: the archive is damaged, or holds more than the memory of this machine.
    """
    with open_archive(_IN_MEMORY, bases_in(bases, _IN_MEMORY), octets=octets) as archive:
        return _load(archive, framework, workers)


def load_file(
    path: str | Path, *, framework: Framework = "numpy", bases: Sequence[Path] = (), workers: int = 1
) -> "dict[str, Array]":
    """Return the tensors of an archive; equal tensors that were stored once are loaded apart.

    Args:
        path: a ``*.qfz`` file, of :func:`save_file` or of a checkpoint.
        framework: what to return; tensors of torch lie on the CPU.
        bases: archives, or folders of them, where its bases lie if not beside it.
        workers: threads that decode.

    Raises:
        ValueError: a tensor of a type that the framework does not have.
        SourceUnavailable: the archive or a base is missing or cannot be read.
        BadRecord: the archive is damaged, or holds more than the memory of this machine.
    """
    path = Path(path)
    with open_archive(path, bases_in(bases, path)) as archive:
        return _load(archive, framework, workers)


def open_file(
    path: str | Path, *, framework: Framework = "numpy", bases: Sequence[Path] = (), workers: int = 1
) -> "Opened":
    """Open an archive to load single tensors or slices; nothing but the index is read yet.

    Args and errors are those of :func:`load_file`.
    """
    path = Path(path)
    return Opened(open_archive(path, bases_in(bases, path)), framework, workers)


@dataclass(frozen=True, slots=True, eq=False)
class Opened:
    """An open archive, as :func:`open_file` returns it."""

    archive: Archive
    framework: Framework
    workers: int

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.archive.close()

    def keys(self) -> list[str]:
        """Return the names of the tensors."""
        return [stored.name for stored in self.archive.index.tensors]

    def metadata(self) -> dict[str, str]:
        """Return the text that was saved with the tensors; empty for formats that have none."""
        if self.archive.index.source.format not in ("arrays", "safetensors"):
            return {}
        leaves = self.archive.leaves()
        try:
            length = int.from_bytes(leaves[:8], "little")  # of shards: the index comes first, and is no header
            return dict(json.loads(leaves[8 : 8 + length]).get("__metadata__", {}))
        except (ValueError, TypeError, AttributeError, RecursionError):
            return {}

    def get_tensor(self, name: str) -> "Array":
        """Return a tensor.

        Raises:
            ValueError: the framework does not have its type.
            BadRecord: there is none of that name, or it is damaged.
        """
        stored = self.archive.tensor(name)
        octets = self.archive.read(stored, workers=self.workers)
        return array_of(octets, stored.name, stored.dtype, stored.shape, self.framework)

    def get_slice(self, name: str) -> "Slice":
        """Return a tensor of which parts can be read: ``get_slice("a")[3:5, :, 0]``.

        Raises:
            BadRecord: there is none of that name.
        """
        return Slice(self, self.archive.tensor(name))


@dataclass(frozen=True, slots=True, eq=False)
class Slice:
    """A tensor of which only those chunks are read that hold the rows asked for."""

    opened: Opened
    stored: Stored

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each dimension."""
        return self.stored.shape

    @property
    def dtype(self) -> str:
        """A key of :data:`data.schemas.tensor.ELEMENT_TYPES`."""
        return self.stored.dtype

    def __getitem__(self, at: Any) -> "Array":  # what numpy and torch take
        """Return a part; rows are chosen by the first index, which must be a number or a slice that goes forward.

        Raises:
            IndexError: it is out of range.
            ValueError: the framework does not have the type, or the slice goes backwards.
            BadRecord: the archive is damaged.
        """
        first, rest = (at[0], at[1:]) if isinstance(at, tuple) and at else (at, ())
        if not self.stored.shape or not isinstance(first, (int, slice, np.integer)):
            return cast("Array", self.opened.get_tensor(self.stored.name)[at])
        rows = self.stored.shape[0]
        if isinstance(first, slice):
            start, stop, step = first.indices(rows)
            if step < 1:
                raise ValueError(f"{self.stored.name}: expected a slice that goes forward, found a step of {step}")
            part: Any = self.rows(start, max(start, stop))[::step]
            return cast("Array", part[(slice(None), *rest)])
        row = int(first) if first >= 0 else rows + int(first)
        if not 0 <= row < rows:
            raise IndexError(f"{self.stored.name}: expected a row of {rows}, found {first}")
        whole: Any = self.rows(row, row + 1)
        return cast("Array", whole[(0, *rest)])

    def rows(self, start: int, stop: int) -> "Array":
        """Return the rows from ``start`` to before ``stop``."""
        stored, archive = self.stored, self.opened.archive
        of_row = math.prod(stored.shape[1:])
        octets = archive.read(stored, start * of_row, stop * of_row, self.opened.workers)
        return array_of(octets, stored.name, stored.dtype, (stop - start, *stored.shape[1:]), self.opened.framework)


def _write(
    file: Any,  # a file or io.BytesIO
    tensors: "Mapping[str, Array]",
    metadata: Mapping[str, str] | None,
    base: Path | None,
    packing: Packing,
) -> None:
    given = [tensor_of(name, value) for name, value in tensors.items()]
    leaves = safetensors_header(given, metadata)
    size = len(leaves) + sum(tensor_bytes(tensor.dtype, tensor.shape) for tensor in given)
    source = Source("arrays", "0" * 64, size)
    with ExitStack() as held:
        below = None if base is None else held.enter_context(open_archive(base))
        if below is not None and below.depth >= packing.chain:
            below = None
        write_archive(file, source, leaves, given, policy=packing.policy(given), base=below, workers=packing.workers)


def _load(archive: Archive, framework: Framework, workers: int) -> "dict[str, Array]":
    tensors = archive.index.tensors
    needed, most = sum(stored.raw_bytes for stored in tensors), os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > most:  # a few kilobytes may declare gigabytes of zeros
        raise BadRecord(str(archive.path), f"tensors of at most {most} bytes, the memory of this machine", f"{needed}")
    held = zip(tensors, archive.read_all(tensors, workers), strict=True)
    return {each.name: array_of(octets, each.name, each.dtype, each.shape, framework) for each, octets in held}
