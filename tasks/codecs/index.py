"""What does an archive say of its contents, and is it to be believed?

The index is the JSON text near the end of a ``*.qfz`` file. It may come from anybody, so everything in it is checked
before a byte is allocated or decoded on its word: types and unknown fields by pydantic, then sizes, order and sums.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError, with_config

from data.schemas.tensor import tensor_bytes
from data.schemas.units import RECORD, Sha256
from tasks.codecs.chain import Chain

CHUNK_BYTES = 512 * 1024
"""Raw bytes of a chunk as we write it: a multiple of every element, and larger ones are hardly smaller in sum."""

CHUNK_BYTES_MAX = 4 * 1024 * 1024
"""Raw bytes of a chunk that a reader accepts, hence what one step of decoding may allocate."""

LEAVES_BYTES_MAX = 100_000_008
"""As long as a safetensors header with its length may be; leaves are held in memory."""

Natural = Annotated[int, Field(ge=0, lt=2**63)]
Checksum = Annotated[int, Field(ge=0, lt=2**32)]


@with_config(RECORD)
@dataclass(frozen=True, slots=True)
class Chunk:
    """A run of bytes of one tensor.

    Args:
        offset: where it starts in the archive.
        length: bytes in the archive.
        raw_length: bytes when restored.
        chain: position in the index's chains.
        checksum: CRC-32 of the bytes in the archive, checked before any decoder sees them.
        raw_checksum: CRC-32 of the restored bytes.
    """

    offset: Natural
    length: Natural
    raw_length: Annotated[int, Field(ge=1, le=CHUNK_BYTES_MAX)]
    chain: Natural
    checksum: Checksum
    raw_checksum: Checksum


@with_config(RECORD)
@dataclass(frozen=True, slots=True)
class Stored:
    """A tensor in the archive, row-major and little-endian; all its chunks but the last are equally long."""

    name: str
    dtype: str
    shape: tuple[Natural, ...]
    chunks: tuple[Chunk, ...]

    @property
    def raw_bytes(self) -> int:
        """Bytes when restored."""
        return sum(chunk.raw_length for chunk in self.chunks)

    @property
    def piece_bytes(self) -> int:
        """Raw bytes of every chunk but the last."""
        return self.chunks[0].raw_length if self.chunks else CHUNK_BYTES

    @property
    def packed_bytes(self) -> int:
        """Bytes in the archive."""
        return sum(chunk.length for chunk in self.chunks)


@with_config(RECORD)
@dataclass(frozen=True, slots=True)
class Source:
    """The checkpoint that was compressed."""

    format: Literal["safetensors", "torch"]
    sha256: Sha256
    size_bytes: Natural


@with_config(RECORD)
@dataclass(frozen=True, slots=True)
class Index:
    """Everything that an archive says of its contents.

    Args:
        source: the checkpoint that was compressed.
        chains: how chunks may have been encoded.
        leaves: what is no tensor: of a safetensors file its header as it stood there, of a torch file the state as
            JSON, in which tensors stand by name.
        tensors: in the order of the archive; for safetensors also that of the file.
    """

    source: Source
    chains: tuple[Chain, ...]
    leaves: Stored
    tensors: tuple[Stored, ...]

    @property
    def raw_bytes(self) -> int:
        """Bytes of all tensors and leaves when restored."""
        return sum(stored.raw_bytes for stored in (self.leaves, *self.tensors))


_INDEX: TypeAdapter[Index] = TypeAdapter(Index)


def dump_index(index: Index) -> bytes:
    """Return the index as JSON in ASCII; the same index gives the same bytes."""
    return _INDEX.dump_json(index, ensure_ascii=True)


def load_index(text: bytes, first: int, end: int) -> Index:
    """Read an index, and believe nothing of it that is not checked.

    Args:
        text: JSON.
        first: offset in the archive at which the first chunk must start.
        end: offset at which the last chunk must end.

    Raises:
        ValueError: not an index of this version, or one that contradicts itself or its file.
    """
    try:
        index = _INDEX.validate_json(text)
    except ValidationError as error:
        first_error = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(step) for step in first_error["loc"])
        raise ValueError(f"index, {where or 'JSON'}: {first_error['msg']}") from error
    _check_layout(index, first, end)
    _check_sizes(index)
    return index


def _check_layout(index: Index, first: int, end: int) -> None:
    """Refuse holes, overlaps, unknown chains and uneven chunks: they cover ``first`` to ``end`` in order."""
    expected = first
    for stored in (index.leaves, *index.tensors):
        for chunk in stored.chunks:
            if chunk.offset != expected:
                raise ValueError(f"{stored.name}: expected a chunk at byte {expected}, found it at {chunk.offset}")
            if chunk.chain >= len(index.chains):
                raise ValueError(f"{stored.name}: expected one of {len(index.chains)} chains, found {chunk.chain}")
            if not 1 <= chunk.length <= chunk.raw_length:
                raise ValueError(f"{stored.name}: expected 1 to {chunk.raw_length} bytes, found {chunk.length}")
            if chunk.raw_length != stored.piece_bytes and chunk is not stored.chunks[-1]:
                raise ValueError(
                    f"{stored.name}: expected chunks of {stored.piece_bytes} bytes, found {chunk.raw_length}"
                )
            if chunk.raw_length > stored.piece_bytes:
                raise ValueError(
                    f"{stored.name}: expected a last chunk that is no longer, found {chunk.raw_length} bytes"
                )
            expected += chunk.length
    if expected != end:
        raise ValueError(f"expected chunks up to byte {end}, found them up to {expected}")


def _check_sizes(index: Index) -> None:
    """Refuse shapes that their chunks do not fill, names that stand twice, and leaves that are too large."""
    for stored in (index.leaves, *index.tensors):
        size = tensor_bytes(stored.dtype, stored.shape)
        if stored.raw_bytes != size:
            raise ValueError(f"{stored.name}: expected chunks of {size} bytes in sum, found {stored.raw_bytes}")
    if len({stored.name for stored in index.tensors}) != len(index.tensors):
        raise ValueError("expected every tensor's name once, found one twice")
    if index.leaves.dtype != "U8" or index.leaves.raw_bytes > LEAVES_BYTES_MAX:
        raise ValueError(f"leaves: expected at most {LEAVES_BYTES_MAX} bytes, found {index.leaves.raw_bytes}")
    if index.source.format == "safetensors" and index.source.size_bytes != index.raw_bytes:
        raise ValueError(f"expected {index.source.size_bytes} bytes of a safetensors file, found {index.raw_bytes}")
