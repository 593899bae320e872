"""What can be read of a linear system's solution by measuring, on a simulator with shots or on a machine?

:func:`~qiskit_solvers.linear_algebra.hhl.solved` looks at amplitudes, which no machine shows. Here the circuit of
Harrow, Hassidim and Lloyd 2009 (doi 10.1103/PhysRevLett.103.150502) runs on a backend. Counts give the squares of the
entries. Signs follow from the same circuit with a Hadamard on one qubit of the system more: where entries ``i`` and
``j`` differ in that bit, the counts there tell ``(x_i + x_j)**2`` from ``(x_i - x_j)**2``. The sign of the whole is the
one for which ``A x`` points along ``b``. One circuit per qubit of the system and one more, all real.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qiskit_solvers.backends.protocol import Backend
from qiskit_solvers.errors import SolverFailed
from qiskit_solvers.ising import Floats
from qiskit_solvers.linear_algebra.hhl import hhl_circuit


@dataclass(frozen=True, slots=True, eq=False)
class SampledSolution:
    """What the counts say.

    Args:
        solution: of the system, ``(size,)``; each entry to about ``norm / sqrt(kept)``.
        norm: of the solution, from the share of the shots that succeeded.
        success_probability: that share: the ancilla reads 1 and the clock 0.
        kept: shots that succeeded in the circuit that gives the squares.
        shots: of all circuits together.
        condition: ratio of the largest to the smallest eigenvalue, in magnitude.
        qubits: of the circuit.
    """

    solution: Floats
    norm: float
    success_probability: float
    kept: int
    shots: int
    condition: float
    qubits: int


def sampled(
    matrix: npt.ArrayLike,
    vector: npt.ArrayLike,
    backend: Backend,
    *,
    shots: int,
    seed: int,
    clock: int | None = None,
) -> SampledSolution:
    """Solve a real ``A x = b`` by running the circuits on a backend.

    Args:
        matrix: ``(size, size)``, real, regular.
        vector: ``(size,)``, real, not zero.
        backend: what runs circuits; :class:`~qiskit_solvers.backends.sandboxed.Sandboxed` can be killed and cannot
            take this process's memory.
        shots: per circuit.
        seed: of the shots.
        clock: clock qubits; by default as in :func:`~qiskit_solvers.linear_algebra.hhl.solved`.

    Raises:
        ValueError: as :func:`~qiskit_solvers.linear_algebra.hhl.solved`, or complex numbers.
        TooLarge: as there, or more than the backend holds.
        SolverFailed: the backend failed, or no shot succeeded.
    """
    if np.iscomplexobj(np.asarray(matrix)) or np.iscomplexobj(np.asarray(vector)):
        raise ValueError("matrix, vector: expected real numbers, got complex ones")
    made = hhl_circuit(matrix, vector, clock=clock)
    width = made.circuit.num_qubits - made.clock - 1
    circuits = [made.circuit]
    for qubit in range(width):
        turned = made.circuit.copy()
        turned.h(made.clock + qubit)
        circuits.append(turned)
    counts = [_successes(one, made.clock, width) for one in backend.run(circuits, shots=shots, seed=seed).counts]
    kept = int(counts[0].sum())
    if kept == 0:
        raise SolverFailed(f"hhl: expected a shot with the ancilla in 1 and the clock in 0, got none of {shots}")
    success = kept / shots
    magnitudes = np.sqrt(counts[0] / kept)
    found = magnitudes * _signs(counts[1:]) * (made.unit * np.sqrt(success))
    system = made.system
    if float(np.real(np.vdot(system.vector, system.matrix @ found))) < 0.0:
        found = -found
    solution = found[system.first : system.first + system.size]
    return SampledSolution(
        solution=np.asarray(solution, dtype=np.float64),
        norm=float(np.linalg.norm(solution)),
        success_probability=success,
        kept=kept,
        shots=shots * len(circuits),
        condition=system.condition,
        qubits=made.circuit.num_qubits,
    )


def _successes(counts: Mapping[int, int], clock: int, width: int) -> Floats:
    """Return how often each index of the system was read where the ancilla was 1 and the clock 0, ``(2**width,)``."""
    found = np.zeros(2**width)
    for index, count in counts.items():
        if index >> (clock + width) == 1 and index % 2**clock == 0:
            found[(index >> clock) % 2**width] += count
    return found


def _signs(turned: list[Floats]) -> Floats:
    """Return the signs of the entries relative to one another, ``(2**width,)``, along the pairs that tell most."""
    size = 2 ** len(turned)
    edges = [
        (float(counts[low] - counts[low | 1 << qubit]), low, low | 1 << qubit)
        for qubit, counts in enumerate(turned)
        for low in range(size)
        if not low >> qubit & 1
    ]
    group, signs = list(range(size)), np.ones(size)
    for difference, one, other in sorted(edges, key=lambda edge: -abs(edge[0])):  # the heaviest spanning tree
        if group[one] == group[other]:
            continue
        moved = [place for place in range(size) if group[place] == group[other]]
        if signs[one] * signs[other] * difference < 0.0:
            signs[moved] *= -1.0
        for place in moved:
            group[place] = group[one]
    return signs
