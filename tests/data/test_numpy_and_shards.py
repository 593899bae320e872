"""npy, npz and sharded checkpoints are read bit for bit, and nothing in them is executed or believed."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from safetensors.numpy import save_file

from data.errors import BadRecord, SourceUnavailable
from data.readers.checkpoint.file import checkpoint_format, read_checkpoint

ARRAYS: dict[str, npt.NDArray[Any]] = {
    "weights": np.arange(12, dtype="<f4").reshape(3, 4),
    "turned": np.asfortranarray(np.arange(6, dtype="<i8").reshape(2, 3)),
    "half": np.array([1.5, np.nan], dtype="<f2"),
    "scalar": np.array(7, dtype="<u2"),
    "empty": np.zeros((0, 3), dtype="<f8"),
    "big": np.arange(3, dtype=">i4"),
    "text": np.array(["a", "bcd"]),
    "dates": np.array(["2026-01-01"], dtype="datetime64[D]"),
    "records": np.array([(1, 2.0)], dtype=[("a", "<i2"), ("b", "<f8")]),
    "complex": np.array([1 + 2j], dtype="<c16"),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_an_npy_file_is_its_header_and_its_bytes(tmp_path: Path, name: str) -> None:
    np.save(tmp_path / "a.npy", ARRAYS[name])
    contents = read_checkpoint(tmp_path / "a.npy")
    (tensor,) = contents.tensors
    assert contents.format == "npy"
    assert contents.leaves + b"".join(tensor.pieces(5)) == (tmp_path / "a.npy").read_bytes()


def test_an_array_in_fortran_order_is_stored_as_its_transpose(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", w=ARRAYS["turned"])
    (tensor,) = read_checkpoint(tmp_path / "a.npz").tensors
    assert (tensor.name, tensor.dtype, tensor.shape) == ("w.T", "I64", (3, 2))
    assert b"".join(tensor.pieces(100)) == ARRAYS["turned"].T.tobytes()


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_an_npz_file_gives_its_arrays(tmp_path: Path, save: Any) -> None:
    save(tmp_path / "a.npz", **ARRAYS)
    contents = read_checkpoint(tmp_path / "a.npz")
    assert contents.format == "npz"
    found = {tensor.name: b"".join(tensor.pieces(5)) for tensor in contents.tensors}
    wanted = {name: array.T if name == "turned" else array for name, array in ARRAYS.items()}
    assert list(found.values()) == [array.tobytes() for array in wanted.values()]
    assert contents.tensors[0].shape == (3, 4)


@pytest.mark.parametrize("name", ["a.npy", "a.npz"])
def test_objects_are_refused_and_not_unpickled(tmp_path: Path, name: str) -> None:
    (np.save if name == "a.npy" else np.savez)(tmp_path / name, np.array([{1: 2}], dtype=object))
    with pytest.raises(BadRecord, match="objects, which only pickle could read"):
        read_checkpoint(tmp_path / name)


def test_a_cut_npy_file_is_refused_wherever_it_is_cut(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", ARRAYS["weights"])
    whole = (tmp_path / "a.npy").read_bytes()
    for length in range(0, len(whole), 3):
        (tmp_path / "cut.npy").write_bytes(whole[:length])
        with pytest.raises(BadRecord, match=r"cut\.npy"):
            read_checkpoint(tmp_path / "cut.npy")


def test_damaged_npz_files_are_refused_or_read_and_never_crash(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", a=np.arange(50), b=np.zeros(7))
    whole, rng = (tmp_path / "a.npz").read_bytes(), np.random.default_rng(3)
    refused = 0
    for _ in range(300):
        damaged = bytearray(whole)
        for position in rng.integers(0, len(whole), 3):
            damaged[position] = rng.integers(0, 256)
        (tmp_path / "damaged.npz").write_bytes(damaged)
        try:
            for tensor in read_checkpoint(tmp_path / "damaged.npz").tensors:
                list(tensor.pieces(64))
        except (BadRecord, SourceUnavailable):
            refused += 1
    assert refused > 200


def header(text: str, version: int = 1) -> bytes:
    octets = text.encode("latin1")
    return b"\x93NUMPY" + bytes([version, 0]) + len(octets).to_bytes(2, "little") + octets


@pytest.mark.parametrize(
    "octets",
    [
        header("{'descr': '<f4', 'fortran_order': False, 'shape': (1099511627776,)}"),
        header("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}"),
        header("{'descr': '<f4', 'fortran_order': False, 'shape': (" + "1," * 70 + ")}"),
        header("__import__('os').mkdir('exploded')"),
        header("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}"),
        header("((((("),
        header("{'descr': '<f4', 'fortran_order': False, 'shape': ()}", version=3),
        header("x" * 20_000),
    ],
)
def test_a_hostile_header_is_refused(tmp_path: Path, octets: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.npy").write_bytes(octets + b"\0\0\0\0")
    with pytest.raises(BadRecord, match=r"a\.npy"):
        read_checkpoint(tmp_path / "a.npy")
    assert [path.name for path in tmp_path.iterdir()] == ["a.npy"]


def test_an_npz_file_that_holds_more_than_arrays_is_refused(tmp_path: Path) -> None:
    array = io.BytesIO()
    np.save(array, np.zeros(2))
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("a.npy", array.getvalue())
        archive.writestr("run.sh", "echo")
    with pytest.raises(BadRecord, match=r"run\.sh"):
        read_checkpoint(tmp_path / "a.npz")


@pytest.mark.parametrize("member", ["../a.npy", "/a.npy", "b\\..\\a.npy"])
def test_a_member_that_would_leave_its_folder_is_refused(tmp_path: Path, member: str) -> None:
    """No archive of it could be restored."""
    array = io.BytesIO()
    np.save(array, np.zeros(2))
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr(member, array.getvalue())
    with pytest.raises(BadRecord, match="a member within its folder"):
        read_checkpoint(tmp_path / "a.npz")


def shards(folder: Path) -> Path:
    """Write a model in two shards, as Hugging Face does, among other files."""
    folder.mkdir(exist_ok=True)
    files = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    for number, (name, file) in enumerate(files.items()):
        save_file({name: np.full((4, 3), number, dtype="f4")}, folder / file, metadata={"format": "pt"})
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 96}, "weight_map": files}, indent=2) + "\n")
    (folder / "config.json").write_text("{}")
    return index


def test_shards_are_read_in_order_after_their_index(tmp_path: Path) -> None:
    index = shards(tmp_path)
    for path in (index, tmp_path):
        contents = read_checkpoint(path)
        assert [file.path.name for file in contents.files] == [
            "model.safetensors.index.json",
            "model-00001-of-00002.safetensors",
            "model-00002-of-00002.safetensors",
        ]
        assert [tensor.name for tensor in contents.tensors] == ["a", "b"]
    assert checkpoint_format(index) == "safetensors"


@pytest.mark.parametrize(
    ("weight_map", "message"),
    [
        ({"a": "../model-00001-of-00002.safetensors"}, "beside the index"),
        ({"a": "/etc/passwd"}, "beside the index"),
        ({"a": 7}, "beside the index"),
        ({"a": ""}, "beside the index"),
        ({"a": "model-00002-of-00002.safetensors"}, "expected a tensor in"),
        ({"c": "model-00001-of-00002.safetensors"}, "it in no shard"),
        ({}, "weight_map"),
        ([], "weight_map"),
    ],
)
def test_an_index_that_does_not_fit_its_shards_is_refused(tmp_path: Path, weight_map: object, message: str) -> None:
    index = shards(tmp_path)
    index.write_text(json.dumps({"weight_map": weight_map}))
    with pytest.raises(BadRecord, match=message):
        read_checkpoint(index)


def test_a_missing_shard_is_a_source_that_does_not_answer(tmp_path: Path) -> None:
    index = shards(tmp_path)
    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(SourceUnavailable, match="00002"):
        read_checkpoint(index)


def test_a_tensor_in_two_shards_is_refused(tmp_path: Path) -> None:
    index = shards(tmp_path)
    save_file({"a": np.zeros(1), "b": np.zeros(1)}, tmp_path / "model-00002-of-00002.safetensors")
    with pytest.raises(BadRecord, match="expected a tensor in one shard"):
        read_checkpoint(index)


def test_a_folder_must_say_which_checkpoint_is_meant(tmp_path: Path) -> None:
    with pytest.raises(BadRecord, match="found neither"):
        read_checkpoint(tmp_path)
    save_file({"a": np.zeros(1)}, tmp_path / "one.safetensors")
    assert read_checkpoint(tmp_path).files[0].path.name == "one.safetensors"
    save_file({"a": np.zeros(1)}, tmp_path / "two.safetensors")
    with pytest.raises(BadRecord, match=r"found one\.safetensors, two\.safetensors"):
        read_checkpoint(tmp_path)
