"""Which laws are powers of scale? One power, a power above a floor, and one that bends into another."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit

from tasks.scaling.laws import Floats, Span, columns, ends, unreachable

LEAST = 1e-300
"""Stands for a floor or a power that vanished, which has no logarithm."""

STEEPEST = 50.0
"""No start is steeper than this over the span of the data."""

FURTHEST = 40.0
"""The inverse of a broken law is looked for up to this many e-folds beyond the span of the data."""


@dataclass(frozen=True, slots=True)
class Power:
    """``a n^b``: every doubling gives the same factor."""

    span: Span
    kind: Literal["power"] = "power"
    names: tuple[str, ...] = ("a", "b")
    fewest: int = 2

    def units(self, scale: str, performance: str) -> tuple[str, ...]:
        """Return the units of a and b."""
        return (f"{performance} at 1 {scale}", "")

    def log_value(self, z: Floats, u: Floats) -> Floats:
        """Return a straight line."""
        result: Floats = z[0] + z[1] * self.span.place(u)
        return result

    def log_gradient(self, z: Floats, u: Floats) -> Floats:  # noqa: ARG002 - a line has the same slope everywhere
        """Return its derivatives."""
        return np.stack([np.ones_like(u), self.span.place(u)], axis=1)

    def natural(self, z: Floats) -> Floats:
        """Return a and b."""
        exponent = z[1] / self.span.width
        return np.array([np.exp(z[0] - exponent * self.span.low), exponent])

    def coordinates(self, theta: Floats) -> Floats:
        """Return log performance at the smallest scale, and its rise over the span."""
        return np.array([np.log(theta[0]) + theta[1] * self.span.low, theta[1] * self.span.width])

    def value(self, theta: Floats, scale: Floats) -> Floats:
        """Return a n^b."""
        a, b = columns(theta)
        return a * scale**b

    def elasticity(self, theta: Floats, scale: Floats) -> Floats:
        """Return b."""
        return np.broadcast_to(columns(theta)[1], np.broadcast_shapes(np.shape(columns(theta)[1]), scale.shape)).copy()

    def inverse(self, theta: Floats, performance: float) -> float:
        """Return (P / a)^(1 / b)."""
        if theta[1] == 0.0 or performance <= 0.0:
            raise unreachable(self.kind, performance, "it is level" if theta[1] == 0.0 else "it is never reached")
        return float((performance / theta[0]) ** (1.0 / theta[1]))

    def starts(self, u: Floats, y: Floats) -> Floats:
        """Return the least-squares line; the problem is convex."""
        first, last = ends(u, y)
        return np.array([[first, last - first]])


@dataclass(frozen=True, slots=True)
class PowerFloor:
    """``floor + a n^b``: a power law above what no scale removes; as a loss in Hoffmann et al. 2022, arXiv 2203.15556.

    Fitted as log-sum-exp, so that no sum of powers overflows.
    """

    span: Span
    kind: Literal["power-floor"] = "power-floor"
    names: tuple[str, ...] = ("floor", "a", "b")
    fewest: int = 4

    def units(self, scale: str, performance: str) -> tuple[str, ...]:
        """Return the units of floor, a and b."""
        return (performance, f"{performance} at 1 {scale}", "")

    def log_value(self, z: Floats, u: Floats) -> Floats:
        """Return log(e^z0 + e^(z1 + z2 t))."""
        result: Floats = np.logaddexp(z[0], z[1] + z[2] * self.span.place(u))
        return result

    def log_gradient(self, z: Floats, u: Floats) -> Floats:
        """Return its derivatives."""
        t = self.span.place(u)
        share = expit(z[1] + z[2] * t - z[0])
        return np.stack([1.0 - share, share, share * t], axis=1)

    def natural(self, z: Floats) -> Floats:
        """Return floor, a and b."""
        exponent = z[2] / self.span.width
        return np.array([np.exp(z[0]), np.exp(z[1] - exponent * self.span.low), exponent])

    def coordinates(self, theta: Floats) -> Floats:
        """Return the logs of the floor and of the power at the smallest scale, and the rise of the latter."""
        floor, a, b = theta
        return np.array([np.log(max(floor, LEAST)), np.log(max(a, LEAST)) + b * self.span.low, b * self.span.width])

    def value(self, theta: Floats, scale: Floats) -> Floats:
        """Return floor + a n^b."""
        floor, a, b = columns(theta)
        return floor + a * scale**b

    def elasticity(self, theta: Floats, scale: Floats) -> Floats:
        """Return b times the share of the power in the sum."""
        floor, a, b = columns(theta)
        power = a * scale**b
        return b * power / (floor + power)

    def inverse(self, theta: Floats, performance: float) -> float:
        """Return ((P - floor) / a)^(1 / b)."""
        floor, a, b = (float(each) for each in theta)
        if performance <= floor or b == 0.0:
            raise unreachable(self.kind, performance, f"it stays above {floor:g}")
        return float(((performance - floor) / a) ** (1.0 / b))

    def starts(self, u: Floats, y: Floats) -> Floats:
        """Return floors below the smallest value, each with the line through what is above it."""
        least = float(y.min())
        found = []
        for gap in (0.01, 0.05, 0.2, 0.7, 2.0):
            above = y + np.log1p(-np.exp(np.minimum(least - gap - y, -1e-9)))
            first, last = ends(u, above)
            found.append([least - gap, first, float(np.clip(last - first, -STEEPEST, STEEPEST))])
        return np.array(found)


@dataclass(frozen=True, slots=True)
class Broken:
    """``a n^before`` below ``break``, exponent ``after`` beyond it, one turning into the other over ``width`` e-folds.

    The smoothly broken power law of Caballero et al. 2022 (arXiv 2210.14891) with one break and no floor. With five
    parameters it needs eight scales or more to mean anything.
    """

    span: Span
    kind: Literal["broken"] = "broken"
    names: tuple[str, ...] = ("a", "before", "after", "break", "width")
    fewest: int = 8

    def units(self, scale: str, performance: str) -> tuple[str, ...]:
        """Return the units of a, before, after, break and width."""
        return (f"{performance} at 1 {scale}", "", "", scale, "e-folds")

    def log_value(self, z: Floats, u: Floats) -> Floats:
        """Return a line that bends: z0 + z1 t + (z2 - z1) f log(1 + e^((t - z3) / f)), f = e^z4."""
        t, soft = self.span.place(u), np.exp(z[4])
        result: Floats = z[0] + z[1] * t + (z[2] - z[1]) * soft * np.logaddexp(0.0, (t - z[3]) / soft)
        return result

    def log_gradient(self, z: Floats, u: Floats) -> Floats:
        """Return its derivatives."""
        t, soft = self.span.place(u), np.exp(z[4])
        way = (t - z[3]) / soft
        bend, share, turn = soft * np.logaddexp(0.0, way), expit(way), z[2] - z[1]
        return np.stack([np.ones_like(t), t - bend, bend, -turn * share, turn * (bend - soft * way * share)], axis=1)

    def natural(self, z: Floats) -> Floats:
        """Return a, before, after, break and width."""
        low, width = self.span.low, self.span.width
        before, after = z[1] / width, z[2] / width
        return np.array([np.exp(z[0] - before * low), before, after, np.exp(low + z[3] * width), np.exp(z[4]) * width])

    def coordinates(self, theta: Floats) -> Floats:
        """Return what is fitted; undoes ``natural``."""
        a, before, after, place, soft = theta
        low, width = self.span.low, self.span.width
        return np.array(
            [
                np.log(a) + before * low,
                before * width,
                after * width,
                (np.log(place) - low) / width,
                np.log(soft / width),
            ]
        )

    def value(self, theta: Floats, scale: Floats) -> Floats:
        """Return the performance at ``scale``."""
        a, before, after, place, soft = columns(theta)
        u = np.log(scale)
        bend = soft * np.logaddexp(0.0, (u - np.log(place)) / soft)
        return np.exp(np.log(a) + before * u + (after - before) * bend)

    def elasticity(self, theta: Floats, scale: Floats) -> Floats:
        """Return an exponent between before and after."""
        _, before, after, place, soft = columns(theta)
        result: Floats = before + (after - before) * expit((np.log(scale) - np.log(place)) / soft)
        return result

    def inverse(self, theta: Floats, performance: float) -> float:
        """Return the scale, found by Brent's method; there is one where both exponents have the same sign."""
        before, after = float(theta[1]), float(theta[2])
        if performance <= 0.0 or before * after <= 0.0:
            raise unreachable(self.kind, performance, f"exponents {before:g} and {after:g} do not tell one scale")
        bottom, top = self.span.low - FURTHEST, self.span.high + FURTHEST

        def miss(u: float) -> float:
            return float(np.log(self.value(theta, np.exp(np.array([u])))[0]) - np.log(performance))

        if miss(bottom) * miss(top) > 0.0:
            raise unreachable(self.kind, performance, "it would lie far beyond the data")
        return float(np.exp(brentq(miss, bottom, top, xtol=1e-12)))

    def starts(self, u: Floats, y: Floats) -> Floats:
        """Return breaks inside the span, each with the lines through what is left and right of it."""
        t = self.span.place(u)
        found = []
        for place in (0.25, 0.5, 0.75):
            left, right = t <= place, t >= place
            slopes = []
            for side in (left, right):
                enough = len(np.unique(t[side])) >= 2
                chosen = side if enough else np.ones_like(side)
                slopes.append(float(np.polyfit(t[chosen], y[chosen], 1)[0]))
            first, _ = ends(u, y)
            found += [[first, *slopes, place, float(np.log(soft))] for soft in (0.02, 0.15)]
        return np.array(found)
