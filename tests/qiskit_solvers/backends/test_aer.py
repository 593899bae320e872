"""Aer measures what the circuit's state says, however circuits are handed over."""

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.circuit.library import XXPlusYYGate
from qiskit.quantum_info import Statevector
from qiskit_aer import AerSimulator
from qiskit_aer.library import SetDensityMatrix

from qiskit_solvers import Ising, SolverFailed, TooLarge
from qiskit_solvers.backends import aer
from qiskit_solvers.backends.aer import Aer, sample, state
from qiskit_solvers.backends.protocol import Batch, Counts
from qiskit_solvers.circuits.transverse import transverse_ansatz, transverse_circuit


def model(spins: int, seed: int = 3) -> Ising:
    rng = np.random.default_rng(seed)
    return Ising(rng.normal(size=spins), np.triu(rng.normal(size=(spins, spins)), 1))


def ring(spins: int) -> Ising:
    J = np.zeros((spins, spins))
    J[np.arange(spins - 1), np.arange(1, spins)] = 1.0
    return Ising(np.full(spins, 0.3), J)


def distance(counts: Counts, probabilities: np.ndarray) -> float:
    """Chi-squared per degree of freedom over what is expected at least five times."""
    expected = sum(counts.values()) * probabilities
    observed = np.array([counts.get(index, 0) for index in range(expected.size)])
    likely = expected >= 5
    return float(((observed - expected)[likely] ** 2 / expected[likely]).sum() / likely.sum())


@pytest.mark.parametrize("method", ["statevector", "density_matrix", "matrix_product_state", "automatic"])
@pytest.mark.parametrize("precision", ["double", "single"])
def test_counts_follow_the_state_of_the_circuit(method: str, precision: str):
    circuit = transverse_circuit(model(4), [0.3, 0.5], [0.6, 0.2])
    (counts,) = Aer(method=method, precision=precision).run([circuit], shots=20_000, seed=5).counts
    assert list(counts) == sorted(counts)
    assert sum(counts.values()) == 20_000
    assert distance(counts, Statevector(circuit).probabilities()) < 3.0


def test_bit_i_is_qubit_i():
    circuit = QuantumCircuit(3)
    circuit.x(2)
    assert Aer().run([circuit], shots=7, seed=1).counts == ({0b100: 7},)


def test_classical_bits_are_kept_where_a_circuit_has_them():
    circuit = QuantumCircuit(3, 2)
    circuit.x(2)
    circuit.measure(2, 1)
    assert Aer().run([circuit], shots=7, seed=1).counts == ({0b10: 7},)


def test_a_batch_gives_the_counts_of_its_circuits_one_by_one():
    ansatz = transverse_ansatz(model(4), 2)
    gammas, betas = np.random.default_rng(2).uniform(0, 1, (2, 5, 2))
    batch = Batch(ansatz.circuit, ansatz.bindings(gammas, betas)[0])
    other = transverse_circuit(model(3), [0.2], [0.4])
    run = Aer().run([batch, other], shots=500, seed=11)
    singly = [ansatz.bind(g, b) for g, b in zip(gammas, betas, strict=True)]
    assert run.counts == Aer().run([*singly, other], shots=500, seed=11).counts
    assert len(run.counts) == 6


def test_gates_that_aer_does_not_know_are_translated():
    circuit = QuantumCircuit(2)
    circuit.x(0)
    circuit.append(XXPlusYYGate(1.1, 0.4), [0, 1])
    (counts,) = Aer().run([circuit], shots=20_000, seed=2).counts
    assert distance(counts, Statevector(circuit).probabilities()) < 3.0


@pytest.mark.parametrize("method", ["statevector", "density_matrix", "matrix_product_state"])
def test_the_gates_that_need_no_translation_are_those_of_every_method(method: str):
    assert AerSimulator(method=method).target.operation_names >= aer._WELL_KNOWN_GATES


def test_the_same_seed_gives_the_same_counts_and_another_gives_others():
    circuit = transverse_circuit(model(6), [0.3], [0.6])
    first, again, other = (Aer().run([circuit], shots=300, seed=seed).counts for seed in (4, 4, 5))
    assert first == again != other


