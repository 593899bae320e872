"""What becomes of each tensor on its way into an archive: chunks of its own, or a note that an earlier is the same?"""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import xxhash

from data.errors import BadRecord
from data.schemas.tensor import ELEMENT_TYPES, Octets, Tensor
from tasks.codecs.archive import Archive
from tasks.codecs.chain import Chain
from tasks.codecs.index import CHUNK_BYTES, BoundMode, Stored
from tasks.codecs.lossless import Lossless
from tasks.codecs.protocol import Around
from tasks.codecs.treatment import BaseTensor, ByChunk, Loss, Policy, Treatment, Whole

Bound = tuple[BoundMode, float]


@dataclass(frozen=True, slots=True, eq=False)
class Planned:
    """A tensor as it will stand in the index, but for its chunks.

    Args:
        bare: without chunks.
        form: packs them.
        below: the base's tensor, where they are differences.
        bound: the promise, where something may be lost.
        loss: what was lost, where the treatment knows it already.
    """

    bare: Stored
    form: ByChunk = field(default_factory=Lossless)
    below: BaseTensor | None = None
    bound: Bound | None = None
    loss: Loss | None = None

    @property
    def count(self) -> int:
        """How many chunks it will have."""
        return -(-self.bare.content_bytes // self.bare.piece_bytes)


@dataclass(frozen=True, slots=True, eq=False)
class Cut:
    """A chunk that is to be packed; the one of a tensor that has none is empty."""

    planned: Planned
    number: int
    raw: Octets


@dataclass(frozen=True, slots=True, eq=False)
class Chunk:
    """A chunk that is to be written.

    Args:
        planned: its tensor.
        chain: what encoded it.
        raw_bytes: before that; 0 for a tensor that has no chunks.
        octets: the bytes in the archive.
        packed_hash: of them.
        raw_hash: of what they decode to.
        loss: what was lost.
    """

    planned: Planned
    chain: Chain
    raw_bytes: int
    octets: Octets
    packed_hash: str
    raw_hash: str
    loss: Loss | None


@dataclass(frozen=True, slots=True, eq=False)
class Leaves:
    """What is no tensor, as one (:class:`data.schemas.tensor.Tensor`)."""

    octets: bytes
    name: str = "leaves"
    dtype: str = "U8"

    @property
    def shape(self) -> tuple[int, ...]:
        """How many bytes they are."""
        return (len(self.octets),)

    def pieces(self, piece_bytes: int) -> Iterator[Octets]:
        """Yield the bytes in order, ``piece_bytes`` at a time."""
        view = memoryview(self.octets)
        return (view[start : start + piece_bytes] for start in range(0, len(view), piece_bytes))

    def cuts(self) -> Iterator[Cut]:
        """Yield the chunks; they never lose a bit."""
        planned = Planned(Stored(self.name, self.dtype, self.shape))
        return _cuts(planned, self.pieces(CHUNK_BYTES))


@dataclass(slots=True, eq=False)
class Planning:
    """Tells for one archive which tensors were seen already.

    Args:
        policy: what is done with each tensor.
        base: an archive to take differences to.
    """

    policy: Policy
    base: Archive | None
    seen: dict[tuple[int, str], list[tuple[Tensor, str, Bound | None]]] = field(default_factory=dict)

    def know(self, tensor: Tensor, stored: Stored) -> None:
        """Take note of a tensor that is in the archive already."""
        if stored.same_as is None and stored.raw_bytes:
            bound = None if stored.error is None else (stored.error.mode, stored.error.bound)
            self._alike(tensor, stored).append((tensor, stored.name, bound))

    def cuts(self, tensor: Tensor) -> Iterator[Cut]:
        """Choose the treatment of a tensor, and yield its chunks."""
        bare = Stored(tensor.name, tensor.dtype, tensor.shape)
        below = self._below(bare)
        treatment = self.policy(tensor, below)
        alike = self._alike(tensor, bare) if bare.raw_bytes else []
        for earlier, name, bound in alike:
            kept = bound is None or bound == treatment.bound
            if kept and earlier.dtype == tensor.dtype and _same_bytes(earlier, tensor):
                yield Cut(Planned(replace(bare, same_as=name)), 0, b"")
                return
        alike.append((tensor, tensor.name, treatment.bound))
        yield from _treated(bare, tensor, treatment, below)

    def _alike(self, tensor: Tensor, bare: Stored) -> list[tuple[Tensor, str, Bound | None]]:
        """Return the tensors seen so far that are as long and begin as this one."""
        first = next(tensor.pieces(CHUNK_BYTES), b"")
        return self.seen.setdefault((bare.raw_bytes, xxhash.xxh3_64_hexdigest(first)), [])

    def _below(self, bare: Stored) -> BaseTensor | None:
        """Return the tensor of the base that has the same name, type and shape."""
        base = self.base
        if base is None:
            return None
        below = base.find(bare.name)
        if below is None or (below.dtype, below.shape) != (bare.dtype, bare.shape):
            return None
        content = base.content_of(below)
        if content.recipe is not None or content.raw_bytes == 0:
            return None
        return BaseTensor(content.piece_bytes, _kept_first(lambda number: base.history(content, number)))


def packed(cut: Cut) -> Chunk:
    """Pack a chunk; called on any thread."""
    planned = cut.planned
    if not planned.count:
        return Chunk(planned, (), 0, b"", "", "", None)
    dtype = "U8" if planned.bare.recipe is not None else planned.bare.dtype
    below = (None,) if planned.below is None else planned.below.history(cut.number)
    first = cut.number * planned.bare.piece_bytes // ELEMENT_TYPES[dtype].word_bytes
    made = planned.form.pack(cut.raw, Around(dtype, below[0], first, below[1:]))
    restored = cut.raw if made.restored is None else made.restored
    hashes = xxhash.xxh3_64_hexdigest(made.octets), xxhash.xxh3_64_hexdigest(restored)
    return Chunk(planned, made.chain, len(cut.raw), made.octets, *hashes, made.loss)


def _kept_first(history: Callable[[int], tuple[Octets, ...]]) -> Callable[[int], tuple[Octets, ...]]:
    """Return what keeps the first chunk, which a policy looks at, until it is packed: below it many may be decoded."""
    kept: list[tuple[Octets, ...]] = []

    def found(number: int) -> tuple[Octets, ...]:
        if number:
            return history(number)
        if kept:
            return kept.pop()
        kept.append(history(0))
        return kept[0]

    return found


def _treated(bare: Stored, tensor: Tensor, treatment: Treatment, below: BaseTensor | None) -> Iterator[Cut]:
    """Yield the chunks of a tensor under its treatment."""
    if isinstance(treatment.form, Whole):
        whole = treatment.form
        content = Leaves(whole.content.tobytes())
        planned = Planned(replace(bare, recipe=whole.recipe), bound=treatment.bound, loss=whole.loss)
        return _cuts(planned, content.pieces(bare.piece_bytes))
    if treatment.delta and below is not None:
        bare = replace(bare, piece_bytes=below.piece_bytes, base=bare.name)
    else:
        below = None
    return _cuts(Planned(bare, treatment.form, below, treatment.bound), tensor.pieces(bare.piece_bytes))


def _cuts(planned: Planned, pieces: Iterator[Octets]) -> Iterator[Cut]:
    """Number the pieces, and refuse a tensor that is not as long as its shape says."""
    found = 0
    for number, raw in enumerate(pieces):
        if number >= planned.count or len(raw) != planned.bare.piece_length(number):
            raise BadRecord(planned.bare.name, f"{planned.bare.content_bytes} bytes", "others")
        found += 1
        yield Cut(planned, number, raw)
    if found != planned.count:
        raise BadRecord(planned.bare.name, f"{planned.bare.content_bytes} bytes", f"{found} pieces of them")
    if not planned.count:
        yield Cut(planned, 0, b"")


def _same_bytes(one: Tensor, other: Tensor) -> bool:
    pairs = itertools.zip_longest(one.pieces(CHUNK_BYTES), other.pieces(CHUNK_BYTES))
    return all(left == right for left, right in pairs)
