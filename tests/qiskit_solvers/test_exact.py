"""Enumeration, against enumeration written another way."""

import itertools

import numpy as np

from qiskit_solvers import Exact, Ising, energies


def test_exact_returns_the_lowest_strings_that_there_are():
    rng = np.random.default_rng(11)
    for _ in range(20):
        ising = Ising(rng.normal(size=7), np.triu(rng.normal(size=(7, 7)), 1))
        every = np.array(list(itertools.product((1, -1), repeat=7)), dtype=np.int8)
        lowest = np.sort(energies(ising, every))[:10]
        np.testing.assert_allclose(energies(ising, Exact(strings=10)(ising, rng)), lowest, atol=1e-12)


def test_exact_ties_leave_the_earlier_spins():
    """Four spins that only want to be unequal in pairs: 4 optima, in a stated order."""
    J = np.zeros((4, 4))
    J[0, 1] = J[2, 3] = 1.0
    strings = Exact(strings=4)(Ising(np.zeros(4), J), np.random.default_rng(0))
    assert strings.tolist() == [[1, -1, 1, -1], [1, -1, -1, 1], [-1, 1, 1, -1], [-1, 1, -1, 1]]


def test_a_model_with_nothing_at_stake_is_left_alone():
    strings = Exact(strings=1)(Ising(np.zeros(20), np.zeros((20, 20))), np.random.default_rng(0))
    assert strings.tolist() == [[1] * 20]
