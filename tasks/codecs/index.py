"""What does an archive say of its contents, and is it to be believed?

The index is the JSON text near the end of a ``*.qfz`` file. It may come from anybody, so everything in it is checked
before a byte is allocated or decoded on its word: types and unknown fields by pydantic, then sizes and sums. A chunk
has no offset of its own: it starts where the one before it ends, so that chunks neither overlap nor leave holes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import FailFast, Field, TypeAdapter, ValidationError, with_config

from data.schemas.tensor import DIMENSIONS_MAX, tensor_bytes
from data.schemas.units import RECORD, Sha256
from tasks.codecs.chain import Chain
from tasks.codecs.recipe import Recipe

CHUNK_BYTES = 512 * 1024
"""Raw bytes of a chunk as we write it: a multiple of every element, and larger ones are hardly smaller in sum."""

CHUNK_BYTES_MAX = 4 * 1024 * 1024
"""Raw bytes of a chunk that a reader accepts, hence what one step of decoding may allocate."""

LEAVES_BYTES_MAX = 1_000_000_000
"""Ten safetensors headers of the greatest length; leaves are held in memory."""

_FREE_LEAVES, _LEAVES_EACH = 64 * 1024 * 1024, 256
"""Bytes of leaves that any archive may have, and that each of their packed bytes allows: names do not pack better."""

BASES_MAX = 64
"""Archives in a chain of deltas that a reader follows."""

TENSORS_MAX = 1_000_000
FILES_MAX = 100_000

Natural = Annotated[int, Field(ge=0, lt=2**63)]
PieceBytes = Annotated[int, Field(ge=1, le=CHUNK_BYTES_MAX)]
Hashes = Annotated[str, Field(pattern=r"^([0-9a-f]{16})*$")]
"""XXH3 of 64 bits for each chunk, in hexadecimal, one after the other."""

Name = Annotated[str, Field(max_length=4096)]
Positive = Annotated[float, Field(ge=0.0)]
Format = Literal["safetensors", "torch", "npz", "npy", "arrays"]
BoundMode = Literal["absolute", "relative_rms", "int8_channel", "int4_group", "relative_frobenius"]


@with_config(RECORD)
@dataclass(frozen=True, slots=True)
class Error:
    """What was lost of a tensor, measured after it was decoded.

    Args:
        mode: what was promised to be bounded.
        bound: the promise, in the unit of ``mode``: of the elements (absolute) or a ratio (relative).
        max_abs: greatest absolute difference of a finite element.
        rms: root of the mean squared difference of the finite elements.
        relative_rms: ``rms`` over the root mean square of the finite elements; 0 where those are all 0.
        exact: elements that are stored as they are, since no step could hold the bound (NaN, infinities, extremes).
    """

    mode: BoundMode
    bound: Positive
    max_abs: Positive
    rms: Positive
    relative_rms: Positive
    exact: Natural


@with_config(RECORD)
@dataclass(frozen=True, slots=True)
class Stored:
    """A tensor in the archive, row-major and little-endian.

    Args:
        name: unique within the archive.
        dtype: a key of :data:`data.schemas.tensor.ELEMENT_TYPES`.
        shape: length of each dimension.
        piece_bytes: raw bytes of each chunk but the last, which may be shorter.
        lengths: bytes of each chunk in the archive.
        chains: position in the index's chains of each chunk.
        packed_hashes: of the bytes in the archive, checked before any decoder sees them.
        raw_hashes: of the decoded bytes.
        same_as: an earlier tensor of the same bytes; then this one has no chunks.
        base: tensor of the base archive that the chunks are a difference to.
        recipe: how the tensor is made from the chunks, where they are not its bytes.
        error: what was lost; None where nothing was.
    """

    name: Name
    dtype: str
    shape: Annotated[tuple[Natural, ...], Field(max_length=DIMENSIONS_MAX)]
    piece_bytes: PieceBytes = CHUNK_BYTES
    lengths: tuple[PieceBytes, ...] = ()
    chains: tuple[Natural, ...] = ()
    packed_hashes: Hashes = ""
    raw_hashes: Hashes = ""
    same_as: Name | None = None
    base: Name | None = None
    recipe: Recipe | None = None
    error: Error | None = None

    @property
    def raw_bytes(self) -> int:
        """Bytes of the tensor."""
        return tensor_bytes(self.dtype, self.shape)

    @property
    def content_bytes(self) -> int:
        """Bytes that the chunks decode to."""
        if self.same_as is not None:
            return 0
        return self.raw_bytes if self.recipe is None else self.recipe.content_bytes

    @property
    def packed_bytes(self) -> int:
        """Bytes in the archive."""
        return sum(self.lengths)

    def piece_length(self, number: int) -> int:
        """Return the raw bytes of chunk ``number``."""
        return min(self.piece_bytes, self.content_bytes - number * self.piece_bytes)


@with_config(RECORD)
@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file of the checkpoint: its share of the leaves comes first, then its tensors, in the order of the index.

    A file that stands alone has no name: the same checkpoint gives the same archive wherever it lies.
    """

    name: Name
    sha256: Sha256
    size_bytes: Natural
    leaves_bytes: Natural
    tensors: Natural


