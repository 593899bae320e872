"""Quantised floats come back within their limit in the element type, whatever they are; nothing else is decoded."""

import itertools
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.codecs.protocol import Around
from tasks.codecs.quantise import Quantised
from tasks.codecs.quantise_chunk import QUANTISABLE, values_of
from tasks.codecs.quantise_groups import QuantisedGroups, bound_of
from tasks.codecs.quantise_integers import INTEGER_BYTES_MAX, REACH, RUN_BYTES_MAX
from tasks.codecs.quantise_kernels import read_integers, write_integers

SETTINGS = settings(max_examples=60)
WIDTHS = {"F16": 2, "BF16": 2, "F32": 4, "F64": 8}
CODECS = (
    Quantised(0.01, 0.005),
    Quantised(0.5, 0.5),
    Quantised(1e-300, 1e-300),
    QuantisedGroups(8, 5, 3),
    QuantisedGroups(4, 64, 64),
)


def bits_of(floats: np.ndarray, dtype: str) -> bytes:
    """Return float64 numbers as elements; bfloat16 by cutting float32."""
    with np.errstate(over="ignore", invalid="ignore"):
        if dtype == "BF16":
            return (floats.astype("<f4").view("<u4") >> 16).astype("<u2").tobytes()
        return floats.astype({"F16": "<f2", "F32": "<f4", "F64": "<f8"}[dtype]).tobytes()


@st.composite
def chunks(draw: st.DrawFn) -> tuple[bytes, str]:
    """Any bits at all, NaN payloads among them, or numbers around the step, or bell-shaped ones with a few extremes."""
    dtype = draw(st.sampled_from(QUANTISABLE))
    count = draw(st.integers(0, 150))
    kind = draw(st.sampled_from(("bits", "near", "bell")))
    if kind == "bits":
        return draw(st.binary(min_size=count * WIDTHS[dtype], max_size=count * WIDTHS[dtype])), dtype
    if kind == "near":
        floats = np.array(draw(st.lists(st.floats(-0.1, 0.1), min_size=count, max_size=count)))
        return bits_of(floats, dtype), dtype
    floats = np.random.default_rng(draw(st.integers(0, 9))).standard_normal(count)
    for value in draw(st.lists(st.sampled_from([np.nan, np.inf, -np.inf, 1e30, 1e-40, 5e-324, -0.0]), max_size=count)):
        floats[draw(st.integers(0, count - 1))] = value
    return bits_of(floats, dtype), dtype


def limits_of(codec: Quantised | QuantisedGroups, values: np.ndarray, dtype: str) -> np.ndarray:
    """Return the promise for each element, from its definition."""
    if isinstance(codec, Quantised):
        return np.full(len(values), codec.limit)
    limits = np.zeros(len(values))
    edges = [0, *range(codec.first, len(values), codec.group), len(values)]
    for begin, end in itertools.pairwise(edges):
        magnitudes = np.abs(values[begin:end].astype(np.float64))
        top = magnitudes[np.isfinite(magnitudes)].max(initial=0.0)
        limits[begin:end] = top * bound_of(codec.bits, dtype)
    return limits


@pytest.mark.parametrize("codec", CODECS, ids=str)
@SETTINGS
@given(chunk=chunks())
def test_every_element_comes_back_within_the_limit_or_bit_for_bit(
    codec: Quantised | QuantisedGroups, chunk: tuple[bytes, str]
) -> None:
    raw, dtype = chunk
    around = Around(dtype)
    packed = bytes(codec.encode(raw, around))
    restored = bytes(codec.decode(packed, around, len(raw)))
    assert len(restored) == len(raw)
    values, back = values_of(raw, dtype), values_of(restored, dtype)
    width = f"<u{WIDTHS[dtype]}"
    same = np.frombuffer(raw, width) == np.frombuffer(restored, width)
    with np.errstate(invalid="ignore"):
        near = np.abs(values.astype(np.float64) - back.astype(np.float64)) <= limits_of(codec, values, dtype)
    assert np.all(same | near)
    assert bytes(codec.encode(raw, around)) == packed


@pytest.mark.parametrize("codec", CODECS, ids=str)
@SETTINGS
@given(noise=st.binary(max_size=300), dtype=st.sampled_from((*QUANTISABLE, "U8", "C64")))
def test_noise_decodes_within_the_limit_or_is_a_value_error(
    codec: Quantised | QuantisedGroups, noise: bytes, dtype: str
) -> None:
    with suppress(ValueError):
        assert len(codec.decode(noise, Around(dtype), 64)) <= 64


@pytest.mark.parametrize("codec", CODECS, ids=str)
def test_damaged_chunks_decode_within_the_limit_or_are_a_value_error(
    codec: Quantised | QuantisedGroups, rng: np.random.Generator
) -> None:
    raw = bits_of(np.append(rng.standard_normal(999), np.nan), "F32")
    whole = np.frombuffer(codec.encode(raw, Around("F32")), np.uint8)
    for _ in range(1500):
        damaged = whole[: rng.integers(len(whole) + 1)].copy() if rng.random() < 0.2 else whole.copy()
        for _ in range(rng.integers(1, 4) if len(damaged) else 0):
            damaged[rng.integers(len(damaged)) if rng.random() < 0.5 else rng.integers(min(60, len(damaged)))] = (
                rng.integers(256)
            )
        with suppress(ValueError):
            assert len(codec.decode(damaged.tobytes(), Around("F32"), len(raw))) <= len(raw)


