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
import xxhash

from data.errors import BadRecord, SourceUnavailable
from data.schemas.tensor import Octets
from tasks.codecs.archive import Archive, open_archive
from tasks.codecs.container import MAGIC, closing, read_index
from tasks.codecs.index import CHUNK_BYTES_MAX, Index, Source, Stored, dump_index
from tasks.codecs.lossless import Lossless
from tasks.codecs.protocol import Around
from tasks.codecs.treatment import BaseTensor, Treatment
from tasks.codecs.writer import write_archive
from tasks.codecs.zstd import Zstd

FOOTER_BYTES = 84


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


def source() -> Source:
    return Source("arrays", "0" * 64, 0)


TENSORS = (
    Given("weight", "F32", (12, 10), np.random.default_rng(5).standard_normal(120).astype("<f4").tobytes()),
    Given("steps", "I64", (40,), np.arange(40, dtype="<i8").tobytes()),
    Given("none", "BF16", (0, 3), b""),
    Given("scalar", "F64", (), np.float64(-0.0).tobytes()),
)


def archive_of(*tensors: Given, base: Archive | None = None, workers: int = 1) -> bytes:
    file = io.BytesIO()
    policy = always_delta if base is not None else keep
    write_archive(file, source(), b'{"dict":[]}', tensors, policy=policy, base=base, workers=workers)
    return file.getvalue()


def keep(tensor: object, base: BaseTensor | None) -> Treatment:
    return Treatment(Lossless())


def always_delta(tensor: object, base: BaseTensor | None) -> Treatment:
    return Treatment(Lossless(), delta=True)


def read_all(path: Path) -> list[tuple[str, bytes]]:
    with open_archive(path) as archive:
        tensors = [(stored.name, b"".join(archive.pieces(stored))) for stored in archive.index.tensors]
        archive.verify()
        return [("leaves", archive.leaves()), *tensors]


def with_index(archive: bytes, index: Index, text: bytes | None = None) -> bytes:
    """Put another index into an archive, with every checksum right: what a hostile author would do."""
    offset = struct.unpack_from("<Q", archive, len(archive) - FOOTER_BYTES)[0]
    body = xxhash.xxh3_128_digest(archive[:offset])
    if text is None:
        return archive[:offset] + closing(index, offset, body)
    packed = bytes(Zstd().encode(text, Around()))
    fields = struct.pack("<QQQ32s16s", offset, len(packed), len(text), hashlib.sha256(packed).digest(), body)
    return archive[:offset] + packed + fields + struct.pack("<I8s", zlib.crc32(fields), MAGIC)


def test_an_archive_gives_back_every_byte(tmp_path: Path) -> None:
    path = tmp_path / "a.qfz"
    path.write_bytes(archive_of(*TENSORS))
    assert read_all(path) == [("leaves", b'{"dict":[]}'), *((tensor.name, tensor.octets) for tensor in TENSORS)]


def test_the_same_tensors_give_the_same_bytes() -> None:
    assert archive_of(*TENSORS) == archive_of(*TENSORS)


def random_tensor(name: str, count: int, seed: int) -> Given:
    octets = np.random.default_rng(seed).standard_normal(count).astype("<f4").tobytes()
    return Given(name, "F32", (count,), octets)


def test_a_tensor_of_several_chunks_comes_back(tmp_path: Path) -> None:
    large = random_tensor("large", 300_000, 6)
    path = tmp_path / "a.qfz"
    path.write_bytes(archive_of(large))
    stored = read_index(path).tensors[0]
    assert [stored.piece_length(number) for number in range(len(stored.lengths))] == [2**19, 2**19, 151_424]
    assert read_all(path)[1] == ("large", large.octets)


def test_the_number_of_threads_does_not_show(tmp_path: Path) -> None:
    tensors = (*TENSORS, random_tensor("large", 1_500_000, 6))
    path = tmp_path / "a.qfz"
    path.write_bytes(archive_of(*tensors, workers=3))
    assert path.read_bytes() == archive_of(*tensors)
    with open_archive(path) as archive:
        large = archive.tensor("large")
        assert b"".join(archive.pieces(large, workers=3)) == tensors[-1].octets


@pytest.mark.parametrize(("start", "stop"), [(0, 0), (0, 1), (131_071, 131_073), (299_999, 300_000), (5, 290_000)])
def test_a_slice_is_read_alone(tmp_path: Path, start: int, stop: int) -> None:
    large = random_tensor("large", 300_000, 6)
    path = tmp_path / "a.qfz"
    path.write_bytes(archive_of(large))
    with open_archive(path) as archive:
        assert archive.read(archive.tensor("large"), start, stop) == large.octets[4 * start : 4 * stop]


