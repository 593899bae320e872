"""A warm start begins where it is told, and is plain QAOA where nothing of it is kept."""

import numpy as np
import pytest

from qiskit_solvers import Ising, Qaoa, QaoaOn, WarmStart, energies
from qiskit_solvers.backends.aer import Aer


def gains(spins: int, seed: int) -> Ising:
    """Moves that mostly do not pay: all +1 is a fair start."""
    rng = np.random.default_rng(seed)
    d, W = rng.normal(size=spins) + 0.5, 0.3 * np.triu(rng.normal(size=(spins, spins)), 1)
    return Ising(-d / 2 - (W + W.T).sum(axis=1) / 4, W / 4)


def test_the_incumbent_is_never_lost():
    for seed in range(5):
        ising = gains(8, seed)
        incumbent = energies(ising, np.ones((1, 8), dtype=np.int8))[0]
        strings = WarmStart(qaoa=Qaoa(layers=1, shots=1))(ising, np.random.default_rng(seed))
        assert energies(ising, strings)[0] <= incumbent + 1e-12


def test_without_distance_from_certainty_nothing_else_is_measured():
    strings = WarmStart(epsilon=0.0)(gains(6, 0), np.random.default_rng(0))
    assert strings.tolist() == [[1] * 6]


def test_at_one_half_it_is_plain_qaoa():
    """The same seed on the same state measures the same strings."""
    ising, qaoa = gains(7, 3), Qaoa(layers=2, shots=200, strings=200)
    plain = QaoaOn(Aer(), qaoa)(ising, np.random.default_rng(4))
    warm = WarmStart(epsilon=0.5, qaoa=qaoa, backend=Aer())(ising, np.random.default_rng(4))
    assert {row.tobytes() for row in plain} | {np.ones(7, np.int8).tobytes()} == {row.tobytes() for row in warm}


def test_a_descent_starts_lower():
    lower = 0
    for seed in range(5):
        ising = gains(10, seed + 20)
        first, second = (
            WarmStart(start=start, epsilon=0.0)(ising, np.random.default_rng(0)) for start in ("incumbent", "descent")
        )
        assert energies(ising, second)[0] <= energies(ising, first)[0] + 1e-12
        lower += energies(ising, second)[0] < energies(ising, first)[0] - 1e-12
    assert lower > 0


@pytest.mark.parametrize("epsilon", [-0.1, 0.6, float("nan")])
def test_a_distance_out_of_range_is_refused(epsilon: float):
    with pytest.raises(ValueError, match=r"epsilon: expected 0 to 0\.5"):
        WarmStart(epsilon=epsilon)


def test_a_start_that_there_is_not_is_refused():
    with pytest.raises(ValueError, match="start: expected 'incumbent' or 'descent', got 'foo'"):
        WarmStart(start="foo")  # type: ignore[arg-type]
