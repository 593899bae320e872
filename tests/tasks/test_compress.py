"""A checkpoint comes back bit for bit; what cannot be promised is refused and leaves nothing behind."""

import os
import resource
import struct
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file as save_numpy
from safetensors.torch import save_file

from data.errors import BadRecord, SourceUnavailable
from data.readers.checkpoint.contents import Format
from data.readers.checkpoint.file import read_checkpoint
from tasks.codecs.compress import compress_checkpoint
from tasks.codecs.container import read_index
from tasks.codecs.index import Source, SourceFile
from tasks.codecs.restore import Restoring, restore_checkpoint
from tasks.codecs.writer import write_archive
from tasks.compress import compress_to_archive, restore_from_archive

GOLDEN = Path(__file__).parents[1] / "golden"
DTYPES = {
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F32": torch.float32,
    "F64": torch.float64,
    "I8": torch.int8,
    "I64": torch.int64,
    "BOOL": torch.bool,
}


def weights(seed: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        "a": torch.randn(40, 30, generator=generator),
        "b": torch.randn(50, generator=generator).to(torch.bfloat16),
    }


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def same_bits(left: torch.Tensor, right: torch.Tensor) -> bool:
    """Compare bits, not values: NaN is equal to itself here, and 0.0 is not -0.0."""
    bits = (left.contiguous().reshape(-1).view(torch.uint8), right.contiguous().reshape(-1).view(torch.uint8))
    return (left.dtype, left.shape) == (right.dtype, right.shape) and torch.equal(*bits)


@st.composite
def tensors(draw: st.DrawFn) -> torch.Tensor:
    """Any bits at all, so NaN payloads, infinities and subnormals among them; empty and 0-d shapes too."""
    dtype = DTYPES[draw(st.sampled_from(sorted(DTYPES)))]
    shape = draw(st.lists(st.integers(0, 5), max_size=3))
    count = int(np.prod(shape)) * dtype.itemsize
    octets = bytearray(draw(st.binary(min_size=count, max_size=count)))
    if dtype == torch.bool:
        octets = bytearray(octet & 1 for octet in octets)
    return torch.frombuffer(octets, dtype=dtype).reshape(shape) if count else torch.empty(shape, dtype=dtype)


PROPERTY = settings(
    max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
STATES = st.dictionaries(st.text("abc./é", min_size=1, max_size=8), tensors(), max_size=5)


@PROPERTY
@given(state=STATES)
def test_any_safetensors_file_comes_back_byte_for_byte(
    tmp_path_factory: pytest.TempPathFactory, state: dict[str, torch.Tensor]
) -> None:
    folder = tmp_path_factory.mktemp("property")
    save_file(state, folder / "m.safetensors", metadata={"step": "3"})
    compressed = compress_checkpoint(folder / "m.safetensors", folder / "m.qfz")
    restored = restore_checkpoint(folder / "m.qfz", folder / "r.safetensors")
    assert (folder / "r.safetensors").read_bytes() == (folder / "m.safetensors").read_bytes()
    assert restored.same_file
    assert (restored.sha256, restored.size_bytes) == (compressed.source_sha256, compressed.source_bytes)


@PROPERTY
@given(state=STATES, step=st.integers() | st.floats() | st.text())
def test_any_torch_state_comes_back_bit_for_bit(
    tmp_path_factory: pytest.TempPathFactory, state: dict[str, torch.Tensor], step: float | str
) -> None:
    folder = tmp_path_factory.mktemp("property")
    torch.save({"model": state, "step": step}, folder / "m.pt")
    compress_checkpoint(folder / "m.pt", folder / "m.qfz")
    restored = restore_checkpoint(folder / "m.qfz", folder / "r.pt")
    assert not restored.same_file
    loaded = torch.load(folder / "r.pt", weights_only=True)
    assert list(loaded["model"]) == list(state)
    assert all(same_bits(loaded["model"][name], tensor) for name, tensor in state.items())
    assert repr(loaded["step"]) == repr(step)


@pytest.mark.parametrize("dtype", ["F16", "BF16", "F32", "F64"])
def test_the_payload_of_every_not_a_number_survives(tmp_path: Path, dtype: str) -> None:
    width = DTYPES[dtype].itemsize
    ones = {"F16": 0x7C01, "BF16": 0x7F81, "F32": 0x7F800001, "F64": 0x7FF0000000000001}[dtype]
    payloads = np.array([ones, ones | 1 << (8 * width - 1), ones + 5], dtype=f"<u{width}")
    state = {"a": torch.frombuffer(bytearray(payloads.tobytes()), dtype=DTYPES[dtype])}
    assert state["a"].isnan().all()
    save_file(state, tmp_path / "m.safetensors")
    compress_checkpoint(tmp_path / "m.safetensors", tmp_path / "m.qfz")
    restore_checkpoint(tmp_path / "m.qfz", tmp_path / "r.safetensors")
    assert (tmp_path / "r.safetensors").read_bytes().endswith(payloads.tobytes())


def test_a_training_state_continues_as_if_nothing_had_happened(tmp_path: Path) -> None:
    """One more step from the restored state ends in the same bits as one more step from the original."""

    def trained(state: dict[str, Any], steps: int) -> dict[str, Any]:
        torch.manual_seed(4)
        model = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.BatchNorm1d(16), torch.nn.Linear(16, 2))
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
        scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [2, 3])
        parts: dict[str, Any] = {"model": model, "optimizer": optimizer, "scheduler": scheduler}
        for name, saved in state.items():
            parts[name].load_state_dict(saved)
        for _ in range(steps):
            optimizer.zero_grad()
            model(torch.linspace(-1, 1, 32).reshape(4, 8)).square().sum().backward()
            optimizer.step()
            scheduler.step()
        return {name: part.state_dict() for name, part in parts.items()}

    torch.save(trained({}, 2), tmp_path / "m.pt")
    compress_checkpoint(tmp_path / "m.pt", tmp_path / "m.qfz")
    restore_checkpoint(tmp_path / "m.qfz", tmp_path / "r.pt")
    restored = torch.load(tmp_path / "r.pt", weights_only=True)
    torch.save(trained(torch.load(tmp_path / "m.pt", weights_only=True), 1), tmp_path / "original.pt")
    torch.save(trained(restored, 1), tmp_path / "continued.pt")
    states = [read_checkpoint(tmp_path / name) for name in ("original.pt", "continued.pt")]
    assert states[0].leaves == states[1].leaves
    bits = [[b"".join(tensor.pieces(64)) for tensor in state.tensors] for state in states]
    assert bits[0] == bits[1]


