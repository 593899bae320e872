"""Phases give back the polynomial that they were made for."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.polynomial import chebyshev

from qiskit_solvers import TooLarge
from qiskit_solvers.linear_algebra.qsvt_angles import MAX_DEGREE, phase_factors, response

POINTS = np.linspace(-1.0, 1.0, 77)


@settings(max_examples=20, deadline=None)
@given(degree=st.integers(0, 40), seed=st.integers(0, 2**32 - 1), height=st.floats(0.01, 0.99))
def test_the_circuit_of_one_qubit_is_the_polynomial(degree: int, seed: int, height: float):
    series = np.random.default_rng(seed).normal(size=degree + 1)
    series[-2::-2] = 0.0
    grid = np.cos(np.linspace(0, np.pi, 2001))
    series *= height / np.abs(chebyshev.chebval(grid, series)).max()
    found = phase_factors(series)
    assert found.phases.shape == (degree + 1,)
    np.testing.assert_array_equal(found.phases, found.phases[::-1])
    np.testing.assert_allclose(response(found.phases, POINTS).imag, chebyshev.chebval(POINTS, series), atol=1e-10)


@pytest.mark.parametrize(
    ("series", "phases"),
    [
        ([0.0, 0.3, 0.0, -0.25, 0.0, 0.2], [0.10511018, -0.13444378, 0.15567372]),
        ([0.2, 0.0, -0.3, 0.0, 0.35], [0.19205356, -0.19082626, 0.25022565]),
    ],
)
def test_phases_are_those_that_qsppack_finds(series: list[float], phases: list[float]):
    """Of qsppack 0.4.0 with the imaginary part as target; at degree 135 the two differ by 1e-15."""
    np.testing.assert_allclose(phase_factors(series).phases[: len(phases)], phases, atol=1e-8)


@pytest.mark.parametrize(
    ("series", "message"),
    [
        ([0.1, 0.2], "even or an odd"),
        ([0.0, 1.0], "at most 0.999"),
        ([], "expected finite"),
        ([[0.1]], "expected finite"),
        ([np.nan], "expected finite"),
    ],
)
def test_polynomials_without_phases_are_refused(series: list[float], message: str):
    with pytest.raises(ValueError, match=message):
        phase_factors(series)


def test_a_degree_beyond_the_limit_is_refused():
    with pytest.raises(TooLarge, match=f"at most {MAX_DEGREE}"):
        phase_factors(np.zeros(MAX_DEGREE + 2))