@pytest.mark.parametrize(("start", "stop"), [(-1, 4), (3, 2), (0, 300_001)])
def test_a_slice_outside_of_its_tensor_is_refused(tmp_path: Path, start: int, stop: int) -> None:
    path = tmp_path / "a.qfz"
    path.write_bytes(archive_of(random_tensor("large", 300_000, 6)))
    with open_archive(path) as archive, pytest.raises(BadRecord, match="large: expected a range"):
        archive.read(archive.tensor("large"), start, stop)


def test_equal_tensors_are_stored_once(tmp_path: Path) -> None:
    one = random_tensor("one", 300_000, 6)
    nearly = Given("nearly", "F32", (300_000,), one.octets[:-4] + b"\0\0\0\0")
    path = tmp_path / "a.qfz"
    path.write_bytes(archive_of(one, nearly, replace(one, name="twin", shape=(300, 1000))))
    index = read_index(path)
    assert [stored.same_as for stored in index.tensors] == [None, None, "one"]
    assert read_all(path)[1:] == [("one", one.octets), ("nearly", nearly.octets), ("twin", one.octets)]


def chain_of_three(folder: Path) -> list[Given]:
    """Write a.qfz, b.qfz on a, and c.qfz on b; return their tensors."""
    tensors = [random_tensor("w", 300_000, seed) for seed in range(3)]
    (folder / "a.qfz").write_bytes(archive_of(tensors[0]))
    for below, name, tensor in (("a", "b", tensors[1]), ("b", "c", tensors[2])):
        with open_archive(folder / f"{below}.qfz") as base:
            (folder / f"{name}.qfz").write_bytes(archive_of(tensor, base=base))
    return tensors


def test_a_chain_of_deltas_is_read_to_its_end(tmp_path: Path) -> None:
    tensors = chain_of_three(tmp_path)
    with open_archive(tmp_path / "c.qfz") as archive:
        assert (archive.depth, archive.index.tensors[0].base) == (2, "w")
        assert archive.read(archive.tensor("w")) == tensors[2].octets
        assert archive.read(archive.tensor("w"), 262_000, 263_000) == tensors[2].octets[1_048_000:1_052_000]


def test_a_missing_base_and_a_wrong_one_are_named(tmp_path: Path) -> None:
    chain_of_three(tmp_path)
    (tmp_path / "a.qfz").write_bytes(archive_of(random_tensor("w", 300_000, 9)))
    with pytest.raises(BadRecord, match=r"a\.qfz: expected the archive [0-9a-f]{64}, found"):
        open_archive(tmp_path / "b.qfz")
    (tmp_path / "a.qfz").unlink()
    with pytest.raises(SourceUnavailable, match=r"a\.qfz"):
        open_archive(tmp_path / "c.qfz")


def test_an_archive_whose_base_needs_more_bases_than_it_says_is_refused(tmp_path: Path) -> None:
    chain_of_three(tmp_path)
    path = tmp_path / "c.qfz"
    index = read_index(path)
    assert index.base is not None
    path.write_bytes(with_index(path.read_bytes(), replace(index, base=replace(index.base, depth=1))))
    with pytest.raises(BadRecord, match="expected 0 archives below its base, found 1"):
        open_archive(path)


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


