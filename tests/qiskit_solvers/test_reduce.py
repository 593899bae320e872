"""Scaling, fixing and splitting keep every energy, against lists of all strings."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from qiskit_solvers import Exact, Ising, energies, strings_of
from qiskit_solvers.one_hot import feasible
from qiskit_solvers.reduce import components, fixed, scaled, sewn, solved_apart, standardised, symmetric


@st.composite
def models(draw: st.DrawFn, density: float = 1.0, grouped: bool = True, most: int = 8) -> Ising:
    """Models of 0 to ``most`` spins, sparse and dense, with groups over some of them, and names."""
    spins = draw(st.integers(0, most))
    order = draw(st.permutations(range(spins)))
    sizes: list[int] = []
    while grouped and sum(sizes) < spins and draw(st.booleans()):
        sizes.append(draw(st.integers(1, min(4, spins - sum(sizes)))))
    groups = tuple(tuple(order[a:b]) for a, b in itertools.pairwise(np.cumsum([0, *sizes])))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    size = draw(st.sampled_from([1.0, 1e12, 1e150, 1e-200]))
    J = size * np.triu(rng.normal(size=(spins, spins)) * (rng.random((spins, spins)) < density), 1)
    names = tuple(f"spin {i}" for i in range(spins)) if draw(st.booleans()) else ()
    h = size * rng.normal(size=spins)
    return Ising(h, sparse.csr_array(J) if draw(st.booleans()) else J, size * rng.normal(), groups, names)


def scale_of(ising: Ising) -> float:
    return float(abs(ising.offset) + np.abs(ising.h).sum() + np.abs(ising.couplings).sum())


def allowed(ising: Ising) -> np.ndarray:
    strings = strings_of(np.arange(2**ising.spins), ising.spins)
    return strings[feasible(ising, strings)]


@settings(max_examples=40, deadline=None)
@given(models())
def test_standardised_energies_spread_by_one(ising: Ising):
    result = standardised(ising)
    energy = energies(result.ising, allowed(ising))
    if len(energy) > 1:
        assert energy.std() == pytest.approx(1.0, rel=1e-9)
    np.testing.assert_allclose(
        energy, energies(ising, allowed(ising)) / result.deviation, atol=1e-13 * scale_of(result.ising)
    )
    assert (result.ising.groups, result.ising.names) == (ising.groups, ising.names)


def test_the_smallest_and_the_largest_coefficients_are_standardised():
    for size in (5e-324, 1e-310, 1e-200, 1e150, 1e300):
        result = standardised(Ising(np.array([size, 0.0]), np.zeros((2, 2)), size))
        assert result.ising.h.tolist() == [1.0, 0.0]
        assert result.deviation == size


def test_a_model_of_equal_energies_is_left_as_it_is():
    for ising in (Ising(np.zeros(3), np.zeros((3, 3)), 7.0), Ising(np.ones(2), np.zeros((2, 2)), groups=((0, 1),))):
        result = standardised(ising)
        assert result.deviation == 1.0
        assert np.array_equal(result.ising.h, ising.h)
        assert result.ising.offset == ising.offset


def test_scaling_multiplies_every_energy():
    ising = Ising(np.array([1.0, -2.0]), sparse.csr_array(np.array([[0.0, 3.0], [0.0, 0.0]])), 5.0, names=("a", "b"))
    strings = strings_of(np.arange(4), 2)
    result = scaled(ising, 0.5)
    assert np.array_equal(energies(result, strings), 0.5 * energies(ising, strings))
    assert result.names == ("a", "b")


@pytest.mark.parametrize("factor", [0.0, -1.0, np.nan, np.inf])
def test_a_factor_that_is_not_positive_is_refused(factor: float):
    with pytest.raises(ValueError, match="positive finite"):
        scaled(Ising(np.ones(1), np.zeros((1, 1))), factor)


def test_what_leaves_the_range_of_floats_is_refused():
    with pytest.raises(ValueError, match="finite"):
        scaled(Ising(np.full(1, 1e200), np.zeros((1, 1))), 1e200)
    with pytest.raises(ValueError, match="finite"):
        standardised(Ising(np.full(1, 1e-200), np.zeros((1, 1)), 1e200))


@settings(max_examples=80, deadline=None)
@given(models(), st.data())
def test_fixing_leaves_exactly_the_strings_that_agree_with_their_energies(ising: Ising, data: st.DataObject):
    spins = data.draw(st.dictionaries(st.integers(0, max(0, ising.spins - 1)), st.sampled_from([-1, 1])))
    spins = {spin: value for spin, value in spins.items() if spin < ising.spins}
    strings = allowed(ising)
    agreeing = strings[[all(string[spin] == value for spin, value in spins.items()) for string in strings]]
    if not len(agreeing):
        with pytest.raises(ValueError, match="expected exactly one spin of -1"):
            fixed(ising, spins)
        return
    result = fixed(ising, spins)
    left = allowed(result.ising)
    whole = result.restore(left)
    assert whole.dtype == np.int8
    assert {string.tobytes() for string in whole} == {string.tobytes() for string in agreeing}
    np.testing.assert_allclose(energies(result.ising, left), energies(ising, whole), atol=1e-13 * scale_of(ising))
    assert result.ising.names == tuple(ising.names[i] for i in result.kept if ising.names)
    assert sparse.issparse(result.ising.J) == sparse.issparse(ising.J)


def test_a_fixed_choice_takes_its_group_along():
    ising = Ising(np.arange(6.0), np.zeros((6, 6)), groups=((0, 1, 2), (3, 4, 5)))
    chosen = fixed(ising, {1: -1})
    assert chosen.kept.tolist() == [3, 4, 5]
    assert chosen.ising.groups == ((0, 1, 2),)
    ruled_out = fixed(ising, {1: 1, 3: 1, 5: 1})
    assert ruled_out.kept.tolist() == [0, 2]
    assert ruled_out.ising.groups == ((0, 1),)
    assert ruled_out.restore(np.array([[1, -1]])).tolist() == [[1, 1, -1, 1, -1, 1]]


@pytest.mark.parametrize(
    ("spins", "message"),
    [
        ({0: -1, 1: -1}, r"group \(0, 1\): expected exactly one spin of -1, got 2"),
        ({0: 1, 1: 1}, r"group \(0, 1\): expected exactly one spin of -1, got 0"),
        ({3: 1}, r"spins 0 to 2, got \{3: 1\}"),
        ({-1: 1}, r"spins 0 to 2, got \{-1: 1\}"),
        ({2: 0}, r"expected \+1 or -1 .*got \{2: 0\}"),
    ],
)
def test_what_cannot_be_fixed_is_refused(spins: dict[int, int], message: str):
    with pytest.raises(ValueError, match=message):
        fixed(Ising(np.zeros(3), np.zeros((3, 3)), groups=((0, 1),)), spins)


@settings(max_examples=60, deadline=None)
@given(models(density=0.15))
def test_parts_are_independent_and_add_up(ising: Ising):
    split = components(ising)
    assert sorted(np.concatenate([np.zeros(0, dtype=np.int64), *split.spins]).tolist()) == list(range(ising.spins))
    strings = strings_of(np.arange(2**ising.spins), ising.spins)
    total = ising.offset + sum(
        energies(part, strings[:, spins]) for part, spins in zip(split.parts, split.spins, strict=True)
    )
    np.testing.assert_allclose(
        np.broadcast_to(total, len(strings)), energies(ising, strings), atol=1e-13 * scale_of(ising)
    )
    good = np.ones(len(strings), dtype=bool)
    for part, spins in zip(split.parts, split.spins, strict=True):
        good &= feasible(part, strings[:, spins])
        coupled = part.couplings + part.couplings.T
        for group in part.groups:
            coupled[np.ix_(group, group)] = 1.0
        reach = np.linalg.matrix_power((np.eye(part.spins) + (coupled != 0)) > 0, max(1, part.spins)) > 0
        assert reach.all()  # a part is no two parts
    assert np.array_equal(good, feasible(ising, strings))


@settings(max_examples=40, deadline=None)
@given(models(density=0.15, grouped=False), st.integers(1, 12))
def test_the_lowest_strings_of_the_parts_make_the_lowest_of_the_whole(ising: Ising, keep: int):
    found = solved_apart(ising, Exact(strings=keep), np.random.default_rng(0), keep)
    energy = energies(ising, found)
    assert list(energy) == sorted(energy)
    lowest = np.sort(energies(ising, strings_of(np.arange(2**ising.spins), ising.spins)))[:keep]
    np.testing.assert_allclose(energy, lowest, atol=1e-13 * scale_of(ising))
    assert len(np.unique(found, axis=0)) == len(found)


def test_a_small_part_is_not_drowned_by_a_large_one():
    ising = Ising(np.array([1e12, 1e-9]), np.zeros((2, 2)))
    assert solved_apart(ising, Exact(), np.random.default_rng(0), 1).tolist() == [[-1, -1]]


def test_solutions_must_fit_the_parts():
    split = components(Ising(np.zeros(3), np.diag([1.0, 0.0], 1)))
    assert [spins.tolist() for spins in split.spins] == [[0, 1], [2]]
    one, two = np.ones((1, 1), dtype=np.int8), np.ones((1, 2), dtype=np.int8)
    for wrong in ([two], [one, two], [two, one[:0]]):
        with pytest.raises(ValueError, match=r"expected strings of \[2, 1\] spins"):
            sewn(split, wrong, 1)
    with pytest.raises(ValueError, match="keep: expected at least 1, got 0"):
        sewn(split, [two, one], 0)


def test_only_strings_of_what_is_left_are_restored():
    result = fixed(Ising(np.zeros(3), np.zeros((3, 3))), {0: 1})
    with pytest.raises(ValueError, match=r"expected shape \(strings, 2\), got \(4, 1\)"):
        result.restore(np.ones((4, 1), dtype=np.int8))


@settings(max_examples=60, deadline=None)
@given(models(most=5), st.booleans())
def test_symmetric_means_that_a_flip_of_all_changes_nothing(ising: Ising, fields: bool):
    ising = ising if fields else replace(ising, h=np.zeros(ising.spins))
    strings = allowed(ising)
    flips = feasible(ising, -strings).all() and np.allclose(
        energies(ising, strings), energies(ising, -strings), atol=1e-12 * scale_of(ising), rtol=0
    )
    if symmetric(ising):
        assert flips
    elif not ising.groups:
        assert not flips
