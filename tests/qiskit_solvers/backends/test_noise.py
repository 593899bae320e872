"""Noise is as strong as it says, and wrong readings can be taken out again."""

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.quantum_info import Statevector

from qiskit_solvers import TooLarge
from qiskit_solvers.backends.aer import Aer
from qiskit_solvers.backends.noise import FakeDevice, GateNoise
from qiskit_solvers.backends.protocol import Batch, Counts
from qiskit_solvers.backends.readout import (
    Readout,
    calibrated,
    mitigated,
    nearest_probabilities,
    quasi_probabilities,
)
from qiskit_solvers.circuits.transverse import transverse_ansatz
from qiskit_solvers.ising import Ising, diagonal

SHOTS = 20_000


def excited(qubits: int) -> QuantumCircuit:
    circuit = QuantumCircuit(qubits)
    circuit.x(range(qubits))
    return circuit


def ones(counts: Counts, bit: int) -> float:
    return sum(n for index, n in counts.items() if index >> bit & 1) / sum(counts.values())


@pytest.mark.parametrize(
    ("noise", "circuit", "expected"),
    [
        # a depolarised qubit is mixed: half of the probability flips it
        pytest.param(GateNoise(one_qubit=0.1), excited(1), 1 - 0.05, id="one-qubit"),
        pytest.param(GateNoise(read_0_for_1=0.08), excited(1), 1 - 0.08, id="read 0 for 1"),
        pytest.param(GateNoise(read_1_for_0=0.03), QuantumCircuit(1), 0.03, id="read 1 for 0"),
        pytest.param(GateNoise(t1_us=1, t2_us=1, one_qubit_ns=200), excited(1), np.exp(-0.2), id="thermal"),
    ],
)
@pytest.mark.parametrize("method", ["statevector", "density_matrix"])
def test_one_error_is_as_likely_as_it_says(noise: GateNoise, circuit: QuantumCircuit, expected: float, method: str):
    (counts,) = Aer(noise=noise, method=method).run([circuit], shots=SHOTS, seed=3).counts
    assert ones(counts, 0) == pytest.approx(expected, abs=5 * np.sqrt(expected * (1 - expected) / SHOTS))


def test_a_depolarised_pair_is_mixed():
    circuit = QuantumCircuit(2)
    circuit.cz(0, 1)
    (counts,) = Aer(noise=GateNoise(two_qubit=0.2), method="automatic").run([circuit], shots=SHOTS, seed=3).counts
    assert 1 - counts[0] / SHOTS == pytest.approx(0.2 * 3 / 4, abs=0.013)


def test_no_errors_are_no_noise():
    circuit = QuantumCircuit(3)
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.cx(1, 2)
    (counts,) = Aer(noise=GateNoise()).run([circuit], shots=500, seed=1).counts
    assert set(counts) == {0, 7}


def test_a_noisy_batch_gives_the_counts_of_its_circuits_one_by_one():
    ising = Ising(np.array([0.4, -0.3, 0.2]), np.triu(np.ones((3, 3)), 1))
    ansatz = transverse_ansatz(ising, 1)
    gammas, betas = np.array([[0.3], [0.7]]), np.array([[0.5], [0.2]])
    errors = GateNoise(one_qubit=1e-3, two_qubit=1e-2, read_1_for_0=0.02, read_0_for_1=0.05)
    noisy = Aer(noise=errors, method="automatic")
    batch = Batch(ansatz.circuit, ansatz.bindings(gammas, betas)[0])
    both = noisy.run([batch], shots=SHOTS, seed=8)
    assert both.figures.two_qubit_gates == (6,)  # two cz for each of three couplings
    for counts, gamma, beta in zip(both.counts, gammas, betas, strict=True):
        clean = Statevector(ansatz.bind(gamma, beta)).probabilities()
        seen = np.array([counts.get(index, 0) for index in range(8)]) / SHOTS
        assert 0.01 < np.abs(seen - clean).sum() / 2 < 0.2


@pytest.mark.parametrize(
    "options",
    [{"one_qubit": 1.5}, {"two_qubit": -0.1}, {"read_0_for_1": np.nan}, {"t1_us": 1.0}, {"t1_us": 1.0, "t2_us": 2.5}],
)
def test_errors_that_cannot_be_are_refused(options: dict[str, float]):
    with pytest.raises(ValueError, match="expected"):
        GateNoise(**options)


