"""A trend gives back every bit, foresees what momentum will do, and refuses predictors that are not its own."""

import io
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.errors import BadRecord
from data.schemas.tensor import ELEMENT_TYPES, Octets
from tasks.codecs.archive import open_archive
from tasks.codecs.delta import Delta
from tasks.codecs.delta_trend import Trend
from tasks.codecs.index import Source
from tasks.codecs.lossless import lossless
from tasks.codecs.protocol import Around
from tasks.codecs.writer import write_archive

FLOATS = ("BF16", "C64", "F16", "F32", "F64")
SETTINGS = settings(max_examples=60, deadline=None, derandomize=True)
EDGES = np.array(
    [0x00000000, 0x80000000, 0x7F800000, 0xFF800000, 0x7FC00001, 0x7F800001, 0x7F7FFFFF, 0x00000001], "<u4"
)


class Weights:
    """A tensor in memory."""

    name, dtype = "layer.weight", "F32"

    def __init__(self, values: npt.NDArray[np.float32]) -> None:
        self.octets, self.shape = values.tobytes(), values.shape

    def pieces(self, piece_bytes: int) -> Iterator[Octets]:
        return (self.octets[start : start + piece_bytes] for start in range(0, len(self.octets), piece_bytes))


def trained(steps: int, count: int, seed: int) -> list[npt.NDArray[np.float32]]:
    """Return weights after each third step with momentum, latest first."""
    rng = np.random.default_rng(seed)
    weights, momentum = rng.standard_normal(count) * 0.02, np.zeros(count)
    found = []
    for _ in range(steps):
        for _ in range(3):
            momentum = 0.9 * momentum + 0.1 * rng.standard_normal(count)
            weights = weights - 2e-5 * momentum
        found.append(weights.astype("<f4"))
    return found[::-1]


def around(versions: list[npt.NDArray[np.float32]]) -> Around:
    """Return what is known beside the first version."""
    octets = [version.tobytes() for version in versions[1:]]
    return Around("F32", octets[0], earlier=tuple(octets[1:]))


@st.composite
def versions(draw: st.DrawFn) -> tuple[str, list[bytes]]:
    """Five chunks of the same length, any bits, of which few differ."""
    dtype = draw(st.sampled_from(FLOATS))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    length = ELEMENT_TYPES[dtype].word_bytes * draw(st.integers(1, 200))
    held = [rng.integers(0, 256, length, dtype=np.uint8)]
    share = draw(st.sampled_from([0.0, 0.02, 0.1, 1.0]))
    for _ in range(4):
        changed = rng.random(length) < share
        held.append(np.where(changed, held[-1] ^ draw(st.sampled_from([1, 3, 255])), held[-1]).astype(np.uint8))
    return dtype, [version.tobytes() for version in held]


@SETTINGS
@given(given_versions=versions(), changes=st.sampled_from([1, 2, 3]))
def test_a_trend_gives_back_every_bit(given_versions: tuple[str, list[bytes]], changes: Literal[1, 2, 3]) -> None:
    dtype, (raw, base, *earlier) = given_versions
    beside = Around(dtype, base, earlier=tuple(earlier))
    codec = Trend(changes=changes)
    with suppress(ValueError):  # it does not shrink
        packed = codec.encode(raw, beside)
        assert len(packed) < len(raw)
        assert codec.decode(packed, beside, len(raw)) == raw


def test_zeros_of_both_signs_infinities_and_nans_come_back_and_are_foreseen_where_they_stay() -> None:
    raw = np.tile(EDGES, 512).tobytes()
    other = np.tile(EDGES[::-1], 512).tobytes()
    for earlier in ((raw, raw), (other, raw), (other, other)):
        beside = Around("F32", raw, earlier=earlier)
        packed = Trend().encode(raw, beside)
        assert Trend().decode(packed, beside, len(raw)) == raw
    assert len(Trend().encode(raw, Around("F32", raw, earlier=(raw, raw)))) < 200


