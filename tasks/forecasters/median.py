"""What does a GPU of this model usually draw? The median of those that were measured."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from data.schemas.power import PowerSamples
from tasks.forecasters.protocol import Floats, ForecastFailed


@dataclass(frozen=True, slots=True)
class MedianModel:
    """Medians by GPU model, or by GPU model and workload.

    Args:
        watts: key and median, sorted by key.
        by_workload: whether the key holds the workload.
    """

    watts: tuple[tuple[tuple[str, str], float], ...]
    by_workload: bool
    kind: Literal["median"] = "median"

    def forecast(self, samples: PowerSamples) -> Floats:
        """Return the median of the same key; NaN where there is none."""
        known = dict(self.watts)
        keys = _keys(samples, self.by_workload)
        return samples.clipped(np.array([known.get(key, np.nan) for key in keys], dtype=np.float64))


@dataclass(frozen=True, slots=True)
class Median:
    """The yardstick that any forecaster has to beat."""

    by_workload: bool = False
    kind: Literal["median"] = "median"

    def train(self, samples: PowerSamples, _rng: np.random.Generator) -> MedianModel:
        """Return the medians of the measured rows; no chance is involved.

        Raises:
            ForecastFailed: no row is measured.
        """
        measured = samples.take(np.flatnonzero(samples.measured))
        if not measured.ids:
            raise ForecastFailed("no job is measured")
        watts: dict[tuple[str, str], list[float]] = {}
        for key, power_w in zip(_keys(measured, self.by_workload), measured.power_w.tolist(), strict=True):
            watts.setdefault(key, []).append(power_w)
        return MedianModel(tuple((key, float(np.median(watts[key]))) for key in sorted(watts)), self.by_workload)


def _keys(samples: PowerSamples, by_workload: bool) -> list[tuple[str, str]]:
    pairs = zip(samples.gpu_models, samples.workloads, strict=True)
    return [(model, workload if by_workload else "") for model, workload in pairs]
