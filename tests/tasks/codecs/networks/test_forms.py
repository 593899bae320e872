"""Every kind of network keeps the error that it was given, over every form, and has the ranks that theory says."""

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.codecs.networks import trains, tucker
from tasks.codecs.networks.canonical import RankTooHigh
from tasks.codecs.networks.form import Kind, NetworkForm, arrange, decompose, parameters, reconstruct
from tasks.codecs.networks.named_forms import fixed_forms, interleaved, natural, sequential
from tasks.codecs.networks.rebuild import tensor_octets

Array = npt.NDArray[np.float64]
KINDS: tuple[Kind, ...] = ("tucker", "tt", "qtt", "cp")
SETTINGS = settings(max_examples=25, deadline=None, derandomize=True)


def hilbert(*shape: int) -> Array:
    return np.asarray(1.0 / (1.0 + sum(np.ogrid[tuple(slice(0, length) for length in shape)])), dtype=np.float64)


def relative(ours: Array, theirs: Array) -> float:
    return float(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs))


@st.composite
def forms(draw: st.DrawFn) -> NetworkForm:
    splits = draw(
        st.lists(st.lists(st.integers(1, 3), min_size=1, max_size=2).map(tuple), min_size=1, max_size=3).map(tuple)
    )
    count = sum(map(len, splits))
    order = draw(st.permutations(range(count)))
    cuts = sorted(draw(st.sets(st.integers(1, count - 1), max_size=count))) if count > 1 else []
    groups = tuple(np.diff([0, *cuts, count]).tolist())
    return NetworkForm(draw(st.sampled_from(KINDS[:3])), splits, tuple(order), groups)


@SETTINGS
@given(form=forms(), seed=st.integers(0, 1000), error=st.sampled_from([1e-9, 1e-3, 0.3, 0.9]))
def test_the_measured_error_is_within_the_bound(form: NetworkForm, seed: int, error: float) -> None:
    rng = np.random.default_rng(seed)
    tensor = rng.standard_normal(form.shape)
    network = decompose(tensor, form, error, rng)
    assert relative(reconstruct(network), tensor) <= error * (1 + 1e-9)
    length = 0 if form.kind == "tucker" else 1
    assert tuple(core.shape[length] for core in network.cores[: len(form.modes)]) == form.modes


@SETTINGS
@given(form=forms(), seed=st.integers(0, 1000))
def test_blocks_of_a_network_are_its_tensor(form: NetworkForm, seed: int) -> None:
    rng = np.random.default_rng(seed)
    network = decompose(rng.standard_normal(form.shape), form, 1e-3, rng)
    back = tensor_octets(network, "F64").view(np.float64).reshape(form.shape)
    np.testing.assert_allclose(back, reconstruct(network), rtol=0, atol=1e-12)


def test_arranging_is_what_the_page_says() -> None:
    tensor = np.arange(24.0).reshape(4, 6)
    form = NetworkForm("tt", ((2, 2), (2, 3)), (0, 2, 1, 3), (2, 2))
    assert np.array_equal(arrange(tensor, form), tensor.reshape(2, 2, 2, 3).transpose(0, 2, 1, 3).reshape(4, 6))


def test_ranks_are_those_of_the_tensor_that_was_made_of_them(rng: np.random.Generator) -> None:
    train = (rng.standard_normal((1, 6, 3)), rng.standard_normal((3, 7, 4)), rng.standard_normal((4, 5, 1)))
    tensor = trains.reconstruct(train)
    found = decompose(tensor, natural("tt", tensor.shape), 1e-8, rng)
    assert [core.shape for core in found.cores] == [(1, 6, 3), (3, 7, 4), (4, 5, 1)]
    terms = np.einsum("ir,jr,kr->ijk", *(rng.standard_normal((6, 2)) for _ in range(3)))
    assert parameters(decompose(terms, natural("cp", (6, 6, 6)), 1e-4, rng)) <= 3 * 6 * 3
    core, factors = rng.standard_normal((2, 3, 2)), [np.linalg.qr(rng.standard_normal((9, r)))[0] for r in (2, 3, 2)]
    small = decompose(tucker.reconstruct((*factors, core)), natural("tucker", (9, 9, 9)), 1e-8, rng)
    assert small.cores[-1].shape == (2, 3, 2)


def test_the_truncation_error_of_a_matrix_is_the_tail_of_its_singular_values(rng: np.random.Generator) -> None:
    """Eckart and Young 1936: no other network of that rank is nearer."""
    matrix = rng.standard_normal((30, 20))
    values = np.linalg.svd(matrix, compute_uv=False)
    tails = np.sqrt(np.cumsum(values[::-1] ** 2)[::-1]) / np.linalg.norm(matrix)
    for kind in ("tt", "tucker"):
        budget = () if kind == "tt" else (1.0, 0.0)
        form = NetworkForm("tt" if kind == "tt" else "tucker", ((30,), (20,)), (0, 1), (1, 1), budget)
        network = decompose(matrix, form, float(tails[7]) * (1 + 1e-9), rng)
        assert network.cores[0].shape[-1] == 7
        assert relative(reconstruct(network), matrix) == pytest.approx(tails[7])