def test_a_steady_change_is_foreseen_to_the_last_bit() -> None:
    base = (np.random.default_rng(1).integers(2**20, 2**21, 4096) / 2**23).astype("<f4")
    held = [base + np.float32(k * 2.0**-20) for k in (3, 2, 1, 0)]
    packed = Trend(changes=1).encode(held[0].tobytes(), around(held))
    assert np.frombuffer(packed, "<i2", count=1)[0] == 4096
    assert len(packed) < 60
    assert len(Delta().encode(held[0].tobytes(), around(held))) > 200


def test_two_changes_tell_more_of_momentum_than_one_and_one_more_than_none() -> None:
    held = trained(12, 32_768, 3)[:4]
    raw, beside = held[0].tobytes(), around(held)
    sizes = [len(codec.encode(raw, beside)) for codec in (Delta(), Trend(changes=1), Trend(changes=2))]
    assert sizes[2] < sizes[1] < 0.97 * sizes[0]


def numbers_of(octets: bytes, dtype: str) -> npt.NDArray[np.float64]:
    """Return a chunk as float64."""
    if dtype == "BF16":
        return (np.frombuffer(octets, "<u2").astype("<u4") << 16).view("<f4").astype("<f8")
    stored = {"F16": "<f2", "F32": "<f4", "C64": "<f4", "F64": "<f8"}[dtype]
    return np.frombuffer(octets, stored).astype("<f8")


@SETTINGS
@given(given_versions=versions(), changes=st.sampled_from([1, 2, 3]))
def test_kernels_foresee_the_bits_that_numpy_does(
    given_versions: tuple[str, list[bytes]], changes: Literal[1, 2, 3]
) -> None:
    """Oracle: the formula of the format's page, an array at a time."""
    dtype, (raw, *held) = given_versions
    weights = np.random.default_rng(len(raw)).integers(-9_000, 9_000, changes).astype("<i2")
    word = f"<u{ELEMENT_TYPES[dtype].word_bytes if dtype != 'C64' else 4}"
    with np.errstate(all="ignore"):
        floats = [numbers_of(each, dtype) for each in held]
        move = np.zeros(len(floats[0]))
        for weight, later, earlier in zip(weights, floats, floats[1:], strict=False):
            move += float(weight) / 4096 * (later - earlier)
        moved = floats[0] + move
        if dtype == "BF16":
            bits = moved.astype("<f4").view("<u4").astype("<u8")
            words = ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype("<u2")
        else:
            words = moved.astype({"<u2": "<f2", "<u4": "<f4", "<u8": "<f8"}[word]).view(word)
        finite = np.isfinite(numbers_of(words.tobytes(), dtype)) & np.isfinite(moved)
    wanted = np.where((move != 0) & finite, words, np.frombuffer(held[0], word)).tobytes()
    nothing = bytes(Delta().encode(wanted, Around(dtype, wanted))) if len(raw) > 400 else None
    if nothing is not None:  # a difference of nothing is what was foreseen
        beside = Around(dtype, held[0], earlier=tuple(held[1:]))
        assert Trend(changes=changes).decode(weights.tobytes() + nothing, beside, len(raw)) == wanted


@pytest.mark.parametrize("changes", [1, 2, 3])
def test_weights_are_those_of_least_squares(changes: Literal[1, 2, 3]) -> None:
    """Oracle: numpy's solver, in floating point, on the same rows."""
    held = trained(12, 8_192, 4)[:5]
    packed = Trend(changes=changes).encode(held[0].tobytes(), around(held))
    f = [each.astype(np.float64) for each in held]
    wanted, rows = f[0] - f[1], np.stack([f[n] - f[n + 1] for n in range(1, 1 + changes)], axis=1)
    scale = 2.0 ** -np.frexp(np.abs(rows).max(axis=1))[1][:, None]
    near = np.abs(wanted * scale[:, 0]) < 32  # a number that hardly moved before says nothing
    expected = np.linalg.lstsq((rows * scale)[near], (wanted * scale[:, 0])[near], rcond=None)[0]
    assert np.frombuffer(packed, "<i2", count=changes) / 4096 == pytest.approx(expected, abs=0.002)