@pytest.mark.parametrize(
    ("low", "high"),
    [(0, 0), (0, 1), (-3, 4), (-700, 700), (-REACH + 1, REACH - 1), (5_000_000, 5_000_900)],
)
def test_integers_come_back(low: int, high: int, rng: np.random.Generator) -> None:
    for count in (1, 2, 7, 5000):
        integers = rng.integers(low, high, count, endpoint=True).astype(np.int32)
        integers[-1] = high
        assert np.array_equal(through_a_run(integers)[0], integers)


def test_integers_of_any_shape_come_back(rng: np.random.Generator) -> None:
    comb = rng.integers(0, 1024, 5000).astype(np.int32)
    tails = np.rint(rng.standard_cauchy(5000).clip(-1e9, 1e9)).astype(np.int32)
    spike = np.zeros(5000, np.int32)
    spike[7] = -12345
    for integers in (comb, comb * 97, tails, spike):
        assert np.array_equal(through_a_run(integers)[0], integers)


def through_a_run(integers: np.ndarray) -> tuple[np.ndarray, int]:
    """Write and read integers; return them and the bytes that they took."""
    out = np.empty(INTEGER_BYTES_MAX * len(integers) + RUN_BYTES_MAX, np.uint8)
    used = write_integers(integers, out)
    packed = out[:used].copy()
    packed.flags.writeable = False
    back = np.empty_like(integers)
    assert read_integers(packed, back)
    return back, used


@pytest.mark.parametrize("ratio", [0.001, 0.01, 0.1, 0.3])
def test_bell_shaped_weights_take_their_order_0_entropy(ratio: float, rng: np.random.Generator) -> None:
    """Within 0.02 bit of the entropy of the integers, counted on these very integers, table included."""
    count = 131_072
    integers = np.rint(rng.standard_normal(count) / (ratio * 12**0.5)).astype(np.int32)
    occurs = np.unique(integers, return_counts=True)[1] / count
    # the plug-in estimate is too low by (kinds - 1) / 2n nats (Miller 1955)
    entropy = -np.sum(occurs * np.log2(occurs)) + (len(occurs) - 1) / (2 * count * np.log(2))
    assert entropy - 0.001 < 8 * through_a_run(integers)[1] / count < entropy + 0.02


def test_means_of_cells_are_used_where_steps_are_coarse_and_the_limit_leaves_room(rng: np.random.Generator) -> None:
    values = rng.standard_normal(20_000).astype("<f4")
    raw, around = values.tobytes(), Around("F32")
    squares = {}
    for limit in (0.5, 1.0):
        codec = Quantised(1.0, limit)
        back = np.frombuffer(codec.decode(codec.encode(raw, around), around, len(raw)), "<f4")
        squares[limit] = np.mean((back - values) ** 2)
        assert np.max(np.abs(back - values)) <= limit
    assert squares[1.0] < 0.97 * squares[0.5]


def test_a_float32_that_rounding_pushes_over_the_bound_is_stored_exactly() -> None:
    """Multiples of 0.4 lie between the float32 there, which are an eighth apart: 0.19 off becomes 0.25 off."""
    values = (2**20 + np.arange(100) / 8).astype("<f4")
    naive = (np.rint(values.astype("f8") / 0.4) * 0.4).astype("<f4")
    pushed = int(np.sum(np.abs(naive.astype("f8") - values) > 0.2))
    assert pushed > 0
    codec, around = Quantised(0.4, 0.2), Around("F32")
    packed = bytes(codec.encode(values.tobytes(), around))
    assert int.from_bytes(packed[4:8], "little") == pushed
    back = np.frombuffer(codec.decode(packed, around, 400), "<f4")
    assert np.max(np.abs(back.astype("f8") - values)) <= 0.2


def test_a_few_extremes_are_stored_exactly_and_cost_the_others_nothing(rng: np.random.Generator) -> None:
    values = rng.standard_normal(50_000).astype("<f4")
    around, codec = Around("F32"), Quantised(0.01, 0.005)
    without = len(codec.encode(values.tobytes(), around))
    values[[7, 49_999]] = 1e6, -3e4
    packed = bytes(codec.encode(values.tobytes(), around))
    assert int.from_bytes(packed[4:8], "little") == 2
    assert len(packed) < without + 40
    back = np.frombuffer(codec.decode(packed, around, values.nbytes), "<f4")
    assert np.array_equal(back[[7, 49_999]], values[[7, 49_999]])


def test_a_chunk_that_declares_more_than_the_limit_is_refused_before_it_is_allocated() -> None:
    head = (2**32 - 1).to_bytes(4, "little") + bytes(60)
    with pytest.raises(ValueError, match="4294967295 elements of 4 bytes"):
        Quantised(1.0, 1.0).decode(head, Around("F32"), 2**20)


def test_integers_are_not_quantised() -> None:
    with pytest.raises(ValueError, match="found 8 bytes of I64"):
        Quantised(1.0, 1.0).encode(bytes(8), Around("I64"))
    with pytest.raises(ValueError, match="found 7 bytes of F32"):
        Quantised(1.0, 1.0).encode(bytes(7), Around("F32"))
