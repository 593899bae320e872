"""How is an archive written, in one pass, a few chunks in memory at a time?

Threads pack chunks ahead; one thread writes them in order, so that the same input gives the same bytes whatever the
number of threads.
"""

import hashlib
import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import BinaryIO

import xxhash

from data.errors import BadRecord
from data.schemas.tensor import Octets, Tensor
from tasks.codecs.archive import Archive
from tasks.codecs.chain import Chain
from tasks.codecs.container import OPENING, closing
from tasks.codecs.in_order import in_order
from tasks.codecs.index import BASES_MAX, CHUNK_BYTES, Base, Error, Index, Source, Stored
from tasks.codecs.lossless import Lossless
from tasks.codecs.protocol import Around
from tasks.codecs.treatment import BaseTensor, ByChunk, Loss, Packed, Policy, Treatment, Whole

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
) -> Index:
    """Write an archive; the same input and policy give the same bytes, whatever the workers.

    A tensor of the same bytes as an earlier one is stored once. Memory: three chunks per worker, the index, and
    whatever a treatment makes as a whole.

    Args:
        file: empty, and open for writing.
        source: the checkpoint that is compressed.
        leaves: what in it is no tensor.
        tensors: in the order in which they are to be restored; those that may be equal are read twice.
        policy: what is done with each tensor.
        base: an archive to take differences to, where a tensor of the same name, type and shape is in it.
        workers: threads that pack.
        written: told of each chunk.

    Returns:
        The index as it was written.

    Raises:
        BadRecord: the chain of bases would be longer than a reader follows.
        ValueError: the archive would have more chunks than a reader accepts.
        OSError: the disk is full.
    """
    under = None
    if base is not None:
        if base.depth + 1 > BASES_MAX:
            raise BadRecord(str(base.path), f"at most {BASES_MAX - 1} archives below it", str(base.depth))
        under = Base(base.path.name, base.index_sha256, base.depth + 1)
    with ThreadPoolExecutor(workers) as pool:
        writing = _Writing(file, pool if workers > 1 else None, 2 * workers, written)
        writing.put(OPENING)
        stored_leaves = writing.pack(Stored("leaves", "U8", (len(leaves),)), _cut(leaves), Lossless(), None, None)
        stored = tuple(writing.tensor(tensor, policy, base) for tensor in tensors)
    if all(each.base is None for each in stored):
        under = None  # nothing is a difference: the archive stands alone
    index = Index(source, tuple(writing.chains), stored_leaves, stored, under)
    file.write(closing(index, writing.offset, writing.digest.digest()))
    return index


