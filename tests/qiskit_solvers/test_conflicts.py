"""Easing conflicts moves no optimum, and pays."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from qiskit_solvers import Ising, Qaoa, diagonal, ease_conflicts
from qiskit_solvers.simulation.spaces import circuit_cost, space_of


def moves_with_conflicts(spins: int, rng: np.random.Generator, share: float = 0.2) -> Ising:
    """Small gains and couplings, and penalties far above them on a share of the pairs."""
    d = np.abs(rng.normal(size=spins)) - 0.3
    W = 0.3 * rng.normal(size=(spins, spins))
    W = np.triu(np.where(rng.random((spins, spins)) < share, 4 + 8 * np.abs(rng.normal(size=W.shape)), W), 1)
    return Ising(-d / 2 - (W + W.T).sum(axis=1) / 4, W / 4, float(d.sum() / 2 + W.sum() / 4))


@settings(max_examples=100, deadline=None)
@given(
    spins=st.integers(0, 7),
    seed=st.integers(0, 2**32 - 1),
    share=st.floats(0, 1),
    whole_numbers=st.booleans(),
)
def test_every_optimum_stays_one_at_the_same_energy(spins: int, seed: int, share: float, whole_numbers: bool):
    rng = np.random.default_rng(seed)
    ising = moves_with_conflicts(spins, rng, share)
    if whole_numbers:  # ties
        ising = Ising(np.round(ising.h), np.round(ising.J), ising.offset)
    before, after = diagonal(ising), diagonal(ease_conflicts(ising))
    assert np.all(after <= before + 1e-9)
    assert np.isclose(before.min(), after.min(), atol=1e-9)
    optima = np.flatnonzero(before <= before.min() + 1e-9)
    assert np.all(after[optima] <= after.min() + 1e-8)


def test_a_model_without_conflicts_is_unchanged():
    ising = Ising(np.array([-1.0, 0.5, 0.2]), np.triu(np.full((3, 3), -0.4), 1), 2.0)
    eased = ease_conflicts(ising)
    assert np.array_equal(eased.h, ising.h)
    assert np.array_equal(eased.J, ising.J)


def test_sparse_models_stay_sparse_and_ease_alike():
    ising = moves_with_conflicts(6, np.random.default_rng(1))
    thin = ease_conflicts(Ising(ising.h, sparse.csr_array(ising.J), ising.offset))
    eased = ease_conflicts(ising)
    assert sparse.issparse(thin.J)
    np.testing.assert_array_equal(thin.couplings, eased.J)
    np.testing.assert_array_equal(thin.h, eased.h)


def test_the_ramp_finds_the_optimum_of_conflicting_moves():
    """Median over ten windows of 12 moves; without easing it is 0.01."""
    rng = np.random.default_rng(5)
    qaoa = Qaoa()
    found = []
    for _ in range(10):
        ising = moves_with_conflicts(12, rng)
        optimum = int(np.argmin(diagonal(ising)))
        cost = circuit_cost(ising)
        schedule = qaoa.schedule(cost)
        found.append(space_of(cost).probabilities(schedule.gammas, schedule.betas)[optimum])
    assert np.median(found) > 0.4
