"""How does a quantum computer change the singular values of a matrix, and nothing else of it?

Quantum singular value transformation (Gilyén, Su, Low and Wiebe 2019, doi 10.1145/3313276.3316366): the block encoding
of the matrix and its adjoint in turn, a phase on the ancilla between them. An odd polynomial P takes ``W S V'`` to
``W P(S) V'``; the phases of :mod:`~qiskit_solvers.linear_algebra.qsvt_angles` give it as an imaginary part, which a
second ancilla takes out by adding the circuit with all phases turned around.

This is a reference to measure against: the block encoding is one dense gate that is made from the singular values, so
whoever builds it has the answer already. It stops at :data:`MAX_SIDE` rows or columns and at a degree of 500, hence
at conditions of about 35 for the inverse and gaps of about 0.02 for thresholds (both to 1e-3). Where it stops it raises
:class:`~qiskit_solvers.errors.TooLarge` before anything is simulated; Aer is not used, so there is nothing to kill.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from qiskit import QuantumCircuit
from qiskit.circuit.library import DiagonalGate

from qiskit_solvers.errors import TooLarge
from qiskit_solvers.ising import Floats
from qiskit_solvers.linear_algebra.amplitude_encoding import Complexes
from qiskit_solvers.linear_algebra.block_encoding import BlockEncoding, dilated
from qiskit_solvers.linear_algebra.qsvt_angles import PhaseFactors, phase_factors
from qiskit_solvers.linear_algebra.qsvt_polynomials import Polynomial, above, inverse, sign

MAX_SIDE = 32
"""Rows or columns of a matrix that is transformed: 7 qubits, 180 calls take about a second; at 64, thirteen."""

_SINGULAR = 1e-10


@dataclass(frozen=True, slots=True, eq=False)
class Transformed:
    """What the circuit did to a matrix.

    Args:
        matrix: with its singular values changed, ``(rows, columns)``, or ``(columns, rows)`` for an inverse.
        error: greatest difference to the same polynomial of numpy's singular values, in units of the matrix.
        polynomial: that was applied, and how far it is from the function it stands for.
        success_probability: of the ancillas, for a column that is chosen by chance.
        qubits: of the circuit.
        calls: of the block encoding, which is the polynomial's degree.
    """

    matrix: Complexes
    error: float
    polynomial: Polynomial
    success_probability: float
    qubits: int
    calls: int


def qsvt_circuit(encoding: BlockEncoding, phases: PhaseFactors) -> QuantumCircuit:
    """Return the circuit: system lowest, the encoding's ancillas above, the ancilla of the phases on top.

    Where all ancillas start and end in 0 it applies the polynomial to the singular values of the block.
    """
    width = encoding.circuit.num_qubits
    degree = phases.phases.size - 1
    # from W(x) to the reflection that a dilation is, and from the imaginary part to the real one
    turns = phases.phases - np.pi / 2.0
    turns[[0, -1]] += degree * np.pi / 4.0
    if degree == 0:
        turns = phases.phases - np.pi / 2.0
    circuit = QuantumCircuit(width + 1, name="qsvt")
    circuit.h(width)
    for place in range(degree, -1, -1):
        _turn(circuit, encoding, float(turns[place]))
        if place:
            # W(x) at an odd distance from the left end is the encoding, else its adjoint: the left one is never it
            gate = encoding.circuit if place % 2 else encoding.circuit.inverse()
            circuit.compose(gate, range(width), inplace=True)
    circuit.h(width)
    return circuit


def transformed(matrix: npt.ArrayLike, polynomial: Polynomial, *, alpha: float | None = None) -> Transformed:
    """Apply a polynomial to the singular values of a matrix by simulating the circuit.

    Args:
        matrix: ``(rows, columns)``, real or complex.
        polynomial: of one parity; an odd one leaves the singular vectors where they are.
        alpha: what singular values are divided by before the polynomial sees them; the spectral norm by default.

    Returns:
        ``alpha`` times the function of ``matrix / alpha``.

    Raises:
        ValueError: no finite matrix that is not empty, an alpha below its norm, or an even polynomial.
        TooLarge: more than :data:`MAX_SIDE` rows or columns.
        SolverFailed: there are no phases.
    """
    entries = _checked(matrix)
    if polynomial.degree % 2 == 0:
        raise ValueError(f"polynomial: expected an odd degree, got {polynomial.degree}")
    encoding = dilated(entries, alpha=alpha)
    left, singular, right = np.linalg.svd(entries / encoding.alpha, full_matrices=False)
    exact = left * polynomial(singular) @ right
    return _run(encoding, polynomial, encoding.alpha * exact, encoding.alpha)


def inverted(matrix: npt.ArrayLike, *, error: float = 1e-3) -> Transformed:
    """Return the inverse of a square matrix, each singular value to ``error`` of the greatest one's inverse.

    Raises:
        ValueError: not square, or singular.
        TooLarge: more than :data:`MAX_SIDE` rows, or a condition for which the degree exceeds 500.
        SolverFailed: there are no phases.
    """
    entries = _checked(matrix)
    if entries.shape[0] != entries.shape[1]:
        raise ValueError(f"matrix: expected a square matrix, got shape {entries.shape}")
    left, singular, right = np.linalg.svd(entries)
    if not singular[-1] > _SINGULAR * singular[0]:
        raise ValueError(f"matrix: expected a regular matrix, got singular values {singular[-1]} to {singular[0]}")
    polynomial = inverse(float(singular[0] / singular[-1]), error)
    encoding = dilated(entries.conj().T)
    exact = right.conj().T * polynomial(singular / encoding.alpha) @ left.conj().T
    return _run(encoding, polynomial, exact / encoding.alpha, 1.0 / encoding.alpha)


def solved_by_qsvt(matrix: npt.ArrayLike, vector: npt.ArrayLike, *, error: float = 1e-3) -> Complexes:
    """Return ``A**-1 b``, ``(size,)``, with the inverse of :func:`inverted`.

    Raises:
        ValueError: as there, or a right side that does not fit.
    """
    right = np.asarray(vector, dtype=np.complex128)
    size = _checked(matrix).shape[0]
    if right.shape != (size,):
        raise ValueError(f"vector: expected shape {(size,)}, got {right.shape}")
    return np.asarray(inverted(matrix, error=error).matrix @ right, dtype=np.complex128)


def polar(matrix: npt.ArrayLike, *, gap: float, error: float = 1e-3) -> Transformed:
    """Return the nearest matrix with orthonormal rows or columns: every singular value becomes 1, by the sign.

    Args:
        matrix: ``(rows, columns)``.
        gap: smallest singular value over the largest that must come out as 1.
        error: of the sign.
    """
    entries = _checked(matrix)
    encoding = dilated(entries)
    polynomial = sign(gap, error)
    left, singular, right = np.linalg.svd(entries / encoding.alpha, full_matrices=False)
    return _run(encoding, polynomial, left * polynomial(singular) @ right, 1.0)


def thresholded(matrix: npt.ArrayLike, threshold: float, *, gap: float = 0.05, error: float = 1e-3) -> Transformed:
    """Keep the singular values above a threshold and remove the others.

    Args:
        matrix: ``(rows, columns)``.
        threshold: in units of the matrix, below its norm.
        gap: half of the width of the step, over the norm; within, singular values shrink in part.
        error: over the norm.
    """
    entries = _checked(matrix)
    norm = float(np.linalg.norm(entries, 2))
    if not norm > 0.0:
        raise ValueError("matrix: expected an entry that is not zero, got the zero matrix")
    return transformed(entries, above(threshold / norm, gap, error))


def _checked(matrix: npt.ArrayLike) -> Complexes:
    entries = np.asarray(matrix, dtype=np.complex128)
    if entries.ndim != 2 or entries.size == 0 or not np.isfinite(entries).all():
        raise ValueError(f"matrix: expected finite numbers of shape (rows, columns), got shape {entries.shape}")
    if max(entries.shape) > MAX_SIDE:
        raise TooLarge(f"qsvt: expected at most {MAX_SIDE} rows and columns, got {entries.shape}")
    return entries


def _turn(circuit: QuantumCircuit, encoding: BlockEncoding, angle: float) -> None:
    """Append ``exp(i angle s)``: s is 1 where the encoding's ancillas are 0, else -1; the last ancilla turns it."""
    width = encoding.circuit.num_qubits
    if encoding.ancillas == 1:
        circuit.rzz(-2.0 * angle, width - 1, width)
        return
    signs = -np.ones(2**encoding.ancillas)
    signs[0] = 1.0
    phases = np.exp(1j * angle * np.concatenate([signs, -signs]))
    circuit.append(DiagonalGate(phases.tolist()), range(width - encoding.ancillas, width + 1))


def _run(encoding: BlockEncoding, polynomial: Polynomial, exact: Complexes, unit: float) -> Transformed:
    """Simulate, take the block, and compare it with what numpy says."""
    from qiskit.quantum_info import Operator

    circuit = qsvt_circuit(encoding, phase_factors(polynomial.coefficients))
    square = np.asarray(Operator(circuit).data, dtype=np.complex128)[: encoding.rows, : encoding.columns]
    found = unit * polynomial.scale * square
    return Transformed(
        matrix=np.asarray(found, dtype=np.complex128),
        error=float(np.abs(found - exact).max()),
        polynomial=polynomial,
        success_probability=_mean_square_column(square),
        qubits=circuit.num_qubits,
        calls=polynomial.degree,
    )


def _mean_square_column(square: Complexes) -> float:
    columns: Floats = np.sum(np.abs(square) ** 2, axis=0)
    return float(columns.mean())
