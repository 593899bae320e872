"""What is an ansatz? A circuit whose angles are still open: built once, bound to many sets of angles."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterVector

from qiskit_solvers.ising import Floats

Angles = Sequence[Any]
"""Angles of one kind in the order of use: floats, or Qiskit's parameters."""


@dataclass(frozen=True, slots=True)
class Footprint:
    """What a circuit asks of a machine, as it is written: nothing is transpiled.

    Args:
        qubits: qubits.
        gates: gates of any width.
        two_qubit_gates: gates on exactly two qubits.
        wider_gates: gates on more than two qubits, which a machine has to synthesise.
        depth: longest chain of gates.
        two_qubit_depth: longest chain of gates on two or more qubits.
    """

    qubits: int
    gates: int
    two_qubit_gates: int
    wider_gates: int
    depth: int
    two_qubit_depth: int


@dataclass(frozen=True, slots=True, eq=False)
class Ansatz:
    """A circuit without measurements over open angles.

    Args:
        circuit: the circuit; qubit ``i`` is spin ``i``, |0> is spin +1.
        gammas: its cost angles, layer by layer.
        betas: its mixer angles, layer by layer.
    """

    circuit: QuantumCircuit
    gammas: ParameterVector
    betas: ParameterVector

    def bind(self, gammas: npt.ArrayLike, betas: npt.ArrayLike) -> QuantumCircuit:
        """Return the circuit at these angles, ``(len(self.gammas),)`` and ``(len(self.betas),)``.

        Raises:
            ValueError: a shape is wrong or an angle is not finite.
        """
        sets = self._sets(np.asarray(gammas, dtype=np.float64)[None], np.asarray(betas, dtype=np.float64)[None])
        return self.circuit.assign_parameters({angle: values[0] for angle, values in sets.items()})

    def bindings(self, gammas: npt.ArrayLike, betas: npt.ArrayLike) -> list[dict[Parameter, list[float]]]:
        """Return many sets of angles as ``AerSimulator.run(parameter_binds=...)`` takes them: one result per set.

        An angle that the circuit does not hold (that of a cost without terms, say) is left out; a circuit
        without any angle gets ``[{}]``, which Aer runs once.

        Args:
            gammas: ``(sets, len(self.gammas))``.
            betas: ``(sets, len(self.betas))``.

        Raises:
            ValueError: a shape is wrong or an angle is not finite.
        """
        return [self._sets(np.asarray(gammas, dtype=np.float64), np.asarray(betas, dtype=np.float64))]

    @property
    def footprint(self) -> Footprint:
        """What the circuit asks of a machine."""
        return footprint(self.circuit)

    def _sets(self, gammas: Floats, betas: Floats) -> dict[Parameter, list[float]]:
        for name, angles, count in (("gammas", gammas, len(self.gammas)), ("betas", betas, len(self.betas))):
            if angles.ndim != 2 or angles.shape[1] != count or not np.isfinite(angles).all():
                raise ValueError(f"{name}: expected {count} finite angles in each set, got {angles.tolist()}")
        if len(gammas) != len(betas):
            raise ValueError(f"gammas, betas: expected as many sets of each, got {len(gammas)} and {len(betas)}")
        held = set(self.circuit.parameters)
        columns = [*zip(self.gammas, gammas.T.tolist(), strict=True), *zip(self.betas, betas.T.tolist(), strict=True)]
        return {angle: values for angle, values in columns if angle in held}


def footprint(circuit: QuantumCircuit) -> Footprint:
    """Return what a circuit asks of a machine, as it is written."""
    widths = np.array([len(gate.qubits) for gate in circuit.data], dtype=np.int64)
    return Footprint(
        qubits=circuit.num_qubits,
        gates=widths.size,
        two_qubit_gates=int((widths == 2).sum()),
        wider_gates=int((widths > 2).sum()),
        depth=circuit.depth(),
        two_qubit_depth=circuit.depth(lambda gate: len(gate.qubits) > 1),
    )


def parametrised(build: Callable[[Angles, Angles], QuantumCircuit], gammas: int, betas: int) -> Ansatz:
    """Return the ansatz that ``build`` makes of so many open cost and mixer angles.

    Raises:
        ValueError: a count is negative.
    """
    if min(gammas, betas) < 0:
        raise ValueError(f"layers: expected none or more, got {min(gammas, betas)}")
    first, second = ParameterVector("gamma", gammas), ParameterVector("beta", betas)
    return Ansatz(build(list(first), list(second)), first, second)


def checked(gammas: npt.ArrayLike, betas: npt.ArrayLike) -> tuple[list[float], list[float]]:
    """Return the angles of a circuit with one of each kind per layer, ``(layers,)``, as plain floats.

    Qiskit takes NumPy's floats too, several times more slowly.

    Raises:
        ValueError: the shapes differ or are not ``(layers,)``, or an angle is not finite.
    """
    first, second = np.asarray(gammas, dtype=np.float64), np.asarray(betas, dtype=np.float64)
    if first.ndim != 1 or first.shape != second.shape:
        raise ValueError(f"gammas, betas: expected two equal shapes (layers,), got {first.shape} and {second.shape}")
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise ValueError("gammas, betas: expected finite angles, got NaN or infinity")
    return first.tolist(), second.tolist()
