"""What does a dimension of a fleet bring at each scale, and what does it cost? Laws, prices, levels made of both."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

Law = Callable[[Floats], Floats]
"""Performance, or cost, at each scale: ``(scales,) -> (scales,)``."""


@dataclass(frozen=True, slots=True)
class PowerLaw:
    """``amplitude * scale ** exponent``, of performance or of cost.

    Raises:
        ValueError: the amplitude is not positive, or a number is not finite.
    """

    amplitude: float
    exponent: float

    def __post_init__(self) -> None:
        if not (0.0 < self.amplitude < np.inf and np.isfinite(self.exponent)):
            raise ValueError(f"power law: expected a positive amplitude and a finite exponent, got {self}")

    def __call__(self, scale: Floats) -> Floats:
        """Return the value at each scale, ``(scales,)``."""
        return np.asarray(self.amplitude * np.power(scale, self.exponent))


@dataclass(frozen=True, slots=True, eq=False)
class Levels:
    """What may be chosen in one dimension.

    Args:
        name: of the dimension.
        scale: of each level, in the dimension's own unit, ``(levels,)``.
        performance: what it brings, above 0, higher is better, ``(levels,)``.
        spend: what it takes of the budget, in the budget's unit, at least 0, ``(levels,)``.

    Raises:
        ValueError: shapes do not agree, there is no level, or a number is out of range.
    """

    name: str
    scale: Floats
    performance: Floats
    spend: Floats

    def __post_init__(self) -> None:
        if self.scale.ndim != 1 or not self.scale.size:
            raise ValueError(f"{self.name}: expected scales of shape (levels,), at least one, got {self.scale.shape}")
        for name, values in (("performance", self.performance), ("spend", self.spend)):
            if values.shape != self.scale.shape:
                raise ValueError(
                    f"{self.name}: expected a {name} for each of {self.scale.size} levels, got {values.shape}"
                )
        at = np.flatnonzero(~(np.isfinite(self.performance) & (self.performance > 0.0)))
        if at.size:
            found = f"{self.performance[at[0]]} at scale {self.scale[at[0]]}"
            raise ValueError(f"{self.name}: expected a performance above 0, found {found}")
        at = np.flatnonzero(~(np.isfinite(self.spend) & (self.spend >= 0.0)))
        if at.size:
            raise ValueError(
                f"{self.name}: expected a spend of at least 0, found {self.spend[at[0]]} at scale {self.scale[at[0]]}"
            )
        for array in (self.scale, self.performance, self.spend):
            array.setflags(write=False)


@dataclass(frozen=True, slots=True, eq=False)
class Dimension:
    """One thing of which more can be bought.

    Args:
        name: e.g. ``compute``.
        unit: of its scale, e.g. ``GPU``.
        law: performance at each scale, above 0, higher is better.
        price: what a scale takes of the budget; must not fall as the scale grows.
        least: smallest scale that is allowed, above 0.
        most: largest, and no larger than the law is trusted.
        steps: scales that may be chosen, rising; empty where every scale between the two may.

    Raises:
        ValueError: the scales are out of order or out of range.
    """

    name: str
    unit: str
    law: Law
    price: Law
    least: float
    most: float
    steps: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not 0.0 < self.least <= self.most < np.inf:
            raise ValueError(f"{self.name}: expected scales 0 < least <= most, got {self.least} and {self.most}")
        if any(late <= early for early, late in zip(self.steps, self.steps[1:], strict=False)):
            raise ValueError(f"{self.name}: expected rising steps, got {self.steps}")
        if self.steps and not self.least <= self.steps[0] <= self.steps[-1] <= self.most:
            raise ValueError(f"{self.name}: expected steps from {self.least} to {self.most}, got {self.steps}")

    def levels(self, count: int, law: Law | None = None) -> Levels:
        """Return the steps, or ``count`` scales at equal ratios where every scale may be chosen.

        Args:
            count: of levels where there are no steps.
            law: another law of performance, e.g. a draw; None is the dimension's own.
        """
        if self.steps:
            scale = np.array(self.steps, np.float64)
        else:
            scale = np.geomspace(self.least, self.most, count if self.most > self.least else 1)
            scale[0], scale[-1] = self.least, self.most
        law = self.law if law is None else law
        performance, spend = np.asarray(law(scale), np.float64), np.asarray(self.price(scale), np.float64)
        return Levels(self.name, scale, performance.copy(), spend.copy())


def tables(levels: Sequence[Levels]) -> tuple[Floats, Floats]:
    """Return the loss ``-log(performance)`` and the spend of each level, ``(dimensions, levels)`` both.

    Infinite where a dimension has fewer levels than another.
    """
    widest = max(each.scale.size for each in levels)
    loss, spend = np.full((len(levels), widest), np.inf), np.full((len(levels), widest), np.inf)
    for row, each in enumerate(levels):
        loss[row, : each.scale.size] = -np.log(each.performance)
        spend[row, : each.scale.size] = each.spend
    return loss, spend
