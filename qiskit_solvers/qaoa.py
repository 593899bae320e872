"""Which strings does a quantum circuit propose? The QAOA with ramped angles, sampled on Qiskit Aer."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from qiskit_solvers import sandbox
from qiskit_solvers.conflicts import ease_conflicts
from qiskit_solvers.errors import TooLarge
from qiskit_solvers.ising import Floats, Ising, strings_of
from qiskit_solvers.solver import Spins, best_first


@dataclass(frozen=True, slots=True)
class Qaoa:
    """The quantum approximate optimisation algorithm on a linear ramp.

    The circuit is that of Farhi, Goldstone and Gutmann 2014, arXiv:1411.4028; the angles are not
    searched for but ramped (Montanez-Barrera and Michielsen 2025, arXiv:2405.09169), on the cost
    divided by its standard deviation, so that two numbers serve all models. They were tuned on 12-
    and 15-spin windows of three kinds, ten each: disjoint swaps of 64 items in 8 bins at a local
    optimum; gains and couplings drawn from the normal distribution; the same with one pair in five
    in conflict. Over cost angles 2.5 to 5 and mixer angles 0.4 to 0.7 the median probability of the
    optimum was best at 3.5 and 0.5, flat around it, and 0.95, 0.42, 0.73 (12 spins) and 0.89, 0.68,
    0.40 (15 spins) for the three kinds with 20 layers; 30 layers gave 0.98, 0.58, 0.82 and 0.97,
    0.77, 0.56 for half as much again in time. With 512 shots either finds the optimum.

    Args:
        kind: name in reports.
        layers: of the circuit.
        shots: measurements.
        max_spins: largest model; time and memory double with each spin (14: 0.1 s, 16: 0.3 s, 20: 5 s).
        strings: how many strings to return at most.
        deadline_s: guard against a stalled simulator, far above any honest run.
        memory_mb: how far the simulator's process may grow, MiB.
        cost_angle: end of the rising ramp, in units of 1 / standard deviation of the energy.
        mixer_angle: start of the falling ramp, radians.

    Raises:
        ValueError: an option is not positive.
    """

    kind: Literal["qaoa"] = "qaoa"
    layers: int = 20
    shots: int = 512
    max_spins: int = 20
    strings: int = 32
    deadline_s: float = 60.0
    memory_mb: int = 512
    cost_angle: float = 3.5
    mixer_angle: float = 0.5

    def __post_init__(self) -> None:
        if min(self.layers, self.shots, self.max_spins, self.strings, self.memory_mb) < 1:
            raise ValueError(f"expected counts of at least 1, got {self}")
        if not (self.deadline_s > 0 and self.cost_angle > 0 and self.mixer_angle > 0):
            raise ValueError(f"expected a positive deadline and positive angles, got {self}")

    def __call__(self, ising: Ising, rng: np.random.Generator) -> Spins:
        """Return the distinct sampled strings, best first by their exact energy.

        Raises:
            TooLarge: the model has more than ``max_spins`` spins.
            SolverFailed: the simulator died, passed the deadline or ran out of memory.
        """
        if ising.spins > self.max_spins:
            raise TooLarge(f"qaoa: expected at most {self.max_spins} spins, got {ising.spins}")
        seed = int(rng.integers(2**31))
        if ising.spins == 0:
            return best_first(ising, np.ones((1, 0), dtype=np.int8), 1)
        cost = circuit_cost(ising)
        rows, columns = np.nonzero(cost.J)
        counts = sandbox.call(
            "sample",
            {
                "h": cost.h.tolist(),
                "couplings": list(zip(rows.tolist(), columns.tolist(), cost.J[rows, columns].tolist(), strict=True)),
                "gammas": self.gammas.tolist(),
                "betas": self.betas.tolist(),
                "shots": self.shots,
                "seed": seed,
            },
            deadline_s=self.deadline_s,
            memory_mb=self.memory_mb,
        )
        indices = np.array([index for index, _count in counts], dtype=np.int64)
        return best_first(ising, strings_of(indices, ising.spins), self.strings)

    @property
    def gammas(self) -> Floats:
        """Cost angles, ``(layers,)``: rising."""
        return np.asarray(self.cost_angle * _midpoints(self.layers), dtype=np.float64)

    @property
    def betas(self) -> Floats:
        """Mixer angles, ``(layers,)``: falling."""
        return np.asarray(self.mixer_angle * (1.0 - _midpoints(self.layers)), dtype=np.float64)


def circuit_cost(ising: Ising) -> Ising:
    """Return the cost that the circuit carries: conflicts eased, mean 0, standard deviation 1 over all strings.

    The products of spins are orthogonal, so the variance is the sum of the squared coefficients.
    A constant model stays all zero, and its circuit samples uniformly.
    """
    eased = _largest_one(ease_conflicts(_largest_one(ising)))
    deviation = float(np.sqrt((eased.h**2).sum() + (eased.J**2).sum()))
    return Ising(eased.h / deviation, eased.J / deviation) if deviation > 0.0 else eased


def _largest_one(ising: Ising) -> Ising:
    """Return the model divided by its largest coefficient, so that no sum or square overflows or vanishes."""
    largest = max(np.abs(ising.h).max(initial=0.0), np.abs(ising.J).max(initial=0.0))
    return Ising(ising.h / largest, ising.J / largest) if largest > 0.0 else Ising(ising.h, ising.J)


def _midpoints(layers: int) -> Floats:
    return (np.arange(layers) + 0.5) / layers
