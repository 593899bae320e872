"""How much do users ask for, from hour to hour? By their clocks and weekdays, with swings and surges.

Each zone's day is a wave with its peak in the afternoon by local solar time, weekends are quieter, and around that
demand swings: partly everywhere, partly in each zone, and now and then it surges in one zone for some hours.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class DemandShape:
    """How demand goes up and down.

    Args:
        day: swing of the daily wave, as a share of the mean.
        peak_hour: local solar hour of its peak.
        weekend: what remains on Saturdays and Sundays.
        swing: standard deviation of the logarithm of swings; half of their variance is shared by all zones.
        memory_h: hours after which a swing is forgotten but for 1/e.
        flicker: standard deviation of the logarithm of what has no memory.
        surges_per_week: of each zone.
        surge: most that a surge adds, as a share.
    """

    day: float = 0.45
    peak_hour: float = 15.0
    weekend: float = 0.75
    swing: float = 0.06
    memory_h: float = 3.0
    flicker: float = 0.02
    surges_per_week: float = 1.0
    surge: float = 0.4

    def __post_init__(self) -> None:
        if not 0.0 <= self.day < 1.0 or not self.weekend > 0.0 or not self.memory_h > 0.0:
            raise ValueError(f"expected a day in [0, 1), weekend and memory above 0, got {self}")
        if min(self.swing, self.flicker, self.surges_per_week, self.surge) < 0.0:
            raise ValueError(f"expected swings and surges of at least 0, got {self}")


def generate_demand(
    rng: np.random.Generator,
    *,
    longitude_deg: Floats,
    mean: Floats,
    ticks: int,
    tick_s: float = 195.0,
    shape: DemandShape | None = None,
) -> Floats:
    """Draw what each zone asks for; the first tick is midnight in Greenwich on a Monday.

    Args:
        rng: all chance.
        longitude_deg: of each zone, which sets its clock, ``(zones,)``.
        mean: demand of each zone over a weekday, about, ``(zones,)``.
        ticks: moments.
        tick_s: seconds between two.
        shape: None takes the defaults.

    Returns:
        Demand in the unit of ``mean``, ``(zones, ticks)``.

    Raises:
        ValueError: the shapes differ, or there are no ticks.
    """
    shape = shape or DemandShape()
    if longitude_deg.shape != mean.shape or mean.ndim != 1 or ticks < 1 or not tick_s > 0.0:
        raise ValueError(
            f"expected a longitude and a mean of each zone, and ticks, got {longitude_deg.shape}, "
            f"{mean.shape}, {ticks} of {tick_s} s"
        )
    local_s = np.arange(ticks)[None, :] * tick_s + (longitude_deg / 360.0 * DAY_S)[:, None]
    hour = local_s % DAY_S / 3_600.0
    wave = np.cos((hour - shape.peak_hour) / 24.0 * 2.0 * math.pi)
    # nights are flatter than a cosine makes them
    course = 1.0 + shape.day * (wave + 0.2 * (wave**2 - 0.5))
    course = np.where(local_s // DAY_S % 7 >= 5, shape.weekend, 1.0) * course
    kept = math.exp(-tick_s / (3_600.0 * shape.memory_h))
    shared = _swings(rng, (1, ticks), kept)
    own = _swings(rng, (mean.size, ticks), kept)
    swings = shape.swing * math.sqrt(0.5) * (shared + own) + shape.flicker * rng.standard_normal((mean.size, ticks))
    surges = np.ones((mean.size, ticks))
    for row in surges:
        for _ in range(int(rng.poisson(shape.surges_per_week * ticks * tick_s / (7.0 * DAY_S)))):
            start = int(rng.integers(ticks))
            lasts = 1 + int(rng.uniform(1.0, 4.0) * 3_600.0 / tick_s)
            row[start : start + lasts] += shape.surge * rng.random()
    return np.asarray(mean[:, None] * course * np.exp(swings) * surges)


def _swings(rng: np.random.Generator, size: tuple[int, int], kept: float) -> Floats:
    """Return series of variance one that keep a share of their value from tick to tick, ``(zones, ticks)``."""
    from scipy.signal import lfilter

    drawn = rng.standard_normal(size)
    drawn[:, 1:] *= math.sqrt(1.0 - kept * kept)
    return np.asarray(lfilter([1.0], [1.0, -kept], drawn, axis=1), np.float64)