def test_changes_that_repeat_one_another_leave_the_earlier_without_weight() -> None:
    """Their least squares have no single answer."""
    base = (np.random.default_rng(1).integers(2**20, 2**21, 4096) / 2**23).astype("<f4")
    held = [base + np.float32(k * 2.0**-20) for k in (4, 3, 2, 1, 0)]
    packed = Trend(changes=3).encode(held[0].tobytes(), around(held))
    assert np.frombuffer(packed, "<i2", count=3).tolist() == [4096, 0, 0]


@pytest.mark.parametrize("edge", [np.inf, np.nan, 3e38, 1e-45])
@pytest.mark.parametrize("place", range(5))
def test_a_number_that_runs_off_counts_for_nothing(edge: float, place: int) -> None:
    held = trained(12, 8_192, 4)[:5]
    calm = [np.delete(each, 7) for each in held]
    for each in held:
        each[7] = 0.5
    held[place][7] = edge
    found = [
        np.frombuffer(Trend(changes=3).encode(each[0].tobytes(), around(each)), "<i2", count=3) for each in (held, calm)
    ]
    assert np.abs(found[0].astype(int) - found[1]).max() <= 8


@pytest.mark.parametrize("earlier", [(), (b"12345678",), (b"12345678", b"1234"), (b"", b"12345678")])
def test_earlier_chunks_that_are_missing_or_of_another_length_are_refused(earlier: tuple[bytes, ...]) -> None:
    beside = Around("F32", b"12345678", earlier=earlier)
    with pytest.raises(ValueError, match="expected 3 chunks of 8 bytes"):
        Trend().encode(b"12345678", beside)
    with pytest.raises(ValueError, match="expected 3 chunks of 8 bytes"):
        Trend().decode(b"12345678", beside, 8)


def test_whole_numbers_have_no_trend() -> None:
    with pytest.raises(ValueError, match="found I32"):
        Trend().encode(b"1234", Around("I32", b"1234", earlier=(b"1234", b"1234")))


def test_nothing_is_nothing() -> None:
    beside = Around("F32", b"", earlier=(b"", b""))
    assert len(Trend().encode(b"", beside)) == 0
    assert len(Trend().decode(b"", beside, 0)) == 0
    with pytest.raises(ValueError, match="expected a difference"):
        Trend().decode(b"1", beside, 0)


def test_a_base_above_the_limit_is_refused() -> None:
    held = [np.full(100, value, "<f4") for value in (0.4, 0.3, 0.2, 0.1)]
    packed = Trend().encode(held[0].tobytes(), around(held))
    with pytest.raises(ValueError, match="at most 399 bytes, found 400"):
        Trend().decode(packed, around(held), 399)


def test_a_cut_trend_is_refused_wherever_it_was_cut() -> None:
    held = trained(8, 200, 1)
    packed = bytes(Trend().encode(held[0].tobytes(), around(held)))
    for length in range(len(packed)):
        with pytest.raises(ValueError, match="expected"):
            Trend().decode(packed[:length], around(held), 800)


def test_changed_bytes_decode_to_a_chunk_as_long_or_are_refused() -> None:
    rng = np.random.default_rng(5)
    held = trained(8, 300, 1)
    packed = bytes(Trend().encode(held[0].tobytes(), around(held)))
    refused = 0
    for _ in range(1_000):
        changed = bytearray(packed)
        for _ in range(rng.integers(1, 4)):
            changed[rng.integers(len(changed))] = rng.integers(256)
        try:
            assert len(Trend().decode(bytes(changed), around(held), 1200)) == 1200
        except ValueError:
            refused += 1
    assert refused > 500


@pytest.mark.parametrize("swapped", [(1, 0, 2), (0, 2, 1)])
def test_other_versions_of_the_chunk_decode_to_another(swapped: tuple[int, ...]) -> None:
    """Which an archive notices: the hash of the decoded chunk is in its index."""
    held = trained(8, 300, 1)[:4]
    packed = Trend().encode(held[0].tobytes(), around(held))
    others = around([held[0], *(held[1 + place] for place in swapped)])
    with suppress(ValueError):
        assert Trend().decode(packed, others, 1200) != held[0].tobytes()


