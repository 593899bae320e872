"""How is an archive read: one tensor, a slice of it, or all, each byte verified before it is used?"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt
import xxhash

from data.errors import BadRecord
from data.schemas.tensor import ELEMENT_TYPES, Octets
from tasks.codecs import chain
from tasks.codecs.archive_file import ArchiveFile
from tasks.codecs.container import OPENING
from tasks.codecs.in_order import in_order
from tasks.codecs.index import Base, Stored
from tasks.codecs.protocol import Around
from tasks.codecs.shared_out import share_out

Verified = Callable[[int], None]

FindBase = Callable[[Base], Path]
"""Where the base of an archive lies."""

REBUILT_BYTES_MAX = 4 * 1024**3
"""Bytes of a tensor that is made as a whole, unless the caller allows more."""

Wanted = tuple[Stored, memoryview]
"""A tensor and where its bytes are to be put, as many as it has."""

_VERSIONS = 4
"""Of a chunk that are held while those of a chain of archives are decoded; no codec looks at more."""

_CONTENT_SPARE = 1024 * 1024
"""Bytes of content over those of the tensor that are taken: nobody would write more, and they are held in memory."""


class Archive:
    """An open archive; several threads may read it. :func:`open_archive` opens one with its bases.

    Args:
        path: a ``*.qfz`` file, or the name that messages give to ``octets``.
        memory_bytes: most that a tensor which is made as a whole may take.
        octets: the archive, where it lies in memory and not in a file.

    Raises:
        SourceUnavailable: the file is missing or cannot be read.
        BadRecord: it is no archive, or a damaged one.
    """

    def __init__(self, path: Path, *, memory_bytes: int = REBUILT_BYTES_MAX, octets: Octets | None = None) -> None:
        self.path = path
        self.memory_bytes = memory_bytes
        self.base: Archive | None = None
        self._file = ArchiveFile(path, octets)
        self.index, self.footer = self._file.index, self._file.footer
        self._tensors = {stored.name: stored for stored in self.index.tensors}
        placed = self.index.placed(len(OPENING))
        self._leaves_at = np.cumsum((next(placed)[1], *self.index.leaves.lengths))
        self._at = {stored.name: np.cumsum((offset, *stored.lengths)) for stored, offset in placed}

    @property
    def index_sha256(self) -> str:
        """What the archive is known by: the hash of its index, which names the hash of every chunk."""
        return self.footer.index_sha256.hex()

    @property
    def depth(self) -> int:
        """Archives below this one that are needed to read it."""
        return 0 if self.index.base is None else self.index.base.depth

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file and its bases; twice does no harm."""
        self._file.close()
        if self.base is not None:
            self.base.close()

    def tensor(self, name: str) -> Stored:
        """Return what the index says of a tensor.

        Raises:
            BadRecord: there is none of that name.
        """
        stored = self.find(name)
        if stored is None:
            raise BadRecord(str(self.path), f"a tensor named {name!r}", f"{len(self._tensors)} others")
        return stored

    def find(self, name: str) -> Stored | None:
        """Return what the index says of a tensor, None where there is none of that name."""
        return self._tensors.get(name)

    def leaves(self) -> bytes:
        """Return what is no tensor."""
        return b"".join(self._chunks(self.index.leaves, 1))

    def pieces(self, stored: Stored, workers: int = 1) -> Iterator[Octets]:
        """Yield the bytes of a tensor in order, at most a chunk at a time, with ``workers`` threads decoding ahead.

        Memory: a few chunks per worker; the whole tensor where it is made as a whole.

        Raises:
            SourceUnavailable: the file cannot be read.
            BadRecord: a chunk is damaged; names the file, the tensor and the chunk.
        """
        stored = self.content_of(stored)
        if stored.recipe is not None:
            whole = self._rebuilt(stored, workers).data.cast("B")
            for start in range(0, len(whole), stored.piece_bytes):
                yield whole[start : start + stored.piece_bytes]
            return
        yield from self._chunks(stored, workers)

    def piece(self, stored: Stored, number: int) -> memoryview:
        """Return chunk ``number`` of a tensor, verified and decoded.

        Raises:
            SourceUnavailable: the file cannot be read.
            BadRecord: the chunk is damaged; names the file, the tensor and the chunk.
        """
        stored = self.content_of(stored)
        if stored.recipe is not None:
            whole = self._rebuilt(stored, 1).data.cast("B")
            return whole[number * stored.piece_bytes : (number + 1) * stored.piece_bytes]
        return self._chunk(stored, number)

    def history(self, stored: Stored, number: int) -> tuple[Octets, ...]:
        """Return a chunk, and after it what it is a difference to in the archives below, latest first, four at most.

        Args:
            stored: a tensor without a recipe.
            number: of the chunk.

        Raises:
            SourceUnavailable: a file cannot be read.
            BadRecord: a chunk is damaged; names the file, the tensor and the chunk.
        """
        content = self.content_of(stored)
        earlier = self._earlier(content, number)
        raw = np.empty(content.piece_length(number), dtype=np.uint8).data
        self._decode_into(content, number, earlier, raw)
        return (raw, *earlier[: _VERSIONS - 1])

    def read(self, stored: Stored, start: int = 0, stop: int | None = None, workers: int = 1) -> bytearray:
        """Return elements ``start`` to ``stop`` of a tensor, in row-major order; only their chunks are read.

        Raises:
            SourceUnavailable: the file cannot be read.
            BadRecord: a chunk is damaged, or the range is not within the tensor.
        """
        bits = ELEMENT_TYPES[stored.dtype].bits
        first, last = start * bits, stored.raw_bytes * 8 if stop is None else stop * bits
        if not 0 <= first <= last <= stored.raw_bytes * 8 or first % 8 or last % 8:
            raise BadRecord(f"{self.path}: {stored.name}", "a range of whole bytes within it", f"{start} to {stop}")
        first, last = first // 8, last // 8
        content = self.content_of(stored)
        if content.recipe is not None:
            return bytearray(self._rebuilt(content, workers).data.cast("B")[first:last])
        out = self._room(stored, last - first)
        self._fill([_Range(stored, first, memoryview(out))], workers)
        return out

    def read_all(self, tensors: Sequence[Stored], workers: int = 1) -> list[bytearray]:
        """Return the bytes of tensors; threads go from one tensor to the next without waiting for one another.

        Raises:
            SourceUnavailable: the file cannot be read.
            BadRecord: a chunk is damaged; names the file, the tensor and the chunk.
        """
        held = [self._room(stored, stored.raw_bytes) for stored in tensors]
        self.read_into([(stored, memoryview(out)) for stored, out in zip(tensors, held, strict=True)], workers)
        return held

    def read_into(self, wanted: Sequence[Wanted], workers: int = 1) -> None:
        """Put the bytes of tensors where they are wanted; chunks are decoded in place, by as many threads for them all.

        After an error the buffers hold anything. Memory: a chunk for each worker, or the whole of a tensor where it is
        made as a whole.

        Raises:
            ValueError: a buffer is not as long as its tensor, or cannot be written to.
            SourceUnavailable: the file cannot be read.
            BadRecord: a chunk is damaged; names the file, the tensor and the chunk.
        """
        for stored, out in wanted:
            if out.nbytes != stored.raw_bytes or out.readonly:
                raise ValueError(f"{stored.name}: expected {stored.raw_bytes} bytes to write to, found {out.nbytes}")
        self._fill([_Range(stored, 0, out) for stored, out in wanted], workers)

    def verify(self, workers: int = 1, verified: Verified = lambda _octets: None) -> None:
        """Hash the whole file, and read every chunk of it.

        Args:
            workers: threads that decode.
            verified: told the bytes in the archive of each chunk, for a progress bar.

        Raises:
            SourceUnavailable: the file cannot be read.
            BadRecord: something is damaged; names the file, and the tensor and chunk where there is one.
        """
        jobs = (
            (stored, number)
            for stored in (self.index.leaves, *self.index.tensors)
            for number in range(len(stored.lengths))
        )

        def read(job: tuple[Stored, int]) -> int:
            self._chunk(*job)
            return job[0].lengths[job[1]]

        with ThreadPoolExecutor(workers) as pool:
            for length in in_order(pool, read, jobs, 2 * workers):
                verified(length)
        self._file.verify()

    def content_of(self, stored: Stored) -> Stored:
        """Return the tensor whose chunks hold the bytes."""
        return stored if stored.same_as is None else self.tensor(stored.same_as)

    def _chunks(self, stored: Stored, workers: int, numbers: range | None = None) -> Iterator[Octets]:
        numbers = range(len(stored.lengths)) if numbers is None else numbers
        if workers == 1 or len(numbers) < 2:
            yield from (self._chunk(stored, number) for number in numbers)
            return
        with ThreadPoolExecutor(workers) as pool:
            yield from in_order(pool, lambda number: self._chunk(stored, number), numbers, 2 * workers)

    def _fill(self, ranges: Sequence["_Range"], workers: int) -> None:
        """Fill ranges with their bytes."""

        def fill(job: tuple[_Range, Stored, int]) -> None:
            wanted, content, number = job
            first = number * content.piece_bytes
            length = content.piece_length(number)
            begin, end = max(first, wanted.first), min(first + length, wanted.first + len(wanted.out))
            out = wanted.out[begin - wanted.first : end - wanted.first]
            if len(out) == length:
                self._chunk_into(content, number, out)
            else:
                out[:] = memoryview(self._chunk(content, number))[begin - first : end - first]

        jobs = []
        for wanted in ranges:
            content = self.content_of(wanted.stored)
            if content.recipe is not None:
                whole = self._rebuilt(content, workers).data.cast("B")
                wanted.out[:] = whole[wanted.first : wanted.first + len(wanted.out)]
                continue
            stop = -(-(wanted.first + len(wanted.out)) // content.piece_bytes)
            jobs += [(wanted, content, number) for number in range(wanted.first // content.piece_bytes, stop)]
        share_out(fill, jobs, min(workers, max(1, len(jobs))))

    def _chunk(self, stored: Stored, number: int) -> memoryview:
        raw = np.empty(stored.piece_length(number), dtype=np.uint8).data
        self._chunk_into(stored, number, raw)
        return raw

    def _chunk_into(self, stored: Stored, number: int, out: memoryview) -> None:
        self._decode_into(stored, number, self._earlier(stored, number), out)

    def _earlier(self, stored: Stored, number: int) -> tuple[memoryview, ...]:
        """Return what a chunk is a difference to in the archives below, latest first.

        From the lowest archive up, each chunk is decoded once, however many others it helps to predict.
        """
        levels: list[tuple[Archive, Stored]] = []
        archive, content = self, stored
        while content.base is not None:
            archive, content = archive._below(content)
            levels.append((archive, content))
        held: tuple[memoryview, ...] = ()
        for archive, content in reversed(levels):
            raw = np.empty(content.piece_length(number), dtype=np.uint8).data
            archive._decode_into(content, number, held, raw)
            held = (raw, *held[: _VERSIONS - 1])
        return held

    def _decode_into(self, stored: Stored, number: int, earlier: tuple[memoryview, ...], out: memoryview) -> None:
        where = f"{self.path}: {stored.name}, chunk {number}"
        offsets = self._leaves_at if stored is self.index.leaves else self._at[stored.name]
        packed = self._file.read(stored.lengths[number], int(offsets[number]))
        _expect_hash(where, packed, stored.packed_hashes[16 * number : 16 * number + 16])
        dtype = "U8" if stored.recipe is not None else stored.dtype
        around = Around(dtype, earlier[0], earlier=earlier[1:]) if earlier else Around(dtype)
        try:
            chain.decode_into(self.index.chains[stored.chains[number]], packed, around, out)
        except ValueError as error:
            raise BadRecord(where, "bytes that the chain of the index decodes", str(error)) from error
        _expect_hash(f"{where}, decoded", out, stored.raw_hashes[16 * number : 16 * number + 16])

    def _below(self, stored: Stored) -> "tuple[Archive, Stored]":
        """Return the base, and the tensor in it whose chunks those of ``stored`` are differences to."""
        if self.base is None or stored.base is None:
            raise BadRecord(f"{self.path}: {stored.name}", "a base archive", "none")
        below = self.base.tensor(stored.base)
        content = self.base.content_of(below)
        if content.recipe is not None:  # which would be made as a whole again for each of our chunks
            raise BadRecord(
                f"{self.base.path}: {below.name}", "a tensor whose chunks are its bytes", content.recipe.kind
            )
        found = (below.dtype, below.shape, content.piece_bytes)
        if found != (stored.dtype, stored.shape, stored.piece_bytes):
            wanted = f"a tensor of {stored.dtype} {stored.shape} in pieces of {stored.piece_bytes} bytes"
            raise BadRecord(f"{self.base.path}: {below.name}", wanted, str(found))
        return self.base, content

    def _room(self, stored: Stored, length: int) -> bytearray:
        """Return room for bytes of a tensor."""
        try:
            return bytearray(length)
        except MemoryError as error:
            raise BadRecord(f"{self.path}: {stored.name}", "a range that memory can hold", f"{length}") from error

    def _rebuilt(self, stored: Stored, workers: int) -> npt.NDArray[np.uint8]:
        where = f"{self.path}: {stored.name}"
        if stored.recipe is None or stored.raw_bytes > self.memory_bytes:
            raise BadRecord(where, f"at most {self.memory_bytes} bytes to make as a whole", f"{stored.raw_bytes}")
        if stored.content_bytes > stored.raw_bytes + _CONTENT_SPARE:
            most = stored.raw_bytes + _CONTENT_SPARE
            raise BadRecord(where, f"at most {most} bytes to make it from", f"{stored.content_bytes}")
        content = np.frombuffer(b"".join(self._chunks(stored, workers)), dtype=np.uint8)
        try:
            whole = stored.recipe.rebuild(content, stored.raw_bytes)
        except ValueError as error:
            raise BadRecord(where, "content that its recipe takes", str(error)) from error
        if whole.nbytes != stored.raw_bytes:
            raise BadRecord(where, f"{stored.raw_bytes} bytes", f"{whole.nbytes}")
        return whole


@dataclass(frozen=True, slots=True, eq=False)
class _Range:
    """Bytes of a tensor from ``first`` on, and where they are to be put."""

    stored: Stored
    first: int
    out: memoryview


def open_archive(
    path: Path,
    find_base: FindBase | None = None,
    *,
    memory_bytes: int = REBUILT_BYTES_MAX,
    octets: Octets | None = None,
) -> Archive:
    """Open an archive and every archive that it is a difference to.

    Args:
        path: a ``*.qfz`` file.
        find_base: where a base lies; None looks beside ``path``, under the name that the index gives.
        memory_bytes: most that a tensor which is made as a whole may take.
        octets: the archive, where it lies in memory; ``path`` then says where it would lie.

    Raises:
        SourceUnavailable: the file, or one of its bases, is missing or cannot be read.
        BadRecord: one is no archive, or damaged, or another than the one that the deltas were taken from.
    """
    top = Archive(path, memory_bytes=memory_bytes, octets=octets)
    try:
        archive, seen = top, {top.index_sha256}
        while (base := archive.index.base) is not None:
            below = Archive(
                path.with_name(base.file) if find_base is None else find_base(base), memory_bytes=memory_bytes
            )
            archive.base = below  # closed with the top from here on
            if below.index_sha256 != base.index_sha256:
                raise BadRecord(str(below.path), f"the archive {base.index_sha256}", below.index_sha256)
            if below.index_sha256 in seen or below.depth != base.depth - 1:
                raise BadRecord(str(archive.path), f"{base.depth - 1} archives below its base", str(below.depth))
            seen.add(below.index_sha256)
            archive = below
    except BaseException:
        top.close()
        raise
    return top


def _expect_hash(where: str, octets: Octets, expected: str) -> None:
    """Refuse bytes whose XXH3 is another."""
    found = xxhash.xxh3_64_hexdigest(octets)
    if found != expected:
        raise BadRecord(where, f"bytes with the XXH3 {expected}", found)
