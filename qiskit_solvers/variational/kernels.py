"""How do strongly entangling layers act on many states at once, and how do their slopes come cheaply?

States lie in the columns of an array ``(2**qubits, states)``, so that a gate works on whole rows, which are contiguous.
Slopes are found by the adjoint method (Jones and Gacon 2020, arXiv:2009.02823): one way forth and one way back through
the circuit for all angles together, where the parameter-shift rule needs two ways for each angle.
"""

import numpy as np
import numpy.typing as npt
from numba import njit

Complexes = npt.NDArray[np.complex128]
Floats = npt.NDArray[np.float64]

_FAST = {"cache": True, "error_model": "numpy", "nogil": True}
_INNER = {**_FAST, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}  # only compiled code calls it


@njit(**_INNER)
def _rotate(states: Complexes, qubit: int, turn: float, rise: float, phase: float) -> None:
    """Apply RZ(``turn``) RY(``rise``) RZ(``phase``) to a qubit, ``phase`` first."""
    cosine, sine = np.cos(0.5 * rise), np.sin(0.5 * rise)
    outer, inner = np.exp(-0.5j * (turn + phase)), np.exp(-0.5j * (turn - phase))
    u00, u01 = outer * cosine, -inner * sine
    u10, u11 = np.conj(inner) * sine, np.conj(outer) * cosine
    stride = 1 << qubit
    for low in range(states.shape[0]):
        if low & stride == 0:
            for column in range(states.shape[1]):
                a, b = states[low, column], states[low + stride, column]
                states[low, column] = u00 * a + u01 * b
                states[low + stride, column] = u10 * a + u11 * b


@njit(**_INNER)
def _controlled_not(states: Complexes, control: int, target: int) -> None:
    stride = 1 << target
    for low in range(states.shape[0]):
        if low & stride == 0 and low >> control & 1:
            for column in range(states.shape[1]):
                a = states[low, column]
                states[low, column] = states[low + stride, column]
                states[low + stride, column] = a


@njit(**_INNER)
def _crossed_y(left: Complexes, right: Complexes, qubit: int) -> float:
    """Return ``Im <left| Y |right>`` of a qubit, summed over the columns."""
    stride = 1 << qubit
    total = 0.0
    for low in range(left.shape[0]):
        if low & stride == 0:
            for column in range(left.shape[1]):
                # Y turns (a, b) into (-ib, ia)
                total += (
                    np.conj(left[low + stride, column]) * right[low, column]
                    - np.conj(left[low, column]) * right[low + stride, column]
                ).real
    return total


@njit(**_INNER)
def _crossed_z(left: Complexes, right: Complexes, qubit: int) -> float:
    """Return ``Im <left| Z |right>`` of a qubit, summed over the columns."""
    total = 0.0
    for row in range(left.shape[0]):
        sign = 1.0 - 2.0 * (row >> qubit & 1)
        for column in range(left.shape[1]):
            total += sign * (np.conj(left[row, column]) * right[row, column]).imag
    return total


@njit(**_INNER)
def _undo_layer(states: Complexes, angles: Floats, reach: int) -> None:
    qubits = angles.shape[0]
    if qubits > 1:
        for qubit in range(qubits - 1, -1, -1):
            _controlled_not(states, qubit, (qubit + reach) % qubits)
    for qubit in range(qubits):
        phase, rise, turn = angles[qubit, 0], angles[qubit, 1], angles[qubit, 2]
        _rotate(states, qubit, -phase, -rise, -turn)


@njit(**_FAST)
def forward(states: Complexes, angles: Floats, begin: int, end: int) -> None:
    """Apply the layers ``begin`` to ``end - 1``, the first first.

    Args:
        states: ``(2**qubits, states)``; changed in place.
        angles: ``(layers, qubits, 3)``, see :mod:`qiskit_solvers.variational.entangling_layers`.
        begin: first layer.
        end: layer after the last.
    """
    qubits = angles.shape[1]
    for layer in range(begin, end):
        for qubit in range(qubits):
            phase, rise, turn = angles[layer, qubit, 0], angles[layer, qubit, 1], angles[layer, qubit, 2]
            _rotate(states, qubit, turn, rise, phase)
        if qubits > 1:
            reach = layer % (qubits - 1) + 1
            for qubit in range(qubits):
                _controlled_not(states, qubit, (qubit + reach) % qubits)


@njit(**_FAST)
def backward(states: Complexes, angles: Floats, begin: int, end: int) -> None:
    """Undo :func:`forward`, in place."""
    qubits = angles.shape[1]
    for layer in range(end - 1, begin - 1, -1):
        reach = layer % (qubits - 1) + 1 if qubits > 1 else 0
        _undo_layer(states, angles[layer], reach)


@njit(**_FAST)
def value_and_slopes(states: Complexes, angles: Floats, diagonal: Floats) -> tuple[float, Floats]:
    """Return ``sum <state| U' D U |state>`` over the states, and its slope by each angle.

    Args:
        states: ``(2**qubits, states)``, of any norms; left as they are.
        angles: ``(layers, qubits, 3)``.
        diagonal: of the observable D, ``(2**qubits,)``.
    """
    layers, qubits = angles.shape[:2]
    right = states.copy()
    forward(right, angles, np.int64(0), layers)
    left = np.empty_like(right)
    value = 0.0
    for row in range(right.shape[0]):
        for column in range(right.shape[1]):
            amplitude = right[row, column]
            left[row, column] = diagonal[row] * amplitude
            value += diagonal[row] * (amplitude.real**2 + amplitude.imag**2)
    slopes = np.zeros_like(angles)
    for layer in range(layers - 1, -1, -1):
        if qubits > 1:
            reach = layer % (qubits - 1) + 1
            for qubit in range(qubits - 1, -1, -1):
                _controlled_not(left, qubit, (qubit + reach) % qubits)
                _controlled_not(right, qubit, (qubit + reach) % qubits)
        for qubit in range(qubits):
            phase, rise, turn = angles[layer, qubit, 0], angles[layer, qubit, 1], angles[layer, qubit, 2]
            # exp(-i t P / 2) has the slope -i P / 2; twice the real part of <left|-i P / 2|right> is Im <left|P|right>
            slopes[layer, qubit, 2] = _crossed_z(left, right, qubit)
            _rotate(left, qubit, -turn, 0.0, 0.0)
            _rotate(right, qubit, -turn, 0.0, 0.0)
            slopes[layer, qubit, 1] = _crossed_y(left, right, qubit)
            _rotate(left, qubit, 0.0, -rise, 0.0)
            _rotate(right, qubit, 0.0, -rise, 0.0)
            slopes[layer, qubit, 0] = _crossed_z(left, right, qubit)
            _rotate(left, qubit, 0.0, 0.0, -phase)
            _rotate(right, qubit, 0.0, 0.0, -phase)
    return value, slopes
