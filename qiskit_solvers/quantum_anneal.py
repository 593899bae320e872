"""Which strings does quantum annealing propose, run as a circuit of short slices, and how should it be paced?

Kadowaki and Nishimori 1998, doi 10.1103/PhysRevE.58.5355; as a circuit, Farhi, Goldstone, Gutmann and Sipser 2000,
arXiv:quant-ph/0001106. The Hamiltonian goes from the mixer to the cost, ``H(s) = s E - (1 - s) field X``, while ``s``
goes from 0 to 1. A pace says where ``s`` stands in each slice; all slices take equal time, so ``s`` goes slowly where
it makes small steps. A slice is a layer of QAOA, so an anneal runs wherever a schedule of angles does.

Median probability of the optimum at equal numbers of slices and equal time, 3 per slice, 20 models of each kind: move
windows with conflicts, normal fields and couplings, weighted 3-regular MaxCut (two optima), all of 12 spins, and 6
items in 3 bins as one-hot groups:

======== ==================== ==================== ==================== ====================
slices   15 / 30 / 60: window normal               MaxCut               one-hot
======== ==================== ==================== ==================== ====================
linear   0.43, 0.72, 0.95     0.32, 0.57, 0.69     0.31, 0.50, 0.76     0.34, 0.56, 0.70
exponent 0.40, 0.77, 0.95     0.26, 0.49, 0.62     0.30, 0.50, 0.74     0.36, 0.62, 0.75
adaptive 0.43, 0.75, 0.96     0.30, 0.53, 0.67     0.32, 0.52, 0.79     0.34, 0.56, 0.70
local    0.40, 0.63, 0.89     0.37, 0.58, 0.78     0.35, 0.54, 0.76     0.32, 0.49, 0.66
======== ==================== ==================== ==================== ====================

No pace wins everywhere, and none by much; the linear one, which looks at nothing, is the default.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import numpy as np

from qiskit_solvers.angles.schedule import Schedule, midpoints
from qiskit_solvers.ising import Floats, Ising
from qiskit_solvers.simulation.sampling import drawn
from qiskit_solvers.simulation.space import StateSpace
from qiskit_solvers.simulation.spaces import circuit_cost, space_of
from qiskit_solvers.solver import Spins, best_first

Watch = Callable[[Floats], float]
"""Expected energy after slices at the given ``s``, ``(slices so far,)``: 0 before the first, in standard deviations."""


@runtime_checkable
class Pace(Protocol):
    """How fast an anneal goes from the mixer to the cost."""

    @property
    def steps(self) -> int:
        """Number of slices."""
        ...

    @property
    def time(self) -> float:
        """Of the whole anneal, in 1 / standard deviation of the energy."""
        ...

    def progress(self, watch: Watch) -> Floats:
        """Return ``s`` in the middle of each slice, ``(steps,)``, rising within 0 to 1."""
        ...


def _check(pace: Pace) -> None:
    if pace.steps < 1 or not 0.0 < pace.time < np.inf:
        raise ValueError(f"expected at least 1 step and a positive finite time, got {pace}")


@dataclass(frozen=True, slots=True)
class LinearAnnealing:
    """Equal steps of ``s``.

    Args:
        steps: slices.
        time: of the whole anneal, in 1 / standard deviation of the energy; above 3 or so per slice the slices are
            too coarse to follow the anneal.

    Raises:
        ValueError: an option is not positive.
    """

    steps: int = 30
    time: float = 90.0

    def __post_init__(self) -> None:
        _check(self)

    def progress(self, watch: Watch) -> Floats:  # noqa: ARG002 - the protocol; this pace does not look
        """Return the midpoints of equal steps."""
        return midpoints(self.steps)


@dataclass(frozen=True, slots=True)
class ExponentialAnnealing:
    """``s`` nears its end exponentially, ``ds/dt`` falling by ``exp(-rate)`` in all: fast first, slow later.

    Args:
        steps: slices.
        time: of the whole anneal, in 1 / standard deviation of the energy.
        rate: above 0; 1 was the best of 1, 2 and 3 on every family that was measured.

    Raises:
        ValueError: an option is not positive.
    """

    steps: int = 30
    time: float = 90.0
    rate: float = 1.0

    def __post_init__(self) -> None:
        _check(self)
        if not 0.0 < self.rate < np.inf:
            raise ValueError(f"rate: expected a positive finite number, got {self.rate}")

    def progress(self, watch: Watch) -> Floats:  # noqa: ARG002 - the protocol; this pace does not look
        """Return ``(1 - exp(-rate u)) / (1 - exp(-rate))`` at the midpoints ``u``."""
        return np.asarray(np.expm1(-self.rate * midpoints(self.steps)) / np.expm1(-self.rate))


@dataclass(frozen=True, slots=True)
class AdaptiveAnnealing:
    """Exponential steps while the energy falls quickly, linear ones otherwise, decided along the anneal.

    With ``k`` slices left, ``s`` goes by ``(1 - s) / k``; if the energy fell in the last slice by more than
    ``threshold`` standard deviations per unit of ``s``, by ``rate (1 - s) / steps`` where that is more. The next slice
    needs the energy after the last, so ``n`` slices cost the simulator ``n^2 / 2``, and a device one circuit each.

    Quick falls are where the state changes most, so this hurries where adiabatic theory says to wait;
    :class:`LocalAnnealing` does the opposite. Neither is better throughout.

    Args:
        steps: slices.
        time: of the whole anneal, in 1 / standard deviation of the energy.
        rate: how fast the exponential steps near the end, as in :class:`ExponentialAnnealing`; at 1 they are no larger
            than the linear ones, at 3 the anneal was much worse than a linear one.
        threshold: what falls quickly, in standard deviations; a whole anneal falls by 3 or so.

    Raises:
        ValueError: an option is not positive.
    """

    steps: int = 30
    time: float = 90.0
    rate: float = 1.5
    threshold: float = 3.0

    def __post_init__(self) -> None:
        _check(self)
        if not (0.0 < self.rate < np.inf and 0.0 < self.threshold < np.inf):
            raise ValueError(f"expected a positive finite rate and threshold, got {self}")

    def progress(self, watch: Watch) -> Floats:
        """Return where ``s`` stood in each slice."""
        middles = np.empty(self.steps)
        at, energy, quickly = 0.0, 0.0, False
        for step in range(self.steps):
            increment = (1.0 - at) / (self.steps - step)
            if quickly:
                increment = max(increment, (1.0 - at) * min(self.rate / self.steps, 1.0))
            middles[step] = at + increment / 2.0
            at += increment
            if step + 1 < self.steps:
                after = watch(middles[: step + 1])
                quickly = energy - after > self.threshold * increment
                energy = after
        return middles


@dataclass(frozen=True, slots=True)
class LocalAnnealing:
    """Slow where the energy of a linear pilot anneal fell quickly, fast where little happened.

    In the spirit of the local adiabatic condition (Roland and Cerf 2002, doi 10.1103/PhysRevA.65.042308), with the fall
    of the energy in the place of the gap, which nobody knows: ``dt/ds`` is proportional to the pilot's ``-dE/ds``, in
    parts of its mean and at least a tenth of it, to the power of ``exponent``. Depends on ``watched + 1`` energies.

    Args:
        steps: slices.
        time: of the whole anneal, in 1 / standard deviation of the energy.
        exponent: 0 is linear, 1 spends equal time on equal falls; 1/2 gains more than 1/4 where there is something to
            gain, and loses more where there is not.
        watched: intervals of the pilot between which the energy is looked at, at most ``steps``; on the simulator the
            pilot costs as much as ``watched / 2`` anneals.

    Raises:
        ValueError: an option is not positive.
    """

    steps: int = 30
    time: float = 90.0
    exponent: float = 0.25
    watched: int = 10

    def __post_init__(self) -> None:
        _check(self)
        if not 0.0 < self.exponent < np.inf or self.watched < 1:
            raise ValueError(f"expected a positive exponent and at least 1 interval, got {self}")

    def progress(self, watch: Watch) -> Floats:
        """Return the midpoints of the slices on the pilot's clock."""
        pilot = midpoints(self.steps)
        ends = np.unique(np.rint(np.linspace(0, self.steps, self.watched + 1)).astype(np.int64))
        energy = np.array([watch(pilot[:end]) for end in ends])
        width = np.diff(ends) / self.steps
        speed = np.maximum(energy[:-1] - energy[1:], 0.0) / width
        mean = float((speed * width).sum())
        if mean == 0.0:
            return pilot  # nothing fell: no place is better than another
        time = np.concatenate([np.zeros(1), np.cumsum(np.maximum(speed / mean, 0.1) ** self.exponent * width)])
        return np.asarray(np.interp(pilot, time / time[-1], ends / self.steps), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class QuantumAnneal:
    """Quantum annealing as a circuit, simulated; one-hot groups keep to their feasible strings.

    Args:
        kind: name in reports.
        pace: how ``s`` goes from 0 to 1, in how many slices, in what time.
        field: of the mixer against the standardised cost. One value serves both mixers: of 0.1 to 0.25 and 2.2 to 3.5
            in time per slice, 0.16 and 3 lost little to the best of each family.
        order: of the Trotter splitting, in the time of a slice (Suzuki 1976, doi 10.1007/BF01609348). The second puts
            half a cost layer at either end; the last one is a phase that no measurement sees, so it is left out and
            both orders have equally many layers.
        shots: measurements.
        max_bytes: of memory that the simulator may use.
        strings: how many strings to return at most.

    Raises:
        ValueError: the pace is none, an option is not positive, or the order is not 1 or 2.
    """

    kind: Literal["quantum-anneal"] = "quantum-anneal"
    pace: Pace = LinearAnnealing()
    field: float = 0.16
    order: Literal[1, 2] = 1
    shots: int = 512
    max_bytes: int = 1 << 30
    strings: int = 32

    def __post_init__(self) -> None:
        if not isinstance(self.pace, Pace):
            raise ValueError(f"pace: expected one, LinearAnnealing() for instance, got {self.pace!r}")
        if min(self.shots, self.max_bytes, self.strings) < 1:
            raise ValueError(f"expected counts of at least 1, got {self}")
        if not 0.0 < self.field < np.inf or self.order not in (1, 2):
            raise ValueError(f"expected a positive field and order 1 or 2, got {self}")

    def __call__(self, ising: Ising, rng: np.random.Generator) -> Spins:
        """Return the distinct sampled strings, best first.

        Raises:
            TooLarge: the state needs more than ``max_bytes``; nothing has been allocated.
        """
        space = space_of(circuit_cost(ising), max_bytes=self.max_bytes)
        schedule = self.schedule(space)
        indices = drawn(space.probabilities(schedule.gammas, schedule.betas), self.shots, rng)
        return best_first(ising, space.strings(np.unique(indices)), self.strings)

    def schedule(self, space: StateSpace) -> Schedule:
        """Return the angles of the circuit for a standardised cost (deviation 1 over ``space``)."""
        mean = float(space.costs.mean())

        def watch(progress: Floats) -> float:
            angles = self._angles(progress)
            return space.energy(angles.gammas, angles.betas) - mean

        return self._angles(self.pace.progress(watch))

    def _angles(self, progress: Floats) -> Schedule:
        slice_time = self.pace.time / self.pace.steps
        gammas, betas = slice_time * progress, slice_time * self.field * (1.0 - progress)
        if self.order == 2:
            gammas = (gammas + np.concatenate([np.zeros(1), gammas])[: gammas.size]) / 2.0
        return Schedule(np.asarray(gammas), np.asarray(betas))
