"""What is known about who draws how much? A table: one row for a job, or for a configuration that somebody measured."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class PowerSamples:
    """Rows with features; those with a draw teach a forecaster, the others wait for its forecast.

    Args:
        feature_set: name and version of the features; forecasts need the same one that was trained on.
        names: of the features, ``(features,)``.
        after_start: whether a feature is known only once a job runs, ``(features,)``.
        ids: one per row, ``(samples,)``.
        features: NaN where nobody knows, ``(samples, features)``.
        gpu_models: ``(samples,)``.
        workloads: rows of the same work are neighbours; empty where nobody knows, ``(samples,)``.
        groups: rows of one group are held out together when a forecaster is judged, ``(samples,)``.
        idle_w: what a GPU draws at least, ``(samples,)``.
        max_w: what a GPU draws at most, ``(samples,)``.
        power_w: measured draw of one GPU without a cap; NaN where it was not measured, ``(samples,)``.

    Raises:
        ValueError: a shape is wrong, a bound is not finite, or idle is above the maximum.
    """

    feature_set: str
    names: tuple[str, ...]
    after_start: tuple[bool, ...]
    ids: tuple[str, ...]
    features: Floats
    gpu_models: tuple[str, ...]
    workloads: tuple[str, ...]
    groups: tuple[str, ...]
    idle_w: Floats
    max_w: Floats
    power_w: Floats

    def __post_init__(self) -> None:
        count = len(self.ids)
        shapes = {
            "features": (self.features.shape, (count, len(self.names))),
            "after_start": ((len(self.after_start),), (len(self.names),)),
            "gpu_models": ((len(self.gpu_models),), (count,)),
            "workloads": ((len(self.workloads),), (count,)),
            "groups": ((len(self.groups),), (count,)),
            "idle_w": (self.idle_w.shape, (count,)),
            "max_w": (self.max_w.shape, (count,)),
            "power_w": (self.power_w.shape, (count,)),
        }
        for field, (found, expected) in shapes.items():
            if found != expected:
                raise ValueError(f"{field}: expected shape {expected}, got {found}")
        if not (np.isfinite(self.idle_w) & (self.max_w >= self.idle_w) & (self.max_w > 0)).all():
            raise ValueError("idle_w, max_w: expected finite watts with idle_w <= max_w and max_w > 0")
        if np.isinf(self.features).any() or np.isinf(self.max_w).any() or np.isinf(self.power_w).any():
            raise ValueError("features, max_w, power_w: expected numbers or NaN, got infinity")

    @property
    def measured(self) -> NDArray[np.bool_]:
        """Rows with a measured draw, ``(samples,)``."""
        return np.isfinite(self.power_w)

    def take(self, rows: NDArray[np.intp]) -> "PowerSamples":
        """Return the given rows, ``(rows,)`` indices."""
        return PowerSamples(
            feature_set=self.feature_set,
            names=self.names,
            after_start=self.after_start,
            ids=tuple(self.ids[row] for row in rows),
            features=self.features[rows],
            gpu_models=tuple(self.gpu_models[row] for row in rows),
            workloads=tuple(self.workloads[row] for row in rows),
            groups=tuple(self.groups[row] for row in rows),
            idle_w=self.idle_w[rows],
            max_w=self.max_w[rows],
            power_w=self.power_w[rows],
        )

    def waiting(self) -> "PowerSamples":
        """Return the rows as they looked before they started: without what is known only of what runs."""
        return replace(self, features=np.where(np.array(self.after_start, dtype=bool), np.nan, self.features))

    def clipped(self, watts: Floats) -> Floats:
        """Return ``watts`` within what a GPU of each row can draw; NaN stays NaN."""
        return np.clip(watts, self.idle_w, self.max_w)
