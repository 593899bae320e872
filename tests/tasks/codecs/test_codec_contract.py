"""Every codec and every chain gives back what it was given, and refuses what it never wrote."""

import tracemalloc
from contextlib import suppress

import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.codecs.chain import Chain, decode, encode
from tasks.codecs.coded_planes import CodedPlanes
from tasks.codecs.lossless import Lossless
from tasks.codecs.planes import Planes
from tasks.codecs.protocol import Around, Codec
from tasks.codecs.zstd import Zstd

CODECS: tuple[Codec, ...] = (
    Planes(rotated=False),
    Planes(rotated=True),
    Zstd(search="repeats"),
    Zstd(search="none"),
    CodedPlanes(rotated=False),
    CodedPlanes(rotated=True),
    CodedPlanes(effort="small"),
)
WHOLE: Chain = ()
REPEATS: Chain = (Zstd(search="repeats"),)
FREQUENCIES: Chain = (CodedPlanes(),)
FLOATS: Chain = (CodedPlanes(rotated=True),)
INTEGERS: Chain = (Planes(rotated=False), Zstd(search="repeats"))
CHAINS = (WHOLE, REPEATS, FREQUENCIES, FLOATS, INTEGERS)
AROUNDS = {1: Around("U8"), 2: Around("U16"), 4: Around("U32"), 8: Around("U64")}
SETTINGS = settings(max_examples=60, deadline=None, derandomize=True)


@st.composite
def chunks(draw: st.DrawFn) -> tuple[bytes, int]:
    width = draw(st.sampled_from(sorted(AROUNDS)))
    count = draw(st.integers(0, 300))
    repeated = draw(st.booleans())
    octets = draw(st.binary(min_size=width, max_size=width)) * count if repeated else None
    return octets if octets is not None else draw(st.binary(min_size=width * count, max_size=width * count)), width


@pytest.mark.parametrize("codec", CODECS, ids=str)
@SETTINGS
@given(chunk=chunks())
def test_a_codec_gives_back_what_it_was_given(codec: Codec, chunk: tuple[bytes, int]) -> None:
    raw, width = chunk
    assert codec.decode(codec.encode(raw, AROUNDS[width]), AROUNDS[width], len(raw)) == raw


@pytest.mark.parametrize("number", range(len(CHAINS)))
@SETTINGS
@given(chunk=chunks())
def test_a_chain_gives_back_what_it_was_given(number: int, chunk: tuple[bytes, int]) -> None:
    raw, width = chunk
    assert bytes(decode(CHAINS[number], encode(CHAINS[number], raw, AROUNDS[width]), AROUNDS[width], len(raw))) == raw


@pytest.mark.parametrize("codec", CODECS, ids=str)
@SETTINGS
@given(noise=st.binary(max_size=200), width=st.sampled_from(sorted(AROUNDS)))
def test_noise_decodes_within_the_limit_or_is_a_value_error(codec: Codec, noise: bytes, width: int) -> None:
    with suppress(ValueError):
        assert len(codec.decode(noise, AROUNDS[width], 64)) <= 64


def test_rotated_planes_put_the_exponents_of_float32_first() -> None:
    raw = np.array([1.0, -2.0, 0.5], dtype="<f4").tobytes()
    assert Planes(rotated=True).encode(raw, Around("F32")) == bytes([127, 128, 126, 0, 0, 0, 0, 0, 0, 0, 1, 0])


def test_plain_planes_put_the_highest_bytes_first() -> None:
    raw = np.array([0x0102, 0x0304], dtype="<u2").tobytes()
    assert Planes(rotated=False).encode(raw, Around("U16")) == bytes([1, 3, 2, 4])


def test_planes_refuse_half_a_word() -> None:
    with pytest.raises(ValueError, match="found 5 bytes of width 4"):
        Planes().encode(b"12345", Around("U32"))


@pytest.mark.parametrize(
    ("dtype", "chain"),
    [("F32", FLOATS), ("BF16", FLOATS), ("F16", FLOATS), ("F64", FLOATS), ("I64", INTEGERS), ("U8", FREQUENCIES)],
)
def test_the_chain_that_suits_the_elements_wins(dtype: str, chain: Chain) -> None:
    rng = np.random.default_rng(7)
    normal = rng.standard_normal(20_000).astype("<f4")
    arrays = {
        "F32": normal,
        "BF16": (normal.view("<u4") >> 16).astype("<u2"),
        "F16": normal.astype("<f2"),
        "F64": normal.astype("<f8") * np.pi,
        "I64": np.cumsum(rng.integers(0, 3, 20_000)).astype("<i8"),
        "U8": np.abs(normal * 3).astype("u1"),
    }
    packed = Lossless().pack(arrays[dtype].tobytes(), Around(dtype))
    assert packed.chain == chain


def test_noise_is_kept_as_it_is() -> None:
    noise = np.random.default_rng(1).bytes(4096)
    packed = Lossless().pack(noise, Around("F32"))
    assert (packed.chain, bytes(packed.octets)) == ((), noise)


def test_rows_that_come_back_are_left_to_plain_zstd() -> None:
    rng = np.random.default_rng(2)
    rows = rng.standard_normal((16, 64)).astype("<f4")[rng.integers(0, 16, 300)]
    assert Lossless().pack(rows.tobytes(), Around("F32")).chain == REPEATS


def test_normal_weights_come_within_two_percent_of_their_entropy() -> None:
    """Order-0 entropy of the exponent plane and of the rest, counted on the same bytes."""
    weights = (np.random.default_rng(3).standard_normal(131_072) * 0.02).astype("<f4")
    planes = np.frombuffer(Planes(rotated=True).encode(weights.tobytes(), Around("F32")), dtype=np.uint8).reshape(4, -1)
    floor = 0.0
    for plane in planes:
        share = np.bincount(plane, minlength=256) / plane.size
        floor -= float(np.sum(share[share > 0] * np.log2(share[share > 0]))) * plane.size / 8
    packed = len(Lossless().pack(weights.tobytes(), Around("F32")).octets)
    assert floor <= packed <= 1.02 * floor


def test_a_frame_that_declares_more_than_the_limit_is_refused_before_it_is_allocated() -> None:
    compressor = zstandard.ZstdCompressor().compressobj(size=2**28)
    zeros = bytes(2**20)
    bomb = b"".join(compressor.compress(zeros) for _ in range(256)) + compressor.flush()
    assert len(bomb) < 20_000
    tracemalloc.start()
    with pytest.raises(ValueError, match="268435456 declared"):
        Zstd().decode(bomb, Around(), 512 * 1024)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000


def test_a_frame_without_content_size_is_refused() -> None:
    frame = zstandard.ZstdCompressor(write_content_size=False).compress(b"weights")
    with pytest.raises(ValueError, match="at most 100 bytes"):
        Zstd().decode(frame, Around(), 100)


def test_bytes_after_a_frame_are_refused() -> None:
    with pytest.raises(ValueError, match="whole zstd frame"):
        Zstd().decode(bytes(Zstd().encode(b"weights", Around())) + b"x", Around(), 100)
