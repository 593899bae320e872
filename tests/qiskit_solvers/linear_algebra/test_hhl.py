"""Linear systems on the clock, against numpy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import unitary_group

from qiskit_solvers import TooLarge
from qiskit_solvers.linear_algebra.hhl import recommended_clock, solved


def hermitian(eigenvalues: list[float], seed: int, *, real: bool = False) -> np.ndarray:
    rng = np.random.default_rng(seed)
    size = len(eigenvalues)
    vectors = np.linalg.qr(rng.normal(size=(size, size)))[0] if real else unitary_group.rvs(size, random_state=seed)
    return vectors * np.array(eigenvalues) @ vectors.conj().T


@settings(max_examples=15)
@given(
    levels=st.sampled_from([[1, 7], [3, 7, 5, 2], [-3, 1], [3, -1, -2, 1], [-7, -1], [1, 2, 7], [7, 7, 7, 7, 1]]),
    seed=st.integers(0, 2**32 - 1),
    scale=st.sampled_from([1e-6, 1.0, 1e9]),
)
def test_eigenvalues_on_the_clock_s_grid_are_solved_exactly(levels: list[float], seed: int, scale: float):
    matrix = scale * hermitian(levels, seed)
    vector = np.random.default_rng(seed).normal(size=len(levels)) * scale
    found = solved(matrix, vector, clock=3)
    np.testing.assert_allclose(found.solution, np.linalg.solve(matrix, vector), rtol=1e-6, atol=1e-9)
    assert found.fidelity == pytest.approx(1.0, abs=1e-10)
    # P(success) = |C A^-1 b|**2, C the smallest eigenvalue
    smallest = scale * min(abs(level) for level in levels)
    expected = np.linalg.norm(smallest * np.linalg.solve(matrix, vector / np.linalg.norm(vector))) ** 2
    assert found.success_probability == pytest.approx(expected, abs=1e-9)
    np.testing.assert_allclose(found.direction * found.norm, found.solution)
    assert found.norm == pytest.approx(np.linalg.norm(found.solution))


@pytest.mark.parametrize("condition", [1.5, 5.0, 10.0])
@pytest.mark.parametrize("seed", range(3))
def test_the_recommended_clock_reaches_four_nines(condition: float, seed: int):
    inner = np.random.default_rng(seed).uniform(1.0, condition, 2)
    matrix = hermitian([1.0, condition, *inner], seed, real=True)
    found = solved(matrix, np.random.default_rng(seed).normal(size=4))
    assert found.clock == recommended_clock(condition)
    assert found.fidelity > 0.9999
    assert found.condition == pytest.approx(condition)
    assert found.success_probability > 0.9 / condition**2


def test_a_longer_clock_is_closer():
    matrix = hermitian([1.0, 1.7, 2.9, 4.3], 5, real=True)
    vector = np.array([1.0, -2.0, 0.5, 3.0])
    lost = [1.0 - solved(matrix, vector, clock=clock).fidelity for clock in (4, 9)]
    assert lost[1] < lost[0] / 10


def test_a_matrix_that_is_not_hermitian_is_solved_too():
    rng = np.random.default_rng(4)
    matrix = rng.normal(size=(3, 3)) + 3 * np.eye(3) + 1j * rng.normal(size=(3, 3))
    found = solved(matrix, [1.0, 2.0, 3.0])
    assert found.fidelity > 0.999
    assert found.solution.shape == (3,)
    assert found.norm == pytest.approx(np.linalg.norm(np.linalg.solve(matrix, [1.0, 2.0, 3.0])), rel=0.02)


@pytest.mark.parametrize("value", [4.0, -0.25])
def test_one_unknown_is_a_division(value: float):
    found = solved([[value]], [3.0], clock=4)
    np.testing.assert_allclose(found.solution, [3.0 / value], rtol=1e-9)


@pytest.mark.parametrize(
    ("matrix", "vector", "message"),
    [
        (np.ones((2, 3)), [1.0, 1.0], "square"),
        (np.zeros((0, 0)), [], "square"),
        (np.eye(2), [1.0, 2.0, 3.0], "vector: expected shape"),
        (np.eye(2), [0.0, 0.0], "zero vector"),
        (np.eye(2), [np.nan, 0.0], "finite"),
        (np.diag([1.0, np.inf]), [1.0, 0.0], "finite"),
        (np.ones((2, 2)), [1.0, 0.0], "condition"),
        (np.zeros((2, 2)), [1.0, 0.0], "condition"),
        (np.array([[0.0, 1.0], [0.0, 0.0]]), [1.0, 0.0], "condition"),
    ],
)
def test_systems_without_one_solution_are_refused(matrix: np.ndarray, vector: list[float], message: str):
    with pytest.raises(ValueError, match=message):
        solved(matrix, vector)


def test_clocks_and_conditions_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="at least 2 qubits, got 1"):
        solved(np.eye(2), [1.0, 0.0], clock=1)
    for condition in (0.5, np.inf, np.nan):
        with pytest.raises(ValueError, match="at least 1"):
            recommended_clock(condition)


def test_what_is_too_wide_is_refused_with_both_numbers():
    with pytest.raises(TooLarge, match="18 in all, got 1 and 22"):
        solved(np.eye(2), [1.0, 0.0], clock=20)
    with pytest.raises(TooLarge, match="at most 256 unknowns, got 257"):
        solved(np.eye(257), np.ones(257))
