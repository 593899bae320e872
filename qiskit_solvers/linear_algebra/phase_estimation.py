"""Which eigenphases does a unitary have, read from a clock register?

Quantum phase estimation (Kitaev 1995, arXiv:quant-ph/9511026; Cleve, Ekert, Macchiavello and Mosca 1998,
doi 10.1098/rspa.1998.0164). The powers ``U**(2**k)`` are squared as matrices, one gate each, where repeating the
gate would take ``2**k`` of them; that is for small matrices that are known, as in the linear-algebra circuits.

The clock is qubits ``0 .. bits - 1``, bit 0 least significant, so that a measured index is read as it stands.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from qiskit import QuantumCircuit
from qiskit.circuit.library import UnitaryGate

from qiskit_solvers.errors import TooLarge
from qiskit_solvers.ising import Floats
from qiskit_solvers.linear_algebra.amplitude_encoding import Complexes, encoded
from qiskit_solvers.linear_algebra.qft import qft

MAX_QUBITS = 20
"""Widest circuit: clock and target."""

MAX_TARGET_QUBITS = 8
"""Largest matrix, 256 x 256: a controlled power is one dense gate of 4 MB."""

_UNITARY_TO = 1e-10


@dataclass(frozen=True, slots=True)
class PhaseEstimate:
    """What a clock register says.

    Args:
        phase: the value read most often, in turns (0 to 1); right to half of ``resolution``.
        refined: phase moved towards the likelier neighbour by what the two frequencies imply, in turns; finer than
            the clock where one eigenphase holds nearly all weight, and of no meaning otherwise.
        resolution: ``2**-bits`` turns.
        share: of the shots that read ``phase``; at least 0.405 (``4 / pi**2``) for an eigenstate.
    """

    phase: float
    refined: float
    resolution: float
    share: float


def phase_estimation(unitary: npt.ArrayLike, bits: int, *, start: npt.ArrayLike | None = None) -> QuantumCircuit:
    """Return the circuit on ``bits`` clock qubits followed by the target qubits, without measurement.

    Args:
        unitary: ``(size, size)``; a size that is no power of two is padded with ones on the diagonal, which the
            start state does not reach.
        bits: clock qubits, at least 1.
        start: amplitudes of the target, ``(size,)``, of any norm; without, the target starts in |0..0> and the
            caller prepares it.

    Raises:
        ValueError: not square, not finite, not unitary to 1e-10, no clock, or a start that does not fit.
        TooLarge: more than :data:`MAX_QUBITS` qubits, or :data:`MAX_TARGET_QUBITS` in the target.
    """
    gate = np.asarray(unitary, dtype=np.complex128)
    if gate.ndim != 2 or gate.shape[0] != gate.shape[1] or gate.size == 0:
        raise ValueError(f"unitary: expected a square matrix, got shape {gate.shape}")
    if not np.isfinite(gate).all():
        raise ValueError("unitary: expected finite numbers, got NaN or infinity")
    size = gate.shape[0]
    _check_bits(bits)
    target = max(1, (size - 1).bit_length())
    if target > MAX_TARGET_QUBITS or bits + target > MAX_QUBITS:
        raise TooLarge(
            f"phase estimation: expected at most {MAX_TARGET_QUBITS} target qubits and {MAX_QUBITS} in all, "
            f"got {target} and {bits + target}"
        )
    distance = float(np.abs(gate.conj().T @ gate - np.eye(size)).max())
    if distance > _UNITARY_TO:
        raise ValueError(f"unitary: expected a unitary matrix to {_UNITARY_TO}, got one that is {distance:.1e} off")
    power = np.eye(2**target, dtype=np.complex128)
    power[:size, :size] = gate
    circuit = QuantumCircuit(bits + target, name="phase_estimation")
    targets = range(bits, bits + target)
    if start is not None:
        encoding = encoded(start)
        if encoding.length != size:
            raise ValueError(f"start: expected shape {(size,)}, got {(encoding.length,)}")
        circuit.compose(encoding.circuit, targets, inplace=True)
    circuit.h(range(bits))
    for clock in range(bits):
        circuit.append(UnitaryGate(_controlled(power), label=f"u^{2**clock}"), [*targets, clock])
        power = _nearest_unitary(power @ power)
    circuit.compose(qft(bits).inverse(), range(bits), inplace=True)
    return circuit


def readout_probabilities(phases: npt.ArrayLike, weights: npt.ArrayLike, bits: int) -> Floats:
    """Return how likely each clock value is, ``(2**bits,)``: the Fejér kernel about each eigenphase.

    ``P(m) = sum_k w_k (sin(pi N d) / (N sin(pi d)))**2`` with ``d = phase_k - m / N`` and ``N = 2**bits``.

    Args:
        phases: eigenphases in turns, ``(eigenphases,)``.
        weights: squared overlaps of the start with the eigenstates, ``(eigenphases,)``.
        bits: clock qubits.

    Raises:
        ValueError: the two differ in shape, or there is no clock.
        TooLarge: more than :data:`MAX_QUBITS` clock qubits.
    """
    turns, overlaps = np.asarray(phases, dtype=np.float64), np.asarray(weights, dtype=np.float64)
    if turns.ndim != 1 or turns.shape != overlaps.shape:
        raise ValueError(f"phases, weights: expected two equal shapes, got {turns.shape} and {overlaps.shape}")
    _check_bits(bits)
    values = 2**bits
    distance = turns[:, None] - np.arange(values) / values
    distance -= np.rint(distance)
    # sinc is sin(pi x) / (pi x), and 1 at 0
    kernel = (np.sinc(values * distance) / np.sinc(distance)) ** 2
    return np.asarray(overlaps @ kernel, dtype=np.float64)


def estimate(counts: Mapping[int, int], bits: int) -> PhaseEstimate:
    """Return the eigenphase that measurements point to.

    Args:
        counts: by index, bit ``i`` for qubit ``i``; bits above the clock (the target, if measured) are ignored. A
            text key of Qiskit is this index in binary, ``int(key, 2)``, once blanks are removed.
        bits: clock qubits.

    Raises:
        ValueError: nothing was measured, or there is no clock.
        TooLarge: more than :data:`MAX_QUBITS` clock qubits.
    """
    _check_bits(bits)
    values = 2**bits
    clock = np.zeros(values)
    for key, count in counts.items():
        clock[key % values] += count
    if not clock.sum() > 0:
        raise ValueError("counts: expected at least one shot, got none")
    best = int(np.argmax(clock))
    up, down = clock[(best + 1) % values], clock[(best - 1) % values]
    # sqrt P is proportional to 1 / sin of the distance; solved for the distance from the best value
    ratio = np.sqrt(clock[best]) / np.sqrt(max(up, down)) if max(up, down) > 0 else np.inf
    step = np.pi / values
    shift = float(np.arctan(np.sin(step) / (ratio + np.cos(step))) / np.pi)
    if values == 2:
        shift = 0.0  # both neighbours are the same value: the side is unknown
    phase = best / values
    refined = (phase + (shift if up >= down else -shift)) % 1.0
    return PhaseEstimate(phase, refined, 1.0 / values, float(clock[best] / clock.sum()))


def clock_bits(accurate_bits: int, failure: float) -> int:
    """Return how many clock qubits read a phase to ``2**-accurate_bits`` with at most ``failure`` probability of not.

    ``accurate_bits + ceil(log2(2 + 1 / (2 failure)))``: Cleve et al. 1998.

    Raises:
        ValueError: no accurate bit, or a failure outside 0 to 1.
    """
    if accurate_bits < 1 or not 0.0 < failure < 1.0:
        raise ValueError(f"expected at least 1 bit and a failure between 0 and 1, got {accurate_bits} and {failure}")
    return accurate_bits + int(np.ceil(np.log2(2.0 + 1.0 / (2.0 * failure))))


def _check_bits(bits: int) -> None:
    if bits < 1:
        raise ValueError(f"bits: expected at least 1 clock qubit, got {bits}")
    if bits > MAX_QUBITS:
        raise TooLarge(f"bits: expected at most {MAX_QUBITS} clock qubits, got {bits}")


def _controlled(unitary: Complexes) -> Complexes:
    """Return the gate under control of one more, most significant qubit."""
    size = unitary.shape[0]
    gate = np.eye(2 * size, dtype=np.complex128)
    gate[size:, size:] = unitary
    return gate


def _nearest_unitary(matrix: Complexes) -> Complexes:
    """Return one Newton step to the nearest unitary matrix, so that squaring does not let the norm drift."""
    return np.asarray(1.5 * matrix - 0.5 * matrix @ (matrix.conj().T @ matrix), dtype=np.complex128)
