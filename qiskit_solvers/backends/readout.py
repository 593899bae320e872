"""How are wrong readings taken out of counts? By inverting each bit's error on the strings that were seen."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from qiskit_solvers.backends.protocol import Backend, Circuit, Counts
from qiskit_solvers.errors import TooLarge
from qiskit_solvers.ising import Floats

Weights = dict[int, float]
"""The weight of each index, ascending; a quasi-probability may be negative."""

_MOST_STRINGS = 4096  # the matrix over the strings that were seen is then 128 MiB


@dataclass(frozen=True, slots=True, eq=False)
class Readout:
    """How each bit is misread, on its own.

    Args:
        matrices: ``(bits, 2, 2)``; ``[bit, read, true]`` is the probability to read ``read`` where ``true`` was.

    Raises:
        ValueError: the shape is wrong, columns are not distributions, or a reading is as good as none.
    """

    matrices: Floats

    def __post_init__(self) -> None:
        if self.matrices.ndim != 3 or self.matrices.shape[1:] != (2, 2):
            raise ValueError(f"matrices: expected shape (bits, 2, 2), got {self.matrices.shape}")
        if not ((self.matrices >= 0).all() and np.allclose(self.matrices.sum(axis=1), 1.0)):
            raise ValueError("matrices: expected columns that are probabilities and sum to 1")
        useless = np.flatnonzero(self.matrices[:, 0, 1] + self.matrices[:, 1, 0] >= 1.0)
        if useless.size:
            raise ValueError(f"matrices: expected readings better than chance, not so for bits {useless.tolist()}")


def calibration_circuits(qubits: int) -> tuple[Circuit, Circuit]:
    """Return the circuits that prepare all |0> and all |1>."""
    from qiskit import QuantumCircuit

    zeros, ones = QuantumCircuit(qubits), QuantumCircuit(qubits)
    if qubits:
        ones.x(range(qubits))
    return zeros, ones


def calibrated(backend: Backend, bits: int, *, shots: int, seed: int, qubits: Sequence[int] = ()) -> Readout:
    """Measure how a backend misreads each of so many bits, with two circuits.

    Args:
        backend: what is calibrated.
        bits: how many.
        shots: of each circuit.
        seed: of the run.
        qubits: the physical qubit behind each bit, as ``Figures.measured`` of a run names them; empty where the
            backend's qubits are all alike.

    Raises:
        ValueError: the backend reads a bit no better than chance.
    """
    chosen: Any = replace(backend, qubits=tuple(qubits)) if qubits else backend  # type: ignore[type-var]
    zeros, ones = chosen.run(calibration_circuits(bits), shots=shots, seed=seed).counts
    read_1_for_0, read_1_for_1 = _ones(zeros, bits), _ones(ones, bits)
    true_0 = np.stack([1.0 - read_1_for_0, read_1_for_0], axis=1)
    true_1 = np.stack([1.0 - read_1_for_1, read_1_for_1], axis=1)
    return Readout(np.stack([true_0, true_1], axis=2))


def quasi_probabilities(counts: Counts, readout: Readout) -> Weights:
    """Return the weights of the strings that were seen, as if readings were right; they sum to nearly 1.

    The calibration matrix is restricted to the strings that were seen, its columns scaled to sum to 1, and
    solved (Nation et al. 2021, doi 10.1103/PRXQuantum.2.040326).

    Raises:
        ValueError: there are no counts, or more bits than calibrated.
        TooLarge: more distinct strings were seen than the matrix may have rows.
    """
    if not counts:
        raise ValueError("counts: expected at least one string, got none")
    bits = len(readout.matrices)
    if max(counts) >> bits:
        raise ValueError(f"counts: expected at most {bits} bits as calibrated, got {max(counts).bit_length()}")
    if len(counts) > _MOST_STRINGS:
        raise TooLarge(f"readout: expected at most {_MOST_STRINGS} distinct strings, got {len(counts)}")
    strings = _bits(counts, bits)
    matrix = np.ones((len(counts), len(counts)))
    for bit, misread in enumerate(readout.matrices):
        column = strings[:, bit]
        matrix *= misread[column[:, None], column]
    matrix /= matrix.sum(axis=0)
    seen = np.array(list(counts.values()), dtype=np.float64)
    weights = np.linalg.solve(matrix, seen / seen.sum())
    return dict(zip(counts, weights.tolist(), strict=True))


def nearest_probabilities(weights: Weights) -> Weights:
    """Return the distribution nearest to these weights in Euclidean distance, without the strings that get none.

    Smolin, Gambetta and Smith 2012, doi 10.1103/PhysRevLett.108.070502.
    """
    values = np.array(list(weights.values()), dtype=np.float64)
    falling = np.sort(values)[::-1]
    excess = (np.cumsum(falling) - 1.0) / np.arange(1, values.size + 1)
    kept = np.flatnonzero(falling > excess)[-1]
    nearest = np.maximum(values - excess[kept], 0.0)
    return {index: float(value) for index, value in zip(weights, nearest, strict=True) if value > 0.0}


def mitigated(counts: Counts, readout: Readout) -> Weights:
    """Return the probabilities of the strings that were seen, wrong readings taken out."""
    return nearest_probabilities(quasi_probabilities(counts, readout))


def _bits(counts: Counts, bits: int) -> npt.NDArray[np.int64]:
    """Return the bits of each index, ``(strings, bits)``; an index may have more than 64."""
    return np.array([[(index >> bit) & 1 for bit in range(bits)] for index in counts], dtype=np.int64)


def _ones(counts: Counts, bits: int) -> Floats:
    """Return how often each bit was read as 1, ``(bits,)``, as a fraction."""
    weights = np.array(list(counts.values()), dtype=np.float64)
    return np.asarray(weights @ _bits(counts, bits) / weights.sum(), dtype=np.float64)
