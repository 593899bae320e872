"""Coded cores keep the error, come back as they were, and no bytes whatever do harm."""

from contextlib import suppress

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.codecs.networks import layout
from tasks.codecs.networks.canonical import RankTooHigh
from tasks.codecs.networks.coder import LARGEST, SMALLEST, Reader, Writer, classes_of
from tasks.codecs.networks.fit import fit
from tasks.codecs.networks.form import Kind, NetworkForm, decompose, parameters, reconstruct
from tasks.codecs.networks.named_forms import fixed_forms, natural
from tasks.codecs.networks.quantised import QuantisedNetwork, estimated_bytes, from_bytes, quantise, to_bytes

SETTINGS = settings(max_examples=20, deadline=None, derandomize=True)
KINDS: tuple[Kind, ...] = ("tt", "tucker", "cp")
GOLDEN = "00e76e022bdb8395cdc561eb00000000697a2b002c2501d47cdf75371e6be41396c77679f5af41b1403d6ead44619659082a"
SHAPE = (20, 18, 16)


@pytest.fixture(scope="module")
def field() -> npt.NDArray[np.float64]:
    """Return a smooth field that is no short product."""
    x, y, z = np.ogrid[0:1:20j, 0:1:18j, 0:1:16j]
    return np.asarray(np.exp(-((x - y) ** 2) / (0.1 + z)) + 0.1 / (1.0 + x + y + z))


def relative(ours: npt.NDArray[np.float64], theirs: npt.NDArray[np.float64]) -> float:
    return float(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs))


@pytest.mark.parametrize("half_octaves", [-8, 0, 5, 20, 60])
def test_integers_take_about_their_entropy(rng: np.random.Generator, half_octaves: int) -> None:
    values = np.rint(rng.standard_normal(4000) * 2.0 ** (half_octaves / 2)).astype(np.int64)
    classes = classes_of(np.full(4000, half_octaves))
    writer = Writer()
    writer.put(values, classes)
    octets = writer.finish()
    reader = Reader(octets)
    assert np.array_equal(reader.take(classes), values)
    reader.finish()
    if half_octaves >= 5:
        floor = half_octaves / 2 + 0.5 * np.log2(2 * np.pi * np.e)
    else:
        share = np.unique(values, return_counts=True)[1] / 4000
        floor = -float(np.sum(share * np.log2(share)))
    assert len(octets) * 8 / 4000 < floor + 0.09


@SETTINGS
@given(st.lists(st.tuples(st.integers(-LARGEST, LARGEST), st.integers(-30, 130)), max_size=60))
def test_any_integer_of_any_class_comes_back(pairs: list[tuple[int, int]]) -> None:
    values = np.array([value for value, _ in pairs], dtype=np.int64)
    classes = classes_of(np.array([kind for _, kind in pairs], dtype=np.int64))
    writer = Writer()
    writer.put(values, classes)
    octets = writer.finish()
    reader = Reader(octets)
    assert np.array_equal(reader.take(classes), values)
    reader.finish()
    longer = Reader(octets + bytes(20))
    longer.take(classes)
    with pytest.raises(ValueError, match="bytes of coded integers"):
        longer.finish()


def test_integers_that_have_no_code_are_refused() -> None:
    with pytest.raises(ValueError, match="magnitudes of at most"):
        Writer().put(np.array([LARGEST + 1]), np.array([SMALLEST]))
    with pytest.raises(ValueError, match="counts of at least 0"):
        Writer().put(np.array([-1]), np.array([0]))
    with pytest.raises(ValueError, match="end too early"):
        Reader(b"\x01\x02").take(np.full(1000, 60))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("error", [1e-1, 1e-3])
def test_rounded_cores_keep_the_error_and_come_back(
    field: npt.NDArray[np.float64], rng: np.random.Generator, kind: Kind, error: float
) -> None:
    network = decompose(field, natural(kind, SHAPE), error / 2, rng)
    rounded = quantise(network, error / 2)
    assert relative(reconstruct(rounded.network), reconstruct(network)) <= error / 2 * 1.0001
    octets = to_bytes(rounded)
    back = from_bytes(octets, field.size)
    assert back.form == NetworkForm(kind, ((20,), (18,), (16,)), (0, 1, 2), (1, 1, 1))
    assert all(np.array_equal(one, other) for one, other in zip(back.cores, rounded.network.cores, strict=True))
    assert octets == to_bytes(quantise(network, error / 2))
    assert len(octets) < 2.2 * parameters(network)  # 17.6 bits instead of 64, and everything beside them
    assert 0.5 < estimated_bytes(network, error / 2) / len(octets) < 1.5