@with_config(RECORD)
@dataclass(frozen=True, slots=True)
class Source:
    """The checkpoint that was compressed.

    Args:
        format: how its files are written; ``arrays`` came from memory and has no file.
        sha256: of its file, or of the digests of its files in order.
        size_bytes: of all its files.
        files: as they lay in their folder.
    """

    format: Format
    sha256: Sha256
    size_bytes: Natural
    files: Annotated[tuple[SourceFile, ...], Field(max_length=FILES_MAX), FailFast()] = ()


@with_config(RECORD)
@dataclass(frozen=True, slots=True)
class Base:
    """The archive that deltas are taken from.

    Args:
        file: its name when this archive was written, without a folder.
        index_sha256: of its packed index, which names every chunk's hash: whatever file has it is the base.
        depth: archives below this one; 1 where the base stands alone.
    """

    file: Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[^/\\\x00]+$")]
    index_sha256: Sha256
    depth: Annotated[int, Field(ge=1, le=BASES_MAX)]


@with_config(RECORD)
@dataclass(frozen=True, slots=True)
class Index:
    """Everything that an archive says of its contents.

    Args:
        source: the checkpoint that was compressed.
        chains: how chunks were encoded.
        leaves: what is no tensor: of a safetensors file its header as it stood there, of a torch file the state as
            JSON, in which tensors stand by name.
        tensors: in the order of the archive; for safetensors also that of the file.
        base: the archive that deltas are taken from.
    """

    source: Source
    chains: Annotated[tuple[Chain, ...], FailFast()]
    leaves: Stored
    tensors: Annotated[tuple[Stored, ...], Field(max_length=TENSORS_MAX), FailFast()]
    base: Base | None = None

    @property
    def raw_bytes(self) -> int:
        """Bytes of all tensors and leaves when restored."""
        return sum(stored.raw_bytes for stored in (self.leaves, *self.tensors))

    def placed(self, first: int) -> Iterator[tuple[Stored, int]]:
        """Yield the leaves and each tensor with the offset of its first chunk; the leaves' is at ``first``."""
        for stored in (self.leaves, *self.tensors):
            yield stored, first
            first += stored.packed_bytes


_INDEX: TypeAdapter[Index] = TypeAdapter(Index)


def dump_index(index: Index) -> bytes:
    """Return the index as JSON in ASCII; the same index gives the same bytes."""
    return _INDEX.dump_json(index, ensure_ascii=True, exclude_none=True)


def index_schema() -> dict[str, object]:
    """Return the JSON schema of an index."""
    return _INDEX.json_schema()


def load_index(text: bytes, chunks_bytes: int) -> Index:
    """Read an index, and believe nothing of it that is not checked.

    Args:
        text: JSON.
        chunks_bytes: bytes of all chunks in the archive.

    Raises:
        ValueError: not an index of this version, or one that contradicts itself or its file.
    """
    try:
        index = _INDEX.validate_json(text)
    except ValidationError as error:
        first_error = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(step) for step in first_error["loc"])
        raise ValueError(f"index, {where or 'JSON'}: {first_error['msg']}") from error
    earlier: dict[str, Stored] = {}
    for stored in (index.leaves, *index.tensors):
        _check_chunks(stored, len(index.chains))
        _check_references(stored, index, earlier)
        if stored is not index.leaves:
            earlier[stored.name] = stored
    if len(earlier) != len(index.tensors):
        raise ValueError("expected every tensor's name once, found one twice")
    found = sum(stored.packed_bytes for stored in (index.leaves, *index.tensors))
    if found != chunks_bytes:
        raise ValueError(f"expected chunks of {chunks_bytes} bytes in sum, found {found}")
    _check_source(index)
    return index


