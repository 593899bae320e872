"""Facts about the feature map's states and their fidelities."""

import numpy as np
import pytest
from qiskit.quantum_info import Statevector

from qiskit_solvers.errors import TooLarge
from qiskit_solvers.quantum_kernel import QUBITS_MAX, feature_circuit, feature_states, fidelities


@pytest.mark.parametrize("entanglement", ["none", "linear", "full"])
@pytest.mark.parametrize(("qubits", "layers"), [(1, 1), (2, 2), (4, 3)])
def test_states_are_those_of_the_circuit_of_qiskit(qubits, layers, entanglement, rng):
    features = rng.normal(size=(3, qubits))
    states = feature_states(features, layers=layers, entanglement=entanglement)
    for row, state in zip(features, states, strict=True):
        expected = Statevector(feature_circuit(row, layers=layers, entanglement=entanglement)).data
        assert abs(np.vdot(expected, state)) == pytest.approx(1.0, abs=1e-10)


def test_a_kernel_is_symmetric_positive_with_ones_on_the_diagonal(rng):
    states = feature_states(rng.normal(size=(30, 5)), entanglement="full")
    kernel = fidelities(states, states)
    assert np.diag(kernel) == pytest.approx(np.ones(30))
    assert kernel == pytest.approx(kernel.T)
    assert np.linalg.eigvalsh(kernel).min() > -1e-10
    assert kernel.min() >= 0.0


def test_one_feature_has_the_closed_form(rng):
    """Of one layer and one feature, the states are (1, exp(2ix)) / sqrt 2: their fidelity is cos squared of x - y."""
    x = rng.normal(size=(6, 1))
    states = feature_states(x, layers=1, entanglement="none")
    assert fidelities(states, states) == pytest.approx(np.cos(x - x.T) ** 2)


def test_narrow_bandwidths_make_all_rows_alike(rng):
    features = rng.normal(size=(20, 6))
    wide, narrow = (
        fidelities(states, states).mean()
        for states in (feature_states(scale * features, entanglement="none") for scale in (1.0, 0.05))
    )
    assert wide < 0.3 < 0.9 < narrow


def test_too_many_features_and_none_are_refused():
    with pytest.raises(TooLarge, match=f"at most {QUBITS_MAX}"):
        feature_states(np.zeros((1, QUBITS_MAX + 1)))
    with pytest.raises(ValueError, match="at least one feature"):
        feature_states(np.zeros((1, 0)))