def test_a_fake_device_runs_on_the_qubits_that_it_names():
    circuit = QuantumCircuit(3)
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.cx(0, 2)
    run = Aer(noise=FakeDevice("FakeManilaV2"), qubits=(2, 1, 3)).run([circuit], shots=2_000, seed=1)
    assert set(run.figures.measured[0]) <= set(range(5))
    assert run.figures.depth[0] > 3
    (counts,) = run.counts
    assert counts[0] + counts[7] > 0.75 * 2_000
    assert len(counts) > 2


def test_a_fake_device_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="FakeManilaV2 for instance, got FakeProviderForBackendV2"):
        Aer(noise=FakeDevice("FakeProviderForBackendV2")).run([QuantumCircuit(1)], shots=1, seed=0)


@pytest.mark.system
def test_a_large_fake_device_runs_what_fits_its_used_qubits():
    """133 qubits, of which Aer simulates those that the circuit uses; loading takes 15 s."""
    circuit = excited(3)
    circuit.cz(0, 1)
    (counts,) = Aer(noise=FakeDevice("FakeTorino")).run([circuit], shots=1_000, seed=1).counts
    assert counts[7] > 800


def test_calibration_finds_the_readout_error():
    noise = GateNoise(read_1_for_0=0.04, read_0_for_1=0.09)
    readout = calibrated(Aer(noise=noise), 3, shots=SHOTS, seed=2)
    assert readout.matrices == pytest.approx(np.tile([[0.96, 0.09], [0.04, 0.91]], (3, 1, 1)), abs=0.01)


def test_mitigation_brings_the_expectation_nearer_to_the_truth():
    rng = np.random.default_rng(5)
    ising = Ising(rng.normal(size=6), np.triu(rng.normal(size=(6, 6)), 1))
    circuit = transverse_ansatz(ising, 2).bind([0.2, 0.4], [0.6, 0.3])
    energy = diagonal(ising)
    exact = float(Statevector(circuit).probabilities() @ energy)
    backend = Aer(noise=GateNoise(read_1_for_0=0.03, read_0_for_1=0.1))
    readout = calibrated(backend, 6, shots=SHOTS, seed=2)
    (counts,) = backend.run([circuit], shots=SHOTS, seed=3).counts
    raw = sum(n * energy[index] for index, n in counts.items()) / SHOTS
    corrected = sum(p * energy[index] for index, p in mitigated(counts, readout).items())
    assert abs(corrected - exact) < abs(raw - exact) / 4


def test_mitigation_inverts_the_error_exactly_where_every_string_was_seen():
    matrices = np.array([[[0.9, 0.2], [0.1, 0.8]], [[0.97, 0.05], [0.03, 0.95]]])
    true = np.array([0.4, 0.1, 0.3, 0.2])
    read = np.kron(matrices[1], matrices[0]) @ true
    counts = {index: round(10**9 * p) for index, p in enumerate(read)}
    weights = quasi_probabilities(counts, Readout(matrices))
    assert list(weights.values()) == pytest.approx(true, abs=1e-8)


def test_the_nearest_probabilities_are_nearer_than_any_others():
    rng = np.random.default_rng(7)
    for _ in range(20):
        weights = rng.normal(0.2, 0.4, size=6)
        weights += (1 - weights.sum()) / 6
        nearest = nearest_probabilities(dict(enumerate(weights)))
        found = np.array([nearest.get(index, 0.0) for index in range(6)])
        assert found.sum() == pytest.approx(1.0)
        assert found.min() >= 0
        others = rng.dirichlet(np.ones(6), size=2_000)
        assert np.linalg.norm(others - weights, axis=1).min() >= np.linalg.norm(found - weights) - 1e-12


def test_seventy_bits_are_mitigated():
    counts = {0: 900, 1 << 69: 100}
    readout = Readout(np.tile([[0.95, 0.1], [0.05, 0.9]], (70, 1, 1)))
    assert mitigated(counts, readout)[0] > 0.94


def test_counts_that_cannot_be_mitigated_are_refused():
    readout = Readout(np.tile([[0.95, 0.1], [0.05, 0.9]], (2, 1, 1)))
    with pytest.raises(ValueError, match="at least one"):
        mitigated({}, readout)
    with pytest.raises(ValueError, match="at most 2 bits"):
        mitigated({4: 1}, readout)
    with pytest.raises(ValueError, match="better than chance"):
        Readout(np.full((1, 2, 2), 0.5))
    wide = Readout(np.tile([[0.95, 0.1], [0.05, 0.9]], (13, 1, 1)))
    with pytest.raises(TooLarge, match="4096"):
        mitigated(dict.fromkeys(range(8192), 1), wide)