def _check_chunks(stored: Stored, chains: int) -> None:
    """Refuse a tensor whose chunks do not fill it, or that disagree in number."""
    tensor_bytes(stored.dtype, stored.shape)  # refuses a type that there is not, which a recipe would not ask for
    count = -(-stored.content_bytes // stored.piece_bytes)
    found = (len(stored.lengths), len(stored.chains), len(stored.packed_hashes) // 16, len(stored.raw_hashes) // 16)
    if set(found) != {count}:
        raise ValueError(f"{stored.name}: expected {count} chunks, lengths, chains and hashes, found {found}")
    for number, (length, chain) in enumerate(zip(stored.lengths, stored.chains, strict=True)):
        if length > stored.piece_length(number):
            longest = stored.piece_length(number)
            raise ValueError(f"{stored.name}, chunk {number}: expected at most {longest} bytes, found {length}")
        if chain >= chains:
            raise ValueError(f"{stored.name}, chunk {number}: expected one of {chains} chains, found {chain}")


def _check_references(stored: Stored, index: Index, earlier: dict[str, Stored]) -> None:
    """Refuse a tensor that is the same as one that does not stand before it, or a delta to nothing."""
    if stored.same_as is not None:
        twin = earlier.get(stored.same_as)
        if twin is None or twin.same_as is not None or twin.raw_bytes != stored.raw_bytes:
            raise ValueError(f"{stored.name}: expected an earlier tensor as large as it, found {stored.same_as!r}")
        if stored.base is not None or stored.recipe is not None:
            raise ValueError(f"{stored.name}: expected either another tensor's bytes or its own, found both")
    if stored.base is not None and (index.base is None or stored.recipe is not None):
        raise ValueError(f"{stored.name}: expected an archive to be a difference to, found none")


def _check_source(index: Index) -> None:
    """Refuse leaves that are too large, and files that do not hold what the archive does."""
    leaves = index.leaves
    if (leaves.dtype, leaves.base, leaves.recipe, leaves.same_as) != ("U8", None, None, None):
        raise ValueError(f"leaves: expected plain bytes, found {leaves.dtype}")
    most = min(LEAVES_BYTES_MAX, _FREE_LEAVES + _LEAVES_EACH * leaves.packed_bytes)
    if leaves.raw_bytes > most:
        raise ValueError(f"leaves: expected at most {most} bytes, found {leaves.raw_bytes}")
    if index.base is not None and index.base.file in (".", ".."):
        raise ValueError(f"base: expected the name of a file, found {index.base.file!r}")
    source, files = index.source, index.source.files
    if source.format == "arrays":
        return
    if sum(file.tensors for file in files) != len(index.tensors):
        raise ValueError(f"source: expected {len(index.tensors)} tensors in its files, found others")
    if sum(file.leaves_bytes for file in files) != leaves.raw_bytes:
        raise ValueError(f"source: expected {leaves.raw_bytes} bytes of leaves in its files, found others")
    if sum(file.size_bytes for file in files) != source.size_bytes:
        raise ValueError(f"source: expected files of {source.size_bytes} bytes, found others")
    for file in files:
        bare = file.name.replace("\\", "/").split("/")[-1]
        if file.name != bare or "\0" in bare or bare in (".", "..") or (not bare and len(files) > 1):
            raise ValueError(f"source: expected the name of a file without a folder, found {file.name!r}")
    if len({file.name for file in files}) != len(files):
        raise ValueError("source: expected every file once, found one twice")
    if source.format == "safetensors":
        at = 0
        for file in files:
            held = sum(stored.raw_bytes for stored in index.tensors[at : at + file.tensors]) + file.leaves_bytes
            at += file.tensors
            if held != file.size_bytes:
                raise ValueError(f"{file.name}: expected {file.size_bytes} bytes, found {held}")
