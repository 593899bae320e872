"""How does a vector become the amplitudes of a state, and a state a vector again?

A tree of uniformly controlled rotations: the norms of the halves, of their halves, and so on set one RY per level,
and for complex vectors the phases set one RZ per level (Möttönen, Vartiainen, Bergholm and Salomaa 2005,
arXiv:quant-ph/0407010). Built here, not by Qiskit's ``StatePreparation``, because a real vector then needs no RZ at
all, and because the state equals the vector with its global phase, which block encodings need.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from qiskit import QuantumCircuit
from qiskit.circuit.library import UCRYGate, UCRZGate

from qiskit_solvers.errors import TooLarge

Complexes = npt.NDArray[np.complex128]

MAX_QUBITS = 16
"""Widest encoding: a circuit of ``2**17`` gates for a real vector of 65,536 entries."""


@dataclass(frozen=True, slots=True, eq=False)
class Encoded:
    """A vector as a circuit.

    Args:
        circuit: takes |0..0> to the normalised vector; amplitude ``x`` is entry ``x``, qubit 0 least significant.
        norm: Euclidean norm of the vector, which the state cannot hold.
        length: entries of the vector; the amplitudes after them are zero.
    """

    circuit: QuantumCircuit
    norm: float
    length: int


def encoded(vector: npt.ArrayLike) -> Encoded:
    """Return the circuit that prepares ``vector``, ``(length,)``, real or complex, padded with zeros.

    The width is the smallest that holds the vector, at least one qubit. A real vector of ``n`` qubits takes about
    ``2**n`` CX gates, a complex one twice as many.

    Raises:
        ValueError: not one-dimensional, empty, not finite, all zero, or too long for a finite norm.
        TooLarge: more than :data:`MAX_QUBITS` qubits.
    """
    entries = np.asarray(vector, dtype=np.complex128)
    if entries.ndim != 1 or entries.size == 0:
        raise ValueError(f"vector: expected shape (length,) with at least one entry, got {entries.shape}")
    if not np.isfinite(entries).all():
        raise ValueError("vector: expected finite numbers, got NaN or infinity")
    qubits = max(1, (entries.size - 1).bit_length())
    if qubits > MAX_QUBITS:
        raise TooLarge(f"amplitude encoding: expected at most {2**MAX_QUBITS} entries, got {entries.size}")
    largest = float(max(np.abs(entries.real).max(), np.abs(entries.imag).max()))
    if largest == 0.0:
        raise ValueError("vector: expected an entry that is not zero, got the zero vector")
    scaled = entries.real / largest + 1j * (entries.imag / largest)  # squares neither overflow nor vanish
    length = float(np.linalg.norm(scaled))
    with np.errstate(over="ignore"):
        norm = float(np.float64(largest) * length)
    if not np.isfinite(norm):
        raise ValueError(f"vector: expected a finite norm, got entries up to {largest}")
    amplitudes = np.zeros(2**qubits, dtype=np.complex128)
    amplitudes[: entries.size] = scaled / length
    return Encoded(_tree(amplitudes, qubits), norm, entries.size)


def decoded(encoding: Encoded, amplitudes: npt.ArrayLike) -> Complexes:
    """Return the vector, ``(length,)``, that a state ``(2**qubits,)`` stands for.

    Counts of measurements give magnitudes only; signs and phases are in the state alone.

    Raises:
        ValueError: the state has another width.
    """
    state = np.asarray(amplitudes, dtype=np.complex128)
    if state.shape != (2**encoding.circuit.num_qubits,):
        raise ValueError(f"amplitudes: expected shape {(2**encoding.circuit.num_qubits,)}, got {state.shape}")
    return np.asarray(state[: encoding.length] * encoding.norm, dtype=np.complex128)


def _tree(amplitudes: Complexes, qubits: int) -> QuantumCircuit:
    circuit = QuantumCircuit(qubits, name="encode")
    real = not amplitudes.imag.any()
    # leaves of a real vector keep their signs, which the last rotation then sets by itself
    level: Any = amplitudes.real if real else np.abs(amplitudes)
    angles = []
    while level.size > 1:
        even, odd = level[0::2], level[1::2]
        angles.append(2.0 * np.arctan2(odd, even))
        level = np.hypot(even, odd)
    for target in reversed(range(qubits)):
        controls = range(target + 1, qubits)
        circuit.append(UCRYGate(angles[target].tolist()), [target, *controls])
    if not real:
        phases = np.angle(amplitudes)
        for target in range(qubits):
            even, odd = phases[0::2], phases[1::2]
            circuit.append(UCRZGate((odd - even).tolist()), [target, *range(target + 1, qubits)])
            phases = (even + odd) / 2.0
        circuit.global_phase = float(phases[0])
    return circuit
