"""Tensors are saved and loaded as with safetensors: whole, alone or in slices, of numpy or torch."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from safetensors.numpy import load_file as load_safetensors

from data.errors import BadRecord, SourceUnavailable
from tasks.codecs import qfz
from tasks.codecs.extract import Part, extract_tensor
from tasks.codecs.keeping import Packing
from tasks.codecs.restore import restore_checkpoint

DTYPES = ("<f2", "<f4", "<f8", "<i1", "<i4", "<u8", "<c8", "|b1", ">f4")


@st.composite
def any_arrays(draw: st.DrawFn) -> Any:
    """Arrays of every type and shape, with steps and gaps in memory."""
    array = draw(arrays.arrays(draw(st.sampled_from(DTYPES)), arrays.array_shapes(min_dims=0, max_dims=3, min_side=0)))
    if array.ndim and draw(st.booleans()):
        array = array[:: draw(st.sampled_from((1, 2, -1)))].T
    return array


@settings(max_examples=40, deadline=None, derandomize=True)
@given(given=st.dictionaries(st.text(max_size=5).filter(lambda name: name != "__metadata__"), any_arrays(), max_size=4))
def test_arrays_come_back_bit_for_bit(given: dict[str, Any]) -> None:
    loaded = qfz.load(qfz.save(given))
    assert list(loaded) == list(given)
    for name, array in given.items():
        found: Any = loaded[name]
        assert (found.shape, found.dtype) == (array.shape, array.dtype.newbyteorder("<"))
        assert found.tobytes() == array.astype(array.dtype.newbyteorder("<")).tobytes()


@pytest.mark.parametrize(
    "dtype", [torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2, torch.float16, torch.int64, torch.bool]
)
def test_torch_tensors_come_back(tmp_path: Path, dtype: torch.dtype) -> None:
    tensors = {
        "a": torch.randn(7, 5, generator=torch.Generator().manual_seed(1)).to(dtype).T,
        "n": torch.zeros((), dtype=dtype),
    }
    qfz.save_file(tensors, tmp_path / "a.qfz")
    loaded: Any = qfz.load_file(tmp_path / "a.qfz", framework="torch")
    for name, tensor in tensors.items():
        assert (loaded[name].dtype, loaded[name].shape) == (dtype, tensor.shape)
        assert torch.equal(
            loaded[name].contiguous().view(torch.uint8).reshape(-1)
            if tensor.ndim
            else loaded[name].reshape(1).view(torch.uint8),
            tensor.contiguous().view(torch.uint8).reshape(-1) if tensor.ndim else tensor.reshape(1).view(torch.uint8),
        )


def test_numpy_says_which_types_it_does_not_have(tmp_path: Path) -> None:
    qfz.save_file({"a": torch.ones(3, dtype=torch.bfloat16)}, tmp_path / "a.qfz")
    with pytest.raises(ValueError, match="a: numpy has no BF16; load it with framework='torch'"):
        qfz.load_file(tmp_path / "a.qfz")


def test_metadata_and_names_are_read_without_the_tensors(tmp_path: Path) -> None:
    qfz.save_file({"b": np.zeros(3), "a": np.ones(2)}, tmp_path / "a.qfz", {"step": "7"})
    with qfz.open_file(tmp_path / "a.qfz") as opened:
        assert (opened.keys(), opened.metadata()) == (["b", "a"], {"step": "7"})


GRID = np.arange(300_000 * 2, dtype="<f4").reshape(300_000, 2)


@pytest.mark.parametrize(
    "at",
    [
        5,
        -1,
        slice(2, 9),
        slice(130_000, 132_000, 7),
        (slice(3, 8), 1),
        slice(4, 2),
        (slice(None, None, 1000), slice(1)),
    ],
)
def test_a_slice_is_what_numpy_slices(tmp_path: Path, at: Any) -> None:
    qfz.save_file({"grid": GRID}, tmp_path / "a.qfz")
    with qfz.open_file(tmp_path / "a.qfz") as opened:
        part: Any = opened.get_slice("grid")[at]
    assert np.array_equal(part, GRID[at])
    assert part.shape == GRID[at].shape


def test_only_the_chunks_of_a_slice_are_read(tmp_path: Path) -> None:
    """A damaged last chunk does not hinder who reads the first rows."""
    qfz.save_file({"grid": GRID}, tmp_path / "a.qfz")
    with qfz.open_file(tmp_path / "a.qfz") as opened:
        last = opened.archive.footer.offset - 1
    octets = bytearray((tmp_path / "a.qfz").read_bytes())
    octets[last] ^= 1
    (tmp_path / "a.qfz").write_bytes(octets)
    with qfz.open_file(tmp_path / "a.qfz") as opened:
        assert np.array_equal(np.asarray(opened.get_slice("grid")[:10]), GRID[:10])
        with pytest.raises(BadRecord, match="grid, chunk 4"):
            opened.get_tensor("grid")


@pytest.mark.parametrize("at", [300_000, -300_001])
def test_a_row_that_is_not_there_is_an_index_error(tmp_path: Path, at: int) -> None:
    qfz.save_file({"grid": GRID[:10]}, tmp_path / "a.qfz")
    with qfz.open_file(tmp_path / "a.qfz") as opened, pytest.raises(IndexError, match="expected a row of 10"):
        opened.get_slice("grid")[at]


def test_a_difference_needs_its_base(tmp_path: Path) -> None:
    before = np.random.default_rng(1).standard_normal(100_000).astype("<f4")
    after = before + np.float32(1e-7)
    qfz.save_file({"w": before}, tmp_path / "a.qfz")
    qfz.save_file({"w": after}, tmp_path / "b.qfz", base=tmp_path / "a.qfz")
    assert (tmp_path / "b.qfz").stat().st_size < 0.8 * (tmp_path / "a.qfz").stat().st_size
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "a.qfz").rename(tmp_path / "elsewhere" / "renamed.qfz")
    with pytest.raises(SourceUnavailable, match=r"a\.qfz"):
        qfz.load_file(tmp_path / "b.qfz")
    loaded: Any = qfz.load_file(tmp_path / "b.qfz", bases=(tmp_path / "elsewhere" / "renamed.qfz",))
    assert np.array_equal(loaded["w"], after)


def test_a_chain_is_not_longer_than_wanted(tmp_path: Path) -> None:
    rng, below = np.random.default_rng(2), None
    weights = rng.standard_normal(50_000).astype("<f4")
    depths = []
    for step in range(5):
        weights = weights + np.float32(1e-7)
        path = tmp_path / f"{step}.qfz"
        qfz.save_file({"w": weights}, path, base=below, packing=Packing(chain=2))
        with qfz.open_file(path) as opened:
            depths.append(opened.archive.depth)
        below = path
    assert depths == [0, 1, 2, 0, 1]


def test_a_file_is_replaced_and_options_are_heard(tmp_path: Path) -> None:
    values = np.random.default_rng(3).standard_normal(50_000).astype("<f4")
    qfz.save_file({"w": values}, tmp_path / "a.qfz")
    exact = (tmp_path / "a.qfz").stat().st_size
    qfz.save_file(
        {"w": values, "kept": values[::-1]}, tmp_path / "a.qfz", packing=Packing("rms:0.05", ("kept",), workers=2)
    )
    loaded: Any = qfz.load_file(tmp_path / "a.qfz", workers=2)
    assert 0 < np.linalg.norm(loaded["w"] - values) <= 0.05 * np.linalg.norm(values)
    assert np.array_equal(loaded["kept"], values[::-1])
    assert (tmp_path / "a.qfz").stat().st_size < 1.3 * exact
    with pytest.raises(ValueError, match="expected exact, rms"):
        qfz.save({"w": values}, packing=Packing("rms:2"))


def test_a_value_that_is_no_tensor_is_named() -> None:
    with pytest.raises(ValueError, match="a: expected an array or a torch tensor, found list"):
        qfz.save({"a": [1.0]})  # type: ignore[dict-item]
    with pytest.raises(ValueError, match="a: expected an array of numbers, found object"):
        qfz.save({"a": np.array([None])})


def test_saved_arrays_are_restored_as_a_safetensors_file(tmp_path: Path) -> None:
    given = {"a": np.arange(6.0).reshape(2, 3), "b": np.ones(5, dtype="<i4")}
    qfz.save_file(given, tmp_path / "a.qfz", {"step": "1"})
    restore_checkpoint(tmp_path / "a.qfz", tmp_path / "a.safetensors")
    loaded = load_safetensors(tmp_path / "a.safetensors")
    assert all(np.array_equal(loaded[name], array) for name, array in given.items())


@pytest.mark.parametrize(
    ("name", "rows", "wanted"),
    [("r.npy", None, slice(None)), ("p.npy", (1, -1), slice(1, -1)), ("q.npy", (None, 2), slice(2))],
)
def test_one_tensor_becomes_a_file(tmp_path: Path, name: str, rows: Any, wanted: slice) -> None:
    array = np.arange(12.0).reshape(4, 3)
    qfz.save_file({"a": array, "b": np.ones(5)}, tmp_path / "a.qfz")
    extract_tensor(tmp_path / "a.qfz", tmp_path / name, Part("a", rows))
    assert np.array_equal(np.load(tmp_path / name), array[wanted])


def test_a_bfloat16_tensor_becomes_a_safetensors_file_but_no_npy(tmp_path: Path) -> None:
    qfz.save_file({"a": torch.ones(4, 2, dtype=torch.bfloat16)}, tmp_path / "a.qfz")
    extract_tensor(tmp_path / "a.qfz", tmp_path / "r.safetensors", Part("a", (1, 3)))
    from safetensors.torch import load_file

    assert torch.equal(load_file(tmp_path / "r.safetensors")["a"], torch.ones(2, 2, dtype=torch.bfloat16))
    with pytest.raises(BadRecord, match=r"or a target \*\.safetensors, found BF16"):
        extract_tensor(tmp_path / "a.qfz", tmp_path / "r.npy", Part("a"))
    with pytest.raises(ValueError, match=r"expected a target \*\.safetensors or \*\.npy"):
        extract_tensor(tmp_path / "a.qfz", tmp_path / "r.bin", Part("a"))
    with pytest.raises(BadRecord, match="rows within 0:4, found 0:5"):
        extract_tensor(tmp_path / "a.qfz", tmp_path / "s.safetensors", Part("a", (0, 5)))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.qfz", "r.safetensors"]
