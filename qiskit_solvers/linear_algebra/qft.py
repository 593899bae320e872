"""Which circuit is the discrete Fourier transform of the amplitudes?

The ladder of Hadamards and controlled phases (Coppersmith 1994, arXiv:quant-ph/0201067); dropping its smallest
angles gives the approximate transform (Barenco, Ekert, Suominen and Törmä 1996, doi 10.1103/PhysRevA.54.139).
Written out, not taken from Qiskit: ``QFTGate`` has neither an approximation nor the choice to leave the bits
reversed, and the class that had both is deprecated.
"""

import numpy as np
from qiskit import QuantumCircuit


def qft(qubits: int, *, swaps: bool = True, dropped: int = 0) -> QuantumCircuit:
    """Return the circuit of the matrix ``exp(2 pi i j k / 2**qubits) / sqrt(2**qubits)``, qubit 0 least significant.

    Its inverse is ``qft(...).inverse()``.

    Args:
        qubits: width, at least 1.
        swaps: put the output in order; without, bit ``i`` of the output is on qubit ``qubits - 1 - i``, which
            saves ``qubits // 2`` swaps where the reader can turn the key around.
        dropped: how many of the ``qubits - 1`` angles ``pi / 2, pi / 4, ..`` to leave out, the smallest first. 0 is
            exact; :func:`error_bound` tells what the rest costs.

    Raises:
        ValueError: no qubit, or a number of angles that is not there.
    """
    _check(qubits, dropped)
    circuit = QuantumCircuit(qubits, name="qft")
    for target in reversed(range(qubits)):
        circuit.h(target)
        for control in reversed(range(target)):
            if target - control <= qubits - 1 - dropped:
                circuit.cp(np.pi / 2 ** (target - control), control, target)
    if swaps:
        for low in range(qubits // 2):
            circuit.swap(low, qubits - 1 - low)
    return circuit


def error_bound(qubits: int, dropped: int) -> float:
    """Return how far, at most, the approximate transform is from the exact one, in operator norm.

    The sum of ``|1 - exp(i angle)|`` over the gates left out: errors of unitaries add.

    Raises:
        ValueError: no qubit, or a number of angles that is not there.
    """
    _check(qubits, dropped)
    distances = np.arange(qubits - dropped, qubits)
    return float(((qubits - distances) * 2.0 * np.sin(np.pi / 2.0 ** (distances + 1))).sum())


def _check(qubits: int, dropped: int) -> None:
    if qubits < 1:
        raise ValueError(f"qubits: expected at least 1, got {qubits}")
    if not 0 <= dropped <= qubits - 1:
        raise ValueError(f"dropped: expected 0 to {qubits - 1} angles, got {dropped}")
