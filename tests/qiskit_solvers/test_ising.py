"""The model and its energies, against sums written out."""

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from qiskit_solvers import Exact, Ising, TooLarge, best_first, diagonal, energies, strings_of


def energy_by_hand(ising: Ising, spins: tuple[int, ...]) -> float:
    pairs = itertools.combinations(range(ising.spins), 2)
    return (
        ising.offset
        + sum(float(ising.h[i]) * s for i, s in enumerate(spins))
        + sum(float(ising.J[i, j]) * spins[i] * spins[j] for i, j in pairs)
    )


@settings(max_examples=30, deadline=None)
@given(spins=st.integers(0, 7), seed=st.integers(0, 2**32 - 1))
def test_the_diagonal_holds_the_energy_of_each_string(spins: int, seed: int):
    rng = np.random.default_rng(seed)
    ising = Ising(rng.normal(size=spins), np.triu(rng.normal(size=(spins, spins)), 1), rng.normal())
    strings = strings_of(np.arange(2**spins), spins)
    by_hand = [energy_by_hand(ising, tuple(int(s) for s in string)) for string in strings]
    np.testing.assert_allclose(diagonal(ising), by_hand, atol=1e-12)
    np.testing.assert_allclose(energies(ising, strings), by_hand, atol=1e-12)


def test_index_zero_is_the_string_that_leaves_everything():
    assert strings_of(np.array([0, 1, 4]), 3).tolist() == [[1, 1, 1], [-1, 1, 1], [1, 1, -1]]


def test_equal_energies_are_ordered_by_who_leaves_first():
    ising = Ising(np.zeros(2), np.zeros((2, 2)))
    strings = np.array([[-1, -1], [1, -1], [-1, 1], [1, 1], [1, -1]], dtype=np.int8)
    assert best_first(ising, strings, 3).tolist() == [[1, 1], [1, -1], [-1, 1]]


@pytest.mark.parametrize(
    ("h", "J", "message"),
    [
        (np.zeros((2, 2)), np.zeros((2, 2)), r"h: expected shape \(spins,\), got \(2, 2\)"),
        (np.zeros(2), np.zeros((3, 3)), r"J: expected shape \(2, 2\), got \(3, 3\)"),
        (np.zeros(2), np.eye(2), "strictly upper triangular"),
        (np.array([np.nan, 0.0]), np.zeros((2, 2)), "finite"),
        ([0.0, 0.0], np.zeros((2, 2)), "h: expected an array, got list"),
        (np.zeros(2), [[0.0, 1.0], [0.0, 0.0]], "J: expected an array, got list"),
        (np.zeros(2, dtype=complex), np.zeros((2, 2)), "h: expected real numbers, got complex128"),
        (np.zeros(2), np.zeros((2, 2), dtype=complex), "J: expected real numbers, got complex128"),
        (np.zeros(2), sparse.lil_array((2, 2), dtype=complex), "J: expected real numbers, got complex128"),
        (np.zeros(2), sparse.lil_array(np.eye(2)), "strictly upper triangular"),
        (np.zeros(2), sparse.dok_array([[0.0, np.inf], [0.0, 0.0]]), "finite"),
    ],
)
def test_a_wrong_model_is_refused(h: Any, J: Any, message: str):
    with pytest.raises(ValueError, match=message):
        Ising(h, J)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"offset": 1j}, "offset: expected real numbers, got complex128"),
        ({"groups": ((0, 1.5),)}, "groups: expected whole numbers of spins"),
        ({"groups": ((0, 1), (1,))}, r"groups: expected disjoint groups, got spins \[1\] more than once"),
        ({"groups": ((0, 2),)}, "groups: expected spins 0 to 1, got 0 to 2"),
        ({"names": ("a", "b", "a")}, "names: expected 2 distinct names, got 3, 2 of them distinct"),
        ({"names": ("a", "a")}, "names: expected 2 distinct names, got 2, 1 of them distinct"),
        ({"names": ("a", [])}, "names: expected hashable names"),
    ],
)
def test_what_does_not_fit_the_spins_is_refused(options: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        Ising(np.zeros(2), np.zeros((2, 2)), **options)


@pytest.mark.parametrize("form", ["bsr", "coo", "csc", "csr", "dia", "dok", "lil"])
def test_every_sparse_format_is_the_same_model(form: str):
    rng = np.random.default_rng(2)
    h, J = rng.normal(size=6), np.triu(rng.normal(size=(6, 6)) * (rng.random((6, 6)) < 0.5), 1)
    dense, thin = Ising(h, J), Ising(h, sparse.coo_array(J).asformat(form))
    assert thin.J.format == "csr"
    np.testing.assert_array_equal(thin.couplings, J)
    for name in ("rows", "columns", "values"):
        np.testing.assert_array_equal(getattr(thin.pairs, name), getattr(dense.pairs, name))


def test_couplings_that_stand_twice_are_summed_and_the_caller_keeps_his():
    given = sparse.csr_array((np.array([1.0, 2.0, 0.0]), np.array([1, 1, 0]), np.array([0, 3, 3])), shape=(2, 2))
    ising = Ising(np.zeros(2), given)
    assert given.data.tolist() == [1.0, 2.0, 0.0]
    given.data[:] = 7.0
    assert (ising.pairs.rows.tolist(), ising.pairs.columns.tolist(), ising.pairs.values.tolist()) == ([0], [1], [3.0])


def test_strings_of_another_length_are_refused():
    ising = Ising(np.zeros(3), np.zeros((3, 3)))
    for shape in ((2, 4), (2, 2), (1, 2, 3)):
        with pytest.raises(ValueError, match=r"strings: expected \(strings, 3\), got \("):
            energies(ising, np.ones(shape, dtype=np.int8))


@pytest.mark.parametrize("spins", [29, 45, 60, 70])
def test_more_strings_than_memory_holds_are_refused(spins: int):
    ising = Ising(np.zeros(spins), np.zeros((spins, spins)))
    with pytest.raises(TooLarge, match=f"diagonal: expected at most 28 spins, got {spins}"):
        diagonal(ising)
    with pytest.raises(TooLarge, match=f"diagonal: expected at most 28 spins, got {spins}"):
        Exact(max_spins=spins)(ising, np.random.default_rng(0))
