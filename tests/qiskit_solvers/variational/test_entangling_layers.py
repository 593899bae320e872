"""Strongly entangling layers, against Qiskit, parameter shifts and difference quotients."""

import numpy as np
import pytest
from qiskit.quantum_info import Operator

from qiskit_solvers import TooLarge
from qiskit_solvers.variational.entangling_circuit import bound, open_circuit
from qiskit_solvers.variational.entangling_layers import applied, expectation
from qiskit_solvers.variational.parameter_shift import slopes

SIZES = [(1, 1), (2, 2), (3, 3), (4, 4)]


def case(layers: int, qubits: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng([layers, qubits])
    states = rng.normal(size=(2**qubits, 3)) + 1j * rng.normal(size=(2**qubits, 3))
    return rng.normal(size=(layers, qubits, 3)), states, rng.normal(size=2**qubits)


@pytest.mark.parametrize(("layers", "qubits"), SIZES)
def test_states_are_those_of_qiskit_s_circuit(layers: int, qubits: int):
    angles, states, _diagonal = case(layers, qubits)
    unitary = Operator(bound(angles)).data
    after = applied(angles, states)
    np.testing.assert_allclose(after, unitary @ states, atol=1e-13)
    np.testing.assert_allclose(applied(angles, after, inverse=True), states, atol=1e-13)


def test_open_angles_are_bound_in_the_order_of_the_array():
    angles, _states, _diagonal = case(3, 2)
    circuit, parameters = open_circuit(3, 2)
    same = circuit.assign_parameters(dict(zip(parameters, angles.reshape(-1), strict=True)))
    np.testing.assert_allclose(Operator(same).data, Operator(bound(angles)).data, atol=1e-13)


@pytest.mark.parametrize(("layers", "qubits"), SIZES)
def test_adjoint_slopes_are_the_parameter_shifts_and_the_difference_quotients(layers: int, qubits: int):
    angles, states, diagonal = case(layers, qubits)

    def evaluate(sets: np.ndarray) -> list[float]:
        return [expectation(one, states, diagonal)[0] for one in sets]

    value, adjoint = expectation(angles, states, diagonal)
    assert value == pytest.approx(float(diagonal @ (np.abs(applied(angles, states)) ** 2).sum(axis=1)))
    np.testing.assert_allclose(slopes(evaluate, angles), adjoint, atol=1e-12)
    step = 1e-5
    steps = step * np.eye(angles.size).reshape(-1, *angles.shape)
    quotients = np.subtract(evaluate(angles + steps), evaluate(angles - steps)) / (2 * step)
    np.testing.assert_allclose(quotients.reshape(angles.shape), adjoint, atol=1e-7)


def test_without_rz_a_real_vector_stays_real():
    angles, states, _diagonal = case(4, 4)
    angles[..., (0, 2)] = 0.0
    assert not applied(angles, states.real).imag.any()


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"angles: expected shape \(layers, qubits, 3\), got \(2, 3\)"):
        bound(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="angles: expected finite"):
        applied(np.full((1, 1, 3), np.inf), np.ones((2, 1)))
    with pytest.raises(ValueError, match=r"states: expected shape \(4, states\), got \(2, 1\)"):
        applied(np.zeros((1, 2, 3)), np.ones((2, 1)))
    with pytest.raises(ValueError, match=r"diagonal: expected shape \(2,\)"):
        expectation(np.zeros((1, 1, 3)), np.ones((2, 1)), np.ones(4))
    with pytest.raises(TooLarge, match="at most 10 qubits, got 11"):
        open_circuit(1, 11)
    with pytest.raises(ValueError, match="expected 6 expectations"):
        slopes(lambda _sets: [0.0], np.zeros((1, 1, 3)))


def test_layers_one_by_one_are_the_circuit():
    angles, states, _diagonal = case(3, 3)
    through = states
    for layer in range(3):
        through = applied(angles, through, layer=layer)
    np.testing.assert_allclose(through, applied(angles, states), atol=1e-13)
    for layer in (2, 1, 0):
        through = applied(angles, through, layer=layer, inverse=True)
    np.testing.assert_allclose(through, states, atol=1e-13)
    with pytest.raises(ValueError, match="layer: expected 0 to 2, got 3"):
        applied(angles, states, layer=3)
