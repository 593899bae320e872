"""What is a forecaster? A value that learns from samples, and a model that then answers, or says that it cannot."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from data.schemas.power import PowerSamples
from tasks.forecasters.residuals import Residuals

Floats = NDArray[np.float64]


class ForecastFailed(Exception):
    """A forecaster cannot learn from these samples; the caller falls back and says so."""


class PowerModel(Protocol):
    """Something that has learned; immutable."""

    @property
    def kind(self) -> str:
        """Name of the method, as it stands in reports."""
        ...

    def forecast(self, samples: PowerSamples) -> Floats:
        """Return watts of one GPU of each row within its bounds, NaN where the model cannot say, ``(samples,)``."""
        ...


class PowerForecaster(Protocol):
    """The contract of every power forecaster; each is a frozen dataclass of its options, tagged by ``kind``."""

    @property
    def kind(self) -> str:
        """Name of the method, as it stands in reports."""
        ...

    def train(self, samples: PowerSamples, rng: np.random.Generator) -> PowerModel:
        """Return what the measured rows of ``samples`` teach.

        Raises:
            ForecastFailed: there are too few, or nothing was learned.
        """
        ...


@dataclass(frozen=True, slots=True)
class HeldOut:
    """How wrong forecasters were on groups that they had not seen: mean absolute percentage errors, as shares of one.

    Args:
        folds: into which the groups were split.
        graph: of the graph network.
        boosting: of gradient boosting.
        median: of the median draw of the same GPU model.
        blend: of graph network and boosting together; None where it was not judged.
    """

    folds: int
    graph: float
    boosting: float
    median: float
    blend: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class TrainedPower:
    """A graph network that has learned, and what a later user must know to trust it.

    Args:
        model: what answers.
        samples: what it was trained on; all of it measured.
        trained_at: moment of the snapshot that it was trained on, ISO 8601 with offset.
        held_out: how wrong it was on groups that it had not seen, beside its yardsticks.
        residuals: its errors there, row by row, for upper bounds; None where nobody kept them.
    """

    model: PowerModel
    samples: PowerSamples
    trained_at: str
    held_out: HeldOut
    residuals: Residuals | None = None
