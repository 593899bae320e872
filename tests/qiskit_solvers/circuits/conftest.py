"""Dense linear algebra of every ansatz, written out with Kronecker products: nothing of the package but the model."""

from collections.abc import Sequence
from functools import reduce

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.quantum_info import Statevector
from qiskit_aer import AerSimulator
from scipy.linalg import expm

from qiskit_solvers.ising import Ising

X = np.array([[0, 1], [1, 0]], dtype=complex)
Y = np.array([[0, -1j], [1j, 0]])
Z = np.diag([1.0 + 0j, -1.0])


class Dense:
    """Matrices over ``2**qubits`` strings, qubit 0 least significant."""

    @staticmethod
    def on(qubits: int, gates: dict[int, np.ndarray]) -> np.ndarray:
        return reduce(np.kron, [gates.get(qubit, np.eye(2)) for qubit in reversed(range(qubits))], np.eye(1))

    def term(self, ising: Ising, number: int) -> np.ndarray:
        """Term ``number``: fields that are not zero by spin, then couplings row by row."""
        terms = [({i: Z}, h) for i, h in enumerate(ising.h) if h]
        J = ising.couplings
        terms += [({i: Z, j: Z}, J[i, j]) for i in range(ising.spins) for j in range(ising.spins) if J[i, j]]
        gates, coefficient = terms[number]
        return coefficient * self.on(ising.spins, gates)

    def cost(self, ising: Ising) -> np.ndarray:
        count = np.count_nonzero(ising.h) + np.count_nonzero(ising.couplings)
        return sum((self.term(ising, k) for k in range(count)), np.zeros((2**ising.spins,) * 2, dtype=complex))

    def driver(self, qubits: int, spins: Sequence[int]) -> np.ndarray:
        return sum((self.on(qubits, {i: X}) for i in spins), np.zeros((2**qubits,) * 2, dtype=complex))

    def hopping(self, qubits: int, first: int, second: int) -> np.ndarray:
        return (self.on(qubits, {first: X, second: X}) + self.on(qubits, {first: Y, second: Y})) / 2

    def feasible(self, ising: Ising) -> np.ndarray:
        """1 where every group is one-hot, else 0, ``(2**spins,)``."""
        bits = (np.arange(2**ising.spins)[:, None] >> np.arange(ising.spins)) & 1
        return np.prod([bits[:, list(group)].sum(axis=1) == 1 for group in ising.groups] or [bits[:, 0] >= 0], axis=0)

    def uniform(self, ising: Ising) -> np.ndarray:
        mask = self.feasible(ising)
        return mask / np.sqrt(mask.sum()) + 0j

    @staticmethod
    def evolve(start: np.ndarray, *exponents: np.ndarray) -> np.ndarray:
        for exponent in exponents:
            start = expm(exponent) @ start
        return start


def same_up_to_phase(state: np.ndarray, expected: np.ndarray) -> None:
    overlap = np.vdot(expected, state)
    assert abs(overlap) == pytest.approx(1.0, abs=1e-10)
    np.testing.assert_allclose(state, expected * overlap / abs(overlap), atol=1e-10)


def qiskit_state(circuit: QuantumCircuit) -> np.ndarray:
    return np.asarray(Statevector(circuit).data)


def aer_state(circuit: QuantumCircuit) -> np.ndarray:
    circuit = circuit.copy()
    circuit.save_statevector()
    result = AerSimulator(method="statevector", max_parallel_threads=1).run(circuit).result()
    assert result.success, result.status
    return np.asarray(result.get_statevector())


class Check:
    """How states are had and compared."""

    same = staticmethod(same_up_to_phase)
    qiskit = staticmethod(qiskit_state)
    aer = staticmethod(aer_state)


def random_model(
    spins: int, rng: np.random.Generator, *, density: float = 1.0, groups: tuple[tuple[int, ...], ...] = ()
) -> Ising:
    kept = rng.random((spins, spins)) < density
    h = rng.normal(size=spins) * (rng.random(spins) < max(density, 0.5))
    return Ising(h, np.triu(rng.normal(size=(spins, spins)) * kept, 1), float(rng.normal()), groups)


def random_angles(layers: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return rng.uniform(-1.5, 1.5, size=layers), rng.uniform(-1.5, 1.5, size=layers)


class Draw:
    """Random models and angles."""

    model = staticmethod(random_model)
    angles = staticmethod(random_angles)


@pytest.fixture(scope="session")
def dense() -> Dense:
    return Dense()


@pytest.fixture(scope="session")
def check() -> Check:
    return Check()


@pytest.fixture(scope="session")
def draw() -> Draw:
    return Draw()
