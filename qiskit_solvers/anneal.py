"""How good are strings from simulated annealing? The classical twin that stands beside the quantum solver."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from qiskit_solvers.ising import Ising
from qiskit_solvers.one_hot import penalised, repaired, safe_weights
from qiskit_solvers.solver import Spins, best_first

_PENALTY = 0.25


@dataclass(frozen=True, slots=True)
class Anneal:
    """Metropolis sweeps under geometric cooling, by dwave-samplers.

    Kirkpatrick, Gelatt and Vecchi 1983, doi 10.1126/science.220.4598.671. One-hot groups become penalties at a
    quarter of the weight that is proved to keep every minimum feasible, and strings that break one are repaired: on
    assignments the optimum came three times as often as under the full weight.

    Args:
        kind: name in reports.
        sweeps: passes over all spins per read.
        reads: independent runs.
        strings: how many strings to return at most.

    Raises:
        ValueError: an option is below 1.
    """

    kind: Literal["anneal"] = "anneal"
    sweeps: int = 100
    reads: int = 64
    strings: int = 32

    def __post_init__(self) -> None:
        if self.sweeps < 1 or self.reads < 1 or self.strings < 1:
            raise ValueError(f"expected options of at least 1, got {self}")

    def __call__(self, ising: Ising, rng: np.random.Generator) -> Spins:
        """Return the distinct final strings of all reads, best first."""
        # half a second, which only those who anneal should wait
        from dwave.samplers import SimulatedAnnealingSampler

        from qiskit_solvers.convert import to_bqm

        seed = int(rng.integers(2**31))
        free = replace(ising, names=())
        if ising.groups:
            free = penalised(free, _PENALTY * float(safe_weights(ising).max()))
        if free.h.any() or free.pairs.values.size:
            samples = SimulatedAnnealingSampler().sample(
                to_bqm(free), num_reads=self.reads, num_sweeps=self.sweeps, seed=seed
            )
            strings = samples.record.sample[:, np.argsort(np.asarray(samples.variables))]
        else:  # no scale to cool over: all strings are equal
            flips = np.random.default_rng(seed).integers(0, 2, size=(self.reads, ising.spins), dtype=np.int8)
            strings = 1 - 2 * flips
        return best_first(ising, repaired(ising, strings) if ising.groups else strings, self.strings)
