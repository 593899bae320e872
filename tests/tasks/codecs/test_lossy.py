"""A policy keeps its promise over the whole tensor and every archive, and leaves alone what must not change."""

import io
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.schemas.tensor import ELEMENT_TYPES, Octets
from tasks.codecs.archive import open_archive
from tasks.codecs.index import CHUNK_BYTES, Index, Source
from tasks.codecs.lossy import SMALLEST, by_tensor, one_bound, policy, relative_rms_step
from tasks.codecs.quantise_chunk import QUANTISABLE, octets_of, values_of
from tasks.codecs.quantise_groups import bound_of
from tasks.codecs.treatment import Policy
from tasks.codecs.writer import write_archive


@dataclass(frozen=True, slots=True)
class Given:
    """A tensor that the test holds."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    octets: bytes

    def pieces(self, piece_bytes: int) -> Iterator[Octets]:
        for start in range(0, len(self.octets), piece_bytes):
            yield self.octets[start : start + piece_bytes]

    @property
    def values(self) -> np.ndarray:
        """The elements in float64, in their shape."""
        return values_of(self.octets, self.dtype).astype(np.float64).reshape(self.shape)


def tensor_of(values: np.ndarray, dtype: str = "F32", name: str = "weight") -> Given:
    wide = values.astype(np.float64 if dtype == "F64" else np.float32).reshape(-1)
    return Given(name, dtype, values.shape, octets_of(wide, dtype).tobytes())


def packed(how: Policy, *tensors: Given, workers: int = 1) -> tuple[bytes, Index]:
    file = io.BytesIO()
    index = write_archive(file, Source("arrays", "0" * 64, 0), b"", tensors, policy=how, workers=workers)
    return file.getvalue(), index


def through_an_archive(how: Policy, *tensors: Given, folder: Path) -> list[Given]:
    path = folder / "lossy.qfz"
    path.write_bytes(packed(how, *tensors)[0])
    with open_archive(path) as archive:
        archive.verify()
        return [
            Given(stored.name, stored.dtype, stored.shape, bytes(archive.read(stored)))
            for stored in archive.index.tensors
        ]


def relative_error(tensor: Given, back: Given) -> float:
    finite = np.isfinite(tensor.values)
    lost = tensor.values[finite] - back.values[finite]
    return math.sqrt(np.sum(lost**2) / np.sum(tensor.values[finite] ** 2))


@pytest.mark.parametrize("dtype", QUANTISABLE)
@pytest.mark.parametrize("bound", [0.5, 0.1, 0.01, 1e-3])
def test_the_relative_error_is_within_the_bound_and_near_it(
    dtype: str, bound: float, tmp_path: Path, rng: np.random.Generator
) -> None:
    tensor = tensor_of(rng.standard_normal((50, 700)) * 0.02, dtype)
    (back,) = through_an_archive(policy(f"rms:{bound}"), tensor, folder=tmp_path)
    error = relative_error(tensor, back)
    assert error <= bound
    near = 0.99 * bound if dtype in ("F32", "F64") or bound > 0.005 else 0.0  # steps as fine as the elements round away
    assert error >= near


def test_what_the_index_says_was_lost_is_what_was_lost(tmp_path: Path, rng: np.random.Generator) -> None:
    values = rng.standard_normal((300, 1000))
    values[7, 3], values[9, 9] = np.nan, -np.inf
    tensor = tensor_of(values)
    (back,) = through_an_archive(policy("rms:0.05"), tensor, folder=tmp_path)
    (stored,) = packed(policy("rms:0.05"), tensor)[1].tensors
    assert stored.error is not None
    assert (stored.error.mode, stored.error.bound, stored.error.exact) == ("relative_rms", 0.05, 2)
    assert stored.error.relative_rms == pytest.approx(relative_error(tensor, back), rel=1e-9)
    finite = np.isfinite(values)
    assert stored.error.max_abs == np.max(np.abs(back.values[finite] - tensor.values[finite]))
    assert np.array_equal(back.octets[4 * 7003 : 4 * 7004], tensor.octets[4 * 7003 : 4 * 7004])
    assert back.values[9, 9] == -np.inf


@pytest.mark.parametrize("dtype", QUANTISABLE)
@pytest.mark.parametrize("bound", [1e-4, 3e-3, 0.7])
def test_no_element_is_off_by_more_than_an_absolute_bound(
    dtype: str, bound: float, tmp_path: Path, rng: np.random.Generator
) -> None:
    values = rng.standard_normal(3000)
    values[:4] = np.inf, 6e4, -1e-39, np.nan
    tensor = tensor_of(values, dtype)
    (back,) = through_an_archive(policy(f"abs:{bound}"), tensor, folder=tmp_path)
    finite = np.isfinite(tensor.values)
    assert np.max(np.abs(back.values[finite] - tensor.values[finite])) <= bound
    assert back.octets[: ELEMENT_TYPES[dtype].word_bytes] == tensor.octets[: ELEMENT_TYPES[dtype].word_bytes]


def test_a_coarse_element_type_gets_a_step_that_it_holds(rng: np.random.Generator) -> None:
    """Of bfloat16 around 1, multiples of 0.0156 go over a bound of 0.0078 when rounded; multiples of 2^-7 do not."""
    tensor = tensor_of(rng.uniform(1.0, 3.9, 40_000), "BF16")
    (stored,) = packed(policy("abs:0.0078"), tensor)[1].tensors
    assert stored.error is not None
    assert stored.error.exact == 0


@pytest.mark.parametrize("dtype", QUANTISABLE)
def test_int8_holds_each_channel_within_its_bound_wherever_chunks_are_cut(
    dtype: str, tmp_path: Path, rng: np.random.Generator
) -> None:
    """Rows of 1,001 elements; their sizes differ by up to 2^20, so that a wrong row's step would show."""
    values = rng.standard_normal((300, 1001)) * np.exp2(rng.integers(-10, 10, (300, 1))) * 0.01
    tensor = tensor_of(values, dtype)
    assert len(tensor.octets) > CHUNK_BYTES
    (back,) = through_an_archive(policy("int8"), tensor, folder=tmp_path)
    tops = np.abs(tensor.values).max(axis=1, keepdims=True)
    assert np.all(np.abs(back.values - tensor.values) <= tops * bound_of(8, dtype))
    assert bound_of(8, "F32") < 1.0001 / 254


