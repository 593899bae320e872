"""Vectors as states, and back."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import transpile
from qiskit.quantum_info import Operator, Statevector

from qiskit_solvers import TooLarge
from qiskit_solvers.linear_algebra.amplitude_encoding import MAX_QUBITS, decoded, encoded


@settings(max_examples=40)
@given(length=st.integers(1, 33), seed=st.integers(0, 2**32), real=st.booleans(), zeros=st.floats(0, 0.9))
def test_the_state_is_the_vector_with_its_phase(length: int, seed: int, real: bool, zeros: float):
    rng = np.random.default_rng(seed)
    vector = rng.normal(size=length) * np.exp(2j * np.pi * rng.random(length) * (not real))
    vector[rng.random(length) < zeros] = 0.0
    vector[rng.integers(length)] = -2.5
    encoding = encoded(vector.real if real else vector)
    state = Statevector(encoding.circuit).data
    padded = np.zeros(state.size, dtype=complex)
    padded[:length] = vector / np.linalg.norm(vector)
    np.testing.assert_allclose(state, padded, atol=1e-12)
    np.testing.assert_allclose(decoded(encoding, state), vector, atol=1e-11)
    assert encoding.norm == pytest.approx(np.linalg.norm(vector))
    assert state.size == max(2, 2 ** int(np.ceil(np.log2(length))))


@pytest.mark.parametrize("scale", [1e-300, 1e300, 5e-324])
def test_no_scale_is_lost(scale: float):
    vector = scale * np.array([3.0, 0.0, -4.0])
    state = Statevector(encoded(vector).circuit).data
    np.testing.assert_allclose(np.abs(state) ** 2, [9 / 25, 0, 16 / 25, 0], atol=1e-12)
    np.testing.assert_allclose(decoded(encoded(vector), state).real, vector, rtol=1e-12, atol=1e-12 * scale + 5e-324)


def test_the_inverse_undoes_it():
    circuit = encoded([1.0, 1j, -2.0, 0.5]).circuit
    both = circuit.compose(circuit.inverse())
    np.testing.assert_allclose(Operator(both).data, np.eye(4), atol=1e-12)


@pytest.mark.parametrize(("real", "most"), [(True, 62), (False, 124)])
def test_the_gates_are_as_many_as_documented(real: bool, most: int):
    rng = np.random.default_rng(2)
    vector = rng.normal(size=32) + (0 if real else 1j) * rng.normal(size=32)
    basis = transpile(encoded(vector).circuit, basis_gates=["cx", "ry", "rz", "h"], optimization_level=0)
    assert 0 < basis.count_ops()["cx"] <= most


@pytest.mark.parametrize(
    ("vector", "message"),
    [
        ([], "at least one entry"),
        ([[1.0, 2.0]], "shape"),
        ([0.0, 0.0], "zero vector"),
        ([1.0, np.nan], "finite"),
        ([1.0, complex(0.0, np.inf)], "finite"),
        ([1.5e308, 1.5e308], "finite norm"),
    ],
)
def test_what_has_no_direction_is_refused(vector: list[complex], message: str):
    with pytest.raises(ValueError, match=message):
        encoded(vector)


def test_a_vector_above_the_limit_is_refused():
    with pytest.raises(TooLarge, match=f"at most {2**MAX_QUBITS} entries, got {2**MAX_QUBITS + 1}"):
        encoded(np.ones(2**MAX_QUBITS + 1))


def test_a_state_of_another_width_is_refused():
    with pytest.raises(ValueError, match="expected shape"):
        decoded(encoded([1.0, 2.0, 3.0]), [1.0, 0.0])
