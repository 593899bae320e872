"""How does performance change with scale? Series of measurements, each along one way in which a fleet can grow."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from data.errors import BadRecord

Floats = NDArray[np.float64]
Dimension = Literal[
    "compute",
    "memory",
    "storage",
    "network",
    "geographic",
    "temporal",
    "algorithmic",
    "energy",
    "cost",
    "reliability",
]
DIMENSIONS: tuple[Dimension, ...] = get_args(Dimension)
Better = Literal["higher", "lower"]


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """Measured performance at several scales, along one dimension.

    Args:
        name: what was measured, e.g. ``llama31_405b on H100``.
        dimension: along which it grew.
        scale: how much of it there was, ``(points,)``, above 0.
        performance: what came of it, ``(points,)``, above 0: laws are fitted to logarithms.
        scale_unit: e.g. ``GPUs``.
        performance_unit: e.g. ``samples/s``.
        better: whether more performance is better (throughput) or less (minutes, loss).
        runs: which run each point is from, ``(points,)``; points of one run stay together when points are drawn
            again. Empty: each point is a run by itself.

    Raises:
        ValueError: a shape is wrong, a number is not finite or not above 0, or a word is none of those allowed.
    """

    name: str
    dimension: Dimension
    scale: Floats
    performance: Floats
    scale_unit: str = ""
    performance_unit: str = ""
    better: Better = "higher"
    runs: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.dimension not in DIMENSIONS:
            raise ValueError(f"{self.name}: expected a dimension of {', '.join(DIMENSIONS)}, found {self.dimension!r}")
        if self.better not in get_args(Better):
            raise ValueError(f"{self.name}: expected better to be higher or lower, found {self.better!r}")
        for field in ("scale", "performance"):
            values = np.array(getattr(self, field), dtype=np.float64)
            if values.ndim != 1 or not values.size:
                raise ValueError(f"{self.name}: expected {field} of shape (points,), found {values.shape}")
            if not (np.isfinite(values) & (values > 0.0)).all():
                wrong = values[~(np.isfinite(values) & (values > 0.0))][0]
                raise ValueError(f"{self.name}: expected {field} above 0 and finite, found {wrong:g}")
            values.setflags(write=False)
            object.__setattr__(self, field, values)
        lengths = {len(self.scale), len(self.performance), len(self.runs) or len(self.scale)}
        if len(lengths) > 1:
            raise ValueError(
                f"{self.name}: expected as many scales as performances and runs, found "
                f"{len(self.scale)}, {len(self.performance)} and {len(self.runs)}"
            )

    @property
    def points(self) -> int:
        """How many there are."""
        return len(self.scale)

    @property
    def distinct_scales(self) -> int:
        """How many different scales were measured."""
        return len(np.unique(self.scale))

    @property
    def clusters(self) -> NDArray[np.intp]:
        """Number of the run of each point, ``(points,)``."""
        if not self.runs:
            return np.arange(self.points)
        return np.unique(np.array(self.runs, dtype=object).astype(str), return_inverse=True)[1]

    def take(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> "Series":
        """Return the given points."""
        chosen = np.arange(self.points)[rows]
        return Series(
            self.name,
            self.dimension,
            self.scale[chosen],
            self.performance[chosen],
            self.scale_unit,
            self.performance_unit,
            self.better,
            tuple(self.runs[row] for row in chosen) if self.runs else (),
        )


@dataclass(frozen=True, slots=True, eq=False)
class TrainingRuns:
    """Losses of trained models, by size and data.

    Args:
        names: one per run, ``(runs,)``.
        parameters: of the model, ``(runs,)``.
        tokens: that it was trained on, ``(runs,)``.
        loss: at the end, in nats per token, ``(runs,)``.

    Raises:
        ValueError: a shape is wrong, or a number is not finite or not above 0.
    """

    names: tuple[str, ...]
    parameters: Floats
    tokens: Floats
    loss: Floats

    def __post_init__(self) -> None:
        for field in ("parameters", "tokens", "loss"):
            values = getattr(self, field)
            if values.shape != (len(self.names),):
                raise ValueError(f"{field}: expected shape {(len(self.names),)}, found {values.shape}")
            if not (np.isfinite(values) & (values > 0.0)).all():
                raise ValueError(f"{field}: expected finite numbers above 0")

    @property
    def compute(self) -> Floats:
        """Floating-point operations by the usual count, 6 N D, ``(runs,)``."""
        return 6.0 * self.parameters * self.tokens

    def take(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> "TrainingRuns":
        """Return the given runs."""
        chosen = np.arange(len(self.names))[rows]
        names = tuple(self.names[row] for row in chosen)
        return TrainingRuns(names, self.parameters[chosen], self.tokens[chosen], self.loss[chosen])


@dataclass(frozen=True, slots=True, eq=False)
class SeriesReading:
    """What a reader found.

    Args:
        series: in the order of the file.
        set_aside: rows that cannot be used.
        repeated: rows that say what an earlier row says already, left out of the series.
        notes: assumptions, in plain words.
    """

    series: tuple[Series, ...]
    set_aside: tuple[BadRecord, ...] = ()
    repeated: tuple[BadRecord, ...] = ()
    notes: tuple[str, ...] = ()
