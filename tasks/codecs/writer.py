"""How is an archive written, in one pass, a few chunks in memory at a time?

Threads pack chunks ahead, across tensors; one thread writes them in order, so that the same input gives the same bytes
whatever the number of threads, and whether or not the write was killed and continued.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import BinaryIO

import xxhash

from data.errors import BadRecord
from data.schemas.tensor import Tensor
from tasks.codecs.archive import Archive
from tasks.codecs.chain import Chain
from tasks.codecs.container import OPENING, closing
from tasks.codecs.in_order import in_order
from tasks.codecs.index import BASES_MAX, Base, Error, Index, Source, Stored
from tasks.codecs.journal import Finished, Journal
from tasks.codecs.lossless import Lossless
from tasks.codecs.planning import Chunk, Leaves, Planned, Planning, packed
from tasks.codecs.treatment import BaseTensor, Loss, Policy, Treatment

Written = Callable[[int], None]
"""Told the raw bytes of each chunk as it is written, for a progress bar."""


def keep_every_bit(tensor: Tensor, base: BaseTensor | None) -> Treatment:  # noqa: ARG001  a policy is given both
    """Return the treatment of a tensor that must not lose a bit."""
    return Treatment(Lossless())


def write_archive(
    file: BinaryIO,
    source: Source,
    leaves: bytes,
    tensors: Iterable[Tensor],
    *,
    policy: Policy = keep_every_bit,
    base: Archive | None = None,
    workers: int = 1,
    written: Written = lambda _octets: None,
    journal: Journal | None = None,
) -> Index:
    """Write an archive; the same input and policy give the same bytes, whatever the workers.

    A tensor of the same bytes as an earlier one is stored once. Memory: three chunks per worker, the index, and
    whatever a treatment makes as a whole.

    Args:
        file: empty, and open for writing. With a journal: open for reading too, and it may hold the beginning.
        source: the checkpoint that is compressed.
        leaves: what in it is no tensor.
        tensors: in the order in which they are to be restored; those that may be equal are read twice.
        policy: what is done with each tensor.
        base: an archive to take differences to, where a tensor of the same name, type and shape is in it.
        workers: threads that pack.
        written: told of each chunk.
        journal: told of each tensor; what it has of an earlier attempt at the same write is checked and kept.

    Returns:
        The index as it was written.

    Raises:
        BadRecord: the chain of bases would be longer than a reader follows, or a tensor is not as long as it says.
        ValueError: the archive would have more chunks than a reader accepts.
        OSError: the disk is full.
    """
    under = None
    if base is not None:
        if base.depth + 1 > BASES_MAX:
            raise BadRecord(str(base.path), f"at most {BASES_MAX - 1} archives below it", str(base.depth))
        under = Base(base.path.name, base.index_sha256, base.depth + 1)
    first, given = Leaves(leaves), list(tensors)
    writing, planning = _Writing(file, journal), Planning(policy, base)
    kept = writing.begin([first, *given])
    for tensor, earlier in zip((first, *given), kept, strict=False):
        written(earlier.raw_bytes)
        if tensor is not first:
            planning.know(tensor, earlier)
    cuts = (
        cut
        for tensor in (first, *given)[len(kept) :]
        for cut in (first.cuts() if tensor is first else planning.cuts(tensor))
    )
    with ThreadPoolExecutor(workers) as pool:
        for chunk in map(packed, cuts) if workers == 1 else in_order(pool, packed, cuts, 2 * workers):
            writing.put(chunk)
            written(chunk.raw_bytes)
    stored_leaves, *stored = writing.stored.values()
    if all(each.base is None for each in stored):
        under = None  # nothing is a difference: the archive stands alone
    index = Index(source, tuple(writing.chains), stored_leaves, tuple(stored), under)
    file.write(closing(index, writing.offset, writing.digest.digest()))
    return index


@dataclass(slots=True, eq=False)
class _Writing:
    """The state of one archive while it is written; ``stored`` has the leaves under the key None."""

    file: BinaryIO
    journal: Journal | None
    offset: int = 0
    digest: xxhash.xxh3_128 = field(default_factory=xxhash.xxh3_128)
    chains: dict[Chain, int] = field(default_factory=dict)
    stored: dict[str | None, Stored] = field(default_factory=dict)
    chunks: list[Chunk] = field(default_factory=list)

    def begin(self, tensors: Sequence[Tensor]) -> Sequence[Stored]:
        """Write the opening, or find how much of an earlier attempt is there, and return its tensors."""
        if self.journal is not None and self.journal.earlier:
            for finished, tensor in zip(self.journal.earlier, tensors, strict=False):
                if not self.take_over(finished, tensor):
                    break
            self.journal.begin_anew(len(self.stored))
        if not self.stored:
            self.digest, self.offset = xxhash.xxh3_128(OPENING), len(OPENING)
            self.file.seek(0)
            self.file.write(OPENING)
        self.file.seek(self.offset)
        if self.journal is not None:
            self.file.truncate()
        return list(self.stored.values())

    def take_over(self, finished: Finished, tensor: Tensor) -> bool:
        """Keep a tensor of an earlier attempt, if its chunks are in the file as the journal says."""
        stored, digest, at = finished.stored, self.digest.copy(), self.offset
        if not at:
            digest, at = xxhash.xxh3_128(OPENING), len(OPENING)
            self.file.seek(0)
            if self.file.read(at) != OPENING:
                return False
        self.file.seek(at)
        for number, length in enumerate(stored.lengths):
            octets = self.file.read(length)
            if xxhash.xxh3_64_hexdigest(octets) != stored.packed_hashes[16 * number : 16 * number + 16]:
                return False
            digest.update(octets)
        at += stored.packed_bytes
        if (stored.name, stored.dtype, stored.shape, at) != (tensor.name, tensor.dtype, tensor.shape, finished.offset):
            return False
        self.digest, self.offset = digest, at
        for chain in finished.chains:
            self.chains.setdefault(chain, len(self.chains))
        self.stored[stored.name if self.stored else None] = stored
        return True

    def put(self, chunk: Chunk) -> None:
        """Write a chunk; with the last one of a tensor the tensor is finished."""
        self.file.write(chunk.octets)
        self.digest.update(chunk.octets)
        self.offset += len(chunk.octets)
        self.chunks.append(replace(chunk, octets=b"", raw_bytes=len(chunk.octets)))
        if len(self.chunks) >= chunk.planned.count:
            self.finish(chunk.planned)

    def finish(self, planned: Planned) -> None:
        """Put a tensor whose chunks are all written into the index, and into the journal."""
        chunks = self.chunks if planned.count else []
        known = len(self.chains)
        bare = planned.bare
        if self.stored and bare.name in self.stored:
            raise BadRecord(bare.name, "every tensor's name once", "one twice")
        twin = None if bare.same_as is None else self.stored[bare.same_as]
        loss = planned.loss or _sum([chunk.loss for chunk in chunks if chunk.loss is not None])
        stored = replace(
            bare,
            lengths=tuple(chunk.raw_bytes for chunk in chunks),
            chains=tuple(self.chains.setdefault(chunk.chain, len(self.chains)) for chunk in chunks),
            packed_hashes="".join(chunk.packed_hash for chunk in chunks),
            raw_hashes="".join(chunk.raw_hash for chunk in chunks),
            error=_error(planned, loss) if twin is None else twin.error,
        )
        self.stored[stored.name if self.stored else None] = stored
        self.chunks = []
        if self.journal is not None:
            self.file.flush()
            self.journal.add(Finished(stored, tuple(self.chains)[known:], self.offset))


def _sum(losses: list[Loss]) -> Loss:
    return Loss(
        max((loss.max_abs for loss in losses), default=0.0),
        math.fsum(loss.squares for loss in losses),
        math.fsum(loss.energy for loss in losses),
        sum(loss.elements for loss in losses),
        sum(loss.exact for loss in losses),
    )


def _error(planned: Planned, loss: Loss) -> Error | None:
    if planned.bound is None:
        return None
    rms = math.sqrt(loss.squares / loss.elements) if loss.elements else 0.0
    relative = math.sqrt(loss.squares / loss.energy) if loss.energy else 0.0
    return Error(*planned.bound, loss.max_abs, rms, relative, loss.exact)
