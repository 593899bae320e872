"""An archive is the same bytes every time, and no damage to it, by chance or by intent, goes unnoticed."""

import hashlib
import io
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from data.errors import BadRecord, SourceUnavailable
from data.schemas.tensor import Octets
from tasks.codecs.chain import CHAINS
from tasks.codecs.container import MAGIC, read_index, read_pieces, write_archive
from tasks.codecs.index import CHUNK_BYTES_MAX, Index, Source, dump_index
from tasks.codecs.zstd import Zstd

OPENING_BYTES = 16
FOOTER_BYTES = 68


@dataclass(frozen=True, slots=True)
class Given:
    """A tensor of bytes that the test holds."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    octets: bytes

    def pieces(self, piece_bytes: int) -> Iterator[Octets]:
        for start in range(0, len(self.octets), piece_bytes):
            yield self.octets[start : start + piece_bytes]


def source(size: int) -> Source:
    return Source("torch", "0" * 64, size)


TENSORS = (
    Given("weight", "F32", (12, 10), np.random.default_rng(5).standard_normal(120).astype("<f4").tobytes()),
    Given("steps", "I64", (40,), np.arange(40, dtype="<i8").tobytes()),
    Given("none", "BF16", (0, 3), b""),
    Given("scalar", "F64", (), np.float64(-0.0).tobytes()),
)


def archive_of(*tensors: Given) -> bytes:
    file = io.BytesIO()
    write_archive(file, source(sum(len(tensor.octets) for tensor in tensors)), b'{"dict":[]}', tensors)
    return file.getvalue()


def read_all(path: Path) -> list[tuple[str, bytes]]:
    index = read_index(path)
    streams = (index.leaves, *index.tensors)
    return [(stored.name, b"".join(read_pieces(path, index, stored))) for stored in streams]


def with_index(archive: bytes, index: Index, text: bytes | None = None) -> bytes:
    """Put another index into an archive, with every checksum right: what a hostile author would do."""
    offset = struct.unpack_from("<Q", archive, len(archive) - FOOTER_BYTES)[0]
    text = dump_index(index) if text is None else text
    packed = Zstd().encode(text, 1)
    fields = struct.pack("<QQQ32s", offset, len(packed), len(text), hashlib.sha256(packed).digest())
    return archive[:offset] + packed + fields + struct.pack("<I8s", zlib.crc32(fields), MAGIC)


def test_an_archive_gives_back_every_byte(tmp_path: Path) -> None:
    path = tmp_path / "a.qfz"
    path.write_bytes(archive_of(*TENSORS))
    assert read_all(path) == [("leaves", b'{"dict":[]}'), *((tensor.name, tensor.octets) for tensor in TENSORS)]


def test_the_same_tensors_give_the_same_bytes() -> None:
    assert archive_of(*TENSORS) == archive_of(*TENSORS)


def test_a_tensor_of_several_chunks_comes_back(tmp_path: Path) -> None:
    octets = np.random.default_rng(6).standard_normal(300_000).astype("<f4").tobytes()
    path = tmp_path / "a.qfz"
    path.write_bytes(archive_of(Given("large", "F32", (300_000,), octets)))
    index = read_index(path)
    assert [chunk.raw_length for chunk in index.tensors[0].chunks] == [524_288, 524_288, 151_424]
    assert read_all(path)[1] == ("large", octets)


@pytest.mark.parametrize("mask", [0x01, 0x80, 0xFF])
def test_no_changed_byte_goes_unnoticed(tmp_path: Path, mask: int) -> None:
    whole = archive_of(*TENSORS)
    path = tmp_path / "damaged.qfz"
    for position in range(len(whole)):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ mask]) + whole[position + 1 :])
        with pytest.raises(BadRecord, match=r"damaged\.qfz.*expected .*, found "):
            read_all(path)


def test_no_cut_goes_unnoticed(tmp_path: Path) -> None:
    whole = archive_of(*TENSORS)
    path = tmp_path / "cut.qfz"
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(BadRecord, match=r"cut\.qfz.*expected .*, found "):
            read_all(path)


@pytest.mark.parametrize(
    "change", [lambda whole: whole + b"\0", lambda whole: b"\0" + whole, lambda whole: whole + whole]
)
def test_bytes_too_many_are_noticed(tmp_path: Path, change: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "long.qfz"
    path.write_bytes(change(archive_of(*TENSORS)))
    with pytest.raises(BadRecord):
        read_all(path)


def test_two_chunks_that_changed_places_are_noticed(tmp_path: Path) -> None:
    octets = np.random.default_rng(8).bytes(64)
    whole = archive_of(Given("a", "U8", (32,), octets[:32]), Given("b", "U8", (32,), octets[32:]))
    assert octets in whole
    path = tmp_path / "swapped.qfz"
    path.write_bytes(whole.replace(octets, octets[32:] + octets[:32]))
    with pytest.raises(BadRecord, match="a, chunk 0"):
        read_all(path)


def test_a_missing_archive_is_a_source_that_does_not_answer(tmp_path: Path) -> None:
    with pytest.raises(SourceUnavailable, match="absent"):
        read_index(tmp_path / "absent.qfz")


def weight_with(index: Index, **changes: object) -> Index:
    """Change the first tensor."""
    return replace(index, tensors=(replace(index.tensors[0], **changes), *index.tensors[1:]))  # type: ignore[arg-type]


def chunk_with(index: Index, **changes: int) -> Index:
    """Change the first chunk of the first tensor."""
    return weight_with(index, chunks=(replace(index.tensors[0].chunks[0], **changes),))


HOSTILE: dict[str, tuple[Callable[[Index], Index], str]] = {
    "a hole": (lambda index: chunk_with(index, offset=index.tensors[0].chunks[0].offset + 1), "a chunk at byte"),
    "an overlap": (lambda index: chunk_with(index, offset=OPENING_BYTES), "a chunk at byte"),
    "a chunk past the end": (lambda index: chunk_with(index, length=480), "a chunk at byte"),
    "an unknown chain": (lambda index: chunk_with(index, chain=len(CHAINS)), "chains"),
    "a chunk that grows": (lambda index: chunk_with(index, raw_length=1), "expected 1 to 1 bytes"),
    "an empty chunk": (lambda index: chunk_with(index, length=0), "expected 1 to"),
    "a chunk over the limit": (lambda index: chunk_with(index, raw_length=CHUNK_BYTES_MAX + 1), "raw_length"),
    "a shape of a terabyte": (lambda index: weight_with(index, shape=(2**19, 2**19)), "chunks of 1099511627776 bytes"),
    "a shape that overflows": (lambda index: weight_with(index, shape=(2**62,) * 60), "in sum"),
    "too many dimensions": (lambda index: weight_with(index, shape=(1,) * 65), "64 dimensions"),
    "an unknown element type": (lambda index: weight_with(index, dtype="F33"), "F33"),
    "a name that stands twice": (lambda index: weight_with(index, name="steps"), "found one twice"),
    "leaves that are no bytes": (lambda index: replace(index, leaves=replace(index.leaves, dtype="I8")), "leaves"),
    "a safetensors file of another size": (
        lambda index: replace(index, source=replace(index.source, format="safetensors", size_bytes=5)),
        "expected 5 bytes of a safetensors file",
    ),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_an_index_that_contradicts_its_file_is_refused(tmp_path: Path, what: str) -> None:
    change, message = HOSTILE[what]
    path = tmp_path / "hostile.qfz"
    path.write_bytes(archive_of(*TENSORS))
    path.write_bytes(with_index(path.read_bytes(), change(read_index(path))))
    with pytest.raises(BadRecord, match=message):
        read_index(path)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'"kind":"zstd"', b'"kind":"exec"'),
        (b'"kind":"planes","version":1', b'"kind":"planes","version":2'),
        (b'"shape":[12,10]', b'"shape":[-12,-10]'),
        (b'"shape":[12,10]', b'"shape":[1e400]'),
        (b'"format":"torch"', b'"format":"pickle"'),
        (b'{"source"', b'{"extra":1,"source"'),
        (b'"raw_checksum"', b'"other"'),
        (b"]", b""),
        (b'"shape":[12,10]', b'"shape":' + b"[" * 100_000),
    ],
)
def test_an_index_that_is_not_of_this_version_is_refused(tmp_path: Path, before: bytes, after: bytes) -> None:
    path = tmp_path / "hostile.qfz"
    path.write_bytes(archive_of(*TENSORS))
    index = read_index(path)
    text = dump_index(index)
    assert before in text
    path.write_bytes(with_index(path.read_bytes(), index, text.replace(before, after)))
    with pytest.raises(BadRecord, match="index"):
        read_index(path)


def test_a_chunk_that_decodes_to_another_length_is_refused(tmp_path: Path) -> None:
    """Checksums right, but the frame holds less than the index says."""
    path = tmp_path / "hostile.qfz"
    octets = bytes(4096)
    whole = archive_of(Given("zeros", "U8", (4096,), octets))
    path.write_bytes(whole)
    index = read_index(path)
    zeros = index.tensors[0]
    longer = replace(zeros, shape=(4097,), chunks=(replace(zeros.chunks[0], raw_length=4097),))
    path.write_bytes(with_index(whole, replace(index, tensors=(longer,))))
    with pytest.raises(BadRecord, match="expected 4097 bytes, found 4096"):
        read_all(path)


def test_an_index_that_declares_a_gigabyte_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "hostile.qfz"
    whole = archive_of(*TENSORS)
    offset, length, _, digest = struct.unpack_from("<QQQ32s", whole, len(whole) - FOOTER_BYTES)
    fields = struct.pack("<QQQ32s", offset, length, 2**30, digest)
    path.write_bytes(whole[:-FOOTER_BYTES] + fields + struct.pack("<I8s", zlib.crc32(fields), MAGIC))
    with pytest.raises(BadRecord, match="1073741824 raw"):
        read_index(path)