@dataclass(slots=True, eq=False)
class _Writing:
    """The state of one archive while it is written."""

    file: BinaryIO
    pool: ThreadPoolExecutor | None
    ahead: int
    written: Written
    offset: int = 0
    digest: "hashlib._Hash" = field(default_factory=hashlib.sha256)
    chains: dict[Chain, int] = field(default_factory=dict)
    seen: dict[tuple[int, str], list[tuple[Tensor, Stored]]] = field(default_factory=dict)

    def put(self, octets: Octets) -> None:
        self.file.write(octets)
        self.digest.update(octets)
        self.offset += len(octets)

    def tensor(self, tensor: Tensor, policy: Policy, base: Archive | None) -> Stored:
        """Write a tensor, unless its bytes are in the archive already."""
        bare = Stored(tensor.name, tensor.dtype, tensor.shape)
        first = next(tensor.pieces(CHUNK_BYTES), b"")
        alike = self.seen.setdefault((bare.raw_bytes, xxhash.xxh3_64_hexdigest(first)), [])
        below = _base_tensor(bare, base)
        treatment = policy(tensor, below)
        for earlier, kept in alike if len(first) else ():
            if kept.dtype == bare.dtype and _same_bytes(earlier, tensor) and _same_promise(kept, treatment):
                return replace(bare, same_as=kept.name, error=kept.error)
        stored = self.treated(bare, tensor, treatment, below)
        alike.append((tensor, stored))
        return stored

    def treated(self, bare: Stored, tensor: Tensor, treatment: Treatment, below: BaseTensor | None) -> Stored:
        """Write the chunks of a tensor."""
        if isinstance(treatment.form, Whole):
            whole = treatment.form
            content = whole.content.data.cast("B")
            made = self.pack(replace(bare, recipe=whole.recipe), _cut(content), Lossless(), None, None)
            return replace(made, error=_error(treatment, whole.loss))
        if treatment.delta and below is not None:
            bare = replace(bare, piece_bytes=below.piece_bytes, base=bare.name)
        else:
            below = None
        return self.pack(bare, tensor.pieces(bare.piece_bytes), treatment.form, below, treatment)

    def pack(
        self,
        bare: Stored,
        pieces: Iterable[Octets],
        form: ByChunk,
        below: BaseTensor | None,
        treatment: Treatment | None,
    ) -> Stored:
        """Pack and write chunks; return the tensor with them."""
        dtype = "U8" if bare.recipe is not None else bare.dtype

        def packed(numbered: tuple[int, Octets]) -> tuple[int, Packed, str, str]:
            number, raw = numbered
            made = form.pack(raw, Around(dtype, None if below is None else below.piece(number)))
            restored = raw if made.restored is None else made.restored
            return len(raw), made, xxhash.xxh3_64_hexdigest(made.octets), xxhash.xxh3_64_hexdigest(restored)

        numbered = enumerate(pieces)
        chunks: Iterator[tuple[int, Packed, str, str]]
        if self.pool is None or math.prod(bare.shape) == 0:
            chunks = map(packed, numbered)
        else:
            chunks = in_order(self.pool, packed, numbered, self.ahead)
        lengths, chains, losses = [], [], []
        hashes: tuple[list[str], list[str]] = ([], [])
        for raw_bytes, made, packed_hash, raw_hash in chunks:
            self.put(made.octets)
            lengths.append(len(made.octets))
            chains.append(self.chains.setdefault(made.chain, len(self.chains)))
            hashes[0].append(packed_hash)
            hashes[1].append(raw_hash)
            losses += [] if made.loss is None else [made.loss]
            self.written(raw_bytes)
        return replace(
            bare,
            lengths=tuple(lengths),
            chains=tuple(chains),
            packed_hashes="".join(hashes[0]),
            raw_hashes="".join(hashes[1]),
            error=None if treatment is None else _error(treatment, _sum(losses)),
        )


def _cut(octets: Octets) -> Iterator[Octets]:
    view = memoryview(octets)
    return (view[start : start + CHUNK_BYTES] for start in range(0, len(view), CHUNK_BYTES))


def _base_tensor(bare: Stored, base: Archive | None) -> BaseTensor | None:
    """Return the tensor of the base that has the same name, type and shape."""
    if base is None:
        return None
    below = base.find(bare.name)
    if below is None or (below.dtype, below.shape) != (bare.dtype, bare.shape):
        return None
    content = base.content_of(below)
    if content.recipe is not None or content.raw_bytes == 0:
        return None
    return BaseTensor(content.piece_bytes, lambda number: base.piece(content, number))


def _same_bytes(one: Tensor, other: Tensor) -> bool:
    pairs = itertools.zip_longest(one.pieces(CHUNK_BYTES), other.pieces(CHUNK_BYTES))
    return all(left == right for left, right in pairs)


def _same_promise(kept: Stored, treatment: Treatment) -> bool:
    """Return whether a tensor that is kept so keeps the promise of ``treatment``."""
    return kept.error is None or treatment.bound == (kept.error.mode, kept.error.bound)


def _sum(losses: list[Loss]) -> Loss:
    return Loss(
        max((loss.max_abs for loss in losses), default=0.0),
        math.fsum(loss.squares for loss in losses),
        math.fsum(loss.energy for loss in losses),
        sum(loss.elements for loss in losses),
        sum(loss.exact for loss in losses),
    )


def _error(treatment: Treatment, loss: Loss) -> Error | None:
    if treatment.bound is None:
        return None
    rms = math.sqrt(loss.squares / loss.elements) if loss.elements else 0.0
    relative = math.sqrt(loss.squares / loss.energy) if loss.energy else 0.0
    return Error(*treatment.bound, loss.max_abs, rms, relative, loss.exact)
