"""Linear systems by measurement on Aer, in the sandbox, against numpy."""

import numpy as np
import pytest

from qiskit_solvers import SolverFailed, TooLarge
from qiskit_solvers.backends.aer import Aer
from qiskit_solvers.backends.sandboxed import Sandboxed
from qiskit_solvers.linear_algebra.hhl import solved
from qiskit_solvers.linear_algebra.hhl_sampled import sampled

AER = Sandboxed(Aer(), deadline_s=120.0)
MATRIX = np.array([[3.0, 1.0, 0.0, 0.5], [1.0, 4.0, -1.0, 0.0], [0.0, -1.0, 2.0, 0.3], [0.5, 0.0, 0.3, 3.0]])


@pytest.mark.parametrize("vector", [[1.0, -2.0, 0.5, 3.0], [-1.0, 0.0, 2.0, -0.5]])
def test_signs_and_sizes_are_numpy_s_within_what_shots_tell(vector: list[float]):
    found = sampled(MATRIX, vector, AER, shots=20_000, seed=1)
    exact = np.linalg.solve(MATRIX, vector)
    assert found.kept > 1_000
    spread = found.norm / np.sqrt(found.kept)
    # amplitudes are known to half of that; the clock's grid adds a little
    np.testing.assert_allclose(found.solution, exact, atol=3.0 * spread)
    assert found.success_probability == pytest.approx(solved(MATRIX, vector).success_probability, abs=0.02)
    assert found.shots == 60_000
    assert found.condition == pytest.approx(np.linalg.cond(MATRIX))


def test_a_matrix_that_is_not_symmetric_is_solved_too():
    matrix = np.array([[2.0, 1.0], [-0.5, 1.5]])
    found = sampled(matrix, [1.0, -1.0], AER, shots=20_000, seed=2)
    np.testing.assert_allclose(found.solution, np.linalg.solve(matrix, [1.0, -1.0]), atol=0.05)


def test_the_same_seed_gives_the_same_solution():
    one, other = (sampled(MATRIX, [1.0, 1.0, 1.0, -1.0], AER, shots=500, seed=7) for _ in range(2))
    np.testing.assert_array_equal(one.solution, other.solution)


def test_what_cannot_be_run_is_refused():
    with pytest.raises(ValueError, match="real"):
        sampled(1j * MATRIX, [1.0, 0.0, 0.0, 0.0], AER, shots=10, seed=0)
    with pytest.raises(TooLarge, match="at most 1 MiB"):
        sampled(MATRIX, [1.0, 0.0, 0.0, 0.0], Sandboxed(Aer(memory_mb=1)), shots=10, seed=0)
    with pytest.raises(SolverFailed, match="killed"):
        sampled(MATRIX, [1.0, 0.0, 0.0, 0.0], Sandboxed(Aer(), deadline_s=1e-3), shots=1_000_000, seed=0)
