"""The trash fidelity by measurement on Aer, against the exact state."""

import numpy as np
import pytest

from qiskit_solvers.backends.aer import Aer
from qiskit_solvers.backends.noise import GateNoise
from qiskit_solvers.variational.autoencoder import encode
from qiskit_solvers.variational.entangling_layers import expectation
from qiskit_solvers.variational.trash_fidelity import MeasuredTrash

SHOTS = 4000
VECTORS = np.random.default_rng(0).normal(size=(2, 8))
ANGLES = np.random.default_rng(1).normal(size=(1, 3, 3))


def test_shots_agree_with_the_state():
    measured = MeasuredTrash(VECTORS, (1, 2), Aer(), SHOTS, seed=1)
    exact = encode(ANGLES, VECTORS, (0,)).fidelities
    found = measured.fidelities(ANGLES[None])[0]
    np.testing.assert_array_less(np.abs(found - exact), 5 * np.sqrt(exact * (1 - exact) / SHOTS))
    weights = (VECTORS**2).sum(axis=1) / (VECTORS**2).sum()
    assert measured.loss(ANGLES[None])[0] == pytest.approx(1 - found @ weights)


def test_shifted_circuits_on_aer_give_the_adjoint_slopes():
    measured = MeasuredTrash(VECTORS, (2,), Aer(), SHOTS, seed=2)
    roots = VECTORS.T / np.linalg.norm(VECTORS)
    _value, kept_slopes = expectation(ANGLES, roots, np.arange(8) < 4)
    # half the difference of two shares of shots has a deviation of at most 1 / sqrt(8 shots)
    np.testing.assert_allclose(measured.slopes(ANGLES), -kept_slopes, atol=5 / np.sqrt(8 * SHOTS))


def test_noise_lowers_the_fidelity_of_a_state_that_needs_no_trash():
    # the ring of controlled NOTs leaves |000> as it is, so all that is lost is lost to noise
    still, vector = np.zeros((1, 3, 3)), np.eye(1, 8)
    noisy = Aer(method="automatic", noise=GateNoise(two_qubit=0.05, read_1_for_0=0.02))
    exact = MeasuredTrash(vector, (0, 1, 2), Aer(), 500, seed=3)
    disturbed = MeasuredTrash(vector, (0, 1, 2), noisy, 500, seed=3)
    assert exact.loss(still[None])[0] == 0.0
    assert 0.02 < disturbed.loss(still[None])[0] < 0.4


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"angle_sets: expected shape \(sets, layers, qubits, 3\)"):
        MeasuredTrash(VECTORS, (2,), Aer(), SHOTS, seed=0).fidelities(ANGLES)
    with pytest.raises(ValueError, match="discarded: expected some of the qubits 0 to 2"):
        MeasuredTrash(VECTORS, (3,), Aer(), SHOTS, seed=0).fidelities(ANGLES[None])
    with pytest.raises(ValueError, match="vectors: expected 8 entries each"):
        MeasuredTrash(np.ones((1, 4)), (2,), Aer(), SHOTS, seed=0).fidelities(ANGLES[None])
