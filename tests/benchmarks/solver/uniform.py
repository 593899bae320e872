"""What must every solver of windows beat? Strings drawn by chance."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from qiskit_solvers.ising import Ising, strings_of
from qiskit_solvers.solver import Spins, best_first


@dataclass(frozen=True, slots=True)
class Uniform:
    """As many strings as the quantum solver has shots, the best of them first.

    Args:
        shots: samples.
        strings: how many to return at most.
        kind: name in reports.
    """

    shots: int = 512
    strings: int = 32
    kind: Literal["uniform"] = "uniform"

    def __call__(self, ising: Ising, rng: np.random.Generator) -> Spins:
        """Return the distinct samples, best first."""
        indices = rng.integers(0, 1 << ising.spins, self.shots)
        return best_first(ising, strings_of(np.unique(indices), ising.spins), self.strings)