HOSTILE: dict[str, tuple[Callable[[Index], Index], str]] = {
    "a chunk too short": (lambda index: weight_with(index, lengths=(100,)), "bytes in sum"),
    "a chunk longer than its bytes": (lambda index: weight_with(index, lengths=(481,)), "at most 480 bytes, found 481"),
    "an empty chunk": (lambda index: weight_with(index, lengths=(0,)), "lengths"),
    "two lengths for one chunk": (lambda index: weight_with(index, lengths=(400, 32)), "expected 1 chunks"),
    "half a hash": (lambda index: weight_with(index, raw_hashes="0123"), "raw_hashes"),
    "a hash too many": (lambda index: weight_with(index, raw_hashes="0123456789abcdef" * 2), "expected 1 chunks"),
    "an unknown chain": (lambda index: weight_with(index, chains=(9,)), "chains, found 9"),
    "a piece over the limit": (lambda index: weight_with(index, piece_bytes=CHUNK_BYTES_MAX + 1), "piece_bytes"),
    "a shape of a terabyte": (lambda index: weight_with(index, shape=(2**19, 2**19)), "2097152 chunks"),
    "a shape that overflows": (lambda index: weight_with(index, shape=(2**62,) * 60), "expected .* chunks"),
    "too many dimensions": (lambda index: weight_with(index, shape=(1,) * 65), "shape"),
    "an unknown element type": (lambda index: weight_with(index, dtype="F33"), "F33"),
    "a name that stands twice": (lambda index: weight_with(index, name="steps"), "found one twice"),
    "the same as a later one": (lambda index: replace(index, tensors=(twin("a", "b"), twin("b", "a"))), "earlier"),
    "the same as itself": (lambda index: replace(index, tensors=(twin("a", "a"),)), "earlier"),
    "a delta to nothing": (lambda index: weight_with(index, base="weight"), "to be a difference to"),
    "leaves that are no bytes": (lambda index: replace(index, leaves=replace(index.leaves, dtype="I8")), "leaves"),
    "files that are not there": (
        lambda index: replace(index, source=replace(index.source, format="safetensors")), "tensors in its files"
    ),
}  # fmt: skip


def twin(name: str, of: str) -> Stored:
    return Stored(name, "U8", (3,), same_as=of)


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
        (b'"kind":"', b'"kind":"exec_'),
        (b'"rotated":true', b'"rotated":true,"version":2'),
        (b'"shape":[12,10]', b'"shape":[-12,-10]'),
        (b'"shape":[12,10]', b'"shape":[1e400]'),
        (b'"format":"arrays"', b'"format":"pickle"'),
        (b'{"source"', b'{"extra":1,"source"'),
        (b'"raw_hashes"', b'"other"'),
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
    longer = replace(zeros, shape=(4097,))
    path.write_bytes(with_index(whole, replace(index, tensors=(longer,))))
    with pytest.raises(BadRecord, match="expected 4097 bytes, found 4096"):
        read_all(path)


def test_an_index_that_declares_a_gigabyte_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "hostile.qfz"
    whole = archive_of(*TENSORS)
    offset, length, _, *digests = struct.unpack_from("<QQQ32s16s", whole, len(whole) - FOOTER_BYTES)
    fields = struct.pack("<QQQ32s16s", offset, length, 2**30, *digests)
    path.write_bytes(whole[:-FOOTER_BYTES] + fields + struct.pack("<I8s", zlib.crc32(fields), MAGIC))
    with pytest.raises(BadRecord, match="1073741824 raw"):
        read_index(path)


@pytest.mark.parametrize("workers", [1, 3])
def test_tensors_are_read_where_they_are_wanted(tmp_path: Path, workers: int) -> None:
    """Chunks of one tensor, of several, of a twin and of an empty one; and buffers that are too short are refused."""
    rng = np.random.default_rng(11)
    large = rng.standard_normal(300_001).astype("<f4").tobytes()
    tensors = [
        Given("large", "F32", (300_001,), large),
        Given("noise", "U8", (700_000,), rng.bytes(700_000)),
        Given("none", "F32", (0, 3), b""),
        Given("twin", "F32", (300_001,), large),
    ]
    path = tmp_path / "a.qfz"
    path.write_bytes(archive_of(*tensors))
    with open_archive(path) as archive:
        wanted = [(stored, memoryview(bytearray(stored.raw_bytes))) for stored in archive.index.tensors]
        archive.read_into(wanted, workers)
        assert [bytes(out) for _, out in wanted] == [tensor.octets for tensor in tensors]
        assert archive.read_all(archive.index.tensors, workers) == [tensor.octets for tensor in tensors]
        for wrong in (memoryview(bytearray(699_999)), memoryview(bytes(700_000))):
            with pytest.raises(ValueError, match="noise: expected 700000 bytes to write to"):
                archive.read_into([(archive.tensor("noise"), wrong)], workers)


def test_a_damaged_chunk_among_many_tensors_is_named(tmp_path: Path) -> None:
    tensors = [Given(f"t{k}", "U8", (600_000,), np.random.default_rng(k).bytes(600_000)) for k in range(4)]
    path = tmp_path / "a.qfz"
    octets = bytearray(archive_of(*tensors))
    for tensor in tensors[1:]:
        octets[octets.index(tensor.octets[550_000:550_100])] ^= 1
    path.write_bytes(octets)
    with open_archive(path) as archive, pytest.raises(BadRecord, match="t1, chunk 1"):
        archive.read_all(archive.index.tensors, workers=3)
