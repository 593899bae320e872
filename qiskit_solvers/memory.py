"""How much memory will a simulation need? Known before it starts, so that it is refused and not killed.

The figures of Aer are those of qiskit-aer 0.18, measured as growth of its address space:
``tests/qiskit_solvers/backends/test_aer_memory.py`` holds them against it from both sides.
"""

import itertools
from typing import Literal

from qiskit_solvers.errors import TooLarge

Precision = Literal["double", "single"]
"""Of an amplitude: complex128 or complex64."""

_AMPLITUDE_BYTES = {"double": 16, "single": 8}
_SHOT_BYTES = 120  # a random number, the sample, and the copies on its way to the counts
_MPS_SHOT_BYTES = 80  # and 8 bytes a qubit
_STRING_BYTES = 220  # an entry of the counts: in Aer, as hexadecimal text, in the result's dict and ours
_GATE_BYTES = 2048  # a gate in Qiskit and in Aer's circuit
_MATRIX_ENTRY_BYTES = 32  # an array's entry twice
_DIAGONAL_ENTRY_BYTES = 112  # a complex number of Python in a list, Aer's, and what the allocator rounds up
_FUSED_GATES = 5  # the fewest two-qubit gates that connect the 6 qubits of a fused gate, a matrix of 64 x 64
_FLOOR_BYTES = 1 << 20  # whatever else a run touches


def statevector_bytes(qubits: int, precision: Precision = "double") -> int:
    """Return the size of a state of ``2**qubits`` amplitudes."""
    return _AMPLITUDE_BYTES[precision] << qubits


def density_matrix_bytes(qubits: int, precision: Precision = "double") -> int:
    """Return the size of a density matrix, ``4**qubits`` entries."""
    return _AMPLITUDE_BYTES[precision] << (2 * qubits)


def mps_bytes(qubits: int, bond_dimension: int) -> int:
    """Return the most that a matrix product state holds, and beside it the decomposition of its widest pair.

    Between qubits ``i - 1`` and ``i`` there are at most ``min(2**i, 2**(qubits - i), bond_dimension)`` terms, a qubit
    holds two matrices over the bonds beside it. While two qubits are split, that pair, its two unitary factors
    and the decomposition's workspace are in memory as well (Vidal 2003, doi 10.1103/PhysRevLett.91.147902).
    """
    bonds = [min(1 << min(i, qubits - i, 62), bond_dimension) for i in range(qubits + 1)]
    tensors = sum(2 * 16 * left * right for left, right in itertools.pairwise(bonds))
    widest = 2 * max(bonds)
    return tensors + 6 * 16 * widest * widest


def samples_bytes(qubits: int, shots: int, *, matrix_product_state: bool = False) -> int:
    """Return what Aer's samples of one circuit take before they are counted."""
    return (_MPS_SHOT_BYTES + 8 * qubits if matrix_product_state else _SHOT_BYTES) * shots


def counts_bytes(qubits: int, shots: int) -> int:
    """Return what the counts of one circuit take, at most: as many entries as there are shots or strings."""
    return _STRING_BYTES * min(shots, 1 << qubits)


def gates_bytes(gates: int) -> int:
    """Return what a circuit of so many gates takes on its way into Aer, and what every run takes."""
    return _FLOOR_BYTES + _GATE_BYTES * gates


def matrix_bytes(qubits: int) -> int:
    """Return what the matrix of a gate takes, in Qiskit and in Aer."""
    return _MATRIX_ENTRY_BYTES << (2 * qubits)


def diagonal_bytes(qubits: int) -> int:
    """Return what a diagonal, or the amplitudes of a prepared state, take in Qiskit and in Aer."""
    return _DIAGONAL_ENTRY_BYTES << qubits


def fusion_bytes(gates: int) -> int:
    """Return what the fused gates of a circuit take at most; long chains of gates share one and take less."""
    return (gates // _FUSED_GATES) * 16 * 64 * 64


def require(needed_bytes: int, memory_mb: int, what: str) -> None:
    """Refuse what does not fit.

    Args:
        needed_bytes: the estimate.
        memory_mb: what there is, MiB.
        what: is asked for, in words.

    Raises:
        TooLarge: it needs more than there is.
    """
    if needed_bytes > memory_mb << 20:
        raise TooLarge(f"{what}: expected at most {memory_mb} MiB, needs {mebibytes(needed_bytes)} MiB")


def mebibytes(count: int) -> str:
    """Return a number of bytes in MiB, rounded up; as the power of two below it where that is easier to read."""
    whole = -(-count >> 20)
    return f"{whole}" if whole < 10**9 else f"2**{count.bit_length() - 20}"
