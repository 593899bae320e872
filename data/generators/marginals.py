"""Which shapes of distribution do the generators draw from?

Each is a frozen value of its parameters; calling it draws. ``ks`` is the largest gap between the cumulative
distribution of what it draws and that of the trace that it was fitted to (Kolmogorov-Smirnov distance).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class HyperExponential:
    """Waiting times from a mixture of exponentials, in whole seconds: short ones in bursts, long ones between.

    Args:
        weights: probability of each phase.
        means_s: mean of each phase.
        ks: distance to the trace.
    """

    weights: tuple[float, ...]
    means_s: tuple[float, ...]
    ks: float

    @property
    def mean_s(self) -> float:
        """Mean waiting time."""
        return float(np.dot(self.weights, self.means_s) / np.sum(self.weights))

    def __call__(self, count: int, rng: np.random.Generator) -> Values:
        """Draw waiting times in seconds, ``(count,)``."""
        phase = _component(self.weights, count, rng)
        return np.asarray(np.floor(rng.exponential(np.asarray(self.means_s)[phase])))


@dataclass(frozen=True, slots=True)
class LognormalMixture:
    """Positive values whose logarithm is a mixture of normals.

    Args:
        weights: probability of each component.
        medians: median of each component.
        sigmas: standard deviation of each component's logarithm.
        lowest: smaller draws are raised to this.
        highest: larger draws are lowered to this, the longest value of the trace.
        ks: distance to the trace.
    """

    weights: tuple[float, ...]
    medians: tuple[float, ...]
    sigmas: tuple[float, ...]
    lowest: float
    highest: float
    ks: float

    def __call__(self, count: int, rng: np.random.Generator) -> Values:
        """Draw values, ``(count,)``."""
        part = _component(self.weights, count, rng)
        drawn = np.asarray(self.medians)[part] * np.exp(np.asarray(self.sigmas)[part] * rng.standard_normal(count))
        return np.asarray(np.clip(drawn, self.lowest, self.highest))

    @property
    def mean(self) -> float:
        """Mean before ``lowest`` and ``highest`` are applied."""
        each = np.asarray(self.medians) * np.exp(np.square(self.sigmas) / 2.0)
        return float(np.dot(self.weights, each) / np.sum(self.weights))


@dataclass(frozen=True, slots=True)
class NormalMixture:
    """Values from a mixture of normals, kept within ``lowest .. highest``, of which a share may be nought."""

    weights: tuple[float, ...]
    means: tuple[float, ...]
    sigmas: tuple[float, ...]
    lowest: float
    highest: float
    ks: float
    nought: float = 0.0

    def __call__(self, count: int, rng: np.random.Generator) -> Values:
        """Draw values, ``(count,)``."""
        part = _component(self.weights, count, rng)
        drawn = np.asarray(self.means)[part] + np.asarray(self.sigmas)[part] * rng.standard_normal(count)
        nought = rng.random(count) < self.nought
        return np.asarray(np.where(nought, 0.0, np.clip(drawn, self.lowest, self.highest)))


@dataclass(frozen=True, slots=True)
class SizeMix:
    """How many GPUs jobs ask for: one, or a power of two up to ``largest`` with geometric weights.

    Args:
        single: share of jobs with one GPU.
        ratio: weight of ``2 ** (k + 1)`` over that of ``2 ** k``, from two GPUs on.
        largest: most GPUs of one job.
        ks: distance to the trace's sizes; nan where only mean and median are known.
    """

    single: float
    ratio: float
    largest: int
    ks: float

    @property
    def sizes(self) -> NDArray[np.int64]:
        """GPU counts that occur, ascending, ``(sizes,)``."""
        return 2 ** np.arange(int(self.largest).bit_length(), dtype=np.int64)

    @property
    def shares(self) -> Values:
        """Probability of each size, ``(sizes,)``."""
        several = self.ratio ** np.arange(len(self.sizes) - 1, dtype=np.float64)
        if not len(several):
            return np.ones(1)
        return np.concatenate(([self.single], (1.0 - self.single) * several / several.sum()))

    def __call__(self, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Draw GPU counts, ``(count,)``."""
        return rng.choice(self.sizes, size=count, p=self.shares)


@dataclass(frozen=True, slots=True)
class ExpertSkew:
    """How unevenly the experts of a layer are used, and how fast that changes.

    Args:
        sigma_median: median over layers of the standard deviation of the logarithm of an expert's load.
        sigma_spread: standard deviation of that figure's logarithm over layers.
        drift: correlation of an expert's log load from one window to the next.
        ks: distance to the trace's loads, each relative to its layer's mean.
    """

    sigma_median: float
    sigma_spread: float
    drift: float
    ks: float


@dataclass(frozen=True, slots=True)
class Line:
    """A value that rises with another one, plus normal noise."""

    offset: float
    slope: float
    sigma: float
    ks: float


def _component(weights: tuple[float, ...], count: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Return the mixture component of each draw, ``(count,)``."""
    edges = np.cumsum(weights) / np.sum(weights)
    return np.minimum(np.searchsorted(edges, rng.random(count), side="right"), len(weights) - 1)
