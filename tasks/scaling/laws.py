"""Which laws can tie performance to scale? Each with value, slope, inverse, and the coordinates in which it is fitted.

All work on logarithms: ``u = log(scale)``. Fitted coordinates are unbounded and refer to the span of the data, so that
one step length suits all of them; ``natural`` parameters are those that a person reads, in the order of ``names``.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Span:
    """Where the data lie: logarithms of the smallest and the largest scale.

    Raises:
        ValueError: the span is empty, or not finite.
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        if not (np.isfinite(self.low) and np.isfinite(self.high) and self.high > self.low):
            raise ValueError(f"span: expected at least two distinct scales, found {self.low} to {self.high} (logs)")

    @property
    def width(self) -> float:
        """Length in log scale."""
        return self.high - self.low

    def place(self, u: Floats) -> Floats:
        """Return where ``u`` lies: 0 at the smallest scale, 1 at the largest."""
        return (u - self.low) / self.width


class Form(Protocol):
    """A law; ``z`` are fitted coordinates ``(k,)``, ``theta`` natural parameters ``(k,)``, ``u`` log scales."""

    @property
    def kind(self) -> str:
        """What it is called."""
        ...

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the natural parameters."""
        ...

    @property
    def fewest(self) -> int:
        """Distinct scales below which it should not be tried."""
        ...

    def units(self, scale: str, performance: str) -> tuple[str, ...]:
        """Return the units of the natural parameters."""
        ...

    def log_value(self, z: Floats, u: Floats) -> Floats:
        """Return log performance, ``(points,)``."""
        ...

    def log_gradient(self, z: Floats, u: Floats) -> Floats:
        """Return its derivatives by ``z``, ``(points, k)``."""
        ...

    def natural(self, z: Floats) -> Floats:
        """Return what a person reads."""
        ...

    def coordinates(self, theta: Floats) -> Floats:
        """Return what is fitted; undoes ``natural``."""
        ...

    def value(self, theta: Floats, scale: Floats) -> Floats:
        """Return performance at ``scale``; ``theta`` may be ``(draws, k)``, then ``(draws, points)``."""
        ...

    def elasticity(self, theta: Floats, scale: Floats) -> Floats:
        """Return the local exponent, d log performance / d log scale, ``(points,)``."""
        ...

    def inverse(self, theta: Floats, performance: float) -> float:
        """Return the (smallest) scale at which ``performance`` is reached; ValueError where there is none."""
        ...

    def starts(self, u: Floats, y: Floats) -> Floats:
        """Return coordinates to begin at, ``(starts, k)``."""
        ...


def marginal(form: Form, theta: Floats, scale: Floats) -> Floats:
    """Return what one more unit of scale gives, d performance / d scale, ``(points,)``."""
    return form.value(theta, scale) * form.elasticity(theta, scale) / scale


def columns(theta: Floats) -> tuple[Floats, ...]:
    """Return each parameter, shaped so that it broadcasts over points: numbers, or ``(draws, 1)``."""
    return tuple(theta[..., index, None] if theta.ndim > 1 else theta[index] for index in range(theta.shape[-1]))


def unreachable(kind: str, performance: float, why: str) -> ValueError:
    """Return the error that says that no scale gives ``performance``."""
    return ValueError(f"{kind}: no scale gives a performance of {performance:g}: {why}")


def ends(u: Floats, y: Floats) -> tuple[float, float]:
    """Return the log performance of a straight line (least squares) at the smallest and the largest scale."""
    low, high = float(u.min()), float(u.max())
    slope, level = np.polyfit((u - low) / (high - low), y, 1)
    return float(level), float(level + slope)
