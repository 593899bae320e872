"""Matrices as blocks of unitaries, against the matrices."""

import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.quantum_info import Operator, Statevector

from qiskit_solvers import TooLarge
from qiskit_solvers.linear_algebra.amplitude_encoding import encoded
from qiskit_solvers.linear_algebra.block_encoding import (
    BlockEncoding,
    block,
    combined,
    dilated,
    success_probability,
)

PAULIS = {
    "I": np.eye(2),
    "X": np.array([[0, 1], [1, 0]]),
    "Y": np.array([[0, -1j], [1j, 0]]),
    "Z": np.diag([1, -1]),
}


def dense(paulis: dict[str, complex]) -> np.ndarray:
    return sum(
        value * functools.reduce(np.kron, [PAULIS[letter] for letter in label]) for label, value in paulis.items()
    )


def is_unitary(encoding: BlockEncoding) -> bool:
    return bool(Operator(encoding.circuit).is_unitary(atol=1e-10))


@given(
    rows=st.integers(1, 9),
    columns=st.integers(1, 9),
    seed=st.integers(0, 2**32 - 1),
    real=st.booleans(),
    slack=st.sampled_from([None, 1.0, 1.7]),
    scale=st.sampled_from([1e-12, 1.0, 1e12]),
)
def test_the_top_left_block_of_the_dilation_is_the_matrix(
    rows: int, columns: int, seed: int, real: bool, slack: float | None, scale: float
):
    rng = np.random.default_rng(seed)
    matrix = scale * (rng.normal(size=(rows, columns)) + (not real) * 1j * rng.normal(size=(rows, columns)))
    norm = np.linalg.norm(matrix, 2)
    encoding = dilated(matrix, alpha=None if slack is None else slack * norm)
    assert encoding.alpha == pytest.approx(norm * (slack or 1.0))
    unitary = Operator(encoding.circuit).data
    np.testing.assert_allclose(unitary[:rows, :columns], matrix / encoding.alpha, atol=1e-10)
    np.testing.assert_allclose(block(encoding), matrix, atol=1e-10 * norm)
    assert is_unitary(encoding)


def test_the_other_blocks_are_those_of_the_formula():
    matrix = np.array([[0.3, 0.1 - 0.4j], [0.2j, -0.5]])
    unitary = Operator(dilated(matrix, alpha=1.0).circuit).data
    upper, lower = unitary[:2, 2:], unitary[2:, :2]
    np.testing.assert_allclose(upper @ upper, np.eye(2) - matrix @ matrix.conj().T, atol=1e-12)
    np.testing.assert_allclose(lower @ lower, np.eye(2) - matrix.conj().T @ matrix, atol=1e-12)
    np.testing.assert_allclose(unitary[2:, 2:], -matrix.conj().T, atol=1e-12)


def test_the_zero_matrix_has_a_zero_block():
    encoding = dilated(np.zeros((3, 3)))
    np.testing.assert_allclose(block(encoding), 0.0, atol=1e-12)
    assert is_unitary(encoding)


@settings(max_examples=25)
@given(qubits=st.integers(1, 3), terms=st.integers(1, 7), seed=st.integers(0, 2**32 - 1), real=st.booleans())
def test_the_top_left_block_of_a_combination_is_the_pauli_sum(qubits: int, terms: int, seed: int, real: bool):
    rng = np.random.default_rng(seed)
    labels = {"".join(rng.choice(list("IXYZ"), size=qubits)) for _ in range(terms)}
    paulis = {label: complex(rng.normal(), 0.0 if real else rng.normal()) for label in sorted(labels)}
    encoding = combined(paulis)
    assert encoding.alpha == pytest.approx(sum(abs(value) for value in paulis.values()))
    np.testing.assert_allclose(block(encoding), dense(paulis), atol=1e-10)
    assert is_unitary(encoding)


def test_a_term_of_nothing_costs_nothing():
    one = combined({"XZ": -2.0, "YY": 0.0})
    assert one.ancillas == 1
    np.testing.assert_allclose(block(one), dense({"XZ": -2.0}), atol=1e-12)


@pytest.mark.parametrize("encoding", [dilated([[1.0, 2.0], [3.0, -1.0]]), combined({"X": 2.0, "Z": 1.0, "I": 0.5})])
def test_the_ancillas_are_zero_as_often_as_promised(encoding: BlockEncoding):
    vector = np.array([1.0, -2.0])
    circuit = QuantumCircuit(encoding.circuit.num_qubits)
    circuit.compose(encoded(vector).circuit, [0], inplace=True)
    circuit.compose(encoding.circuit, inplace=True)
    state = Statevector(circuit).data[:2]
    assert success_probability(encoding, vector) == pytest.approx(np.linalg.norm(state) ** 2)
    np.testing.assert_allclose(state * encoding.alpha, block(encoding) @ vector / np.sqrt(5), atol=1e-12)


@pytest.mark.parametrize(
    ("matrix", "alpha", "message"),
    [
        ([1.0, 2.0], None, "shape"),
        (np.zeros((0, 2)), None, "shape"),
        ([[np.inf]], None, "finite"),
        ([[2.0]], 1.9, "spectral norm 2.0, got 1.9"),
        ([[2.0]], np.nan, "spectral norm"),
        ([[0.0]], 0.0, "spectral norm"),
    ],
)
def test_matrices_without_a_dilation_are_refused(matrix: np.ndarray, alpha: float | None, message: str):
    with pytest.raises(ValueError, match=message):
        dilated(matrix, alpha=alpha)


@pytest.mark.parametrize(
    ("paulis", "message"),
    [
        ({}, "at least one term"),
        ({"": 1.0}, "at least 1 letters"),
        ({"XA": 1.0}, "IXYZ"),
        ({"XX": 1.0, "X": 1.0}, "2 letters"),
        ({"X": 0.0}, "only zeros"),
        ({"X": np.nan}, "finite"),
    ],
)
def test_sums_that_are_none_are_refused(paulis: dict[str, complex], message: str):
    with pytest.raises(ValueError, match=message):
        combined(paulis)


def test_what_is_too_wide_is_refused_before_it_is_built():
    with pytest.raises(TooLarge, match="at most 10 qubits, got 11"):
        dilated(np.eye(1024))
    with pytest.raises(TooLarge, match="at most 10 qubits, got 13"):
        combined({"X" * 12: 1.0})


def test_a_vector_of_another_length_is_refused():
    with pytest.raises(ValueError, match=r"expected shape \(2,\), got \(3,\)"):
        success_probability(dilated(np.eye(2)), [1.0, 2.0, 3.0])
