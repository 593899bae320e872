"""Who speaks to whom in the graph of jobs? Measured jobs speak, to the jobs most like them; no torch in here."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data.schemas.power import PowerSamples
from tasks.forecasters.protocol import Floats

Ints = NDArray[np.int64]

RELATIONS = ("same GPU model", "same workload", "same GPU model and workload")

ROWS_AT_ONCE = 4_096


@dataclass(frozen=True, slots=True, eq=False)
class Scaler:
    """How features become numbers of order one.

    Args:
        center: means of the training rows, ``(features,)``.
        spread: their standard deviations, 1 where there is none, ``(features,)``.
        flagged: features that get a second column, 1 where the value is missing, ``(features,)``.
    """

    center: Floats
    spread: Floats
    flagged: NDArray[np.bool_]

    @classmethod
    def of(cls, samples: PowerSamples) -> "Scaler":
        """Return the scaler that fits ``samples``."""
        known = np.isfinite(samples.features)
        count = np.maximum(known.sum(axis=0), 1)
        center = np.where(known, samples.features, 0.0).sum(axis=0) / count
        off = np.where(known, samples.features - center, 0.0)
        spread = np.sqrt((off**2).sum(axis=0) / count)
        flagged = ~known.all(axis=0) | np.array(samples.after_start, dtype=bool)
        return cls(center, np.where(spread > 1e-9, spread, 1.0), flagged)

    def scaled(self, samples: PowerSamples) -> Floats:
        """Return standard scores, 0 where the value is missing, and the flags, ``(samples, features + flagged)``."""
        missing = np.isnan(samples.features)
        scores = np.where(missing, 0.0, (samples.features - self.center) / self.spread)
        # a job far outside of what was seen is unlike all of it; how far must not decide
        return np.concatenate([np.clip(scores, -4.0, 4.0), missing[:, self.flagged]], axis=1)


def neighbours(listeners: PowerSamples, speakers: PowerSamples, scaler: Scaler, nearest: int) -> tuple[Ints, ...]:
    """Return the edges of each of ``RELATIONS``, each ``(2, edges)``: row of the speaker, row of the listener.

    A listener hears the ``nearest`` speakers of the relation in standardised features, the earlier row where two are
    equally near, and never itself (the row with its id).
    """
    rows_heard: list[list[Ints]] = [[] for _ in RELATIONS]
    voices = scaler.scaled(speakers)
    codes = {name: code for code, name in enumerate(sorted({*speakers.gpu_models, *speakers.workloads, *speakers.ids}))}
    spoken = [_codes(column, codes) for column in (speakers.gpu_models, speakers.workloads, speakers.ids)]
    for first in range(0, len(listeners.ids), ROWS_AT_ONCE):
        rows = np.arange(first, min(first + ROWS_AT_ONCE, len(listeners.ids)))
        part = listeners.take(rows)
        ears = scaler.scaled(part)
        heard = [_codes(column, codes) for column in (part.gpu_models, part.workloads, part.ids)]
        gpu, work, self = (one[:, None] == other[None, :] for one, other in zip(heard, spoken, strict=True))
        work &= np.array([bool(workload) for workload in part.workloads])[:, None]
        squares = (ears**2).sum(axis=1)[:, None] + (voices**2).sum(axis=1)[None, :] - 2.0 * ears @ voices.T
        distance = np.round(squares, 6)  # so that rounding does not order equals
        for kept, related in zip(rows_heard, (gpu, work, gpu & work), strict=True):
            ordered = np.where(related & ~self, distance, np.inf)
            chosen = np.argsort(ordered, axis=1, kind="stable")[:, :nearest]
            real = np.isfinite(np.take_along_axis(ordered, chosen, axis=1))
            listener = np.broadcast_to(rows[:, None], chosen.shape)
            kept.append(np.stack([chosen[real], listener[real]]).astype(np.int64))
    empty = np.empty((2, 0), dtype=np.int64)
    return tuple(np.concatenate([empty, *kept], axis=1) for kept in rows_heard)


def _codes(column: tuple[str, ...], codes: dict[str, int]) -> Ints:
    return np.array([codes.get(name, -1) for name in column], dtype=np.int64)
