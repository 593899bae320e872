"""Cycles, bombs, paths and changed places: each kind of bad input is refused by name, and leaves nothing behind.

Flipped bits, cuts, unknown operations and contradictions of the index stand in ``test_container.py``; full disks and
two writers in ``test_compress.py`` and ``test_archive_files.py``; hostile checkpoints in ``tests/data``.
"""

import json
import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xxhash
import zstandard
from safetensors.numpy import save_file

from data.errors import BadRecord
from data.readers.checkpoint.file import read_checkpoint
from tasks.codecs import qfz
from tasks.codecs.archive import open_archive
from tasks.codecs.compress import compress_checkpoint
from tasks.codecs.restore import Restoring, restore_checkpoint
from tasks.codecs.verify import verify_archive
from tests.fuzz_samples import Sample, closed, read_all, samples, taken_apart


def sample_of(name: str) -> Sample:
    return next(sample for sample in samples() if sample.name == name)


def changed(sample: Sample) -> Any:
    return json.loads(json.dumps(sample.index))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def refused(archive: Path, match: str) -> None:
    """See every verb refuse an archive, and leave the folder as it was."""
    before = names(archive.parent)
    with pytest.raises(BadRecord, match=match):
        restore_checkpoint(archive, archive.parent / "out")
    with pytest.raises(BadRecord, match=match):
        qfz.load_file(archive)
    with pytest.raises(BadRecord, match=match):
        verify_archive(archive)
    assert names(archive.parent) == before


def chained(folder: Path) -> tuple[Path, Path]:
    """Write a.qfz, and b.qfz as a difference to it."""
    values = np.random.default_rng(1).standard_normal(4_000).astype("<f4")
    qfz.save_file({"w": values}, folder / "a.qfz")
    qfz.save_file({"w": np.nextafter(values, np.float32(9))}, folder / "b.qfz", base=folder / "a.qfz")
    return folder / "a.qfz", folder / "b.qfz"


def based_on(path: Path, base: str, sha256: str, depth: int) -> bytes:
    """Return an archive that says of itself that it is a difference to ``base``."""
    with open_archive(path.with_name("a.qfz"), octets=path.read_bytes()) as archive:
        offset = archive.footer.offset
    octets = path.read_bytes()
    text = zstandard.decompress(octets[offset:-84])
    index = json.loads(text)
    index["base"] = {"file": base, "index_sha256": sha256, "depth": depth}
    for tensor in index["tensors"]:
        tensor["base"] = tensor["name"]
    return closed(index, octets[16:offset])


def test_two_archives_that_need_each_other_are_refused(tmp_path: Path) -> None:
    """No archive can name the hash of one that names its own, so one of them names another."""
    first, second = chained(tmp_path)
    with open_archive(second) as archive:
        first.write_bytes(based_on(first, "b.qfz", archive.index_sha256, 64))
    refused(second, "expected the archive [0-9a-f]{64}, found")
    refused(first, "expected the archive [0-9a-f]{64}, found|archives below its base")


def test_an_archive_that_needs_itself_is_refused(tmp_path: Path) -> None:
    first, _ = chained(tmp_path)
    with open_archive(first) as archive:
        known_by = archive.index_sha256
    first.write_bytes(based_on(first, "a.qfz", known_by, 1))
    refused(first, r"a\.qfz: expected the archive [0-9a-f]{64}, found")


@pytest.mark.parametrize("name", ["../a.qfz", "/etc/passwd", "a\0.qfz", "", "x" * 256, "..", "b/../a.qfz"])
def test_a_base_outside_of_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    first, second = chained(tmp_path)
    with open_archive(first) as archive:
        second.write_bytes(based_on(second, name, archive.index_sha256, 1))
    refused(second, "base")


