"""The model and its energies, against sums written out."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qiskit_solvers import Ising, best_first, diagonal, energies, strings_of


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
    ],
)
def test_a_wrong_model_is_refused(h: np.ndarray, J: np.ndarray, message: str):
    with pytest.raises(ValueError, match=message):
        Ising(h, J)
