"""Checkpoints are read bit for bit, and nothing in them is executed."""

import json
import os
import pickle
import zipfile
from collections import Counter, OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file as save_numpy
from safetensors.torch import save_file

from data.errors import BadRecord, SourceUnavailable
from data.readers.checkpoint.contents import CheckpointContents
from data.readers.checkpoint.file import checkpoint_format, read_checkpoint
from data.readers.checkpoint.torch_state import pack_state, tensor_of_bytes, unpack_state


def octets(checkpoint: CheckpointContents, piece_bytes: int = 7) -> dict[str, bytes]:
    return {tensor.name: b"".join(tensor.pieces(piece_bytes)) for tensor in checkpoint.tensors}


def torch_file(path: Path, state: object) -> Path:
    torch.save(state, path)
    return path


def roundtrip(state: object) -> object:
    packed = pack_state(state, "state")
    tensors = {
        tensor.name: tensor_of_bytes(bytearray(b"".join(tensor.pieces(16))), tensor.dtype, tensor.shape)
        for tensor in packed.tensors
    }
    restored = unpack_state(packed.leaves, tensors)
    assert pack_state(restored, "restored").leaves == packed.leaves
    return restored


class Bomb:
    """Unpickled by a reader that trusts it, this makes a folder."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.marker),)


def test_safetensors_are_read_bit_for_bit(tmp_path: Path) -> None:
    tensors = {
        "half": torch.randn(5, 3, generator=torch.Generator().manual_seed(1)).to(torch.bfloat16),
        "scalar": torch.tensor(float("nan")),
        "empty": torch.empty(0, 4, dtype=torch.float16),
        "flags": torch.tensor([True, False, True]),
    }
    save_file(tensors, tmp_path / "m.safetensors", metadata={"step": "7"})
    checkpoint = read_checkpoint(tmp_path / "m.safetensors")
    assert checkpoint.format == "safetensors"
    assert {tensor.name: (tensor.dtype, tensor.shape) for tensor in checkpoint.tensors} == {
        "half": ("BF16", (5, 3)),
        "scalar": ("F32", ()),
        "empty": ("F16", (0, 4)),
        "flags": ("BOOL", (3,)),
    }
    whole = checkpoint.leaves + b"".join(octets(checkpoint).values())
    assert whole == (tmp_path / "m.safetensors").read_bytes()


def test_a_nested_training_state_becomes_tensors_named_by_path(tmp_path: Path) -> None:
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    path = torch_file(tmp_path / "m.pt", {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": 1})
    checkpoint = read_checkpoint(path)
    assert checkpoint.format == "torch"
    assert [tensor.name for tensor in checkpoint.tensors][:4] == [
        "model/weight",
        "model/bias",
        "optimizer/state/0/step",
        "optimizer/state/0/exp_avg",
    ]
    assert octets(checkpoint)["model/weight"] == model.weight.detach().numpy().tobytes()
    assert ["step", 1] in json.loads(checkpoint.leaves)["dict"]


def test_leaves_come_back_as_they_were() -> None:
    state = {
        "float": [0.1, -0.0, 1e300, float("inf"), float("-inf")],
        "tuple": (1, (True, None), "text ü"),
        "int": -(2**100),
        "bytes": b"\x00\xff",
        "counter": Counter({30: 2, 60: 1}),
        "size": torch.Size([2, 3]),
        "set": {3, 1, 2},
        0: "zero",
        "0": "text zero",
        None: {},
    }
    restored = roundtrip(state)
    assert restored == state
    assert isinstance(restored, dict)
    assert [type(restored[key]) for key in ("counter", "size", "tuple")] == [Counter, torch.Size, tuple]
    assert list(restored) == list(state)
    assert str(restored["float"]) == str(state["float"])


def test_a_not_a_number_comes_back() -> None:
    assert str(roundtrip([float("nan")])) == "[nan]"


def test_the_versions_of_modules_come_back() -> None:
    state = torch.nn.BatchNorm1d(2).state_dict()
    restored = roundtrip(state)
    assert isinstance(restored, OrderedDict)
    assert vars(restored)["_metadata"] == vars(state)["_metadata"]


def test_tied_tensors_are_stored_once_and_tied_again() -> None:
    weight = torch.arange(6.0)
    state = {"embedding": weight, "head": weight, "row": weight[2:4], "parameter": torch.nn.Parameter(weight)}
    assert [tensor.name for tensor in pack_state(state, "state").tensors] == ["embedding", "row"]
    restored = roundtrip(state)
    assert isinstance(restored, dict)
    assert restored["embedding"].data_ptr() == restored["head"].data_ptr()
    assert isinstance(restored["parameter"], torch.nn.Parameter)
    assert restored["parameter"].requires_grad
    assert not restored["head"].requires_grad


def test_strided_and_conjugated_tensors_are_read_by_value() -> None:
    grid = torch.arange(12.0).reshape(3, 4)
    numbers = torch.tensor([1 + 2j, 3 - 4j])
    restored = roundtrip({"turned": grid.T, "column": grid[:, 1], "conjugate": numbers.conj(), "plain": numbers})
    assert isinstance(restored, dict)
    assert torch.equal(restored["turned"], grid.T)
    assert torch.equal(restored["column"], grid[:, 1])
    assert torch.equal(restored["conjugate"], numbers.conj().resolve_conj())
    assert torch.equal(restored["plain"], numbers)


def test_two_keys_that_read_alike_get_two_names() -> None:
    state = {0: torch.zeros(1), "0": torch.ones(1)}
    assert [tensor.name for tensor in pack_state(state, "state").tensors] == ["0", "0 (2)"]
    restored = roundtrip(state)
    assert isinstance(restored, dict)
    assert (restored[0].item(), restored["0"].item()) == (0.0, 1.0)


def test_the_bomb_of_these_tests_is_live(tmp_path: Path) -> None:
    path = torch_file(tmp_path / "bomb.pt", {"weight": Bomb(tmp_path / "exploded")})
    torch.load(path, weights_only=False)  # the proof that the next test could fail
    assert (tmp_path / "exploded").exists()


@pytest.mark.parametrize("name", ["bomb.pt", "bomb.safetensors"])
def test_a_pickle_bomb_is_refused_and_does_not_run(tmp_path: Path, name: str) -> None:
    path = torch_file(tmp_path / name, {"weight": torch.ones(2), "extra": Bomb(tmp_path / "exploded")})
    with pytest.raises(BadRecord, match=rf"{name}.*expected a whole torch file.*found UnpicklingError"):
        read_checkpoint(path)
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_a_bare_pickle_is_no_checkpoint(tmp_path: Path, protocol: int) -> None:
    path = tmp_path / "bomb.pt"
    path.write_bytes(pickle.dumps(Bomb(tmp_path / "exploded"), protocol))
    with pytest.raises(BadRecord, match="expected a safetensors, torch "):
        read_checkpoint(path)
    assert not (tmp_path / "exploded").exists()


def test_a_cut_safetensors_file_is_refused_wherever_it_is_cut(tmp_path: Path) -> None:
    save_numpy({"a": np.arange(6, dtype="f4"), "b": np.ones((2, 2))}, tmp_path / "m.safetensors")
    whole = (tmp_path / "m.safetensors").read_bytes()
    path = tmp_path / "cut.safetensors"
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(BadRecord, match=r"cut\.safetensors.*expected .*, found "):
            read_checkpoint(path)


def test_a_cut_torch_file_is_refused_wherever_it_is_cut(tmp_path: Path) -> None:
    whole = torch_file(tmp_path / "m.pt", {"a": torch.arange(6.0)}).read_bytes()
    path = tmp_path / "cut.pt"
    for length in range(0, len(whole), 3):
        path.write_bytes(whole[:length])
        with pytest.raises(BadRecord, match=r"cut\.pt.*expected .*, found "):
            read_checkpoint(path)


def test_a_flipped_weight_in_a_torch_file_is_noticed(tmp_path: Path) -> None:
    """The zip file carries CRCs that torch.load does not look at."""
    path = torch_file(tmp_path / "m.pt", {"a": torch.full((4,), 7.0)})
    weights = torch.full((4,), 7.0).numpy().tobytes()
    path.write_bytes(path.read_bytes().replace(weights, b"\x01" + weights[1:]))
    assert torch.load(path, weights_only=True)["a"][0] != 7.0
    with pytest.raises(BadRecord, match="CRC"):
        read_checkpoint(path)


def test_a_torch_file_without_checksums_is_read(tmp_path: Path) -> None:
    computed = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        path = torch_file(tmp_path / "m.pt", {"a": torch.arange(3.0)})
    finally:
        torch.serialization.set_crc32_options(computed)
    assert octets(read_checkpoint(path))["a"] == torch.arange(3.0).numpy().tobytes()


def test_damaged_torch_files_are_refused_or_read_and_never_crash(tmp_path: Path) -> None:
    whole = torch_file(tmp_path / "m.pt", {"a": torch.arange(6.0), "b": [1, "x", (2.5,)]}).read_bytes()
    rng = np.random.default_rng(11)
    path = tmp_path / "damaged.pt"
    refused = 0
    for _ in range(300):
        damaged = bytearray(whole)
        for position in rng.integers(0, len(whole), 3):
            damaged[position] = rng.integers(0, 256)
        path.write_bytes(damaged)
        try:
            read_checkpoint(path)
        except BadRecord:
            refused += 1
    assert refused > 100


HEADERS = {
    "a hole": {"a": {"dtype": "U8", "shape": [2], "data_offsets": [2, 4]}},
    "an overlap": {
        "a": {"dtype": "U8", "shape": [3], "data_offsets": [0, 3]},
        "b": {"dtype": "U8", "shape": [2], "data_offsets": [2, 4]},
    },
    "bytes that no tensor holds": {"a": {"dtype": "U8", "shape": [3], "data_offsets": [0, 3]}},
    "a shape of a terabyte": {"a": {"dtype": "U8", "shape": [2**20, 2**20], "data_offsets": [0, 4]}},
    "an unknown type": {"a": {"dtype": "F33", "shape": [1], "data_offsets": [0, 4]}},
    "a negative length": {"a": {"dtype": "U8", "shape": [-4], "data_offsets": [0, 4]}},
    "no offsets": {"a": {"dtype": "U8", "shape": [4]}},
    "a number": 7,
}


@pytest.mark.parametrize("what", HEADERS)
def test_a_safetensors_header_that_contradicts_its_file_is_refused(tmp_path: Path, what: str) -> None:
    header = json.dumps(HEADERS[what]).encode()
    header = header if header.startswith(b"{") else b"{" + header
    path = tmp_path / "hostile.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + b"\1\2\3\4")
    with pytest.raises(BadRecord, match=r"hostile\.safetensors"):
        read_checkpoint(path)


def test_a_state_that_holds_itself_is_refused(tmp_path: Path) -> None:
    state: list[object] = []
    state.append(state)
    with pytest.raises(BadRecord, match="at most 100 levels"):
        read_checkpoint(torch_file(tmp_path / "m.pt", {"a": state}))


@pytest.mark.slow
def test_a_state_that_unfolds_without_end_is_refused(tmp_path: Path) -> None:
    state: list[object] = []
    for _ in range(60):
        state = [state, state]
    with pytest.raises(BadRecord, match="1000000 values"):
        read_checkpoint(torch_file(tmp_path / "m.pt", {"a": state}))


def test_a_view_of_one_number_that_declares_gigabytes_is_refused(tmp_path: Path) -> None:
    path = torch_file(tmp_path / "m.pt", {"a": torch.zeros(1).expand(10**9)})
    with pytest.raises(BadRecord, match="found 4000000000 bytes"):
        read_checkpoint(path)


def test_a_compressed_zip_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(10**6))
    with pytest.raises(BadRecord, match="compressed zip file"):
        read_checkpoint(path)


@pytest.mark.parametrize(
    "value",
    [torch.eye(2).to_sparse(), torch.empty(2, device="meta"), {(1, 2): 3}, OrderedDict(), 1 << 5000],
    ids=["sparse", "meta", "tuple key", "attribute", "huge integer"],
)
def test_values_that_a_checkpoint_has_no_need_of_are_named(value: object) -> None:
    if isinstance(value, OrderedDict):
        vars(value)["note"] = 1
    with pytest.raises(BadRecord, match=r"file: state/odd: expected .*, found "):
        pack_state({"state": {"odd": value}}, "file")


def test_a_missing_file_is_a_source_that_does_not_answer(tmp_path: Path) -> None:
    with pytest.raises(SourceUnavailable, match="absent"):
        read_checkpoint(tmp_path / "absent.pt")


def test_a_folder_and_an_empty_file_are_no_checkpoints(tmp_path: Path) -> None:
    (tmp_path / "empty.pt").touch()
    with pytest.raises(BadRecord, match="found a folder or a device"):
        checkpoint_format(tmp_path)
    with pytest.raises(BadRecord, match="found an empty file"):
        checkpoint_format(tmp_path / "empty.pt")


def test_a_file_that_is_cut_while_it_is_read_is_a_source_to_try_again(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    save_numpy({"a": np.zeros(1000)}, path)
    tensor = read_checkpoint(path).tensors[0]
    os.truncate(path, 4000)
    with pytest.raises(SourceUnavailable, match="cut short while it was read"):
        list(tensor.pieces(1024))
