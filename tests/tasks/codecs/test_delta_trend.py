"""A trend gives back every bit, foresees what momentum will do, and refuses predictors that are not its own."""

import io
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

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
    """Four chunks of the same length, any bits, of which few differ."""
    dtype = draw(st.sampled_from(FLOATS))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    length = ELEMENT_TYPES[dtype].word_bytes * draw(st.integers(1, 200))
    held = [rng.integers(0, 256, length, dtype=np.uint8)]
    share = draw(st.sampled_from([0.0, 0.02, 0.1, 1.0]))
    for _ in range(3):
        changed = rng.random(length) < share
        held.append(np.where(changed, held[-1] ^ draw(st.sampled_from([1, 3, 255])), held[-1]).astype(np.uint8))
    return dtype, [version.tobytes() for version in held]


@SETTINGS
@given(given_versions=versions(), changes=st.sampled_from([1, 2]))
def test_a_trend_gives_back_every_bit(given_versions: tuple[str, list[bytes]], changes: int) -> None:
    dtype, (raw, base, *earlier) = given_versions
    beside = Around(dtype, base, earlier=tuple(earlier))
    codec = Trend(changes=1) if changes == 1 else Trend()
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


def test_weights_are_those_of_least_squares() -> None:
    """Oracle: numpy's solver, in floating point, on the same rows."""
    held = trained(12, 8_192, 4)[:4]
    packed = Trend().encode(held[0].tobytes(), around(held))
    f = [each.astype(np.float64) for each in held]
    wanted, rows = f[0] - f[1], np.stack([f[1] - f[2], f[2] - f[3]], axis=1)
    scale = 2.0 ** -np.frexp(np.abs(rows).max(axis=1))[1][:, None]
    near = np.abs(wanted * scale[:, 0]) < 32  # a number that hardly moved before says nothing
    expected = np.linalg.lstsq((rows * scale)[near], (wanted * scale[:, 0])[near], rcond=None)[0]
    assert np.frombuffer(packed, "<i2", count=2) / 4096 == pytest.approx(expected, abs=0.002)


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
        assert depth == min(3, len(kinds))
    assert kinds[1:] == [[("delta", 0)], [("delta_trend", 1)], *[[("delta_trend", 2)]] * 3]


def test_each_chunk_of_a_chain_is_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of the three that predict the next would otherwise be made from three more."""
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