def test_a_budget_moves_the_error_to_the_bond_that_has_it(rng: np.random.Generator) -> None:
    tensor = rng.standard_normal((8, 8, 8))
    ranks = {}
    for budget in ((0.99, 0.01), (0.01, 0.99)):
        form = NetworkForm("tt", ((8,), (8,), (8,)), (0, 1, 2), (1, 1, 1), budget)
        network = decompose(tensor, form, 0.5, rng)
        assert relative(reconstruct(network), tensor) <= 0.5
        ranks[budget] = network.cores[0].shape[2]
    assert ranks[0.99, 0.01] < ranks[0.01, 0.99] == 8


def test_a_shortened_train_is_as_near_as_it_says(rng: np.random.Generator) -> None:
    tensor = hilbert(12, 10, 8) + 0.01 * rng.standard_normal((12, 10, 8))
    train = trains.decompose(tensor, (0.5, 0.5), 1e-12)
    squares = float(np.vdot(tensor, tensor))
    short = trains.shortened(train, (0.5, 0.5), 1e-2 * squares)
    assert relative(trains.reconstruct(short), tensor) <= 0.1001
    assert sum(core.size for core in short) < sum(core.size for core in train)


def test_levels_in_turn_or_interleaved_make_hilberts_tensor_far_smaller(rng: np.random.Generator) -> None:
    tensor = hilbert(32, 32, 16)
    sizes = {name: parameters(decompose(tensor, form, 1e-3, rng)) for name, form in fixed_forms(tensor.shape).items()}
    assert sizes["qtt"] < sizes["hosvd"] < sizes["tt"]


def test_random_weights_gain_nothing(rng: np.random.Generator) -> None:
    """What the module says of trained weights, on their white-noise model."""
    weights = rng.standard_normal((96, 96))
    for form in fixed_forms(weights.shape).values():
        assert parameters(decompose(weights, form, 0.1, rng)) > 0.9 * weights.size


def test_named_forms_are_of_the_shape() -> None:
    for shape in ((12, 8, 5), (7,), (2, 2), (64, 48)):
        for form in fixed_forms(shape).values():
            assert form.shape == shape
    assert interleaved((17, 4)) is None
    assert sequential((34,)) is None
    fine, coarse = interleaved((4, 2), from_fine=True), interleaved((4, 2))
    assert fine is not None
    assert coarse is not None
    assert (fine.permutation, fine.groups) == ((0, 1, 2), (1, 2))
    assert (coarse.permutation, coarse.groups) == ((0, 2, 1), (2, 1))


def test_zeros_are_a_network_of_rank_one(rng: np.random.Generator) -> None:
    for kind in KINDS:
        network = decompose(np.zeros((4, 6)), natural(kind, (4, 6)), 0.1, rng)
        assert not reconstruct(network).any()
        assert math.prod(network.cores[0].shape) <= 6


def test_noise_is_no_short_sum(rng: np.random.Generator) -> None:
    with pytest.raises(RankTooHigh, match=r"expected an error of 0\.01"):
        decompose(rng.standard_normal((5, 5, 5)), natural("cp", (5, 5, 5)), 0.01, rng)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "mera"}, "kind: expected cp"),
        ({"splits": ()}, "splits: expected factors"),
        ({"splits": ((4, 0), (6,))}, "splits: expected factors"),
        ({"permutation": (0, 0, 1)}, "permutation: expected each of 3"),
        ({"groups": (1, 1)}, "groups: expected runs"),
        ({"groups": (3, 0)}, "groups: expected runs"),
        ({"budget": (0.5, 0.6)}, "budget: expected 2 shares"),
        ({"budget": (1.0,)}, "budget: expected 2 shares"),
    ],
)
def test_a_form_that_is_none_is_refused(change: dict[str, object], message: str) -> None:
    given = {"kind": "tt", "splits": ((2, 2), (6,)), "permutation": (0, 1, 2), "groups": (1, 1, 1)} | change
    with pytest.raises(ValueError, match=message):
        NetworkForm(**given)  # type: ignore[arg-type]


@pytest.mark.parametrize("error", [0.0, 1.0, 1e-13, math.nan])
def test_an_error_out_of_range_is_refused(rng: np.random.Generator, error: float) -> None:
    with pytest.raises(ValueError, match="relative_error: expected"):
        decompose(np.ones((2, 2)), natural("tt", (2, 2)), error, rng)


def test_tensors_of_another_shape_or_without_end_are_refused(rng: np.random.Generator) -> None:
    with pytest.raises(ValueError, match="expected the shape"):
        decompose(np.ones((2, 3)), natural("tt", (3, 2)), 0.1, rng)
    with pytest.raises(ValueError, match="expected finite"):
        decompose(np.array([[1.0, np.inf]]), natural("tt", (1, 2)), 0.1, rng)
