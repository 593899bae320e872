"""How is the QAOA circuit built in Qiskit and run on Aer? Imported only where Aer may run: the sandboxed child.

Aer holds the interpreter lock for a whole run, cannot be cancelled, and may exhaust the memory of
its process; :mod:`qiskit_solvers.sandbox` keeps it in a process that can be killed.
"""

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from qiskit import QuantumCircuit
from qiskit_aer import AerSimulator

from qiskit_solvers.ising import Ising

_GROUP = 3  # neighbouring gates then act on two groups, 6 qubits, which Aer fuses into one pass over the state
_FUSED_QUBITS = 2 * _GROUP
_FUSE_ABOVE_QUBITS = 12  # up to here fusing costs more than it saves; at 14 it saves 1.5 x, at 18 3.8 x


def qaoa_circuit(ising: Ising, gammas: Sequence[float], betas: Sequence[float]) -> QuantumCircuit:
    """Return the circuit whose state :func:`qiskit_solvers.simulate.state` computes, up to global phase.

    Only h, rz, rzz and rx: native or one step from native on every gate-based machine. Zero
    coefficients get no gate.

    Args:
        ising: the cost; spin +1 is |0>.
        gammas: cost angles, one per layer.
        betas: mixer angles, one per layer.
    """
    circuit = QuantumCircuit(ising.spins, name="qaoa")
    circuit.h(range(ising.spins))
    terms = list(_terms(ising))
    for gamma, beta in zip(gammas, betas, strict=True):
        for i, j, coefficient in terms:
            if i == j:
                circuit.rz(2 * gamma * coefficient, i)
            else:
                circuit.rzz(2 * gamma * coefficient, i, j)
        circuit.rx(-2 * beta, range(ising.spins))
    return circuit


def sample(
    ising: Ising, gammas: Sequence[float], betas: Sequence[float], *, shots: int, seed: int, memory_mb: int
) -> dict[int, int]:
    """Run the circuit on Aer's statevector method and return how often each string was measured.

    Args:
        ising: the cost.
        gammas: cost angles, one per layer.
        betas: mixer angles, one per layer.
        shots: number of measurements.
        seed: of the simulator.
        memory_mb: largest state that Aer may allocate, MiB.

    Returns:
        Counts by the string's index in :func:`~qiskit_solvers.ising.diagonal`, ascending.

    Raises:
        MemoryError: the state, or what Aer needs beside it, does not fit.
        RuntimeError: Aer reports another failure, with its reason.
    """
    circuit = qaoa_circuit(ising, gammas, betas)
    circuit.measure_all()
    result = _simulator(memory_mb).run(circuit, shots=shots, seed_simulator=seed).result()
    if not result.success:
        # Aer returns a result instead of raising, even when the state does not fit
        if any(words in result.status for words in ("Insufficient memory", "bad_alloc", "allocate memory")):
            raise MemoryError(f"Aer: {result.status}")
        raise RuntimeError(f"Aer: {result.status}")
    # data() has the raw hexadecimal keys; get_counts() would format each one
    counts = {int(key, 16): int(count) for key, count in result.data()["counts"].items()}
    return dict(sorted(counts.items()))


def state(ising: Ising, gammas: Sequence[float], betas: Sequence[float]) -> npt.NDArray[np.complex128]:
    """Return Aer's statevector, ``(2**spins,)``, of the same circuit."""
    circuit = qaoa_circuit(ising, gammas, betas)
    circuit.save_statevector()
    result = _simulator(memory_mb=1024).run(circuit).result()
    return np.asarray(result.get_statevector(), dtype=np.complex128)


def _simulator(memory_mb: int) -> AerSimulator:
    return AerSimulator(
        method="statevector",
        max_parallel_threads=1,  # spinning OpenMP barriers collapse on a busy machine
        max_memory_mb=memory_mb,  # the default is the host's whole memory, whatever the container may use
        fusion_max_qubit=_FUSED_QUBITS,
        fusion_threshold=_FUSE_ABOVE_QUBITS,
    )


def _terms(ising: Ising) -> Iterator[tuple[int, int, float]]:
    """Yield ``(i, i, h_i)`` and ``(i, j, J_ij)``, those of the same two groups of qubits together."""
    groups = [range(low, min(low + _GROUP, ising.spins)) for low in range(0, ising.spins, _GROUP)]
    seen = set()
    pairs = itertools.combinations(groups, 2) if len(groups) > 1 else [(groups[0], range(0))] if groups else []
    for first, second in pairs:
        for i, j in itertools.combinations_with_replacement((*first, *second), 2):
            coefficient = float(ising.h[i] if i == j else ising.J[i, j])
            if (i, j) not in seen and coefficient != 0.0:
                yield i, j, coefficient
            seen.add((i, j))
