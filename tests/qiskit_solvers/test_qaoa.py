"""The ramp works as it says, and its samples are the circuit's."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import qiskit_solvers
from qiskit_solvers import Ising, Qaoa, diagonal
from qiskit_solvers.backends import aer as backend
from qiskit_solvers.qaoa import circuit_cost
from qiskit_solvers.simulation.full import FullSpace


def gains(spins: int, rng: np.random.Generator) -> Ising:
    d, W = np.abs(rng.normal(size=spins)), np.triu(rng.normal(size=(spins, spins)), 1)
    return Ising(-d / 2 - (W + W.T).sum(axis=1) / 4, W / 4, float(d.sum() / 2 + W.sum() / 4))


def test_the_circuit_cost_has_mean_zero_and_deviation_one():
    rng = np.random.default_rng(1)
    for spins in (1, 3, 9):
        energy = diagonal(circuit_cost(gains(spins, rng)))
        assert energy.mean() == pytest.approx(0.0, abs=1e-12)
        assert energy.std() == pytest.approx(1.0)


def test_the_strings_do_not_depend_on_the_unit_of_energy():
    ising = gains(9, np.random.default_rng(2))
    watts = Ising(ising.h * 2.0**40, ising.J * 2.0**40, 7.0)
    first, second = (Qaoa()(one, np.random.default_rng(4)) for one in (ising, watts))
    assert np.array_equal(first, second)


def test_samples_follow_the_circuits_probabilities():
    """Chi-squared over the strings expected at least five times, at 5 standard deviations."""
    qaoa, shots = Qaoa(layers=3), 20_000
    cost = circuit_cost(gains(5, np.random.default_rng(3)))
    counts = backend.sample(cost, qaoa.gammas.tolist(), qaoa.betas.tolist(), shots=shots, seed=9, memory_mb=64)
    expected = shots * FullSpace(cost).probabilities(qaoa.gammas, qaoa.betas)
    observed = np.array([counts.get(index, 0) for index in range(expected.size)])
    likely = expected >= 5
    squared = ((observed - expected)[likely] ** 2 / expected[likely]).sum()
    assert squared < likely.sum() + 5 * np.sqrt(2 * likely.sum())


def test_the_ramp_beats_random_strings_a_hundredfold():
    rng = np.random.default_rng(6)
    qaoa = Qaoa()
    for _ in range(5):
        ising = gains(13, rng)
        found = FullSpace(circuit_cost(ising)).probabilities(qaoa.gammas, qaoa.betas)[int(np.argmin(diagonal(ising)))]
        assert found > 100 / 2**13


def test_another_process_draws_the_same_strings():
    script = """
import numpy as np
from qiskit_solvers import Ising, Qaoa
rng = np.random.default_rng(8)
ising = Ising(rng.normal(size=13), np.triu(rng.normal(size=(13, 13)), 1))
print(Qaoa()(ising, rng).tobytes().hex())
"""
    root = Path(qiskit_solvers.__file__).parents[1]
    run = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=True)
    rng = np.random.default_rng(8)
    here = Qaoa()(Ising(rng.normal(size=13), np.triu(rng.normal(size=(13, 13)), 1)), rng)
    assert run.stdout.strip() == here.tobytes().hex()


@pytest.mark.parametrize("options", [{"layers": 0}, {"shots": 0}, {"memory_mb": 0}, {"deadline_s": 0.0}])
def test_options_that_make_no_circuit_are_refused(options: dict[str, float]):
    with pytest.raises(ValueError, match="expected"):
        Qaoa(**options)
