"""What is the optimum? Every string, looked at: the oracle that the other solvers are measured against."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from qiskit_solvers.errors import TooLarge
from qiskit_solvers.ising import Floats, Indices, Ising, diagonal, strings_of
from qiskit_solvers.one_hot import factors
from qiskit_solvers.solver import Spins, best_first


@dataclass(frozen=True, slots=True)
class Exact:
    """Enumeration of all ``2**spins`` strings, or of the feasible ones where there are one-hot groups.

    Args:
        kind: name in reports.
        max_spins: largest model; memory and time double with each spin (20: 8 MB, 0.1 s). One-hot groups count by
            their feasible strings: as many spins as would have as many strings.
        strings: how many of the lowest strings to return.

    Raises:
        ValueError: an option is below 1.
    """

    kind: Literal["exact"] = "exact"
    max_spins: int = 20
    strings: int = 32

    def __post_init__(self) -> None:
        if self.max_spins < 1 or self.strings < 1:
            raise ValueError(f"expected options of at least 1, got {self}")

    def __call__(self, ising: Ising, rng: np.random.Generator) -> Spins:  # noqa: ARG002 - the contract; nothing is left to chance
        """Return the lowest strings, best first.

        Raises:
            TooLarge: the model has more than ``max_spins`` spins.
        """
        levels = [factor.levels for factor in factors(ising)]
        if math.prod(levels) > 1 << self.max_spins:
            spins = sum(math.log2(level) for level in levels)
            raise TooLarge(f"exact: expected at most {self.max_spins} spins, got {spins:g}")
        energy, strings = _every(ising)
        keep = min(self.strings, energy.size)
        bound = np.partition(energy, keep - 1)[keep - 1]
        # every string at the bound is a candidate, so that ties end the same way everywhere
        candidates = np.flatnonzero(energy <= bound)
        lowest = candidates[np.argsort(energy[candidates], kind="stable")][:keep]
        return best_first(ising, strings(lowest), keep)


def _every(ising: Ising) -> tuple[Floats, Callable[[Indices], Spins]]:
    """Return the energy of every string that counts, and what returns strings by their numbers."""
    if not ising.groups:
        return diagonal(ising), lambda numbers: strings_of(numbers, ising.spins)
    from qiskit_solvers.simulation.subspace import Subspace

    space = Subspace(ising)
    return space.costs, space.strings
