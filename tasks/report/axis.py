"""Where on a picture does a value stand? An axis with round ticks that has room for all of its values."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tasks.report.power_chart import round_step

_LEAST_SPAN = 0.02
"""Of the greatest value: what an axis spans at least, so that one value alone has room about it."""


@dataclass(frozen=True, slots=True)
class Axis:
    """From values to a coordinate.

    Args:
        low: value at ``first``.
        high: value at ``last``.
        step: between ticks.
        first: coordinate at one end, in pixels.
        last: at the other.
    """

    low: float
    high: float
    step: float
    first: float
    last: float

    @classmethod
    def of(cls, values: Sequence[float], first: float, last: float) -> "Axis":
        """Return the axis from ``first`` to ``last`` that holds ``values``, at least one, none below 0."""
        low, high = min(values), max(values)
        pad = max(0.5 * (_LEAST_SPAN * max(abs(high), 1e-6) - (high - low)), 0.0)
        step = round_step((high - low + 2 * pad) / 5)
        bottom = max(0.0, math.floor((low - pad) / step)) * step
        return cls(bottom, max(bottom + step, math.ceil((high + pad) / step) * step), step, first, last)

    def at(self, value: float) -> float:
        """Return where ``value`` stands."""
        return self.first + (value - self.low) / (self.high - self.low) * (self.last - self.first)

    def ticks(self) -> list[float]:
        """Return the values that have a line."""
        return [self.low + tick * self.step for tick in range(round((self.high - self.low) / self.step) + 1)]