def test_very_small_errors_are_measured_exactly(field: npt.NDArray[np.float64], rng: np.random.Generator) -> None:
    for kind in ("tt", "tucker"):
        network = decompose(field, natural("tt" if kind == "tt" else "tucker", SHAPE), 1e-9, rng)
        assert relative(reconstruct(quantise(network, 1e-8).network), reconstruct(network)) <= 1.0001e-8


@pytest.mark.parametrize("dtype", ["F16", "BF16", "F32", "F64"])
def test_a_fit_holds_in_the_element_type(field: npt.NDArray[np.float64], rng: np.random.Generator, dtype: str) -> None:
    found = {name: fit(field, form, 0.01, rng, dtype=dtype) for name, form in fixed_forms(SHAPE).items()}
    assert all(0.007 < each.relative_error <= 0.01 for each in found.values())
    assert min(len(each.octets) for each in found.values()) < field.size * 4 / 40


def test_bfloat16_cannot_hold_a_ten_thousandth(field: npt.NDArray[np.float64], rng: np.random.Generator) -> None:
    with pytest.raises(ValueError, match=r"expected 0\.0001 as BF16"):
        fit(field, natural("tt", SHAPE), 1e-4, rng, dtype="BF16")


def test_a_fit_that_is_not_worth_it_is_given_up(rng: np.random.Generator) -> None:
    with pytest.raises(RankTooHigh, match="expected at most 100 bytes"):
        fit(rng.standard_normal((16, 16)), natural("tt", (16, 16)), 0.01, rng, worth_bytes=(100, 200))


@pytest.mark.parametrize("kind", KINDS)
def test_zeros_take_a_few_bytes(rng: np.random.Generator, kind: Kind) -> None:
    network = decompose(np.zeros((8, 8)), natural(kind, (8, 8)), 0.1, rng)
    octets = to_bytes(quantise(network, 0.1))
    assert len(octets) < 30
    assert not reconstruct(from_bytes(octets, 64)).any()


@pytest.fixture(scope="module")
def written(field: npt.NDArray[np.float64]) -> list[bytes]:
    rng = np.random.default_rng(4)
    forms = [natural(kind, SHAPE) for kind in KINDS]
    return [to_bytes(quantise(decompose(field, form, 0.1, rng), 0.1)) for form in forms]


def test_no_bytes_do_harm(written: list[bytes]) -> None:
    """Bits flipped, cut, or never written: a network of the declared size, or a ValueError."""
    rng = np.random.default_rng(1)
    for octets in written:
        for trial in range(250):
            changed = bytearray(octets)
            if trial % 3 == 0:
                changed = changed[: int(rng.integers(0, len(octets)))]
            elif trial % 3 == 1:
                changed[int(rng.integers(0, len(octets)))] ^= 1 << int(rng.integers(0, 8))
            else:
                changed = bytearray(rng.bytes(int(rng.integers(0, 80))))
            with suppress(ValueError):
                network = from_bytes(bytes(changed), 20 * 18 * 16)
                assert np.prod(network.shape) == 20 * 18 * 16
                assert parameters(network) <= 2 * 20 * 18 * 16 + 4096


def test_a_network_of_another_size_is_refused(written: list[bytes]) -> None:
    with pytest.raises(ValueError, match="expected 5000 elements, found 5760"):
        from_bytes(written[0], 5000)


def test_more_parameters_than_pay_are_refused_before_they_are_decoded() -> None:
    """A sum of far too many terms that are all zero would be a bomb of a few bytes."""
    writer = Writer()
    form = natural("cp", (64, 64))
    layout.put(writer, form, [(64, 10**9), (64, 10**9)], 1.0, 100)
    with pytest.raises(ValueError, match="parameters: expected at most 12288"):
        from_bytes(writer.finish(), 4096)
    writer = Writer()
    layout.put(writer, natural("tt", (4, 4)), [(1, 4, 5), (5, 4, 1)], 1.0, 100)
    with pytest.raises(ValueError, match="rank: expected at most 4, found 5"):
        from_bytes(writer.finish(), 16)


def test_the_bytes_of_a_network_do_not_change() -> None:
    """A decoder of version 1 has to read these for ever."""
    form = NetworkForm("qtt", ((2, 2), (3,)), (2, 0, 1), (1, 2))
    sizes = (np.array([0, 5, 9]),)
    cores = (np.arange(-4, 5).reshape(1, 3, 3), np.arange(-60, 60, 10).reshape(3, 4, 1))
    octets = to_bytes(QuantisedNetwork(form, 3.25, 70, sizes, cores))
    assert octets.hex() == GOLDEN
    back = from_bytes(octets, 12)
    assert back.form == form
    np.testing.assert_allclose(back.cores[1].ravel(), cores[1].ravel() * 3.25 * 2 ** (-70 / 16), rtol=1e-15)
    assert np.array_equal(back.cores[0][0, :, 0], cores[0][0, :, 0] * 2 ** (-70 / 16))
