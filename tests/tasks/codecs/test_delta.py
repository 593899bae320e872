"""A difference gives back every bit of its chunk, costs what its entropy says, and is nobody's way in."""

from contextlib import suppress

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.codecs.delta import Delta
from tasks.codecs.lossless import Lossless
from tasks.codecs.protocol import Around

WIDTHS = {"U8": 1, "F16": 2, "BF16": 2, "F32": 4, "C64": 4, "I32": 4, "F64": 8, "I64": 8}
SETTINGS = settings(max_examples=60, deadline=None, derandomize=True)
EDGES = np.array(
    [0x00000000, 0x80000000, 0x7F800000, 0xFF800000, 0x7FC00001, 0xFFFFFFFF, 0x00000001, 0x80000001], "<u4"
)


@st.composite
def versions(draw: st.DrawFn) -> tuple[str, bytes, bytes]:
    """Two chunks of the same length, of which some words are equal."""
    dtype = draw(st.sampled_from(sorted(WIDTHS)))
    count = draw(st.integers(1, 300))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    base = rng.integers(0, 256, WIDTHS[dtype] * count, dtype=np.uint8)
    raw = base.copy()
    changed = rng.random(len(raw)) < draw(st.sampled_from([0.0, 0.01, 0.1]))
    raw[changed] ^= 1
    return dtype, raw.tobytes(), base.tobytes()


def weights(count: int, seed: int) -> npt.NDArray[np.float32]:
    return (np.random.default_rng(seed).standard_normal(count) * 0.02).astype("<f4")


def stepped(base: npt.NDArray[np.float32], size: float) -> npt.NDArray[np.float32]:
    """Move every weight by about ``size``, whatever its own size, as AdamW does."""
    return base + (np.random.default_rng(9).standard_normal(len(base)) * size).astype("<f4")


def bfloat16(values: npt.NDArray[np.float32]) -> bytes:
    return (values.view("<u4") >> 16).astype("<u2").tobytes()


@SETTINGS
@given(given_versions=versions())
def test_a_difference_gives_back_every_bit(given_versions: tuple[str, bytes, bytes]) -> None:
    dtype, raw, base = given_versions
    around = Around(dtype, base)
    with suppress(ValueError):  # it does not shrink
        packed = Delta().encode(raw, around)
        assert len(packed) < len(raw)
        assert Delta().decode(packed, around, len(raw)) == raw


def test_zeros_of_both_signs_infinities_and_nans_come_back() -> None:
    base = np.tile(EDGES, 64)
    raw = base.copy()
    raw[:8] = EDGES[::-1]
    around = Around("F32", base.tobytes())
    packed = Delta().encode(raw.tobytes(), around)
    assert Delta().decode(packed, around, raw.nbytes) == raw.tobytes()


def test_a_chunk_that_did_not_change_takes_next_to_nothing() -> None:
    raw = weights(131_072, 1).tobytes()
    assert len(Delta().encode(raw, Around("F32", raw))) < 250


def test_a_step_of_training_costs_less_than_its_entropy_without_the_base() -> None:
    """The yardstick is the entropy of the differences of integers, counted on the same words."""
    base = weights(131_072, 1)
    raw, below = bfloat16(stepped(base, 2e-5)), bfloat16(base)
    words, under = (np.frombuffer(octets, "<u2").astype(np.int64) for octets in (raw, below))
    top = 0x8000
    order = [np.where(each & top, top - each, each) for each in (words, under)]
    counts = np.unique(order[0] - order[1], return_counts=True)[1]
    entropy_bytes = float(np.sum(counts * np.log2(counts.sum() / counts)) / 8)
    assert len(Delta().encode(raw, Around("BF16", below))) < 0.8 * entropy_bytes


def test_whole_numbers_that_moved_by_one_are_nearly_free() -> None:
    base = np.random.default_rng(3).integers(-(2**62), 2**62, 4096)
    packed = Delta().encode((base + 1).astype("<i8").tobytes(), Around("I64", base.astype("<i8").tobytes()))
    assert len(packed) < 100


def test_noise_does_not_shrink() -> None:
    rng = np.random.default_rng(4)
    with pytest.raises(ValueError, match="resemble their base"):
        Delta().encode(rng.bytes(4096), Around("F32", rng.bytes(4096)))


@pytest.mark.parametrize("base", [None, b"", b"1234", b"123456789"])
def test_a_base_of_another_length_is_refused(base: bytes | None) -> None:
    with pytest.raises(ValueError, match="expected a base of 8 bytes"):
        Delta().encode(b"12345678", Around("F32", base))


def test_a_base_above_the_limit_is_refused() -> None:
    raw = weights(100, 1).tobytes()
    packed = Delta().encode(raw, Around("F32", raw))
    with pytest.raises(ValueError, match="at most 399 bytes, found 400"):
        Delta().decode(packed, Around("F32", raw), 399)


def test_a_cut_difference_is_refused_wherever_it_was_cut() -> None:
    base = weights(200, 1)
    raw = stepped(base, 1e-5).tobytes()
    around = Around("F32", base.tobytes())
    packed = bytes(Delta().encode(raw, around))
    for length in range(len(packed)):
        with pytest.raises(ValueError, match="expected a difference"):
            Delta().decode(packed[:length], around, len(raw))


def test_changed_bytes_decode_to_a_chunk_as_long_or_are_refused() -> None:
    rng = np.random.default_rng(5)
    base = weights(300, 1)
    raw = stepped(base, 1e-5).tobytes()
    around = Around("F32", base.tobytes())
    packed = bytes(Delta().encode(raw, around))
    refused = 0
    for _ in range(2_000):
        changed = bytearray(packed)
        for _ in range(rng.integers(1, 4)):
            changed[rng.integers(len(changed))] = rng.integers(256)
        try:
            assert len(Delta().decode(bytes(changed), around, len(raw))) == len(raw)
        except ValueError:
            refused += 1
    assert refused > 1_000


def test_a_chunk_far_from_its_base_stands_alone() -> None:
    packed = Lossless().pack(weights(20_000, 1).tobytes(), Around("F32", weights(20_000, 2).tobytes()))
    assert [codec.kind for codec in packed.chain] == ["coded_planes"]


def test_a_chunk_near_its_base_is_a_difference() -> None:
    base = weights(20_000, 1)
    packed = Lossless(share=0.8).pack(stepped(base, 1e-5).tobytes(), Around("F32", base.tobytes()))
    assert packed.chain == (Delta(),)


def test_the_bytes_of_a_difference_stay_what_they_are() -> None:
    """Golden: other bytes would be a new version of the codec."""
    base = np.array([1.0, 0.5, -2.0, 0.25] * 8, "<f4")
    raw = base.copy()
    raw[3] = np.nextafter(raw[3], np.float32(1), dtype=np.float32)
    raw[6] = np.nextafter(raw[6], np.float32(0), dtype=np.float32)
    packed = Delta().encode(raw.tobytes(), Around("F32", base.tobytes()))
    assert bytes(packed).hex() == "08000000801c8004ff1f01ff1f01801c00008004408000004080000000fc090000ee0900"