def write_chain(folder: Path, held: list[npt.NDArray[np.float32]]) -> list[Path]:
    """Write an archive of each version, the last one first, each a difference to the one before."""
    paths: list[Path] = []
    for number, values in enumerate(reversed(held)):
        file = io.BytesIO()
        if paths:
            with open_archive(paths[-1]) as base:
                write_archive(file, Source("arrays", "0" * 64, 0), b"", [Weights(values)], policy=lossless(), base=base)
        else:
            write_archive(file, Source("arrays", "0" * 64, 0), b"", [Weights(values)])
        paths.append(folder / f"{number}.qfz")
        paths[-1].write_bytes(file.getvalue())
    return paths


def test_a_chain_of_archives_uses_as_many_changes_as_it_has_and_comes_back(tmp_path: Path) -> None:
    held = trained(12, 40_000, 6)[:6]
    paths = write_chain(tmp_path, held)
    kinds = []
    for path, values in zip(paths, reversed(held), strict=True):
        with open_archive(path) as archive:
            stored = archive.tensor("layer.weight")
            assert archive.read(stored) == values.tobytes()
            assert archive.read(stored, 1_000, 1_010) == values[1_000:1_010].tobytes()
            kinds.append([(operation.kind, getattr(operation, "changes", 0)) for operation in archive.index.chains[0]])
            depth = len(archive.history(stored, 0))
        assert depth == min(4, len(kinds))
    assert kinds[1:4] == [[("delta", 0)], [("delta_trend", 1)], [("delta_trend", 2)]]


def test_three_changes_are_used_where_the_third_tells_most(tmp_path: Path) -> None:
    rng = np.random.default_rng(9)
    moves = [rng.standard_normal(20_000) * 1e-5 for _ in range(3)]
    weights = [rng.standard_normal(20_000) * 0.02]
    for _ in range(6):
        weights.append(weights[-1] + moves[0])
        moves = [*moves[1:], 0.9 * moves[0] + 1e-6 * rng.standard_normal(20_000)]
    held = [each.astype("<f4") for each in reversed(weights)]
    with open_archive(write_chain(tmp_path, held)[-1]) as archive:
        stored = archive.tensor("layer.weight")
        assert archive.index.chains[stored.chains[0]] == (Trend(changes=3),)
        assert archive.read(stored) == held[0].tobytes()
        depth = len(archive.history(stored, 0))
    assert depth == 4


def test_each_chunk_of_a_chain_is_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of the four that predict the next would otherwise be made from four more."""
    paths = write_chain(tmp_path, trained(16, 2_000, 7)[:12])
    decoded = 0
    decode = Delta.decode_into

    def counted(codec: Delta, packed: Octets, around: Around, out: memoryview) -> None:
        nonlocal decoded
        decoded += 1
        decode(codec, packed, around, out)

    monkeypatch.setattr(Delta, "decode_into", counted)
    with open_archive(paths[-1]) as archive:
        archive.read(archive.tensor("layer.weight"))
    assert decoded == len(paths) - 1


def test_a_damaged_archive_far_below_is_named(tmp_path: Path) -> None:
    paths = write_chain(tmp_path, trained(12, 2_000, 8)[:5])
    octets = bytearray(paths[1].read_bytes())
    octets[200] ^= 1
    paths[1].write_bytes(octets)
    with open_archive(paths[-1]) as archive, pytest.raises(BadRecord, match=r"1\.qfz: layer\.weight, chunk 0"):
        archive.read(archive.tensor("layer.weight"))


def test_the_bytes_of_a_trend_stay_what_they_are() -> None:
    """Golden: other bytes would be a new version of the codec."""
    base = np.array([1.0, 0.5, -2.0, 0.25] * 8, "<f4")
    held = [base * np.float32(scale) for scale in (1.125, 1.0625, 1.0, 1.0)]
    held[0][3] = np.nextafter(held[0][3], np.float32(1))
    packed = Trend().encode(held[0].tobytes(), around(held))
    assert bytes(packed).hex() == "0010000008000000ff1f01ff1f01ff1f01801c0000800440800000408000004080000000ee0900"
