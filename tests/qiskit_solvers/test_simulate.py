"""The fast simulator and Aer hold the same state."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qiskit_solvers import Ising, backend
from qiskit_solvers.simulate import probabilities, state


def angles(layers: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return rng.uniform(-2, 2, size=layers), rng.uniform(-2, 2, size=layers)


@settings(max_examples=40, deadline=None)
@given(
    spins=st.integers(1, 8),
    layers=st.integers(0, 4),
    density=st.sampled_from([0.0, 0.3, 1.0]),
    seed=st.integers(0, 2**32 - 1),
)
def test_the_state_equals_aers_up_to_global_phase(spins: int, layers: int, density: float, seed: int):
    rng = np.random.default_rng(seed)
    kept = rng.random((spins, spins)) < density
    ising = Ising(rng.normal(size=spins), np.triu(rng.normal(size=(spins, spins)) * kept, 1), rng.normal())
    gammas, betas = angles(layers, rng)
    ours, theirs = state(ising, gammas, betas), backend.state(ising, gammas.tolist(), betas.tolist())
    phase = np.vdot(ours, theirs)
    assert abs(phase) == pytest.approx(1.0, abs=1e-10)
    np.testing.assert_allclose(theirs, ours * phase / abs(phase), atol=1e-10)


def test_the_state_equals_aers_where_aer_fuses_gates():
    rng = np.random.default_rng(2)
    ising = Ising(rng.normal(size=13), np.triu(rng.normal(size=(13, 13)), 1))
    gammas, betas = angles(3, rng)
    ours, theirs = state(ising, gammas, betas), backend.state(ising, gammas.tolist(), betas.tolist())
    assert abs(np.vdot(ours, theirs)) == pytest.approx(1.0, abs=1e-10)


@pytest.mark.parametrize("spins", [0, 1, 6, 7, 13])
def test_probabilities_sum_to_one(spins: int):
    rng = np.random.default_rng(spins)
    ising = Ising(rng.normal(size=spins), np.triu(rng.normal(size=(spins, spins)), 1))
    assert probabilities(ising, *angles(5, rng)).sum() == pytest.approx(1.0, abs=1e-12)


def test_one_spin_in_a_field_follows_the_closed_form():
    """One layer on E = s: P(-1) = (1 + sin 2 gamma sin 2 beta) / 2, by multiplying out two 2 x 2 matrices."""
    ising = Ising(np.ones(1), np.zeros((1, 1)))
    gamma, beta = 0.7, 0.3
    expected = (1 + np.sin(2 * gamma) * np.sin(2 * beta)) / 2
    assert probabilities(ising, np.array([gamma]), np.array([beta]))[1] == pytest.approx(expected)


def test_schedules_of_different_length_are_refused():
    with pytest.raises(ValueError, match="two equal shapes"):
        state(Ising(np.ones(1), np.zeros((1, 1))), np.ones(2), np.ones(3))
