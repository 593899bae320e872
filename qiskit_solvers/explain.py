"""How good is an answer, and where did the time go? Energies beside what is known, and seconds by stage."""

import contextlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from qiskit_solvers.errors import TooLarge
from qiskit_solvers.exact import Exact
from qiskit_solvers.ising import Floats, Ising, diagonal, energies
from qiskit_solvers.one_hot import moments
from qiskit_solvers.qaoa import Qaoa, QaoaOn, mended
from qiskit_solvers.simulation.spaces import circuit_cost
from qiskit_solvers.simulation.subspace import Subspace
from qiskit_solvers.solver import Solver, Spins

_TIED = 1e-9
"""Energies this close, as a share of the deviation, count as equal."""


@dataclass(frozen=True, slots=True)
class Seconds:
    """Where the time went: the model and its simulator or circuit, the angles, the samples with their energies."""

    build: float
    angles: float
    samples: float

    @property
    def total(self) -> float:
        """All of it."""
        return self.build + self.angles + self.samples


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """What a solver answered.

    Args:
        ising: the model.
        kind: of the solver.
        strings: its answer, best first.
        seconds: where the time went; a solver that is not a circuit spends it all on samples.
        chances: probability of each string that a circuit can measure, ``(size,)``, as the simulator numbers them;
            None where no simulator held the state.
    """

    ising: Ising
    kind: str
    strings: Spins
    seconds: Seconds
    chances: Floats | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """A result beside what is known.

    Args:
        kind: of the solver.
        energy: of the best string.
        lowest: the lowest energy that is known: the optimum, or what was named as known; None without either.
        proven: whether that is the optimum, by enumeration.
        mean: of the energy over all strings that count.
        expectation: of the energy of one sample; None without a state.
        approximation_ratio: ``(mean - E) / (mean - lowest)`` of the expectation, or of the best string without a
            state: 0 is a random string, 1 the lowest known; None where only the answer itself is known. A constant
            model has 1.
        optimum_probability: that one sample has the lowest known energy; None without a state or where none is known.
        shots99: samples until one of them has it with 99 % probability; None without a state.
        seconds: where the time went.
    """

    kind: str
    energy: float
    lowest: float | None
    proven: bool
    mean: float
    expectation: float | None
    approximation_ratio: float | None
    optimum_probability: float | None
    shots99: float | None
    seconds: Seconds

    def __str__(self) -> str:
        """Return it as a few lines of text."""
        known = "what is optimal is unknown"
        if self.lowest is not None:
            known = f"{self.lowest:.6g} is {'the optimum, by enumeration' if self.proven else 'the lowest known'}"
        lines = [f"{self.kind}: energy {self.energy:.6g}; {known}; a random string has {self.mean:.6g}"]
        if self.expectation is not None:
            lines.append(f"expectation of one sample {self.expectation:.6g}")
        if self.approximation_ratio is not None:
            lines.append(f"approximation ratio {self.approximation_ratio:.4f}")
        if self.optimum_probability is not None and self.shots99 is not None:
            lines.append(f"one sample has it with {self.optimum_probability:.4f}; samples for 0.99: {self.shots99:.0f}")
        spent = self.seconds
        lines.append(
            f"{1e3 * spent.total:.1f} ms: build {1e3 * spent.build:.1f}, angles {1e3 * spent.angles:.1f}, "
            f"samples {1e3 * spent.samples:.1f}"
        )
        return "\n".join(lines)


def solved(
    ising: Ising, solver: Solver, rng: np.random.Generator, *, clock: Callable[[], float] = time.perf_counter
) -> Result:
    """Solve a model and keep what :func:`explain` wants to know; the strings are those of ``solver(ising, rng)``.

    Raises:
        TooLarge: the solver does not hold the model.
        SolverFailed: the solver failed.
    """
    marks = [clock()]
    chances = None
    if isinstance(solver, Qaoa):
        solver.require(ising)
    if isinstance(solver, Qaoa) and solver.on == "simulator":
        cost = circuit_cost(ising)
        space = solver.space(cost)
        marks.append(clock())
        schedule = solver.schedule(cost)
        marks.append(clock())
        probabilities = solver.probabilities(space, schedule)
        strings = solver.measured(ising, space, probabilities, rng)
        marks.append(clock())
        chances = probabilities
    elif isinstance(solver, Qaoa | QaoaOn):
        qaoa = solver if isinstance(solver, Qaoa) else solver.qaoa
        seed = int(rng.integers(2**31))
        cost = circuit_cost(ising)
        marks.append(clock())
        schedule = qaoa.schedule(cost)
        marks.append(clock())
        strings = mended(ising, solver.counts(cost, schedule, seed), qaoa.strings)
        marks.append(clock())
    else:
        marks += [marks[0], marks[0]]
        strings = solver(ising, rng)
        marks.append(clock())
    build, angles, samples = np.diff(marks).tolist()
    return Result(ising, solver.kind, strings, Seconds(build, angles, samples), chances)


def explain(result: Result, *, best_known: float | None = None, max_spins: int = 20) -> Explanation:
    """Set a result beside the optimum, or the lowest energy known.

    Args:
        result: of :func:`solved`.
        best_known: an energy that is known to be reached; asked only where enumeration does not fit.
        max_spins: up to here the optimum is enumerated.

    Raises:
        ValueError: ``best_known`` is not finite.
    """
    if best_known is not None and not math.isfinite(best_known):
        raise ValueError(f"best_known: expected a finite energy, got {best_known}")
    ising = result.ising
    energy = float(energies(ising, result.strings[:1])[0])
    mean, deviation = moments(ising)
    lowest: float | None = None if best_known is None else min(energy, best_known)
    proven = False
    with contextlib.suppress(TooLarge):
        optimum = Exact(max_spins=max_spins, strings=1)(ising, np.random.default_rng(0))
        lowest, proven = float(energies(ising, optimum)[0]), True
    expectation = probability = ratio = None
    if result.chances is not None:
        costs = Subspace(ising).costs if ising.groups else diagonal(ising)
        expectation = float(result.chances @ costs)
        if lowest is not None:
            probability = float(result.chances[costs <= lowest + _TIED * deviation].sum())
    if lowest is not None:
        span, judged = mean - lowest, energy if expectation is None else expectation
        ratio = (mean - judged) / span if span > _TIED * deviation else 1.0
    return Explanation(
        kind=result.kind,
        energy=energy,
        lowest=lowest,
        proven=proven,
        mean=mean,
        expectation=expectation,
        approximation_ratio=ratio,
        optimum_probability=probability,
        shots99=None if probability is None else shots99(probability),
        seconds=result.seconds,
    )


def shots99(probability: float) -> float:
    """Return after how many samples one of this probability was seen with 99 % probability; at least one.

    Raises:
        ValueError: it is no probability.
    """
    if not 0.0 <= probability <= 1.0 + 1e-9:
        raise ValueError(f"probability: expected 0 to 1, got {probability}")
    if probability <= 0.0:
        return math.inf
    return max(1.0, math.log(0.01) / math.log1p(-probability)) if probability < 1.0 else 1.0
