"""What are the angles of a QAOA circuit, and how do those of one depth give those of another?

Schedules that are shipped or ramped are in units of the standardised cost: the model divided by the standard
deviation of its energy over the strings of the start state. :func:`rescaled` turns one into the schedule of
the model itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from qiskit_solvers.ising import Floats

Family = Literal["transverse", "one_hot"]
"""Which mixer a schedule was tuned for: X on every spin, or complete-graph XY on every one-hot group."""


@dataclass(frozen=True, slots=True, eq=False)
class Schedule:
    """The angles of a circuit, first layer first; growing gammas and falling betas lead to low energies.

    Args:
        gammas: cost angles, ``(layers,)``, in 1 / energy.
        betas: mixer angles, ``(layers,)``, in radians.

    Raises:
        ValueError: the two are not equally long vectors of finite float64.
    """

    gammas: Floats
    betas: Floats

    def __post_init__(self) -> None:
        if self.gammas.ndim != 1 or self.gammas.shape != self.betas.shape:
            raise ValueError(
                f"gammas, betas: expected two equal shapes (layers,), got {self.gammas.shape} and {self.betas.shape}"
            )
        if self.gammas.dtype != np.float64 or self.betas.dtype != np.float64:
            raise ValueError(f"gammas, betas: expected float64, got {self.gammas.dtype} and {self.betas.dtype}")
        if not (np.isfinite(self.gammas).all() and np.isfinite(self.betas).all()):
            raise ValueError("gammas, betas: expected finite angles, got NaN or infinity")

    @property
    def layers(self) -> int:
        """Number of layers."""
        return int(self.gammas.size)


def interpolated(schedule: Schedule) -> Schedule:
    """Return a start for one layer more: INTERP (Zhou et al. 2020, doi 10.1103/PhysRevX.10.021067).

    New angle ``i`` of ``1 .. p + 1`` is ``(i - 1) / p`` of old angle ``i - 1`` and ``(p - i + 1) / p`` of old
    angle ``i``, those past either end being zero.

    Raises:
        ValueError: the schedule has no layers.
    """
    layers = schedule.layers
    if layers == 0:
        raise ValueError("schedule: expected at least one layer to interpolate from, got none")
    share = np.arange(layers + 1) / layers  # of the old angle before

    def one_more(angles: Floats) -> Floats:
        return np.asarray(share * np.append(0.0, angles) + (1.0 - share) * np.append(angles, 0.0))

    return Schedule(one_more(schedule.gammas), one_more(schedule.betas))


def stretched(schedule: Schedule, layers: int) -> Schedule:
    """Return the schedule with ``layers`` layers: the same curve over the circuit's depth, drawn finer or coarser.

    Layer ``l`` of ``p`` stands at its midpoint ``(l + 1/2) / p``; between midpoints the curve is linear, and so
    past the outermost ones, so a stretched ramp is the ramp of the new depth. One layer gives a constant.

    Raises:
        ValueError: ``layers`` is negative, or positive where the schedule has none.
    """
    if layers < 0:
        raise ValueError(f"layers: expected at least 0, got {layers}")
    if schedule.layers == 0 and layers > 0:
        raise ValueError(f"schedule: expected at least one layer to stretch to {layers}, got none")
    if layers == 0 or schedule.layers == 1:
        return Schedule(np.repeat(schedule.gammas[:1], layers), np.repeat(schedule.betas[:1], layers))
    # where each new midpoint falls, counted in old layers
    at = midpoints(layers) * schedule.layers - 0.5
    left = np.clip(np.floor(at).astype(np.int64), 0, schedule.layers - 2)
    share = at - left

    def drawn(angles: Floats) -> Floats:
        return np.asarray((1.0 - share) * angles[left] + share * angles[left + 1])

    return Schedule(drawn(schedule.gammas), drawn(schedule.betas))


def rescaled(schedule: Schedule, deviation: float) -> Schedule:
    """Return the schedule of a model from that of its standardised cost.

    Args:
        schedule: gammas in units of 1 / standard deviation.
        deviation: standard deviation of the model's energy over the strings of the start state; 0 (every string
            costs the same, so no angle matters) leaves the schedule as it is.

    Raises:
        ValueError: ``deviation`` is negative, not finite, or so small that a gamma overflows.
    """
    if not (np.isfinite(deviation) and deviation >= 0.0):
        raise ValueError(f"deviation: expected a finite number of at least 0, got {deviation}")
    if deviation == 0.0:
        return schedule
    with np.errstate(over="ignore"):  # Schedule refuses infinity
        return Schedule(np.asarray(schedule.gammas / deviation), schedule.betas)


def midpoints(layers: int) -> Floats:
    """Return where the layers stand in the circuit, from 0 to 1, ``(layers,)``."""
    return np.asarray((np.arange(layers) + 0.5) / max(layers, 1), dtype=np.float64)


def as_json(schedule: Schedule) -> dict[str, list[float]]:
    """Return the schedule as JSON holds it; :func:`from_json` gives back the same angles, to the last bit."""
    return {"gammas": schedule.gammas.tolist(), "betas": schedule.betas.tolist()}


def from_json(value: object) -> Schedule:
    """Return the schedule that :func:`as_json` wrote.

    Raises:
        ValueError: the value is not an object of two equally long lists of finite numbers.
    """
    if not isinstance(value, Mapping) or set(value) != {"gammas", "betas"}:
        found = sorted(map(str, value)) if isinstance(value, Mapping) else type(value).__name__
        raise ValueError(f"schedule: expected an object with gammas and betas, got {found}")
    for name in ("gammas", "betas"):
        angles = value[name]
        if not isinstance(angles, list) or any(type(angle) not in (int, float) for angle in angles):
            raise ValueError(f"{name}: expected a list of numbers, got {angles!r:.80}")
    try:
        gammas, betas = (np.array(value[name], dtype=np.float64) for name in ("gammas", "betas"))
    except OverflowError as error:
        raise ValueError("gammas, betas: expected numbers that fit float64, got a larger integer") from error
    return Schedule(gammas, betas)
