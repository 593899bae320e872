"""What is a solver? A value that, called with an Ising model and a generator, returns spins."""

from typing import Protocol

import numpy as np
import numpy.typing as npt

from qiskit_solvers.ising import Ising, energies

Spins = npt.NDArray[np.int8]
"""Spin strings, +1 or -1, ``(strings, spins)``: distinct, the lowest energy first."""


class Solver(Protocol):
    """The contract of every solver; each is a frozen dataclass of its options, tagged by ``kind``."""

    @property
    def kind(self) -> str:
        """Name of the method, as it stands in reports."""
        ...

    def __call__(self, ising: Ising, rng: np.random.Generator) -> Spins:
        """Return low-energy strings of ``ising``, ``(strings, spins)``, best first, at least one.

        Raises:
            TooLarge: the model has more spins than the solver holds.
            SolverFailed: the solver died, stalled or ran out of memory.
        """
        ...


def best_first(ising: Ising, strings: npt.NDArray[np.int8], keep: int) -> Spins:
    """Return the ``keep`` lowest of the distinct ``strings``, ``(strings, spins)``, best first.

    Among equal energies the string that leaves (+1) the earlier spins comes first.
    """
    distinct = -np.unique(-strings.astype(np.int8), axis=0)  # sorted: +1 before -1
    order = np.argsort(energies(ising, distinct), kind="stable")
    return np.ascontiguousarray(distinct[order[:keep]], dtype=np.int8)
