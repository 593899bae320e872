"""How does a matrix that is not unitary become a block of one that is?

``alpha`` times the block of the unitary in which all ancillas start and end in |0> is the matrix. Ancillas are the
most significant qubits, so the block is the top left one. Two ways: the exact dilation of any matrix by one ancilla
(Halmos 1950; Gilyén, Su, Low and Wiebe 2019, doi 10.1145/3313276.3316366), which is one dense gate, and the linear
combination of unitaries for sums of Pauli strings (Childs and Wiebe 2012, arXiv:1202.5822), which is made of gates.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from qiskit import QuantumCircuit
from qiskit.circuit.library import PauliGate, UnitaryGate
from qiskit.quantum_info import Operator

from qiskit_solvers.errors import TooLarge
from qiskit_solvers.linear_algebra.amplitude_encoding import Complexes, encoded

MAX_QUBITS = 10
"""Widest unitary, ancillas and system; as a dense matrix it is 16 MB."""


@dataclass(frozen=True, slots=True, eq=False)
class BlockEncoding:
    """A matrix as a block of a circuit.

    Args:
        circuit: system on qubits ``0 .. system - 1``, ancillas above.
        alpha: the block is the matrix divided by this.
        ancillas: number of ancillas.
        rows: of the matrix; the rest of the block is padding.
        columns: of the matrix.
    """

    circuit: QuantumCircuit
    alpha: float
    ancillas: int
    rows: int
    columns: int


def dilated(matrix: npt.ArrayLike, *, alpha: float | None = None) -> BlockEncoding:
    """Return the unitary ``[[B, sqrt(1 - B B')], [sqrt(1 - B' B), -B']]``, ``B = A / alpha`` and ``B'`` its adjoint.

    Args:
        matrix: ``(rows, columns)``, real or complex; padded with zeros to a square of a power of two.
        alpha: at least the spectral norm, which it is by default; smaller is better, since the probability of
            success is ``|A x|**2 / alpha**2``.

    Raises:
        ValueError: no matrix, empty, not finite, or alpha below the spectral norm (or not positive).
        TooLarge: more than :data:`MAX_QUBITS` qubits.
    """
    entries = np.asarray(matrix, dtype=np.complex128)
    if entries.ndim != 2 or entries.size == 0:
        raise ValueError(f"matrix: expected shape (rows, columns), got {entries.shape}")
    if not np.isfinite(entries).all():
        raise ValueError("matrix: expected finite numbers, got NaN or infinity")
    system = max(1, (max(entries.shape) - 1).bit_length())
    _check_width(system + 1)
    padded = np.zeros((2**system, 2**system), dtype=np.complex128)
    padded[: entries.shape[0], : entries.shape[1]] = entries
    largest = float(np.abs(entries).max()) or 1.0
    left, singular, right = np.linalg.svd(padded / largest)
    norm = float(singular[0]) * largest
    bound = norm if alpha is None else float(alpha)
    if alpha is None and norm == 0.0:
        bound = 1.0  # the zero matrix is any multiple of the zero block
    if not (np.isfinite(bound) and bound > 0.0 and bound >= norm * (1.0 - 1e-12)):
        raise ValueError(f"alpha: expected a finite number of at least the spectral norm {norm}, got {bound}")
    cosines = np.minimum(singular * (largest / bound), 1.0)
    sines = np.sqrt((1.0 - cosines) * (1.0 + cosines))
    unitary = np.block(
        [
            [left * cosines @ right, left * sines @ left.conj().T],
            [right.conj().T * sines @ right, -(right.conj().T * cosines) @ left.conj().T],
        ]
    )
    circuit = QuantumCircuit(system + 1, name="dilation")
    circuit.append(UnitaryGate(unitary), range(system + 1))
    return BlockEncoding(circuit, bound, 1, entries.shape[0], entries.shape[1])


def combined(paulis: Mapping[str, complex]) -> BlockEncoding:
    """Return the block encoding of ``sum_l c_l P_l``: prepare, select, unprepare.

    With ``alpha = sum_l |c_l|`` the ancillas are prepared in ``sum_l sqrt(|c_l| / alpha) exp(i arg c_l) |l>``, each
    ``P_l`` is applied where they are in ``l``, and the preparation without the phases is undone.

    Args:
        paulis: coefficient by Pauli string in Qiskit's order, the last letter acting on qubit 0, all of one length;
            terms of coefficient zero get no gate.

    Raises:
        ValueError: no terms, no coefficient that is not zero, other letters than IXYZ, unequal lengths, or a
            coefficient that is not finite.
        TooLarge: more than :data:`MAX_QUBITS` qubits.
    """
    if not paulis:
        raise ValueError("paulis: expected at least one term, got none")
    system = len(next(iter(paulis)))
    for label in paulis:
        if not label or len(label) != system or set(label) - set("IXYZ"):
            raise ValueError(f"paulis: expected strings of {system or 'at least 1'} letters of IXYZ, got {label!r}")
    terms = [(label, complex(value)) for label, value in paulis.items() if value != 0.0]
    if not terms:
        raise ValueError("paulis: expected a coefficient that is not zero, got only zeros")
    coefficients = np.array([value for _label, value in terms])
    if not np.isfinite(coefficients).all():
        raise ValueError("paulis: expected finite coefficients, got NaN or infinity")
    ancillas = max(1, (len(terms) - 1).bit_length())
    _check_width(system + ancillas)
    roots = np.sqrt(np.abs(coefficients))
    controls = range(system, system + ancillas)
    circuit = QuantumCircuit(system + ancillas, name="combination")
    circuit.compose(encoded(roots * np.exp(1j * np.angle(coefficients))).circuit, controls, inplace=True)
    for index, (label, _value) in enumerate(terms):
        if set(label) != {"I"}:
            circuit.append(PauliGate(label).control(ancillas, ctrl_state=index), [*controls, *range(system)])
    circuit.compose(encoded(roots).circuit.inverse(), controls, inplace=True)
    return BlockEncoding(circuit, float((roots**2).sum()), ancillas, 2**system, 2**system)


def block(encoding: BlockEncoding) -> Complexes:
    """Return the matrix that the circuit encodes, ``(rows, columns)``, alpha multiplied back in."""
    unitary = np.asarray(Operator(encoding.circuit).data, dtype=np.complex128)
    return encoding.alpha * unitary[: encoding.rows, : encoding.columns]


def success_probability(encoding: BlockEncoding, vector: npt.ArrayLike) -> float:
    """Return how likely all ancillas are measured in 0 if the system starts in ``vector``, ``(columns,)``, normalised.

    ``|A x|**2 / alpha**2``: below about 1e-3 the matrix is better applied some other way.

    Raises:
        ValueError: the vector has another length, or no direction.
    """
    start = encoded(vector)
    if start.length != encoding.columns:
        raise ValueError(f"vector: expected shape {(encoding.columns,)}, got {(start.length,)}")
    direction = np.asarray(vector, dtype=np.complex128) / start.norm
    return float(np.linalg.norm(block(encoding) @ direction / encoding.alpha) ** 2)


def _check_width(qubits: int) -> None:
    if qubits > MAX_QUBITS:
        raise TooLarge(f"block encoding: expected at most {MAX_QUBITS} qubits, got {qubits}")
