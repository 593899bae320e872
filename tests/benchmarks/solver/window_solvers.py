"""Which solvers answer windows of moves in the benchmark, beside those of the library?"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from qiskit_solvers.conflicts import ease_conflicts
from qiskit_solvers.ising import Ising, strings_of
from qiskit_solvers.simulation.full import FullSpace
from qiskit_solvers.solver import Spins, best_first
from tests.benchmarks.solver.schedules import fixed_schedule, on, ramp_schedule

_KEPT = 32
"""Strings that are returned, as the library's solvers do."""


@dataclass(frozen=True, slots=True)
class Sampled:
    """QAOA on the simulator, the samples drawn from the exact probabilities: no circuit, no other process.

    Args:
        layers: up to 5 take the shipped schedule, more the ramp.
        shots: samples.
        kind: name in reports.
    """

    layers: int
    shots: int = 512
    kind: Literal["qaoa on the simulator"] = "qaoa on the simulator"

    def __call__(self, ising: Ising, rng: np.random.Generator) -> Spins:
        """Return the distinct samples, best first by the model as it was given."""
        space = FullSpace(ease_conflicts(ising), precision="single")
        schedule = fixed_schedule if self.layers <= 5 else ramp_schedule
        angles = on(space, schedule(self.layers, "transverse"))
        indices = drawn(space.probabilities(angles.gammas, angles.betas), self.shots, rng)
        return best_first(ising, strings_of(np.unique(indices), ising.spins), _KEPT)


@dataclass(frozen=True, slots=True)
class Uniform:
    """Strings drawn by chance: what every solver must beat.

    Args:
        shots: samples.
        kind: name in reports.
    """

    shots: int = 512
    kind: Literal["uniform"] = "uniform"

    def __call__(self, ising: Ising, rng: np.random.Generator) -> Spins:
        """Return the distinct samples, best first."""
        indices = rng.integers(0, 1 << ising.spins, self.shots)
        return best_first(ising, strings_of(np.unique(indices), ising.spins), _KEPT)


def drawn(probabilities: np.ndarray, shots: int, rng: np.random.Generator) -> np.ndarray:
    """Return the indices of ``shots`` samples, ``(shots,)``."""
    reached = np.cumsum(probabilities)
    return np.searchsorted(reached, rng.random(shots) * reached[-1], side="right").clip(max=reached.size - 1)
