"""What are strongly entangling layers? Turns of every qubit, then a ring of controlled NOTs that reach ever further.

Schuld, Bocharov, Svore and Wiebe 2020, doi 10.1103/PhysRevA.101.032308. Angles are ``(layers, qubits, 3)``: each qubit
gets RZ(first), RY(second), RZ(third), in this order, then qubit ``i`` controls qubit ``i + reach``, where the reach of
layer ``l`` is ``l % (qubits - 1) + 1``. With the RZ angles at 0 the circuit is a real rotation of real vectors.
Here it acts on arrays; :mod:`qiskit_solvers.variational.entangling_circuit` has it as gates.
"""

import numpy as np
import numpy.typing as npt

from qiskit_solvers.errors import TooLarge
from qiskit_solvers.variational.kernels import Complexes, Floats, backward, forward, value_and_slopes

MAX_QUBITS = 10
"""Widest circuit here: blocks of 1,024 entries, whose second moments take 8 MB."""


def applied(
    angles: npt.ArrayLike, states: npt.ArrayLike, *, inverse: bool = False, layer: int | None = None
) -> Complexes:
    """Return the states after the circuit, or after its inverse, without Qiskit.

    Args:
        angles: ``(layers, qubits, 3)``.
        states: one in each column, ``(2**qubits, states)``, of any norms.
        inverse: undo the circuit instead.
        layer: apply this layer alone.

    Raises:
        ValueError: a shape is wrong, or an angle is not finite.
        TooLarge: more than :data:`MAX_QUBITS` qubits.
    """
    turned = checked_angles(angles)
    columns = _checked_states(states, turned.shape[1]).copy()
    begin, end = (0, len(turned)) if layer is None else (layer, layer + 1)
    if not 0 <= begin < end <= len(turned):
        raise ValueError(f"layer: expected 0 to {len(turned) - 1}, got {layer}")
    (backward if inverse else forward)(columns, turned, begin, end)
    return columns


def expectation(angles: npt.ArrayLike, states: npt.ArrayLike, diagonal: npt.ArrayLike) -> tuple[float, Floats]:
    """Return ``sum <state| U' D U |state>`` over the states, and its slope by each angle, ``(layers, qubits, 3)``.

    By the adjoint method, hence about as costly as four runs of the circuit, however many angles there are.

    Args:
        angles: ``(layers, qubits, 3)``.
        states: one in each column, ``(2**qubits, states)``, of any norms.
        diagonal: of the observable D, ``(2**qubits,)``.

    Raises:
        ValueError: a shape is wrong, or an angle is not finite.
        TooLarge: more than :data:`MAX_QUBITS` qubits.
    """
    turned = checked_angles(angles)
    columns = _checked_states(states, turned.shape[1])
    weights = np.ascontiguousarray(diagonal, dtype=np.float64)
    if weights.shape != (columns.shape[0],):
        raise ValueError(f"diagonal: expected shape {(columns.shape[0],)}, got {weights.shape}")
    value, slopes = value_and_slopes(columns, turned, weights)
    return float(value), slopes


def of_real_turns(turns: npt.ArrayLike) -> Floats:
    """Return the angles, ``(layers, qubits, 3)``, of a real circuit with these RY angles, ``(layers, qubits)``."""
    rises = np.asarray(turns, dtype=np.float64)
    return np.ascontiguousarray(rises[..., None] * np.array([0.0, 1.0, 0.0]))


def checked_angles(angles: npt.ArrayLike) -> Floats:
    """Return angles as ``(layers, qubits, 3)`` of float64.

    Raises:
        ValueError: another shape, or an angle that is not finite.
        TooLarge: more than :data:`MAX_QUBITS` qubits.
    """
    checked = np.ascontiguousarray(angles, dtype=np.float64)
    if checked.ndim != 3 or checked.shape[2] != 3 or checked.size == 0:
        raise ValueError(f"angles: expected shape (layers, qubits, 3), got {checked.shape}")
    if checked.shape[1] > MAX_QUBITS:
        raise TooLarge(f"strongly entangling layers: expected at most {MAX_QUBITS} qubits, got {checked.shape[1]}")
    if not np.isfinite(checked).all():
        raise ValueError("angles: expected finite numbers, got NaN or infinity")
    return checked


def _checked_states(states: npt.ArrayLike, qubits: int) -> Complexes:
    columns = np.ascontiguousarray(states, dtype=np.complex128)
    if columns.ndim != 2 or columns.shape[0] != 2**qubits:
        raise ValueError(f"states: expected shape ({2**qubits}, states), got {columns.shape}")
    return columns