def test_forty_qubits_are_sampled_as_a_matrix_product_state():
    """A chain in one layer has bonds of 2, so 8 terms lose nothing; nearest spins then anticorrelate as exactly."""
    circuit = transverse_circuit(ring(40), [0.5], [0.5])
    small = transverse_circuit(ring(10), [0.5], [0.5])
    backend = Aer(method="automatic", bond_dimension=8)
    assert backend.method_for(40) == "matrix_product_state"
    (counts,) = backend.run([circuit], shots=400, seed=3).counts
    exact = Statevector(small).probabilities()
    bits = np.arange(1024)
    expected = (1 - 2 * ((bits >> 4 ^ bits >> 5) & 1)) @ exact
    middle = range(4, 35)
    sums = {i: sum(n * (1 - 2 * ((x >> i ^ x >> (i + 1)) & 1)) for x, n in counts.items()) / 400 for i in middle}
    assert abs(np.mean(list(sums.values())) - expected) < 0.05
    assert max(counts) >= 1 << 36


def test_bits_beyond_the_sixty_fourth_are_kept():
    circuit = QuantumCircuit(70)
    circuit.x([0, 69])
    assert Aer(method="automatic", bond_dimension=2).run([circuit], shots=3, seed=1).counts == ({1 | 1 << 69: 3},)


def test_no_qubits_are_measured_as_nothing():
    assert Aer().run([QuantumCircuit(0), Batch(QuantumCircuit(0))], shots=4, seed=0).counts == ({0: 4}, {0: 4})


def test_no_layers_are_measured_as_the_uniform_superposition():
    (counts,) = Aer().run([transverse_circuit(model(3), [], [])], shots=8_000, seed=6).counts
    assert distance(counts, np.full(8, 1 / 8)) < 4.0


def test_no_circuits_give_no_counts():
    assert Aer().run([], shots=1, seed=0).counts == ()


@pytest.mark.parametrize(("qubits", "method"), [(26, "statevector"), (13, "density_matrix"), (200, "statevector")])
def test_what_does_not_fit_is_refused_before_it_starts(qubits: int, method: str):
    with pytest.raises(TooLarge, match="aer: expected at most 512 MiB, needs"):
        Aer(method=method, memory_mb=512).run([QuantumCircuit(qubits)], shots=1, seed=0)


def test_shots_that_do_not_fit_are_refused_before_they_are_drawn():
    with pytest.raises(TooLarge):
        Aer(memory_mb=64).run([QuantumCircuit(2)], shots=10_000_000, seed=0)


@pytest.mark.parametrize(
    ("shots", "seed", "message"), [(0, 1, "shots"), (-3, 1, "shots"), (1, -1, "seed"), (1, 2**31, "seed")]
)
def test_requests_that_make_no_sense_are_refused(shots: int, seed: int, message: str):
    with pytest.raises(ValueError, match=message):
        Aer().run([QuantumCircuit(1)], shots=shots, seed=seed)


@pytest.mark.parametrize(
    "options",
    [
        {"memory_mb": 0},
        {"bond_dimension": 0},
        {"threads": 0},
        {"qubits": (1,)},
        {"method": "foo"},
        {"precision": "foo"},
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, object]):
    with pytest.raises(ValueError, match="expected"):
        Aer(**options)


def test_parameters_without_values_are_refused():
    angle = ParameterVector("angle", 2)
    circuit = QuantumCircuit(1)
    circuit.rx(angle[0] + angle[1], 0)
    with pytest.raises(ValueError, match=r"angle\[0\]"):
        Aer().run([circuit], shots=1, seed=0)
    with pytest.raises(ValueError, match="as many values"):
        Batch(circuit, {angle[0]: [1.0], angle[1]: [1.0, 2.0]})


def test_a_circuit_that_aer_refuses_is_a_solver_that_failed():
    refused = QuantumCircuit(1)
    refused.append(SetDensityMatrix(np.diag([1.0, 0.0])), [0])
    with pytest.raises(SolverFailed, match="aer: "):
        Aer().run([refused], shots=1, seed=0)


def test_the_job_of_the_ramp_and_its_state_are_those_of_the_circuit():
    cost, gammas, betas = model(5), [0.3, 0.5], [0.6, 0.2]
    circuit = transverse_circuit(cost, gammas, betas)
    assert (
        sample(cost, gammas, betas, shots=200, seed=4, memory_mb=64)
        == Aer().run([circuit], shots=200, seed=4).counts[0]
    )
    overlap = np.vdot(state(cost, gammas, betas), Statevector(circuit).data)
    assert abs(overlap) == pytest.approx(1.0, abs=1e-12)
