"""How sure is it how a budget should be spent, when the laws are only known to within their error?

For each draw of the laws the best choice is found anew. How often each level wins says where the laws do not decide;
the regret says what it costs to have decided all the same. Of all choices, the one with the best mean logarithm of
performance gives up least on average: it has the least mean regret over the draws, since the best of each draw does
not depend on what is chosen. It is returned beside the choice by the laws' own parameters.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tasks.problems.budget_dimensions import Dimension, Floats, Law, PowerLaw

Solve = Callable[[Sequence[Dimension]], Floats]
"""The best scales of some dimensions, ``(dimensions,)``."""

SAME = 1e-9
"""Part of the performance below which two choices are equally good."""


@dataclass(frozen=True, slots=True, eq=False)
class Uncertainty:
    """What the draws say.

    Args:
        draws: that were solved.
        left_out: draws whose laws gave no performance above 0 somewhere in a dimension's range.
        best_scale: the best scale of each dimension by each draw, ``(draws, dimensions)``.
        regret: of the choice: part of the draw's best performance that it gives up, ``(draws,)``.
        log_performance: of the choice by each draw, ``(draws,)``.
        hedged: scales with the least mean regret of log performance, ``(dimensions,)``.
        hedged_regret: as ``regret``, of those.
    """

    draws: int
    left_out: int
    best_scale: Floats
    regret: Floats
    log_performance: Floats
    hedged: Floats
    hedged_regret: Floats

    @property
    def stays_best(self) -> float:
        """Share of the draws in which nothing is better than the choice."""
        return float((self.regret <= SAME).mean())

    def wins(self, dimension: int) -> dict[float, float]:
        """Return in which share of the draws each scale of a dimension is the best one, by scale.

        Of levels; where every scale may be chosen, no two draws agree, and quantiles of ``best_scale`` say more.
        """
        scales, counts = np.unique(self.best_scale[:, dimension], return_counts=True)
        return dict(zip(scales.tolist(), (counts / self.draws).tolist(), strict=True))


@dataclass(frozen=True, slots=True, eq=False)
class MeanLaw:
    """The geometric mean of some laws."""

    laws: tuple[Law, ...]

    def __call__(self, scale: Floats) -> Floats:
        """Return the mean at each scale, ``(scales,)``."""
        return np.asarray(np.exp(np.mean([np.log(law(scale)) for law in self.laws], axis=0)))


def mean_law(laws: Sequence[Law]) -> Law:
    """Return the geometric mean of some laws; of powers it is a power, which has a closed form."""
    powers = [law for law in laws if isinstance(law, PowerLaw)]
    if len(powers) < len(laws):
        return MeanLaw(tuple(laws))
    amplitude = np.exp(np.mean([np.log(law.amplitude) for law in powers]))
    return PowerLaw(float(amplitude), float(np.mean([law.exponent for law in powers])))


def uncertainty(
    dimensions: Sequence[Dimension],
    scale: Floats,
    draws: Sequence[Sequence[Law]],
    solve: Solve,
) -> Uncertainty:
    """Return how a choice fares by each draw of the laws.

    Args:
        dimensions: whose laws were drawn.
        scale: that was chosen, ``(dimensions,)``.
        draws: a law for each dimension, ``(draws, dimensions)``.
        solve: finds the best scales.

    Raises:
        ValueError: a draw has another number of laws, or none of them gives a performance.
    """
    sound = list[tuple[Law, ...]]()
    for number, laws in enumerate(draws):
        if len(laws) != len(dimensions):
            raise ValueError(f"draws: expected {len(dimensions)} laws in each, got {len(laws)} in number {number}")
        if all(_gives(each, law) for each, law in zip(dimensions, laws, strict=True)):
            sound.append(tuple(laws))
    if not sound:
        raise ValueError(f"draws: expected laws with a performance above 0, found none in {len(draws)} draws")
    best = np.array([solve(_with(dimensions, laws)) for laws in sound])
    means = tuple(mean_law([laws[row] for laws in sound]) for row in range(len(dimensions)))
    hedged = solve(_with(dimensions, means))
    reached = np.array([_log(laws, one) for laws, one in zip(sound, best, strict=True)])
    chosen, other = (np.array([_log(laws, one) for laws in sound]) for one in (scale, hedged))
    top = np.maximum(reached, np.maximum(chosen, other))  # a solver that rounds may be a hair below
    return Uncertainty(
        len(sound),
        len(draws) - len(sound),
        best,
        -np.expm1(chosen - top),
        chosen,
        hedged,
        -np.expm1(other - top),
    )


def _with(dimensions: Sequence[Dimension], laws: Sequence[Law]) -> list[Dimension]:
    return [
        Dimension(each.name, each.unit, law, each.price, each.least, each.most, each.steps)
        for each, law in zip(dimensions, laws, strict=True)
    ]


def _log(laws: Sequence[Law], scale: Floats) -> float:
    return float(sum(np.log(law(np.array([one])))[0] for law, one in zip(laws, scale.tolist(), strict=True)))


def _gives(dimension: Dimension, law: Law) -> bool:
    scale = np.array(dimension.steps) if dimension.steps else np.geomspace(dimension.least, dimension.most, 9)
    with np.errstate(all="ignore"):
        value = law(scale)
    return bool((np.isfinite(value) & (value > 0.0)).all())
