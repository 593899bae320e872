"""Coded planes come down to the entropy of their bytes, in the cheapest form, and stay within what they are given."""

import numpy as np
import numpy.typing as npt
import pytest

from tasks.codecs.coded_planes import CodedPlanes
from tasks.codecs.lossless import Lossless, lossless
from tasks.codecs.plane_kernels import SPLIT
from tasks.codecs.protocol import Around
from tasks.codecs.treatment import BaseTensor
from tests.tasks.codecs.test_container import Given


def entropy_bytes(symbols: npt.NDArray[np.uint8]) -> float:
    counts = np.bincount(symbols)
    counts = counts[counts > 0]
    return float(np.sum(counts * np.log2(symbols.size / counts)) / 8)


def skewed(count: int, ratio: float) -> npt.NDArray[np.uint8]:
    """Bytes whose frequencies fall by ``ratio`` from one to the next."""
    return (np.random.default_rng(1).geometric(ratio, count).clip(1, 250)).astype(np.uint8)


@pytest.mark.parametrize("effort", ["fast", "small"])
@pytest.mark.parametrize("ratio", [0.999, 0.9, 0.5, 0.2])
def test_skewed_bytes_come_down_to_their_entropy(effort: str, ratio: float) -> None:
    """Below a bit per byte as well, where Huffman's code cannot go."""
    raw = skewed(131_072, ratio)
    packed = CodedPlanes(effort=effort).encode(raw.tobytes(), Around("U8"))  # type: ignore[arg-type]
    assert CodedPlanes().decode(packed, Around("U8"), raw.size) == raw.tobytes()
    assert entropy_bytes(raw) <= len(packed) <= 1.01 * entropy_bytes(raw) + 200


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 8_191, 8_193, 20_001, 40_000])
@pytest.mark.parametrize(("dtype", "kind"), [("F32", "<f4"), ("F16", "<f2"), ("F64", "<f8")])
def test_any_number_of_words_comes_back(count: int, dtype: str, kind: str) -> None:
    raw = np.random.default_rng(count).standard_normal(count).astype(kind).tobytes()
    codec = CodedPlanes(rotated=True)
    assert codec.decode(codec.encode(raw, Around(dtype)), Around(dtype), len(raw)) == raw


def test_exponents_out_of_the_common_range_come_back() -> None:
    rng = np.random.default_rng(2)
    values = rng.standard_normal(40_001).astype("<f4")
    values[rng.integers(0, 40_001, 300)] = [0.0, np.inf, np.nan] * 100
    values[-1] = 1e-38
    codec = CodedPlanes(rotated=True)
    packed = codec.encode(values.tobytes(), Around("F32"))
    assert codec.decode(packed, Around("F32"), values.nbytes) == values.tobytes()
    assert len(packed) < 0.87 * values.nbytes


def test_planes_of_zeros_take_two_bytes_each() -> None:
    """As of float32 that was born in bfloat16."""
    values = np.random.default_rng(3).standard_normal(20_000).astype("<f4").view("<u4") & 0xFFFF0000
    narrow = (values >> 16).astype("<u2")
    wide = len(CodedPlanes().encode(values.tobytes(), Around("F32")))
    assert wide <= len(CodedPlanes().encode(narrow.tobytes(), Around("BF16"))) + 4


def test_a_declared_length_above_the_limit_is_refused_before_it_is_allocated() -> None:
    with pytest.raises(ValueError, match="at most 400 bytes, found 4294967295 words"):
        CodedPlanes().decode(b"\xff\xff\xff\xff\x01\x00", Around("F32"), 400)


def test_cut_and_lengthened_planes_are_refused() -> None:
    raw = np.random.default_rng(4).standard_normal(20_000).astype("<f4").tobytes()
    packed = bytes(CodedPlanes(rotated=True).encode(raw, Around("F32")))
    for wrong in (b"", packed + b"\0", *(packed[:length] for length in range(0, len(packed), 997))):
        with pytest.raises(ValueError, match="planes"):
            CodedPlanes(rotated=True).decode(wrong, Around("F32"), len(raw))


def test_changed_bytes_decode_to_a_chunk_as_long_or_are_refused() -> None:
    rng = np.random.default_rng(5)
    raw = rng.standard_normal(9_000).astype("<f4").tobytes()
    packed = bytes(CodedPlanes(rotated=True).encode(raw, Around("F32")))
    refused = 0
    for _ in range(500):
        changed = bytearray(packed)
        for _ in range(rng.integers(1, 4)):
            changed[rng.integers(64 if rng.random() < 0.5 else 6_000)] = rng.integers(256)
        try:
            assert len(CodedPlanes(rotated=True).decode(bytes(changed), Around("F32"), len(raw))) == len(raw)
        except ValueError:
            refused += 1
    assert refused > 250


def test_the_bytes_of_planes_stay_what_they_are() -> None:
    """Golden: other bytes would be a new version of the codec."""
    raw = np.array([1.0, -2.0, 0.5, 1.0] * 32, "<f4").tobytes()
    assert bytes(CodedPlanes(rotated=True).encode(raw, Around("F32"))).hex() == (
        "800000000214000000007d800880108008aa860000ff8f000000800000aa86000055a9ffff000055a9ffff00000054fffc000000"
        "5400fc000001000100020c0000008018800800949412ff8f00000094941200949412fffffffffffc00fc"
    )


def test_small_is_never_larger_than_fast_on_weights() -> None:
    raw = (np.random.default_rng(6).standard_normal(65_536) * 0.02).astype("<f4").tobytes()
    sizes = [len(Lossless(effort).pack(raw, Around("F32")).octets) for effort in ("small", "fast")]
    assert sizes == sorted(sizes)


def test_the_policy_takes_differences_only_where_they_are_smaller() -> None:
    rng = np.random.default_rng(7)
    near, far = rng.standard_normal((2, 20_000)).astype("<f4")
    now = Given("w", "F32", (20_000,), (near * np.float32(1.0001)).tobytes())
    found = [
        lossless()(now, BaseTensor(2**19, lambda _number, base=base: (base.tobytes(),))).delta for base in (near, far)
    ]
    assert (found, lossless()(now, None).delta) == ([True, False], False)


def test_exponents_of_half_precision_are_split_from_its_mantissa() -> None:
    rng = np.random.default_rng(8)
    values = (rng.laplace(size=20_005) * 0.02).astype("<f2")
    values[rng.integers(0, 20_005, 50)] = np.inf
    fast, small = (CodedPlanes(rotated=True, effort=effort) for effort in ("fast", "small"))  # type: ignore[arg-type]
    packed = fast.encode(values.tobytes(), Around("F16"))
    assert packed[4] == SPLIT
    assert fast.decode(packed, Around("F16"), values.nbytes) == values.tobytes()
    assert len(packed) <= 1.02 * len(small.encode(values.tobytes(), Around("F16")))


def test_moments_of_rows_that_are_alike_are_left_to_a_search_for_repeats() -> None:
    """Rows of one direction, each of its own length, as a softmax gives those of tokens that do not come."""
    rng = np.random.default_rng(9)
    rows = (rng.standard_normal((64, 1)) * 1e-3 * rng.standard_normal(384)).astype("<f4")
    kinds = [codec.kind for codec in Lossless().pack(rows.tobytes(), Around("F32")).chain]
    assert kinds == ["planes", "zstd"]
