"""How likely do the discarded qubits read 0, by measurement on a machine, and what does the machine say of the slope?

The same loss as :mod:`qiskit_solvers.variational.autoencoder`, estimated from shots on any backend: on Aer with or
without noise, on a device. It is what training on hardware would do; training here is done on the exact state, in
:class:`~qiskit_solvers.variational.autoencoder.Training`. Circuits with noise see less fidelity, never more on average.
"""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from qiskit import QuantumCircuit

from qiskit_solvers.backends.protocol import Backend, Batch
from qiskit_solvers.linear_algebra.amplitude_encoding import encoded
from qiskit_solvers.variational.entangling_circuit import open_circuit
from qiskit_solvers.variational.entangling_layers import checked_angles
from qiskit_solvers.variational.kernels import Floats
from qiskit_solvers.variational.parameter_shift import slopes


@dataclass(frozen=True, slots=True, eq=False)
class MeasuredTrash:
    """The loss of an autoencoder on a machine.

    Args:
        vectors: to encode, ``(vectors, 2**qubits)``; their squared norms are their weights. Each is a circuit of its
            own, so few.
        discarded: qubits that shall read 0.
        backend: the machine.
        shots: of each circuit.
        seed: of the first job; every further job of a slope has the same.
    """

    vectors: npt.NDArray[np.float64]
    discarded: Collection[int]
    backend: Backend
    shots: int
    seed: int

    def fidelities(self, angle_sets: npt.ArrayLike) -> Floats:
        """Return the share of shots in which every discarded qubit reads 0, ``(sets, vectors)``.

        Args:
            angle_sets: ``(sets, layers, qubits, 3)``; one job for all.

        Raises:
            ValueError: a shape is wrong, a vector has no direction, or nothing is discarded.
            TooLarge: more qubits than the layers take, or than the backend has memory for.
            SolverFailed: the run failed.
        """
        sets = np.asarray(angle_sets, dtype=np.float64)
        if sets.ndim != 4 or len(sets) == 0:
            raise ValueError(f"angle_sets: expected shape (sets, layers, qubits, 3), got {sets.shape}")
        qubits = checked_angles(sets[0]).shape[1]
        trash = sorted(set(self.discarded))
        if not trash or not all(0 <= qubit < qubits for qubit in trash):
            raise ValueError(f"discarded: expected some of the qubits 0 to {qubits - 1}, got {trash}")
        batches = []
        for vector in self.vectors:
            start = encoded(vector).circuit
            if start.num_qubits != qubits:
                raise ValueError(f"vectors: expected {2**qubits} entries each, got {self.vectors.shape}")
            layers, angles = open_circuit(sets.shape[1], qubits)
            circuit = QuantumCircuit(qubits, len(trash))
            circuit.compose(start.decompose(reps=8), inplace=True)
            circuit.compose(layers, inplace=True)
            circuit.measure(trash, range(len(trash)))
            flat = sets.reshape(len(sets), -1)
            batches.append(Batch(circuit, {angle: flat[:, place].tolist() for place, angle in enumerate(angles)}))
        run = self.backend.run(batches, shots=self.shots, seed=self.seed)
        zeros = np.array([counts.get(0, 0) for counts in run.counts], dtype=np.float64)
        return np.ascontiguousarray(zeros.reshape(len(self.vectors), len(sets)).T) / self.shots

    def loss(self, angle_sets: npt.ArrayLike) -> Floats:
        """Return the share of the vectors' energy that is lost, ``(sets,)``; errors as in :meth:`fidelities`."""
        weights = (self.vectors**2).sum(axis=1)
        return np.asarray(1.0 - self.fidelities(angle_sets) @ (weights / weights.sum()))

    def slopes(self, angles: npt.ArrayLike) -> Floats:
        """Return the slope of the loss by each angle, ``(layers, qubits, 3)``, by the parameter-shift rule.

        Twice as many circuits as angles, in one job; errors as in :meth:`fidelities`.
        """
        return slopes(self.loss, checked_angles(angles))
