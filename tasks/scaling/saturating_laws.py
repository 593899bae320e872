"""Which laws flatten? One that saturates, and the logarithm."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import expit

from tasks.scaling.laws import Floats, Span, columns, ends, unreachable

LEAST, MOST = 1e-300, 1e300
"""A law that has saturated before the first point, or never, has its half where no number is."""


@dataclass(frozen=True, slots=True)
class Saturating:
    """``top / (1 + (half / n)^h)`` (Hill 1910): rises towards ``top``, half of which is there at ``half``.

    Its reciprocal is a power law with a floor, so it is meant for performance that should be high.
    """

    span: Span
    kind: Literal["saturating"] = "saturating"
    names: tuple[str, ...] = ("top", "half", "steepness")
    fewest: int = 4

    def units(self, scale: str, performance: str) -> tuple[str, ...]:
        """Return the units of top, half and steepness."""
        return (performance, scale, "")

    def log_value(self, z: Floats, u: Floats) -> Floats:
        """Return z0 - log(1 + e^(h (k - t)))."""
        result: Floats = z[0] - np.logaddexp(0.0, np.exp(z[1]) * (z[2] - self.span.place(u)))
        return result

    def log_gradient(self, z: Floats, u: Floats) -> Floats:
        """Return its derivatives."""
        steep = np.exp(z[1])
        way = steep * (z[2] - self.span.place(u))
        share = expit(way)
        return np.stack([np.ones_like(u), -share * way, -share * steep], axis=1)

    def natural(self, z: Floats) -> Floats:
        """Return top, half and steepness."""
        return np.array(
            [
                np.exp(z[0]),
                np.clip(np.exp(self.span.low + z[2] * self.span.width), LEAST, MOST),
                np.exp(z[1]) / self.span.width,
            ]
        )

    def coordinates(self, theta: Floats) -> Floats:
        """Return log top, log steepness over the span, and the place of half."""
        top, half, steepness = theta
        place = (np.log(half) - self.span.low) / self.span.width
        return np.array([np.log(top), np.log(steepness * self.span.width), place])

    def value(self, theta: Floats, scale: Floats) -> Floats:
        """Return top / (1 + (half / n)^h)."""
        top, half, steepness = columns(theta)
        result: Floats = top * expit(steepness * (np.log(scale) - np.log(half)))
        return result

    def elasticity(self, theta: Floats, scale: Floats) -> Floats:
        """Return h times the share that is missing."""
        _, half, steepness = columns(theta)
        result: Floats = steepness * expit(steepness * (np.log(half) - np.log(scale)))
        return result

    def inverse(self, theta: Floats, performance: float) -> float:
        """Return half (P / (top - P))^(1 / h)."""
        top, half, steepness = (float(each) for each in theta)
        if not 0.0 < performance < top:
            raise unreachable(self.kind, performance, f"it stays between 0 and {top:g}")
        return float(half * (performance / (top - performance)) ** (1.0 / steepness))

    def starts(self, u: Floats, y: Floats) -> Floats:
        """Return a few places of half, with the top that the largest value asks for."""
        best = float(y.max())
        first, last = ends(u, y)
        slope = max(last - first, 0.5)
        found = []
        for place in (-0.5, 0.1, 0.5, 1.0, 2.0):
            for steep in (slope, 3.0 * slope):
                top = best + float(np.logaddexp(0.0, steep * (place - 1.0)))
                found.append([top, np.log(steep), place])
        return np.array(found)


@dataclass(frozen=True, slots=True)
class Logarithmic:
    """``a + b log n``: every doubling adds the same amount.

    Fitted by its values at both ends of the span, which are positive, and so is everything between them.
    """

    span: Span
    kind: Literal["logarithmic"] = "logarithmic"
    names: tuple[str, ...] = ("a", "b")
    fewest: int = 3

    def units(self, scale: str, performance: str) -> tuple[str, ...]:
        """Return the units of a and b."""
        return (f"{performance} at 1 {scale}", f"{performance} per e-fold")

    def log_value(self, z: Floats, u: Floats) -> Floats:
        """Return the logarithm of a straight line between e^z0 and e^z1."""
        t = self.span.place(u)
        result: Floats = z[0] + np.log1p(t * np.expm1(z[1] - z[0]))
        return result

    def log_gradient(self, z: Floats, u: Floats) -> Floats:
        """Return its derivatives."""
        t = self.span.place(u)
        share = t * np.exp(z[1] - z[0]) / (1.0 + t * np.expm1(z[1] - z[0]))
        return np.stack([1.0 - share, share], axis=1)

    def natural(self, z: Floats) -> Floats:
        """Return a and b."""
        slope = (np.exp(z[1]) - np.exp(z[0])) / self.span.width
        return np.array([np.exp(z[0]) - slope * self.span.low, slope])

    def coordinates(self, theta: Floats) -> Floats:
        """Return the logs of the values at both ends of the span."""
        result: Floats = np.log(theta[0] + theta[1] * np.array([self.span.low, self.span.high]))
        return result

    def value(self, theta: Floats, scale: Floats) -> Floats:
        """Return a + b log n; below 0 where it is asked for too far from the data."""
        a, b = columns(theta)
        return a + b * np.log(scale)

    def elasticity(self, theta: Floats, scale: Floats) -> Floats:
        """Return b / P."""
        return columns(theta)[1] / self.value(theta, scale)

    def inverse(self, theta: Floats, performance: float) -> float:
        """Return e^((P - a) / b)."""
        if theta[1] == 0.0:
            raise unreachable(self.kind, performance, "it is level")
        return float(np.exp((performance - theta[0]) / theta[1]))

    def starts(self, u: Floats, y: Floats) -> Floats:
        """Return the straight line's ends, and the outermost values."""
        first, last = ends(u, y)
        return np.array([[first, last], [float(y[u.argmin()]), float(y[u.argmax()])]])
