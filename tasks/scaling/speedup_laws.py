"""How do queues and serial work limit what more workers give? Amdahl's law and the Universal Scalability Law.

Both say how throughput grows with a number of equal workers, so that scale 1 is one worker. Where performance is a time
(lower is better) they are fitted to its reciprocal.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import expit, logit

from tasks.scaling.laws import Floats, Span, columns, unreachable

Better = Literal["higher", "lower"]
LEAST = 1e-300
"""Stands for a penalty that vanished, which has no logarithm."""


def _sign(better: Better) -> float:
    return 1.0 if better == "higher" else -1.0


@dataclass(frozen=True, slots=True)
class Amdahl:
    """``one n / (1 + serial (n - 1))`` (Amdahl 1967, doi 10.1145/1465482.1465560).

    Fitted with the serial share relative to the smallest scale of the data.
    """

    span: Span
    better: Better = "higher"
    kind: Literal["amdahl"] = "amdahl"
    names: tuple[str, ...] = ("one", "serial")
    fewest: int = 3

    def units(self, scale: str, performance: str) -> tuple[str, ...]:
        """Return the units of one and serial."""
        return (f"{performance} of 1 {scale}", "share")

    def log_value(self, z: Floats, u: Floats) -> Floats:
        """Return log performance; m counts in smallest scales."""
        log_m = u - self.span.low
        slowed = np.logaddexp(-np.logaddexp(0.0, z[1]), -np.logaddexp(0.0, -z[1]) + log_m)
        result: Floats = z[0] + _sign(self.better) * (log_m - slowed)
        return result

    def log_gradient(self, z: Floats, u: Floats) -> Floats:
        """Return its derivatives."""
        m, share = np.exp(u - self.span.low), expit(z[1])
        by_share = (m - 1.0) / (1.0 + share * (m - 1.0))
        return np.stack([np.ones_like(u), -_sign(self.better) * by_share * share * expit(-z[1])], axis=1)

    def natural(self, z: Floats) -> Floats:
        """Return one and serial."""
        serial = expit(z[1] - self.span.low)
        smallest = np.exp(self.span.low)
        speedup = smallest / (1.0 + serial * (smallest - 1.0))
        return np.array([np.exp(z[0]) / speedup ** _sign(self.better), serial])

    def coordinates(self, theta: Floats) -> Floats:
        """Return log performance at the smallest scale, and the odds of the serial share relative to it."""
        one, serial = theta
        smallest = np.exp(self.span.low)
        speedup = smallest / (1.0 + serial * (smallest - 1.0))
        return np.array(
            [
                np.log(one) + _sign(self.better) * np.log(speedup),
                logit(np.clip(serial, LEAST, 1.0 - 1e-15)) + self.span.low,
            ]
        )

    def value(self, theta: Floats, scale: Floats) -> Floats:
        """Return one n / (1 + serial (n - 1)), or its reciprocal form."""
        one, serial = columns(theta)
        return one * (scale / (1.0 + serial * (scale - 1.0))) ** _sign(self.better)

    def elasticity(self, theta: Floats, scale: Floats) -> Floats:
        """Return the share of the work that still divides."""
        _, serial = columns(theta)
        return _sign(self.better) * (1.0 - serial) / (1.0 + serial * (scale - 1.0))

    def inverse(self, theta: Floats, performance: float) -> float:
        """Return the number of workers."""
        one, serial = (float(each) for each in theta)
        speedup = (performance / one) ** _sign(self.better) if performance > 0.0 else 0.0
        if speedup <= 0.0 or serial * speedup >= 1.0:
            raise unreachable(self.kind, performance, f"the speedup stays below {1.0 / max(serial, 1e-300):g}")
        return speedup * (1.0 - serial) / (1.0 - serial * speedup)

    def starts(self, u: Floats, y: Floats) -> Floats:
        """Return shares from a thousandth to most of the work."""
        first = float(y[u.argmin()])
        return np.array([[first, float(logit(share))] for share in (0.001, 0.03, 0.2, 0.7)])


@dataclass(frozen=True, slots=True)
class Usl:
    """``one n / (1 + contention (n - 1) + coherency n (n - 1))`` (Gunther 1993).

    The Universal Scalability Law: coherency makes throughput fall again beyond a peak.
    """

    span: Span
    better: Better = "higher"
    kind: Literal["usl"] = "usl"
    names: tuple[str, ...] = ("one", "contention", "coherency")
    fewest: int = 5

    def units(self, scale: str, performance: str) -> tuple[str, ...]:
        """Return the units of one, contention and coherency."""
        return (f"{performance} of 1 {scale}", "share", "share")

    def log_value(self, z: Floats, u: Floats) -> Floats:
        """Return log performance."""
        result: Floats = z[0] + _sign(self.better) * (u - np.log(_slowed(np.exp(u), np.exp(z[1]), np.exp(z[2]))))
        return result

    def log_gradient(self, z: Floats, u: Floats) -> Floats:
        """Return its derivatives."""
        n, contention, coherency = np.exp(u), np.exp(z[1]), np.exp(z[2])
        each = -_sign(self.better) / _slowed(n, contention, coherency)
        return np.stack([np.ones_like(u), each * contention * (n - 1.0), each * coherency * n * (n - 1.0)], axis=1)

    def natural(self, z: Floats) -> Floats:
        """Return one, contention and coherency."""
        return np.exp(z)

    def coordinates(self, theta: Floats) -> Floats:
        """Return their logarithms."""
        return np.log(np.maximum(theta, LEAST))

    def value(self, theta: Floats, scale: Floats) -> Floats:
        """Return one n / (1 + contention (n - 1) + coherency n (n - 1)), or its reciprocal form."""
        one, contention, coherency = columns(theta)
        return one * (scale / _slowed(scale, contention, coherency)) ** _sign(self.better)

    def elasticity(self, theta: Floats, scale: Floats) -> Floats:
        """Return the local exponent; it changes sign at the peak."""
        _, contention, coherency = columns(theta)
        grows = scale * (contention + coherency * (2.0 * scale - 1.0))
        return _sign(self.better) * (1.0 - grows / _slowed(scale, contention, coherency))

    def inverse(self, theta: Floats, performance: float) -> float:
        """Return the smaller number of workers: the one before the peak."""
        one, contention, coherency = (float(each) for each in theta)
        speedup = (performance / one) ** _sign(self.better) if performance > 0.0 else 0.0
        # speedup = n / (1 + s (n - 1) + k n (n - 1)), a quadratic in n
        square, line, rest = speedup * coherency, speedup * (contention - coherency) - 1.0, speedup * (1 - contention)
        under = line * line - 4.0 * square * rest
        if speedup <= 0.0 or under < 0.0 or line >= 0.0:
            most = self.value(theta, np.array([self.peak(theta)]))[0]
            raise unreachable(self.kind, performance, f"the best is {most:g}")
        return float(2.0 * rest / (-line + np.sqrt(under)))

    def peak(self, theta: Floats) -> float:
        """Return the number of workers beyond which throughput falls: sqrt((1 - contention) / coherency)."""
        return float(np.sqrt(max(1.0 - theta[1], 0.0) / theta[2])) if theta[2] > 0.0 else float("inf")

    def starts(self, u: Floats, y: Floats) -> Floats:
        """Return penalties that bind at the largest scale, little or much."""
        sign, n = _sign(self.better), np.exp(u)
        largest = float(n.max())
        found = []
        for contention in (0.1 / largest, 1.0 / largest, 0.05):
            for coherency in (0.01 / largest**2, 0.3 / largest**2, 2.0 / largest**2):
                one = float(np.median(y - sign * np.log(n / _slowed(n, contention, coherency))))
                found.append([one, np.log(contention), np.log(coherency)])
        return np.array(found)


def serial_share(serial: float, workers: float) -> float:
    """Return the serial share relative to a start with ``workers``: its odds are those of one worker times ``workers``.

    Args:
        serial: share relative to one worker.
        workers: with whom the speedup is 1.
    """
    odds = workers * serial / (1.0 - serial)
    return odds / (1.0 + odds)


def _slowed(n: Floats, contention: Floats | float, coherency: Floats | float) -> Floats:
    return 1.0 + (n - 1.0) * (contention + coherency * n)
