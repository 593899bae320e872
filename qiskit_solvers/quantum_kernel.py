"""How alike do two rows look to a quantum computer? The fidelity of the states that a feature map makes of them.

The feature map is Qiskit's ``zz_feature_map`` (Havlicek et al. 2019, arXiv 1804.11326): Hadamards, then phases from
single features and from pairs, several times over. Its phases are diagonal, so all rows are simulated at once as
dense states, which a test holds equal to the circuit. A kernel whose states spread over the whole space learns by
heart: a small ``bandwidth``, by which features are scaled, keeps them close (Shaydulin and Wild 2022,
arXiv 2111.05451).
"""

from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from qiskit_solvers.errors import TooLarge

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

Entanglement = Literal["none", "linear", "full"]

QUBITS_MAX = 14
"""More would take a quarter of a megabyte for each row, and nothing that is left to learn."""


def pairs_of(qubits: int, entanglement: Entanglement) -> tuple[tuple[int, int], ...]:
    """Return the pairs of qubits whose features are multiplied."""
    if entanglement == "none":
        return ()
    if entanglement == "linear":
        return tuple((qubit, qubit + 1) for qubit in range(qubits - 1))
    return tuple((one, other) for one in range(qubits) for other in range(one + 1, qubits))


def feature_circuit(
    features: NDArray[np.float64], *, layers: int = 2, entanglement: Entanglement = "linear"
) -> "QuantumCircuit":
    """Return the circuit that prepares the state of one row, ``(qubits,)``, for hardware and for tests."""
    from qiskit.circuit.library import z_feature_map, zz_feature_map

    if entanglement == "none" or len(features) == 1:
        circuit = z_feature_map(len(features), reps=layers)
    else:
        circuit = zz_feature_map(len(features), reps=layers, entanglement=entanglement)
    return circuit.assign_parameters(features)


def feature_states(
    features: NDArray[np.float64], *, layers: int = 2, entanglement: Entanglement = "linear"
) -> NDArray[np.complex128]:
    """Return the states of all rows, ``(rows, qubits)`` to ``(rows, 2 ** qubits)``; qubit 0 is the lowest bit.

    Raises:
        TooLarge: more qubits than ``QUBITS_MAX``.
        ValueError: no features, or no layers.
    """
    rows, qubits = features.shape
    if qubits < 1 or layers < 1:
        raise ValueError(f"expected at least one feature and one layer, got {qubits} and {layers}")
    if qubits > QUBITS_MAX:
        raise TooLarge(f"expected at most {QUBITS_MAX} features for a dense state, got {qubits}")
    phase = np.exp(1j * _phases(features, entanglement))
    states = np.zeros((rows, 1 << qubits), dtype=np.complex128)
    states[:, 0] = 1.0
    for _ in range(layers):
        states = _hadamards(states, qubits) * phase
    return states


def fidelities(ones: NDArray[np.complex128], others: NDArray[np.complex128]) -> NDArray[np.float64]:
    """Return the squared overlaps of states, ``(rows, amplitudes)`` twice to ``(rows, other rows)``."""
    overlap = ones.conj() @ others.T
    return np.asarray(overlap.real**2 + overlap.imag**2)


def _phases(features: NDArray[np.float64], entanglement: Entanglement) -> NDArray[np.float64]:
    """Return the phase of each amplitude of each row: 2 x of the bits, and 2 (pi - x)(pi - y) where two differ."""
    qubits = features.shape[1]
    bits = ((np.arange(1 << qubits)[:, None] >> np.arange(qubits)) & 1).astype(np.float64)
    phases = 2.0 * features @ bits.T
    pairs = pairs_of(qubits, entanglement)
    if pairs:
        one, other = (list(side) for side in zip(*pairs, strict=True))
        products = 2.0 * (np.pi - features[:, one]) * (np.pi - features[:, other])
        phases += products @ (bits[:, one] != bits[:, other]).T.astype(np.float64)
    return np.asarray(phases)


def _hadamards(states: NDArray[np.complex128], qubits: int) -> NDArray[np.complex128]:
    rows = len(states)
    for qubit in range(qubits):
        halves = states.reshape(rows, -1, 2, 1 << qubit)
        states = np.stack([halves[:, :, 0] + halves[:, :, 1], halves[:, :, 0] - halves[:, :, 1]], axis=2)
    return np.asarray(states.reshape(rows, -1) * 2.0 ** (-0.5 * qubits))
