"""The Fourier circuit, against the matrix of the transform."""

import itertools

import numpy as np
import pytest
from qiskit.quantum_info import Operator

from qiskit_solvers.linear_algebra.qft import error_bound, qft


def transform(qubits: int) -> np.ndarray:
    index = np.arange(2**qubits)
    return np.exp(2j * np.pi * np.outer(index, index) / 2**qubits) / np.sqrt(2**qubits)


@pytest.mark.parametrize("qubits", range(1, 8))
def test_the_circuit_is_the_discrete_fourier_transform(qubits: int):
    np.testing.assert_allclose(Operator(qft(qubits)).data, transform(qubits), atol=1e-12)


def test_numpy_agrees_on_the_sign_of_the_exponent():
    vector = np.random.default_rng(1).normal(size=32)
    np.testing.assert_allclose(Operator(qft(5)).data @ vector, np.fft.ifft(vector, norm="ortho"), atol=1e-12)


@pytest.mark.parametrize("qubits", [1, 2, 5])
def test_without_swaps_the_output_bits_are_reversed(qubits: int):
    turned = [int(format(index, f"0{qubits}b")[::-1], 2) for index in range(2**qubits)]
    np.testing.assert_allclose(Operator(qft(qubits, swaps=False)).data[turned], transform(qubits), atol=1e-12)


@pytest.mark.parametrize("qubits", [2, 4, 6])
def test_dropped_angles_cost_no_more_than_the_bound(qubits: int):
    errors = [
        np.linalg.norm(Operator(qft(qubits, dropped=dropped)).data - transform(qubits), 2) for dropped in range(qubits)
    ]
    assert errors[0] < 1e-12
    assert all(left < right for left, right in itertools.pairwise(errors))
    assert all(error <= error_bound(qubits, dropped) + 1e-12 for dropped, error in enumerate(errors))
    assert error_bound(qubits, 0) == 0.0
    gates = [qft(qubits, dropped=dropped).count_ops().get("cp", 0) for dropped in range(qubits)]
    assert gates[0] == qubits * (qubits - 1) // 2
    assert gates[-1] == 0


@pytest.mark.parametrize(("qubits", "dropped"), [(0, 0), (-1, 0), (3, 3), (3, -1)])
def test_what_is_not_there_is_refused(qubits: int, dropped: int):
    with pytest.raises(ValueError, match="expected"):
        qft(qubits, dropped=dropped)
