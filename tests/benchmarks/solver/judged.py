"""How good are strings and probabilities, against every string of the model?"""

from dataclasses import dataclass

import numpy as np

from qiskit_solvers import one_hot
from qiskit_solvers.ising import Ising, energies
from qiskit_solvers.simulation.space import StateSpace
from qiskit_solvers.simulation.spaces import space_of
from qiskit_solvers.solver import Spins
from tests.benchmarks.solver.intervals import Floats, ratio, shots99
from tests.benchmarks.solver.schedules import TIE, optimal


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a contestant did with one model.

    Args:
        success: probability that one sample is an optimum.
        ratio: approximation ratio of the mean sample: 1 at the optimum, 0 at strings drawn by chance.
        once_ms: processor time that is spent once: building, angles, a simulator's state.
        sample_ms: processor time of each sample.
    """

    success: float
    ratio: float
    once_ms: float
    sample_ms: float

    @property
    def shots99(self) -> float:
        """Samples until an optimum was among them with 99 % probability."""
        return shots99(self.success)

    @property
    def ms99(self) -> float:
        """Time until an optimum was among the samples with 99 % probability."""
        return self.once_ms + self.sample_ms * self.shots99 if self.success > 0.0 else float("inf")


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """A model with everything that is known about it.

    Args:
        ising: the model.
        space: its strings, those of its groups where it has some.
        best: 1 for each optimum, 0 for the others, ``(size,)``.
        lowest: energy of the optimum.
        uniform: mean energy of strings drawn by chance.
        deviation: their standard deviation.
    """

    ising: Ising
    space: StateSpace
    best: Floats
    lowest: float
    uniform: float
    deviation: float

    def of_probabilities(self, probabilities: Floats) -> tuple[float, float]:
        """Return success and ratio of a distribution over the strings, ``(size,)``."""
        mean = float(probabilities @ self.space.costs)
        return float(probabilities @ self.best), ratio(mean, self.lowest, self.uniform)

    def of_samples(self, strings: Spins) -> tuple[float, float]:
        """Return success and ratio of samples, ``(samples, spins)``.

        One that breaks a group counts as a string drawn by chance: no success, ratio 0.
        """
        kept = one_hot.feasible(self.ising, strings)
        seen = energies(self.ising, strings[kept]) if kept.any() else np.zeros(0)
        share = 1.0 / len(strings)
        hits = float((seen <= self.lowest + 1e3 * TIE * self.deviation).sum()) * share
        return hits, float(sum(ratio(float(energy), self.lowest, self.uniform) for energy in seen)) * share


def judged(ising: Ising) -> Judged:
    """Return the model with all its strings enumerated."""
    space = space_of(ising)
    costs = space.costs
    return Judged(ising, space, optimal(costs), float(costs.min()), float(costs.mean()), float(costs.std()))