def test_int8_holds_its_bound_where_equal_chunks_begin_at_different_places_of_a_channel(tmp_path: Path) -> None:
    row = np.tile(np.exp2(np.arange(-3, 5)), CHUNK_BYTES // 32)  # 131,072 elements
    values = np.tile(row, 3).reshape(3 * 2**14, 8)[:, :, None].reshape(-1, 24)
    tensor = tensor_of(values)
    (back,) = through_an_archive(policy("int8"), tensor, folder=tmp_path)
    tops = np.abs(tensor.values).max(axis=1, keepdims=True)
    assert np.all(np.abs(back.values - tensor.values) <= tops * bound_of(8, "F32"))


@pytest.mark.parametrize("dtype", QUANTISABLE)
def test_int4_holds_each_64_elements_within_its_bound(dtype: str, tmp_path: Path, rng: np.random.Generator) -> None:
    tensor = tensor_of(rng.standard_normal((64, 80)) * np.exp2(rng.integers(-4, 4, (64, 1))), dtype)
    (back,) = through_an_archive(policy("int4"), tensor, folder=tmp_path)
    lost, groups = np.abs(back.values - tensor.values).reshape(-1, 64), np.abs(tensor.values).reshape(-1, 64)
    assert np.all(lost <= groups.max(axis=1, keepdims=True) * bound_of(4, dtype))
    assert bound_of(4, "F32") < 1.01 / 14


@pytest.mark.parametrize("text", ["rms:0.01", "abs:0.1", "int8", "int4"])
def test_whole_numbers_small_tensors_and_named_ones_stay_exact(
    text: str, tmp_path: Path, rng: np.random.Generator
) -> None:
    values = rng.standard_normal(5000)
    tensors = (
        Given("steps", "I64", (2000,), rng.integers(0, 99, 2000).tobytes()),
        Given("complex", "C64", (2000,), rng.bytes(16_000)),
        tensor_of(values[: SMALLEST - 1], name="bias"),
        tensor_of(values, name="head.weight"),
        tensor_of(values[:0].reshape(0, 3), name="empty"),
        tensor_of(np.array(0.3), name="scalar"),
        tensor_of(np.zeros(5000), name="zeros"),
        tensor_of(values + 1, name="body.weight"),
    )
    back = through_an_archive(policy(text, keep=("head.*",)), *tensors, folder=tmp_path)
    assert back[:-1] == list(tensors[:-1])
    assert back[-1] != tensors[-1]


def test_exact_keeps_every_bit(tmp_path: Path, rng: np.random.Generator) -> None:
    tensor = tensor_of(rng.standard_normal(5000))
    assert through_an_archive(policy("exact"), tensor, folder=tmp_path) == [tensor]


@pytest.mark.parametrize("text", ["", "rms", "rms:", "rms:1", "rms:0", "rms:nan", "abs:0", "abs:-1", "abs:inf", "int2"])
def test_a_bound_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected exact, rms:RATIO below 1, abs:BOUND, int8 or int4, found"):
        policy(text)


def test_each_tensor_may_have_its_own_bound(tmp_path: Path, rng: np.random.Generator) -> None:
    tensors = [tensor_of(rng.standard_normal(5000), name=name) for name in "abc"]
    back = through_an_archive(by_tensor({"a": 0.1, "b": 0.01}), *tensors, folder=tmp_path)
    errors = [relative_error(*pair) for pair in zip(tensors, back, strict=True)]
    assert 0.099 < errors[0] <= 0.1
    assert 0.0099 < errors[1] <= 0.01
    assert errors[2] == 0.0
    with pytest.raises(ValueError, match="b: expected a relative RMS error between 0 and 1, found 2"):
        by_tensor({"b": 2.0})


def test_one_bound_for_all_tensors_keeps_the_error_of_the_whole(tmp_path: Path, rng: np.random.Generator) -> None:
    tensors = [tensor_of(rng.standard_normal(5000) * size, name=str(size)) for size in (0.01, 0.1, 1.0)]
    bound = one_bound(tensors, 0.02)
    back = through_an_archive(policy(f"abs:{bound!r}"), *tensors, folder=tmp_path)
    lost = sum(np.sum((one.values - other.values) ** 2) for one, other in zip(tensors, back, strict=True))
    whole = sum(np.sum(tensor.values**2) for tensor in tensors)
    assert 0.0196 < math.sqrt(lost / whole) <= 0.02
    with pytest.raises(ValueError, match="expected a tensor of floats that differ from 0"):
        one_bound([tensor_of(np.zeros(5000))], 0.02)


@pytest.mark.parametrize("text", ["rms:0.02", "abs:0.01", "int8", "int4"])
def test_the_same_tensors_give_the_same_bytes_on_any_number_of_threads(text: str, rng: np.random.Generator) -> None:
    tensors = [tensor_of(rng.standard_normal((300, 1001)), name=name) for name in "ab"]
    assert packed(policy(text), *tensors)[0] == packed(policy(text), *tensors, workers=3)[0]


def test_a_tensor_that_no_quantiser_makes_smaller_loses_nothing(rng: np.random.Generator) -> None:
    tensor = tensor_of(np.repeat(rng.standard_normal((4, 64)), 50, axis=0)[rng.permutation(200)])
    (stored,) = packed(policy("abs:1e-7"), tensor)[1].tensors
    assert stored.error is not None
    assert (stored.error.max_abs, stored.error.relative_rms, stored.error.exact) == (0.0, 0.0, tensor.values.size)


@settings(max_examples=40)
@given(
    octets=st.binary(max_size=800),
    dtype=st.sampled_from(QUANTISABLE),
    bound=st.floats(1e-6, 0.9),
    scale=st.sampled_from([1e-150, 1e-30, 1.0, 1e30, 1e150]),
)
def test_a_step_is_found_for_whatever_floats_or_none_is(octets: bytes, dtype: str, bound: float, scale: float) -> None:
    """Bits of any kind, repeated and scaled; where a step is found its error is within the bound."""
    width = ELEMENT_TYPES[dtype].word_bytes
    whole = octets[: len(octets) // width * width]
    with np.errstate(all="ignore"):
        tensor = tensor_of(values_of(whole, dtype).astype(np.float64) * scale, dtype)
    if relative_rms_step(tensor, bound) is None:
        with np.errstate(over="ignore", under="ignore"):
            energy = np.sum(tensor.values[np.isfinite(tensor.values)] ** 2)
        assert energy < 1e-290 or energy == np.inf
        return
    large = Given("large", dtype, (SMALLEST, tensor.values.size), tensor.octets * SMALLEST)
    (stored,) = packed(policy(f"rms:{bound!r}"), large)[1].tensors
    assert stored.error is not None
    assert stored.error.relative_rms <= bound
