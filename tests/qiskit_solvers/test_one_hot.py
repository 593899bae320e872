"""One-hot groups: strings, tables, moments, penalties and repair, against lists of all strings."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from qiskit_solvers import Ising, energies, strings_of
from qiskit_solvers.one_hot import (
    Factor,
    centred,
    choices_from_strings,
    factors,
    feasible,
    moments,
    penalised,
    repaired,
    safe_weights,
    strings_from_choices,
    tables,
)


@st.composite
def grouped_models(draw: st.DrawFn, most: int = 9) -> Ising:
    """Models of 0 to ``most`` spins: groups cover all, some or none of them; couplings dense, sparse or zero."""
    spins = draw(st.integers(0, most))
    order = draw(st.permutations(range(spins)))
    sizes: list[int] = []
    while sum(sizes) < spins and draw(st.booleans()):
        sizes.append(draw(st.integers(1, min(5, spins - sum(sizes)))))
    ends = np.cumsum([0, *sizes])
    groups = tuple(tuple(order[a:b]) for a, b in itertools.pairwise(ends))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    size = draw(st.sampled_from([1.0, 1e12, 1e-200, 1e150]))
    J = np.triu(rng.normal(size=(spins, spins)) * (rng.random((spins, spins)) < draw(st.sampled_from([0, 0.4, 1]))), 1)
    h = rng.normal(size=spins) * draw(st.sampled_from([0, 1]))
    thin = draw(st.booleans()) and spins > 0
    return Ising(size * h, sparse.csr_array(size * J) if thin else size * J, size * rng.normal(), groups)


def scale_of(ising: Ising) -> float:
    """The sum of all coefficients: what rounding is measured against."""
    return float(abs(ising.offset) + np.abs(ising.h).sum() + np.abs(ising.couplings).sum())


def all_choices(ising: Ising) -> np.ndarray:
    """Every combination of levels, by counting."""
    levels = [range(factor.levels) for factor in factors(ising)]
    return np.array(list(itertools.product(*levels)), dtype=np.int64)


def feasible_strings(ising: Ising) -> np.ndarray:
    """All strings with one -1 per group, by looking at all strings."""
    strings = strings_of(np.arange(2**ising.spins), ising.spins)
    good = [all(sum(int(string[i]) == -1 for i in group) == 1 for group in ising.groups) for string in strings]
    return strings[np.array(good, dtype=bool)]


def test_factors_are_the_groups_then_the_free_spins():
    ising = Ising(np.zeros(6), np.zeros((6, 6)), groups=((4, 1), (3,)))
    assert factors(ising) == (
        Factor((4, 1), 2, False),
        Factor((3,), 1, False),
        Factor((0,), 2, True),
        Factor((2,), 2, True),
        Factor((5,), 2, True),
    )


def test_a_level_says_which_spin_is_minus_one():
    ising = Ising(np.zeros(4), np.zeros((4, 4)), groups=((3, 0, 2),))
    assert strings_from_choices(ising, [[0, 0], [1, 0], [2, 1]]).tolist() == [
        [1, 1, 1, -1],
        [-1, 1, 1, 1],
        [1, -1, -1, 1],
    ]


@settings(max_examples=60, deadline=None)
@given(grouped_models())
def test_the_choices_are_exactly_the_feasible_strings(ising: Ising):
    choices = all_choices(ising)
    strings = strings_from_choices(ising, choices)
    assert strings.dtype == np.int8
    assert {row.tobytes() for row in strings} == {row.tobytes() for row in feasible_strings(ising)}
    np.testing.assert_array_equal(choices_from_strings(ising, strings), choices)
    everything = strings_of(np.arange(2**ising.spins), ising.spins)
    assert {row.tobytes() for row in everything[feasible(ising, everything)]} == {row.tobytes() for row in strings}


@settings(max_examples=60, deadline=None)
@given(grouped_models())
def test_the_tables_add_up_to_the_energy(ising: Ising):
    table, choices = tables(ising), all_choices(ising)
    cost = np.full(len(choices), table.constant)
    for g in range(choices.shape[1]):
        cost += table.single(g)[choices[:, g]]
        for later in range(g + 1, choices.shape[1]):
            cost += table.pair(g, later)[choices[:, g], choices[:, later]]
    exact = energies(ising, strings_from_choices(ising, choices))
    np.testing.assert_allclose(cost, exact, atol=1e-13 * scale_of(ising))
    assert table.pairs.shape == (table.starts[-1],) * 2


@settings(max_examples=60, deadline=None)
@given(grouped_models())
def test_moments_are_those_of_all_feasible_strings(ising: Ising):
    energy = energies(ising, feasible_strings(ising)) / scale_of(ising)
    mean, deviation = moments(ising)
    assert mean / scale_of(ising) == pytest.approx(energy.mean(), abs=1e-13)
    assert deviation / scale_of(ising) == pytest.approx(energy.std(), abs=1e-13)


@settings(max_examples=60, deadline=None)
@given(grouped_models())
def test_a_centred_model_has_the_same_energies_and_nothing_shared(ising: Ising):
    model, strings = centred(ising), feasible_strings(ising)
    tiny = 1e-13 * scale_of(ising)
    np.testing.assert_allclose(energies(model, strings), energies(ising, strings), atol=tiny)
    coupled = model.couplings + model.couplings.T
    for group in ising.groups:
        assert abs(model.h[list(group)].sum()) <= tiny
        assert np.abs(coupled[list(group)].sum(axis=0)).max() <= tiny
        assert not coupled[np.ix_(group, group)].any()
    assert sparse.issparse(model.J) == sparse.issparse(ising.J)


def test_a_penalty_that_all_strings_share_leaves_no_spread():
    """Rounding of large equal terms must not pass for a deviation that a schedule is then scaled by."""
    for penalty in (0.1, 1e12 / 3.0):
        J = np.zeros((7, 7))
        J[:3, :3] = J[3:, 3:] = penalty
        ising = Ising(np.full(7, 0.7 * penalty), np.triu(J, 1), -penalty, groups=((0, 1, 2), (3, 4, 5, 6)))
        assert moments(ising)[1] == 0.0


def test_integer_models_keep_their_ties():
    rng = np.random.default_rng(3)
    J = np.triu(rng.integers(-3, 4, size=(9, 9)).astype(float), 1)
    table = tables(Ising(rng.integers(-3, 4, size=9).astype(float), J, 2.0, ((0, 1, 2), (3, 4, 5), (6, 7, 8))))
    for values in (table.singles, table.pairs, np.array([table.constant])):
        assert np.array_equal(values, np.round(values))


@pytest.mark.parametrize(("spins", "group"), [(24, 3), (400, 2)])
def test_sparse_and_dense_couplings_give_the_same(spins: int, group: int):
    """Both ways of taking means over groups, for few and for many."""
    rng = np.random.default_rng(spins)
    J = np.triu(rng.normal(size=(spins, spins)) * (rng.random((spins, spins)) < 0.1), 1)
    groups = tuple(tuple(range(first, first + group)) for first in range(0, spins, group))
    dense, thin = (Ising(np.arange(1.0, spins + 1), form, 1.0, groups) for form in (J, sparse.csr_array(J)))
    assert moments(dense) == pytest.approx(moments(thin), rel=1e-12)
    np.testing.assert_allclose(centred(dense).couplings, centred(thin).couplings, atol=1e-12)
    np.testing.assert_array_equal(tables(dense).pairs, tables(thin).pairs)
    np.testing.assert_allclose(safe_weights(dense), safe_weights(thin), rtol=1e-12)
    strings = rng.choice(np.array([-1, 1], dtype=np.int8), size=(20, spins))
    np.testing.assert_array_equal(repaired(dense, strings), repaired(thin, strings))


def test_every_kind_of_sparse_matrix_has_the_same_moments():
    """For a scipy matrix, unlike an array, ``**`` is a power of the matrix; and entries may stand there twice."""
    twice = sparse.coo_array(([1.0, 2.0, 4.0], ([0, 0, 1], [1, 1, 2])), shape=(3, 3))
    for J in (twice, sparse.csr_matrix(twice), sparse.csc_array(twice)):
        assert moments(Ising(np.zeros(3), J))[1] == pytest.approx(5.0)
        assert moments(Ising(np.zeros(3), J, groups=((2,),)))[1] == pytest.approx(5.0)


def test_moments_of_a_large_sparse_model_need_no_dense_matrix():
    spins = 30_000  # 7 GB if it were dense
    rows = np.arange(spins - 1)
    J = sparse.csr_array((np.full(spins - 1, 3.0), (rows, rows + 1)), shape=(spins, spins))
    free = Ising(np.full(spins, 4.0), J, 7.0)
    assert moments(free) == (7.0, pytest.approx(np.sqrt(16.0 * spins + 9.0 * (spins - 1))))
    pairs = tuple((i, i + 1) for i in range(0, spins, 2))  # s, -s: pair fields cancel, each pair is one free spin
    mean, deviation = moments(Ising(np.full(spins, 4.0), J, 7.0, pairs))
    assert mean == pytest.approx(7.0 - 3.0 * spins / 2)
    assert deviation == pytest.approx(3.0 * np.sqrt(spins / 2 - 1))


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ([[0, 0, 0]], r"expected shape \(strings, 2\), got \(1, 3\)"),
        ([[0, 0], [3, 0]], "expected levels 0 to 2 of factor 0, got 3"),
        ([[0, -1]], "expected levels 0 to 1 of factor 1, got -1"),
    ],
)
def test_choices_that_are_not_levels_are_refused(choices: list[list[int]], message: str):
    with pytest.raises(ValueError, match=message):
        strings_from_choices(Ising(np.zeros(4), np.zeros((4, 4)), groups=((3, 0, 2),)), choices)


def test_strings_that_are_not_feasible_have_no_choices():
    ising = Ising(np.zeros(3), np.zeros((3, 3)), groups=((0, 1),))
    with pytest.raises(ValueError, match="string 1 has not"):
        choices_from_strings(ising, np.array([[1, -1, 1], [-1, -1, 1]], dtype=np.int8))
    with pytest.raises(ValueError, match=r"expected shape \(strings, 3\), got \(1, 2\)"):
        feasible(ising, np.ones((1, 2), dtype=np.int8))


@settings(max_examples=60, deadline=None)
@given(grouped_models(), st.integers(0, 2**32 - 1))
def test_repair_takes_a_nearest_feasible_string_not_above_their_mean(ising: Ising, seed: int):
    strings = np.random.default_rng(seed).choice(np.array([-1, 1], dtype=np.int8), size=(5, ising.spins))
    mended, allowed = repaired(ising, strings), feasible_strings(ising)
    assert mended.dtype == np.int8
    assert feasible(ising, mended).all()
    for string, result in zip(strings, mended, strict=True):
        distances = (allowed != string).sum(axis=1)
        assert (result != string).sum() == distances.min()
        mean = energies(ising, allowed[distances == distances.min()]).mean()
        assert energies(ising, result)[0] <= mean + 1e-13 * scale_of(ising)


def test_repair_keeps_the_better_of_two_choices_and_finds_one_where_there_is_none():
    ising = Ising(np.array([1.0, 2.0, 0.0, 3.0, 4.0]), np.zeros((5, 5)), groups=((0, 1), (2, 3, 4)))
    strings = np.array([[-1, -1, -1, -1, 1], [1, 1, 1, 1, 1], [-1, 1, -1, 1, 1]], dtype=np.int8)
    assert repaired(ising, strings).tolist() == [[1, -1, 1, -1, 1], [1, -1, 1, 1, -1], [-1, 1, -1, 1, 1]]


@settings(max_examples=80, deadline=None)
@given(grouped_models())
def test_under_a_safe_penalty_exactly_the_feasible_optima_are_lowest(ising: Ising):
    ising = replace(ising, offset=0.0)  # which could drown all else
    model, scale = penalised(ising), scale_of(ising)
    strings = strings_of(np.arange(2**ising.spins), ising.spins)
    energy, good = energies(model, strings), feasible(ising, strings)
    size = scale_of(model)
    np.testing.assert_allclose(energy[good], energies(ising, strings[good]), atol=1e-13 * size)
    if not good.all():
        assert energy[~good].min() > energy[good].min() + 1e-3 * scale / max(1, ising.spins) ** 2
    assert not model.groups
    assert sparse.issparse(model.J) == sparse.issparse(ising.J)


@settings(max_examples=40, deadline=None)
@given(grouped_models(), st.floats(0.1, 10.0))
def test_a_penalty_is_the_squared_miscount(ising: Ising, share: float):
    weight = share * scale_of(ising)
    strings = strings_of(np.arange(2**ising.spins), ising.spins)
    miscounts = sum(((strings[:, group] < 0).sum(axis=1) - 1) ** 2 for group in ising.groups)
    model = penalised(ising, weight)
    expected = energies(ising, strings) + weight * np.asarray(miscounts)
    np.testing.assert_allclose(energies(model, strings), expected, atol=1e-13 * scale_of(model))


def test_a_safe_weight_is_not_far_above_what_is_needed():
    """One group, no couplings: taking two members is worth 2, so a weight of 2 is needed and 2 % more is given."""
    ising = Ising(np.array([1.0, 1.0, 1.0]), np.zeros((3, 3)), groups=((0, 1, 2),))
    assert safe_weights(ising) == pytest.approx([2.02])


def test_a_model_of_zeros_is_penalised_too():
    assert safe_weights(Ising(np.zeros(2), np.zeros((2, 2)), groups=((0, 1),))).tolist() == [1.0]


@pytest.mark.parametrize("weight", [0.0, -1.0, np.nan, np.inf])
def test_a_penalty_without_weight_is_refused(weight: float):
    with pytest.raises(ValueError, match="positive finite"):
        penalised(Ising(np.zeros(2), np.zeros((2, 2)), groups=((0, 1),)), weight)
