"""What would a noisy machine propose? QAOA on Aer with errors, wrong readings taken out of the counts."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from qiskit_solvers.backends.aer import Aer
from qiskit_solvers.backends.noise import GateNoise
from qiskit_solvers.backends.readout import Weights, calibrated, mitigated
from qiskit_solvers.backends.sandboxed import Sandboxed
from qiskit_solvers.ising import Ising, energies
from qiskit_solvers.one_hot import repaired
from qiskit_solvers.qaoa import Qaoa, QaoaOn, strings_measured
from qiskit_solvers.simulation.spaces import circuit_cost
from qiskit_solvers.solver import Spins, best_first

TYPICAL = GateNoise(one_qubit=3e-4, two_qubit=5e-3, read_1_for_0=0.01, read_0_for_1=0.02, t1_us=200.0, t2_us=150.0)
"""About what superconducting machines of 2024 publish for a median pair of qubits."""


@dataclass(frozen=True, slots=True)
class NoisyQaoa:
    """QAOA on simulated noisy qubits; of what it measures, the likeliest strings count.

    Args:
        kind: name in reports.
        noise: errors of gates and readings; None for a machine without.
        layers: of the circuit; more entangle better and err more.
        shots: measurements, and as many for each of two circuits of calibration.
        mitigate: whether wrong readings are taken out (Nation et al. 2021, doi 10.1103/PRXQuantum.2.040326).
        strings: how many of the likeliest to return at most.
    """

    kind: Literal["noisy-qaoa"] = "noisy-qaoa"
    noise: GateNoise | None = TYPICAL
    layers: int = 3
    shots: int = 512
    mitigate: bool = True
    strings: int = 32

    def __post_init__(self) -> None:
        if min(self.layers, self.shots, self.strings) < 1:
            raise ValueError(f"expected counts of at least 1, got {self}")

    @property
    def backend(self) -> Sandboxed:
        """Aer with the noise, in a child process."""
        return Sandboxed(Aer(method="automatic", noise=self.noise))

    def __call__(self, ising: Ising, rng: np.random.Generator) -> Spins:
        """Return the likeliest strings, the lowest energy first.

        Raises:
            TooLarge: the circuit does not fit.
            SolverFailed: Aer failed.
        """
        weights = self.weights(ising, rng)
        likeliest = sorted(weights, key=lambda index: (-weights[index], index))[: self.strings]
        strings = strings_measured(dict.fromkeys(likeliest, 1), ising.spins)
        return best_first(ising, repaired(ising, strings) if ising.groups else strings, self.strings)

    def weights(self, ising: Ising, rng: np.random.Generator) -> Weights:
        """Return the probability of each string that was measured, by its index; errors as for a call."""
        seed, calibration = (int(draw) for draw in rng.integers(2**31, size=2))
        run = QaoaOn(self.backend, Qaoa(layers=self.layers, shots=self.shots))
        cost = circuit_cost(ising)
        counts = run.counts(cost, run.qaoa.schedule(cost), seed)
        if not self.mitigate or ising.spins == 0:
            return {index: count / self.shots for index, count in counts.items()}
        readout = calibrated(self.backend, ising.spins, shots=self.shots, seed=calibration)
        return mitigated(counts, readout)


def mean_energy(ising: Ising, weights: Weights) -> float:
    """Return the expected energy of measured strings."""
    strings = strings_measured(dict.fromkeys(weights, 1), ising.spins)
    return float(energies(ising, strings) @ np.array(list(weights.values())))
