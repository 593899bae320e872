"""Which strings lie near one that is already known? QAOA that starts there, on Aer or another backend."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

from qiskit_solvers.ising import Ising
from qiskit_solvers.one_hot import penalised, repaired
from qiskit_solvers.qaoa import Qaoa, mended
from qiskit_solvers.rqaoa import descended
from qiskit_solvers.simulation.spaces import circuit_cost
from qiskit_solvers.solver import Spins, best_first

if TYPE_CHECKING:
    from qiskit_solvers.backends.protocol import Backend


@dataclass(frozen=True, slots=True)
class WarmStart:
    """QAOA whose first state is near the incumbent (Egger, Marecek and Woerner 2021, arXiv:2009.10095).

    The incumbent of a window of moves is the string that leaves everything, all +1; with one-hot groups it is the
    feasible string nearest to that. The incumbent itself is among the strings that are returned.

    Args:
        kind: name in reports.
        epsilon: distance kept from certainty: 0 never moves, 0.5 is plain QAOA.
        start: ``incumbent``, or ``descent``: where single flips lead from there.
        qaoa: layers, angles, shots and limits.
        backend: what runs the circuit; None is Aer in the sandbox.

    Raises:
        ValueError: epsilon is not in 0..0.5, or there is no such start.
    """

    kind: Literal["warm-start"] = "warm-start"
    epsilon: float = 0.25
    start: Literal["incumbent", "descent"] = "incumbent"
    qaoa: Qaoa = field(default_factory=lambda: Qaoa(layers=3))
    backend: "Backend | None" = None

    def __post_init__(self) -> None:
        if not 0.0 <= self.epsilon <= 0.5:
            raise ValueError(f"epsilon: expected 0 to 0.5, got {self.epsilon}")
        if self.start not in ("incumbent", "descent"):
            raise ValueError(f"start: expected 'incumbent' or 'descent', got {self.start!r}")

    def __call__(self, ising: Ising, rng: np.random.Generator) -> Spins:
        """Return the distinct measured strings and the incumbent, best first.

        Raises:
            TooLarge: the circuit does not fit.
            SolverFailed: the backend failed.
        """
        seed = int(rng.integers(2**31))
        known = np.ones((1, ising.spins), dtype=np.int8)
        if self.start == "descent":
            known = descended(penalised(ising) if ising.groups else ising, known)
        if ising.groups:
            known = repaired(ising, known)
        if ising.spins == 0:
            return best_first(ising, known, 1)
        from qiskit_solvers.backends.aer import Aer
        from qiskit_solvers.backends.sandboxed import Sandboxed
        from qiskit_solvers.circuits.warm_start import warm_start_circuit

        cost = circuit_cost(ising)
        schedule = self.qaoa.schedule(cost)
        circuit = warm_start_circuit(cost, (1 - known[0]) / 2, schedule.gammas, schedule.betas, epsilon=self.epsilon)
        backend = self.backend or Sandboxed(
            Aer(memory_mb=self.qaoa.memory_mb), deadline_s=self.qaoa.deadline_s, memory_mb=self.qaoa.memory_mb
        )
        counts = backend.run([circuit], shots=self.qaoa.shots, seed=seed).counts[0]
        strings = np.concatenate([known, mended(ising, counts, len(counts))])
        return best_first(ising, strings, self.qaoa.strings)
