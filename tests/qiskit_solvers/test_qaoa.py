"""The ramp works as it says, and its samples are the circuit's."""

import itertools
import subprocess
import sys
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

import qiskit_solvers
from qiskit_solvers import Exact, Ising, Qaoa, TooLarge, diagonal, energies
from qiskit_solvers.backends.aer import Aer
from qiskit_solvers.backends.noise import GateNoise
from qiskit_solvers.qaoa import QaoaOn, strings_measured
from qiskit_solvers.simulation.sampling import drawn
from qiskit_solvers.simulation.spaces import circuit_cost, space_of


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


def assignment(items: int, bins: int, rng: np.random.Generator) -> Ising:
    """Items of random loads into bins, balanced, with traffic between items: one group per item."""
    load, traffic = rng.uniform(1, 3, items), rng.gamma(1.0, 1.0, (items, items))
    x = np.zeros((items, bins, items, bins))
    for i, j in itertools.combinations(range(items), 2):
        for b, c in itertools.product(range(bins), repeat=2):
            x[i, b, j, c] = 2 * load[i] * load[j] if b == c else traffic[i, j]
    J = x.reshape(items * bins, -1) / 4
    groups = tuple(tuple(range(i * bins, (i + 1) * bins)) for i in range(items))
    return Ising(-(J + J.T).sum(axis=1), J, 0.0, groups)


def chances(ising: Ising, qaoa: Qaoa) -> np.ndarray:
    cost = circuit_cost(ising)
    schedule = qaoa.schedule(cost)
    return space_of(cost).probabilities(schedule.gammas, schedule.betas)


@pytest.mark.parametrize("on", ["aer", "simulator"])
@pytest.mark.parametrize("ising", [gains(5, np.random.default_rng(3)), assignment(3, 3, np.random.default_rng(3))])
def test_samples_follow_the_circuits_probabilities(ising: Ising, on: Literal["aer", "simulator"]):
    """Chi-squared over the strings expected at least five times, at 5 standard deviations."""
    qaoa, shots = Qaoa(layers=3, shots=20_000), 20_000
    expected = shots * chances(ising, qaoa)
    if on == "aer":
        cost = circuit_cost(ising)
        counts = qaoa.counts(cost, qaoa.schedule(cost), seed=9)
        strings, seen = strings_measured(counts, ising.spins), np.array(list(counts.values()))
    else:
        numbers, seen = np.unique(drawn(expected, shots, np.random.default_rng(9)), return_counts=True)
        strings = space_of(ising).strings(numbers)
    every = {row.tobytes(): number for number, row in enumerate(space_of(ising).strings(np.arange(expected.size)))}
    observed = np.zeros(expected.size)
    for row, count in zip(strings, seen, strict=True):
        observed[every[row.tobytes()]] += count
    likely = expected >= 5
    squared = ((observed - expected)[likely] ** 2 / expected[likely]).sum()
    assert squared < likely.sum() + 5 * np.sqrt(2 * likely.sum())


def test_the_ramp_beats_random_strings_a_hundredfold():
    rng = np.random.default_rng(6)
    for _ in range(5):
        ising = gains(13, rng)
        assert chances(ising, Qaoa())[int(np.argmin(diagonal(ising)))] > 100 / 2**13


@pytest.mark.parametrize("layers", [5, 20])
def test_few_spins_are_not_turned_too_far(layers: int):
    """Five spins: without a limit on the turn, the worst of these was below a random string."""
    for seed in range(12):
        rng = np.random.default_rng(seed)
        ising = Ising(rng.normal(size=5), np.triu(rng.normal(size=(5, 5)), 1))
        energy = diagonal(ising)
        ratio = (energy.mean() - chances(ising, Qaoa(layers=layers)) @ energy) / (energy.mean() - energy.min())
        assert ratio > 0.4


def test_what_the_simulator_draws_is_what_a_call_returns():
    ising, qaoa = gains(6, np.random.default_rng(1)), Qaoa(on="simulator", layers=3, shots=100, strings=100)
    indices = np.unique(drawn(chances(ising, qaoa), 100, np.random.default_rng(7)))
    returned = qaoa(ising, np.random.default_rng(7))
    assert {row.tobytes() for row in returned} == {row.tobytes() for row in space_of(ising).strings(indices)}


