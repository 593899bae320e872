"""Cirq has the amplitudes of the Qiskit circuit, so its counts follow Aer's distribution."""

import math

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit.library import XXPlusYYGate
from qiskit.quantum_info import Statevector

from qiskit_solvers import Ising, TooLarge
from qiskit_solvers.backends.aer import Aer
from qiskit_solvers.backends.google import Google, to_cirq
from qiskit_solvers.backends.protocol import Batch, Unavailable
from qiskit_solvers.circuits.transverse import transverse_ansatz, transverse_circuit

try:
    import cirq
except ImportError:
    cirq = None

needs_cirq = pytest.mark.skipif(cirq is None, reason="cirq-core is not installed")


def model(spins: int) -> Ising:
    rng = np.random.default_rng(3)
    return Ising(rng.normal(size=spins), np.triu(rng.normal(size=(spins, spins)), 1))


def every_gate() -> QuantumCircuit:
    """Every translated gate at a place where it changes the amplitudes."""
    circuit = QuantumCircuit(3)
    for qubit, angle in enumerate((0.3, 0.8, 1.4)):
        circuit.ry(angle, qubit)
        circuit.rx(angle / 2, qubit)
    for name in ("h", "x", "y", "z", "s", "sdg", "t", "tdg", "sx"):
        getattr(circuit, name)(len(name) % 3)
        circuit.rx(0.4, len(name) % 3)
    for angle, name in ((0.7, "rx"), (0.5, "ry"), (1.2, "rz"), (0.9, "p")):
        getattr(circuit, name)(angle, 1)
        circuit.h(1)
    circuit.cx(0, 2)
    circuit.cz(1, 2)
    circuit.swap(0, 1)
    circuit.barrier()
    circuit.rzz(0.6, 0, 2)
    circuit.h(range(3))
    return circuit


@needs_cirq
def test_every_gate_has_the_same_amplitudes_up_to_one_phase():
    circuit = every_gate()
    theirs = cirq.Simulator(dtype=np.complex128).simulate(to_cirq(circuit), qubit_order=cirq.LineQubit.range(3))
    # Cirq's first qubit is the most significant
    amplitudes = theirs.final_state_vector.reshape(2, 2, 2).transpose(2, 1, 0).ravel()
    assert abs(np.vdot(amplitudes, Statevector(circuit).data)) == pytest.approx(1.0, abs=1e-9)


@needs_cirq
def test_counts_follow_the_distribution_that_aer_has():
    shots = 20_000
    circuit = transverse_circuit(model(5), [0.3, 0.5], [0.6, 0.2])
    other = QuantumCircuit(2)
    other.x(0)
    other.append(XXPlusYYGate(1.1, 0.4), [0, 1])
    ours, theirs = (backend.run([circuit, other], shots=shots, seed=5).counts for backend in (Google(), Aer()))
    for first, second in zip(ours, theirs, strict=True):
        assert list(first) == sorted(first)
        assert sum(first.values()) == shots
        seen = [index for index in set(first) | set(second) if first.get(index, 0) + second.get(index, 0) >= 10]
        squared = [(first.get(i, 0) - second.get(i, 0)) ** 2 / (first.get(i, 0) + second.get(i, 0)) for i in seen]
        assert sum(squared) < len(seen) + 5 * math.sqrt(2 * len(seen))


@needs_cirq
def test_a_batch_bits_and_trivial_circuits():
    ansatz = transverse_ansatz(model(3), 1)
    batch = Batch(ansatz.circuit, ansatz.bindings([[0.0], [0.4]], [[0.0], [0.3]])[0])
    flipped = QuantumCircuit(3, 2)
    flipped.x(2)
    flipped.measure(2, 1)
    counts = Google().run([batch, flipped, QuantumCircuit(0)], shots=50, seed=1).counts
    assert len(counts) == 4
    assert counts[2:] == ({0b10: 50}, {0: 50})


@needs_cirq
def test_the_same_seed_gives_the_same_counts():
    circuit = transverse_circuit(model(4), [0.3], [0.6])
    first, again, other = (Google().run([circuit], shots=300, seed=seed).counts for seed in (4, 4, 5))
    assert first == again != other


@needs_cirq
def test_an_instruction_that_is_not_translated_is_refused():
    circuit = QuantumCircuit(3)
    circuit.ccx(0, 1, 2)
    with pytest.raises(ValueError, match="got ccx"):
        to_cirq(circuit)
    assert sum(Google().run([circuit], shots=5, seed=1).counts[0].values()) == 5


@pytest.mark.skipif(cirq is not None, reason="cirq-core is installed")
def test_a_missing_cirq_is_named():
    with pytest.raises(Unavailable, match="cirq-core is not installed"):
        Google().run([QuantumCircuit(1)], shots=1, seed=0)
    with pytest.raises(Unavailable, match="cirq-core is not installed"):
        to_cirq(QuantumCircuit(1))


def test_what_does_not_fit_is_refused_before_it_starts():
    with pytest.raises(TooLarge, match="google: expected at most 1024 MiB"):
        Google().run([QuantumCircuit(30)], shots=1, seed=0)


def test_options_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="expected at least 1"):
        Google(memory_mb=0)