def test_the_figures_are_those_of_the_files(tmp_path: Path) -> None:
    save_file(weights(1), tmp_path / "m.safetensors")
    compressed = compress_checkpoint(tmp_path / "m.safetensors", tmp_path / "m.qfz")
    sizes = [(tmp_path / name).stat().st_size for name in ("m.safetensors", "m.qfz")]
    assert [compressed.source_bytes, compressed.archive_bytes] == sizes
    assert compressed.ratio == sizes[0] / sizes[1]
    assert compressed.tensors == 2
    assert [(stored.name, stored.dtype, stored.shape) for stored in read_index(tmp_path / "m.qfz").tensors] == [
        ("a", "F32", (40, 30)),
        ("b", "BF16", (50,)),
    ]


def test_the_same_checkpoint_gives_the_same_archive_wherever_it_lies(tmp_path: Path) -> None:
    for name in ("one.safetensors", "two.safetensors"):
        save_file(weights(1), tmp_path / name)
        compress_checkpoint(tmp_path / name, tmp_path / f"{name}.qfz")
    archives = [(tmp_path / f"{name}.safetensors.qfz").read_bytes() for name in ("one", "two")]
    assert archives[0] == archives[1]


def test_an_archive_of_the_same_checkpoint_is_kept(tmp_path: Path) -> None:
    save_file(weights(1), tmp_path / "m.safetensors")
    first = compress_checkpoint(tmp_path / "m.safetensors", tmp_path / "m.qfz")
    written = (tmp_path / "m.qfz").stat()
    assert compress_checkpoint(tmp_path / "m.safetensors", tmp_path / "m.qfz") == first
    assert (tmp_path / "m.qfz").stat().st_ino == written.st_ino


def test_any_other_file_is_never_overwritten(tmp_path: Path) -> None:
    save_file(weights(1), tmp_path / "m.safetensors")
    save_file(weights(2), tmp_path / "other.safetensors")
    compress_checkpoint(tmp_path / "other.safetensors", tmp_path / "m.qfz")
    before = {name: (tmp_path / name).read_bytes() for name in names(tmp_path)}
    with pytest.raises(BadRecord, match="not overwritten"):
        compress_checkpoint(tmp_path / "m.safetensors", tmp_path / "m.qfz")
    with pytest.raises(BadRecord, match="expected a whole archive"):
        compress_checkpoint(tmp_path / "m.safetensors", tmp_path / "other.safetensors")
    with pytest.raises(BadRecord, match=r"m\.qfz: a, chunk 0"):
        restore_checkpoint(tmp_path / "m.qfz", tmp_path / "m.safetensors")
    assert {name: (tmp_path / name).read_bytes() for name in names(tmp_path)} == before


