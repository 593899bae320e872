"""What does the quantum Fourier transform make of a block that is stored by its frequencies?

The frequencies as amplitudes (Möttönen et al. 2005, arXiv:quant-ph/0407010), then the circuit of
:func:`~qiskit_solvers.linear_algebra.qft.qft`: the amplitudes are the block. Numpy's ``ifft`` gives the same, to
rounding, in ``n log n`` steps; the circuit has ``log2(n)**2 / 2`` gates, but preparing the frequencies takes ``n`` of
them and reading the block at least ``n`` measurements, so nothing is gained by it.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from qiskit.quantum_info import Statevector

from qiskit_solvers.errors import TooLarge
from qiskit_solvers.linear_algebra.amplitude_encoding import Complexes, encoded
from qiskit_solvers.linear_algebra.qft import qft

MAX_QUBITS = 10
"""Longest block, 1,024 entries: 2,046 rotations prepare it, which take about two seconds; at 4,096 entries twelve."""


def block_of_frequencies(frequencies: npt.ArrayLike, *, dropped: int = 0) -> Complexes:
    """Return the block whose discrete Fourier transform is ``frequencies``, as numpy's ``ifft`` does, ``(length,)``.

    Args:
        frequencies: ``(length,)``, a power of two, real or complex.
        dropped: smallest angles that the circuit leaves out (:func:`~qiskit_solvers.linear_algebra.qft.qft`).

    Raises:
        ValueError: a length that is no power of two, or below 2; not finite.
        TooLarge: more than 1,024 entries.
    """
    entries = np.asarray(frequencies, dtype=np.complex128)
    if entries.ndim != 1 or entries.size < 2 or entries.size & (entries.size - 1):
        raise ValueError(f"frequencies: expected shape (length,), a power of two, got {entries.shape}")
    qubits = entries.size.bit_length() - 1
    if qubits > MAX_QUBITS:
        raise TooLarge(f"fourier decoding: expected at most {2**MAX_QUBITS} entries, got {entries.size}")
    if not entries.any():
        return entries
    encoding = encoded(entries)
    state: Any = Statevector(encoding.circuit.compose(qft(qubits, dropped=dropped)))
    return np.asarray(state.data * (encoding.norm / np.sqrt(entries.size)), dtype=np.complex128)