def test_two_chunks_of_a_tensor_that_changed_places_are_refused() -> None:
    """With every checksum of the archive made right but those of what is decoded."""
    sample = sample_of("chunks of planes")
    index = changed(sample)
    stored = index["tensors"][0]
    at, lengths, hashes = sum(index["leaves"]["lengths"]), stored["lengths"], stored["packed_hashes"]
    first, second = (sample.chunks[at : at + lengths[0]], sample.chunks[at + lengths[0] : at + lengths[0] + lengths[1]])
    lengths[:2] = lengths[1], lengths[0]
    stored["packed_hashes"] = hashes[16:32] + hashes[:16] + hashes[32:]
    chunks = sample.chunks[:at] + second + first + sample.chunks[at + len(first) + len(second) :]
    with pytest.raises(BadRecord, match="chunk 0, decoded: expected bytes with the XXH3"):
        read_all(closed(index, chunks), None)


def bomb(raw_bytes: int, chunk: bytes, piece_bytes: int, operation: dict[str, object]) -> bytes:
    """Return an archive of one tensor of equal chunks."""
    count = -(-raw_bytes // piece_bytes)
    piece = xxhash.xxh3_64_hexdigest(bytes(piece_bytes))
    leaves = {"name": "", "dtype": "U8", "shape": [0]}
    tensor = {
        "name": "zeros",
        "dtype": "U8",
        "shape": [raw_bytes],
        "piece_bytes": piece_bytes,
        "lengths": [len(chunk)] * count,
        "chains": [0] * count,
        "packed_hashes": xxhash.xxh3_64_hexdigest(chunk) * count,
        "raw_hashes": piece * count,
    }
    source = {"format": "arrays", "sha256": "0" * 64, "size_bytes": 0, "files": []}
    index = {"source": source, "chains": [[operation]], "leaves": leaves, "tensors": [tensor]}
    return closed(index, chunk * count)


ZSTD = {"kind": "zstd", "version": 1, "search": "repeats"}


def test_zeros_that_unfold_to_half_a_terabyte_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    """In an archive a millionth as large: more than zstd's 32,000 times."""
    constant = {"kind": "coded_planes", "version": 1, "rotated": False, "effort": "fast"}
    octets = bomb(2**39, struct.pack("<IBB", 1 << 22, 1, 0), 1 << 22, constant)
    assert len(octets) < 2**39 / 500_000
    (tmp_path / "bomb.qfz").write_bytes(octets)
    with pytest.raises(BadRecord, match="expected at most 274877906944 bytes to restore"):
        restore_checkpoint(tmp_path / "bomb.qfz", tmp_path / "out")
    with pytest.raises(BadRecord, match="expected at most 1000000 bytes to restore"):
        restore_checkpoint(tmp_path / "bomb.qfz", tmp_path / "out", restoring=Restoring(limit_bytes=1_000_000))
    if os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") < 2**39:
        with pytest.raises(BadRecord, match="the memory of this machine, found 549755813888"):
            qfz.load(octets)
    assert names(tmp_path) == ["bomb.qfz"]


def test_a_frame_that_unfolds_32_000_times_is_refused_before_it_is_decoded() -> None:
    frame = zstandard.compress(bytes(1 << 27))
    assert (1 << 27) / len(frame) > 10_000
    with pytest.raises(BadRecord, match="at most 65536 bytes, found 134217728 declared"):
        read_all(bomb(1 << 16, frame, 1 << 16, ZSTD), None)


def test_leaves_that_unfold_32_000_times_are_refused_before_they_are_decoded() -> None:
    sample = sample_of("types")
    index = changed(sample)
    frame = zstandard.compress(bytes(1 << 22))
    index["chains"].append([ZSTD])
    count = 64
    index["leaves"].update(
        shape=[count << 22],
        piece_bytes=1 << 22,
        lengths=[len(frame)] * count,
        chains=[len(index["chains"]) - 1] * count,
    )
    index["leaves"].update(packed_hashes=xxhash.xxh3_64_hexdigest(frame) * count, raw_hashes="0" * 16 * count)
    with pytest.raises(BadRecord, match="leaves: expected at most"):
        read_all(closed(index, frame * count + sample.chunks[2:]), None)


FILES = ("../x", "/etc/passwd", "a\0b", "..", ".", "b\\..\\a", "folder/file")


@pytest.mark.parametrize("name", FILES)
def test_a_file_outside_of_its_folder_is_refused(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    save_file({"a": np.zeros(3)}, folder / "1.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "1.safetensors"}}))
    compress_checkpoint(folder, tmp_path / "m.qfz")
    sample = taken_apart("m.qfz", (tmp_path / "m.qfz").read_bytes())
    index = changed(sample)
    index["source"]["files"][1]["name"] = name
    (tmp_path / "m.qfz").write_bytes(closed(index, sample.chunks))
    with pytest.raises(BadRecord, match="the name of a file without a folder"):
        restore_checkpoint(tmp_path / "m.qfz", tmp_path / "out")
    assert names(tmp_path) == ["m.qfz", "model"]


@pytest.mark.parametrize("name", FILES)
def test_a_shard_outside_of_its_folder_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": name}}))
    with pytest.raises(BadRecord, match=r"weight_map\.a: expected the name of a file beside"):
        read_checkpoint(tmp_path)


def test_a_tensor_may_be_called_like_a_path_and_none_is_written(tmp_path: Path) -> None:
    given = {"../x": np.arange(3), "/etc/passwd": np.arange(4), "a\0b": np.arange(5)}
    qfz.save_file(given, tmp_path / "a.qfz")
    assert {name: array.tolist() for name, array in qfz.load_file(tmp_path / "a.qfz").items()} == {
        name: array.tolist() for name, array in given.items()
    }
    restore_checkpoint(tmp_path / "a.qfz", tmp_path / "out")
    assert names(tmp_path) == ["a.qfz", "out"]


@pytest.mark.parametrize("dimensions", [65, 1_000, 100_000])
def test_a_tensor_of_too_many_dimensions_is_refused(tmp_path: Path, dimensions: int) -> None:
    header = json.dumps({"a": {"dtype": "U8", "shape": [1] * dimensions, "data_offsets": [0, 1]}}).encode()
    path = tmp_path / "m.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + b"\0")
    with pytest.raises(BadRecord, match=r"m\.safetensors|one archive can hold"):
        compress_checkpoint(path, tmp_path / "m.qfz")
    assert names(tmp_path) == ["m.safetensors"]


IN_LITTLE_MEMORY = """
import resource, sys
from pathlib import Path
from data.errors import BadRecord
from tasks.codecs import qfz
from tasks.codecs.archive import open_archive
qfz.load_file(sys.argv[1])  # whatever is imported or compiled late
pages = int(Path("/proc/self/statm").read_text().split()[0])
limit = pages * resource.getpagesize() + 200_000_000
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
try:
    qfz.load_file(sys.argv[2])
except BadRecord as error:
    print(error)
with open_archive(Path(sys.argv[2])) as archive:
    print(sum(len(piece) for piece in archive.pieces(archive.index.tensors[0])))
"""


@pytest.mark.slow
def test_a_tensor_that_memory_cannot_hold_is_refused_and_still_read_by_pieces(tmp_path: Path) -> None:
    constant = {"kind": "coded_planes", "version": 1, "rotated": False, "effort": "fast"}
    chunk = struct.pack("<IBB", 1 << 22, 1, 0)
    (tmp_path / "warm.qfz").write_bytes(bomb(1 << 22, chunk, 1 << 22, constant))
    (tmp_path / "bomb.qfz").write_bytes(bomb(1 << 29, chunk, 1 << 22, constant))
    command = [sys.executable, "-c", IN_LITTLE_MEMORY, str(tmp_path / "warm.qfz"), str(tmp_path / "bomb.qfz")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "memory can hold" in done.stdout
    assert done.stdout.split()[-1] == str(1 << 29)