def test_a_restored_file_that_is_already_there_is_kept(tmp_path: Path) -> None:
    save_file(weights(1), tmp_path / "m.safetensors")
    compress_checkpoint(tmp_path / "m.safetensors", tmp_path / "m.qfz")
    written = (tmp_path / "m.safetensors").stat()
    assert restore_checkpoint(tmp_path / "m.qfz", tmp_path / "m.safetensors").same_file
    assert (tmp_path / "m.safetensors").stat().st_ino == written.st_ino


def test_an_archive_cannot_take_the_place_of_its_source(tmp_path: Path) -> None:
    save_file(weights(1), tmp_path / "m.safetensors")
    with pytest.raises(ValueError, match="one path for both"):
        compress_checkpoint(tmp_path / "m.safetensors", tmp_path / "." / "m.safetensors")


def source(format: Format, sha256: str, size: int, leaves: bytes, tensors: int) -> Source:  # noqa: A002
    file = SourceFile("", sha256, size, len(leaves), tensors)
    return Source(format, sha256, size, (file,))


def forged(folder: Path) -> Path:
    """Write an archive, sound in itself, that claims to be of one checkpoint and holds the tensors of another."""
    save_file(weights(1), folder / "m.safetensors")
    save_file(weights(2), folder / "other.safetensors")
    compressed = compress_checkpoint(folder / "m.safetensors", folder / "genuine.qfz")
    other = read_checkpoint(folder / "other.safetensors")
    origin = source("safetensors", compressed.source_sha256, compressed.source_bytes, other.leaves, len(other.tensors))
    with (folder / "forged.qfz").open("wb") as file:
        write_archive(file, origin, other.leaves, other.tensors)
    return folder / "forged.qfz"


def test_an_archive_counts_only_if_it_holds_the_very_bits(tmp_path: Path) -> None:
    archive = forged(tmp_path)
    with pytest.raises(BadRecord, match="a, chunk 0: expected the bytes of its checkpoint"):
        compress_checkpoint(tmp_path / "m.safetensors", archive)


def test_a_restored_file_counts_only_if_its_hash_is_the_source_s(tmp_path: Path) -> None:
    archive = forged(tmp_path)
    before = names(tmp_path)
    with pytest.raises(BadRecord, match="expected a file with the SHA-256"):
        restore_checkpoint(archive, tmp_path / "restored.safetensors")
    assert names(tmp_path) == before


def test_a_damaged_archive_restores_nothing(tmp_path: Path) -> None:
    torch.save(weights(1), tmp_path / "m.pt")
    compress_checkpoint(tmp_path / "m.pt", tmp_path / "m.qfz")
    whole = bytearray((tmp_path / "m.qfz").read_bytes())
    for position in range(0, len(whole), 97):
        damaged = whole.copy()
        damaged[position] ^= 0x10
        (tmp_path / "m.qfz").write_bytes(damaged)
        with pytest.raises(BadRecord, match=r"m\.qfz"):
            restore_checkpoint(tmp_path / "m.qfz", tmp_path / "r.pt")
    assert names(tmp_path) == ["m.pt", "m.qfz"]


def test_a_torch_archive_with_hostile_leaves_restores_nothing(tmp_path: Path) -> None:
    unknown = (b'{"os.system":"x"}', b'{"tensor":"absent"}', b'{"dict":[],"metadata":{}}')
    misshapen = (b"", b"{}", b'{"dict":7}', b'{"dict":[[[],1]]}', b'{"bytes":"xy"}', b"\xff", b"[" * 100_000)
    for leaves in (*unknown, *misshapen):
        with (tmp_path / "m.qfz").open("wb") as file:
            write_archive(file, source("torch", "0" * 64, 9, leaves, 0), leaves, ())
        with pytest.raises(BadRecord, match="expected the state of a torch file"):
            restore_checkpoint(tmp_path / "m.qfz", tmp_path / "r.pt")
    assert names(tmp_path) == ["m.qfz"]


def test_a_bad_checkpoint_leaves_no_archive(tmp_path: Path) -> None:
    (tmp_path / "m.safetensors").write_bytes(struct.pack("<Q", 50) + b'{"a":')
    with pytest.raises(BadRecord, match=r"m\.safetensors"):
        compress_checkpoint(tmp_path / "m.safetensors", tmp_path / "m.qfz")
    with pytest.raises(SourceUnavailable, match="absent"):
        compress_checkpoint(tmp_path / "absent.pt", tmp_path / "m.qfz")
    assert names(tmp_path) == ["m.safetensors"]


