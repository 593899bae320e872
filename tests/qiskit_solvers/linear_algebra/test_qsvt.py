"""Singular values on the circuit, against numpy's."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.polynomial import chebyshev
from qiskit.quantum_info import Operator

from qiskit_solvers import TooLarge
from qiskit_solvers.linear_algebra import qsvt_polynomials as polynomials
from qiskit_solvers.linear_algebra.block_encoding import block, combined, dilated
from qiskit_solvers.linear_algebra.qsvt import inverted, polar, qsvt_circuit, solved_by_qsvt, thresholded, transformed
from qiskit_solvers.linear_algebra.qsvt_angles import phase_factors


def with_singular_values(values: list[float], rows: int, columns: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(rows, columns)) + 1j * rng.normal(size=(rows, columns))
    left, _, right = np.linalg.svd(matrix, full_matrices=False)
    return left * np.array(values) @ right


@settings(max_examples=10, deadline=None)
@given(shape=st.tuples(st.integers(1, 5), st.integers(1, 5)), seed=st.integers(0, 2**32 - 1), degree=st.integers(0, 5))
def test_a_circuit_applies_any_polynomial_to_any_matrix(shape: tuple[int, int], seed: int, degree: int):
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=shape) + 1j * rng.normal(size=shape)
    series = rng.normal(size=2 * degree + 2)
    series[::2] = 0.0
    series *= 0.9 / np.abs(series).sum()
    found = transformed(matrix, polynomials.Polynomial(series, 1.0, 0.0))
    left, singular, right = np.linalg.svd(matrix, full_matrices=False)
    exact = singular[0] * (left * chebyshev.chebval(singular / singular[0], series) @ right)
    np.testing.assert_allclose(found.matrix, exact, atol=1e-9)
    assert found.error < 1e-9
    assert found.calls == 2 * degree + 1


def test_an_even_polynomial_acts_between_left_singular_vectors():
    matrix = with_singular_values([1.0, 0.7, 0.2], 4, 3, 1)
    series = np.array([0.2, 0.0, -0.3, 0.0, 0.4])
    circuit = qsvt_circuit(dilated(matrix, alpha=1.0), phase_factors(series))
    left, singular, _ = np.linalg.svd(matrix)
    values = chebyshev.chebval(np.append(singular, 0.0), series)
    np.testing.assert_allclose(Operator(circuit).data[:4, :4], left * values @ left.conj().T, atol=1e-10)


def test_an_encoding_with_more_ancillas_works_too():
    encoding = combined({"XI": 0.5, "ZZ": 0.3, "IY": 0.4})
    series = np.array([0.0, 0.5, 0.0, -0.4])
    found = Operator(qsvt_circuit(encoding, phase_factors(series))).data[:4, :4]
    left, singular, right = np.linalg.svd(block(encoding) / encoding.alpha)
    np.testing.assert_allclose(found, left * chebyshev.chebval(singular, series) @ right, atol=1e-10)


@pytest.mark.parametrize("condition", [1.0, 3.0, 10.0])
def test_the_inverse_is_numpy_s_within_the_error_of_the_polynomial(condition: float):
    matrix = 7.0 * with_singular_values(np.linspace(1.0, 1.0 / condition, 4).tolist(), 4, 4, 2)
    found = inverted(matrix)
    distance = np.linalg.norm(found.matrix - np.linalg.inv(matrix), 2)
    assert distance <= 1.01 * found.polynomial.error / 7.0
    assert distance < 1e-3 * condition / 7.0
    assert 0.0 < found.success_probability <= 1.0
    vector = np.array([1.0, -2.0, 0.5, 0.1])
    solution = np.linalg.solve(matrix, vector)
    np.testing.assert_allclose(
        solved_by_qsvt(matrix, vector), solution, atol=2e-3 * np.linalg.norm(solution) * condition
    )


def test_the_sign_is_the_polar_factor():
    matrix = with_singular_values([3.0, 1.0, 0.5], 5, 3, 3)
    left, _, right = np.linalg.svd(matrix, full_matrices=False)
    np.testing.assert_allclose(polar(matrix, gap=0.15).matrix, left @ right, atol=1e-3)


def test_a_threshold_keeps_what_stands_out_and_removes_the_rest():
    matrix = with_singular_values([4.0, 3.0, 0.5, 0.1], 6, 4, 4)
    left, singular, right = np.linalg.svd(matrix, full_matrices=False)
    kept = left[:, :2] * singular[:2] @ right[:2]
    found = thresholded(matrix, 1.5, gap=0.2)
    np.testing.assert_allclose(found.matrix, kept, atol=4e-3)
    assert found.qubits == 5


@pytest.mark.parametrize(
    ("polynomial", "function", "span"),
    [
        (polynomials.inverse(5.0, 1e-3), lambda x: 1.0 / x, (0.2, 1.0)),
        (polynomials.sign(0.1, 1e-3), np.sign, (0.1, 1.0)),
        (polynomials.above(0.4, 0.1, 1e-3), lambda x: x * (x > 0.45), (0.5, 1.0)),
        (polynomials.above(0.4, 0.1, 1e-3), lambda x: 0.0 * x, (0.0, 0.3)),
    ],
)
def test_a_polynomial_is_as_near_to_its_function_as_it_says(polynomial, function, span: tuple[float, float]):
    x = np.linspace(*span, 999)
    distance = np.abs(polynomial(x) - function(x)).max()
    assert distance <= 1.001 * polynomial.error + 1e-12
    assert polynomial.error <= 1e-3 * max(1.0, 1.0 / span[0] if span[0] == 0.2 else 1.0)
    np.testing.assert_allclose(polynomial(-x), -polynomial(x), atol=1e-12)
    assert np.abs(chebyshev.chebval(np.linspace(-1, 1, 5001), polynomial.coefficients)).max() < 1.0


def test_what_does_not_fit_is_refused_before_it_is_simulated():
    with pytest.raises(TooLarge, match="at most 32 rows and columns"):
        thresholded(np.ones((33, 2)), 0.5)
    with pytest.raises(TooLarge, match="degree of at most 500"):
        inverted(np.diag([1.0, 1e-3]))
    with pytest.raises(TooLarge, match="degree of at most 500"):
        polynomials.sign(0.005, 1e-3)


@pytest.mark.parametrize(
    ("work", "message"),
    [
        (lambda: inverted(np.ones((2, 3))), "square"),
        (lambda: inverted(np.ones((2, 2))), "regular"),
        (lambda: inverted([[np.nan]]), "finite"),
        (lambda: thresholded(np.zeros((2, 2)), 0.1), "not zero"),
        (lambda: thresholded(np.eye(2), 2.0), "threshold"),
        (lambda: transformed(np.eye(2), SimpleNamespace(degree=2)), "odd degree"),
        (lambda: solved_by_qsvt(np.eye(2), [1.0]), "vector: expected shape"),
        (lambda: polynomials.inverse(0.5, 0.1), "condition"),
        (lambda: polynomials.inverse(2.0, 0.0), "error"),
        (lambda: polynomials.sign(1.0, 0.1), "gap"),
    ],
)
def test_what_has_no_answer_is_refused(work, message: str):
    with pytest.raises(ValueError, match=message):
        work()