def test_groups_are_searched_within_their_feasible_strings():
    """32 one-hot qubits: 65,536 strings."""
    ising = assignment(8, 4, np.random.default_rng(2))
    strings = Qaoa(on="simulator", layers=30)(ising, np.random.default_rng(0))
    assert np.all((strings.reshape(len(strings), 8, 4) == -1).sum(axis=2) == 1)
    lowest = energies(ising, Exact()(ising, np.random.default_rng(0)))[0]
    assert energies(ising, strings)[0] == pytest.approx(lowest)


def test_optimised_angles_lower_what_they_are_optimised_for():
    ising = gains(9, np.random.default_rng(5))
    cost, energy = circuit_cost(ising), diagonal(ising)
    shipped, better = (Qaoa(layers=2, angles=angles) for angles in ("shipped", "optimised"))
    assert chances(ising, better) @ energy < chances(ising, shipped) @ energy
    tail = Qaoa(layers=2, angles="optimised", tail=0.5)

    def lowest_half(qaoa: Qaoa) -> float:
        order = np.argsort(diagonal(cost))
        chance = chances(ising, qaoa)[order]
        taken = np.minimum(chance, np.maximum(0.0, 0.5 - (np.cumsum(chance) - chance)))
        return float(taken @ diagonal(cost)[order] / 0.5)

    assert lowest_half(tail) < lowest_half(better)


def test_a_model_beyond_a_statevector_runs_on_a_matrix_product_state():
    rng = np.random.default_rng(8)
    spins = 40
    J = np.diag(rng.normal(size=spins - 1), 1)
    ising = Ising(rng.normal(size=spins), J)
    solver = QaoaOn(Aer(method="matrix_product_state"), Qaoa(layers=3, shots=64))
    strings = solver(ising, rng)
    assert strings.shape[1] == spins
    uniform = 1 - 2 * rng.integers(0, 2, (1000, spins))
    assert energies(ising, strings)[0] < energies(ising, uniform.astype(np.int8)).min()


def test_noise_breaks_groups_and_repair_mends_them():
    ising = assignment(3, 3, np.random.default_rng(4))
    noisy = QaoaOn(Aer(noise=GateNoise(two_qubit=0.05)), Qaoa(layers=1), mixer="ring")
    cost = circuit_cost(ising)
    counts = noisy.counts(cost, noisy.qaoa.schedule(cost), seed=1)
    measured = strings_measured(counts, 9)
    assert not np.all((measured.reshape(-1, 3, 3) == -1).sum(axis=2) == 1)
    strings = noisy(ising, np.random.default_rng(1))
    assert np.all((strings.reshape(-1, 3, 3) == -1).sum(axis=2) == 1)


@pytest.mark.parametrize("on", ["aer", "simulator"])
def test_what_does_not_fit_is_refused(on: Literal["aer", "simulator"]):
    with pytest.raises(TooLarge):
        Qaoa(on=on, max_spins=30, memory_mb=64)(gains(24, np.random.default_rng(0)), np.random.default_rng(0))


def test_strings_of_many_spins_come_out_of_counts():
    strings = strings_measured({0: 3, (1 << 70) | 1: 2}, 71)
    assert strings.shape == (2, 71)
    assert strings[0].tolist() == [1] * 71
    assert np.flatnonzero(strings[1] < 0).tolist() == [0, 70]


@pytest.mark.slow
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


@pytest.mark.parametrize(
    "options",
    [
        {"layers": 0},
        {"shots": 0},
        {"memory_mb": 0},
        {"deadline_s": 0.0},
        {"tail": 0.0},
        {"tail": 1.5},
        {"tail": 0.5},
        {"on": "paper"},
        {"angles": "guessed"},
    ],
)
def test_options_that_make_no_circuit_are_refused(options: dict[str, float]):
    with pytest.raises(ValueError, match="expected"):
        Qaoa(**options)