def test_an_archive_larger_than_asked_for_is_refused(tmp_path: Path) -> None:
    save_file(weights(1), tmp_path / "m.safetensors")
    compress_checkpoint(tmp_path / "m.safetensors", tmp_path / "m.qfz")
    with pytest.raises(BadRecord, match="at most 1000 bytes to restore"):
        restore_checkpoint(tmp_path / "m.qfz", tmp_path / "r.safetensors", restoring=Restoring(limit_bytes=1000))


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    save_file(weights(1), tmp_path / "m.safetensors")
    compress_checkpoint(tmp_path / "m.safetensors", tmp_path / "m.qfz")
    for folder in (tmp_path / "absent", tmp_path / "m.safetensors"):
        with pytest.raises(BadRecord, match=r"x\.qfz: expected a folder that can be written"):
            compress_checkpoint(tmp_path / "m.safetensors", folder / "x.qfz")
        with pytest.raises(BadRecord, match=r"x\.safetensors: expected a folder that can be written"):
            restore_checkpoint(tmp_path / "m.qfz", folder / "x.safetensors")
    assert names(tmp_path) == ["m.qfz", "m.safetensors"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write into every folder")
def test_a_folder_without_permission_is_named(tmp_path: Path) -> None:
    save_file(weights(1), tmp_path / "m.safetensors")
    tmp_path.chmod(0o500)
    with pytest.raises(BadRecord, match=r"m\.qfz.*Permission denied"):
        compress_checkpoint(tmp_path / "m.safetensors", tmp_path / "m.qfz")
    tmp_path.chmod(0o700)


@contextmanager
def files_of_at_most(size_bytes: int) -> Iterator[None]:
    """Let the system refuse to write more into a file, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("name", ["m.safetensors", "m.pt"])
def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, name: str) -> None:
    noise = {"a": torch.from_numpy(np.random.default_rng(3).integers(0, 256, 300_000, dtype=np.uint8))}
    (save_file if name == "m.safetensors" else torch.save)(noise, tmp_path / name)
    compress_checkpoint(tmp_path / name, tmp_path / "m.qfz")
    with files_of_at_most(100_000):
        with pytest.raises(BadRecord, match="with room for the file"):
            compress_checkpoint(tmp_path / name, tmp_path / "x.qfz")
        with pytest.raises(BadRecord, match="with room for the file"):
            restore_checkpoint(tmp_path / "m.qfz", tmp_path / "r")
    assert names(tmp_path) == sorted([name, "m.qfz"])


def test_memory_holds_a_few_chunks_of_a_safetensors_file(tmp_path: Path) -> None:
    values = np.random.default_rng(9).standard_normal(5_000_000).astype("<f4")
    save_numpy({"a": values}, tmp_path / "m.safetensors")
    tracemalloc.start()
    compress_checkpoint(tmp_path / "m.safetensors", tmp_path / "m.qfz")
    restore_checkpoint(tmp_path / "m.qfz", tmp_path / "r.safetensors")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6_000_000


def test_the_tasks_do_what_the_functions_do(tmp_path: Path) -> None:
    save_file(weights(1), tmp_path / "m.safetensors")
    compressed = compress_to_archive.fn(tmp_path / "m.safetensors", tmp_path / "m.qfz")
    restored = restore_from_archive.fn(tmp_path / "m.qfz", tmp_path / "r.safetensors")
    assert restored.sha256 == compressed.source_sha256


def test_the_golden_archive_is_restored_to_the_golden_file(tmp_path: Path) -> None:
    restore_checkpoint(GOLDEN / "small.qfz", tmp_path / "r.safetensors")
    assert (tmp_path / "r.safetensors").read_bytes() == (GOLDEN / "small.safetensors").read_bytes()


@pytest.mark.skipif(
    zstandard.ZSTD_VERSION != (1, 5, 7), reason="another zstd may choose other frames for the same bytes"
)
def test_the_golden_file_gives_the_golden_archive(tmp_path: Path) -> None:
    compress_checkpoint(GOLDEN / "small.safetensors", tmp_path / "m.qfz")
    assert (tmp_path / "m.qfz").read_bytes() == (GOLDEN / "small.qfz").read_bytes()


def test_the_golden_torch_archive_is_restored_to_its_state(tmp_path: Path) -> None:
    restore_checkpoint(GOLDEN / "small_torch.qfz", tmp_path / "r.pt")
    state = torch.load(tmp_path / "r.pt", weights_only=True)
    assert same_bits(state["model"]["weight"], torch.arange(12, dtype=torch.bfloat16).reshape(3, 4))
    assert state["tied"].data_ptr() == state["model"]["weight"].data_ptr()
    assert (state["step"], state["betas"], str(state["loss"])) == (7, (0.9, 0.999), "nan")
