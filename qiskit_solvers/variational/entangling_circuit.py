"""Which gates are the strongly entangling layers of :mod:`qiskit_solvers.variational.entangling_layers`?"""

from typing import Any

import numpy as np
import numpy.typing as npt
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector

from qiskit_solvers.variational.entangling_layers import checked_angles


def bound(angles: npt.ArrayLike) -> QuantumCircuit:
    """Return the circuit at angles ``(layers, qubits, 3)``.

    Raises:
        ValueError: another shape, or an angle that is not finite.
        TooLarge: more than ten qubits.
    """
    checked = checked_angles(angles)
    return _circuit(checked.shape[0], checked.shape[1], checked.reshape(-1).tolist())


def open_circuit(layers: int, qubits: int) -> tuple[QuantumCircuit, ParameterVector]:
    """Return the circuit over open angles, and the angles, in the order of ``angles.reshape(-1)``.

    Raises:
        ValueError: no layer, or no qubit.
        TooLarge: more than ten qubits.
    """
    checked_angles(np.zeros((layers, qubits, 3)))
    vector = ParameterVector("angle", layers * qubits * 3)
    return _circuit(layers, qubits, list(vector)), vector


def _circuit(layers: int, qubits: int, angles: list[Any]) -> QuantumCircuit:
    circuit = QuantumCircuit(qubits, name="layers")
    turns = iter(angles)
    for layer in range(layers):
        for qubit in range(qubits):
            circuit.rz(next(turns), qubit)
            circuit.ry(next(turns), qubit)
            circuit.rz(next(turns), qubit)
        if qubits > 1:
            reach = layer % (qubits - 1) + 1
            for qubit in range(qubits):
                circuit.cx(qubit, (qubit + reach) % qubits)
    return circuit
