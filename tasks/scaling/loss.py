"""How far is a law from the data? Losses with their slopes, and the likelihood that belongs to the robust one.

Losses are summed, not averaged: with a mean over many points the gradient is small everywhere, optimisers stop early
and intervals come out too narrow (Besiroglu et al. 2024, arXiv 2404.10102).
"""

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import erf

from tasks.scaling.laws import Floats

LEAST_SIGMA = 1e-9
"""A law that meets every point would have an unbounded likelihood."""


@dataclass(frozen=True, slots=True, eq=False)
class Penalty:
    """A loss, its slope, and a bowl that touches it from above.

    Args:
        total: summed over the points.
        slope: derivative by log predicted performance, ``(points,)``.
        curvature: of the bowl, at least 0, ``(points,)``: what Gauss-Newton steps weigh the points by.
    """

    total: float
    slope: Floats
    curvature: Floats


class Loss(Protocol):
    """What is minimised: from log predicted and log observed performance and weights, ``(points,)`` each."""

    def __call__(self, predicted: Floats, observed: Floats, weights: Floats) -> Penalty:
        """Return the weighted sum, its slope and the bowl."""
        ...


@dataclass(frozen=True, slots=True)
class LogHuber:
    """Huber's loss (1964, doi 10.1214/aoms/1177703732) on residuals of logarithms.

    Args:
        delta: residuals beyond it count by their size, not by its square; 0.01 is one percent.
    """

    delta: float = 1e-2
    kind: Literal["log-huber"] = "log-huber"

    def __post_init__(self) -> None:
        if not self.delta > 0.0:
            raise ValueError(f"delta: expected more than 0, found {self.delta}")

    def __call__(self, predicted: Floats, observed: Floats, weights: Floats) -> Penalty:
        """Return the weighted sum, its slope and the bowl."""
        residuals = predicted - observed
        inside = np.clip(residuals, -self.delta, self.delta)
        total = float(weights @ (inside * (residuals - 0.5 * inside)))
        return Penalty(total, weights * inside, weights * (self.delta / np.maximum(np.abs(residuals), self.delta)))


@dataclass(frozen=True, slots=True)
class PlainSquares:
    """Squares of residuals in the unit of performance, over its mean square: large performance weighs more."""

    kind: Literal["plain-squares"] = "plain-squares"

    def __call__(self, predicted: Floats, observed: Floats, weights: Floats) -> Penalty:
        """Return the weighted sum, its slope and the bowl."""
        value, truth = np.exp(predicted), np.exp(observed)
        scale = 2.0 * float(np.mean(truth**2))
        residuals = value - truth
        twice = 2.0 * weights / scale
        return Penalty(float(weights @ residuals**2) / scale, twice * residuals * value, twice * value**2)


def huber_log_likelihood(residuals: Floats, sigma: float, delta: float) -> float:
    """Return the log density of ``residuals`` under Huber's least favourable law with scale ``sigma``.

    Args:
        residuals: of log performance, ``(points,)``.
        sigma: scale of the noise.
        delta: where the law's tails begin, in sigmas.
    """
    standard = np.abs(residuals) / sigma
    inside = np.minimum(standard, delta)
    total = np.sqrt(2.0 * np.pi) * erf(delta / np.sqrt(2.0)) + 2.0 / delta * np.exp(-0.5 * delta**2)
    return float(-np.sum(inside * (standard - 0.5 * inside)) - len(residuals) * (np.log(sigma) + np.log(total)))


def best_log_likelihood(residuals: Floats, delta: float) -> float:
    """Return the log likelihood at the likeliest scale of the noise, the tails beginning at ``delta`` (not in sigmas).

    Parameters that minimise :class:`LogHuber` maximise it, so it may be compared between laws.
    """

    def surprise(log_sigma: float) -> float:
        sigma = float(np.exp(log_sigma))
        return -huber_log_likelihood(residuals, sigma, delta / sigma)

    found = minimize_scalar(surprise, bounds=(np.log(LEAST_SIGMA), np.log(100.0)), method="bounded")
    return -float(found.fun)


def aicc(residuals: Floats, parameters: int, delta: float) -> float | None:
    """Return Akaike's criterion for small samples (Hurvich and Tsai 1989, doi 10.1093/biomet/76.2.297).

    Args:
        residuals: of log performance, ``(points,)``.
        parameters: of the law; the scale of the noise is counted on top.
        delta: of the loss.

    Returns:
        The criterion, lower is better; None where points are so few that it is not defined.
    """
    k = parameters + 1
    spare = len(residuals) - k - 1
    if spare <= 0:
        return None
    return -2.0 * best_log_likelihood(residuals, delta) + 2.0 * k + 2.0 * k * (k + 1) / spare
