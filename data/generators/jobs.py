"""Which jobs arrive at a generated cluster, how large are they, and how long do they run?"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from data.generators.first_fit import ANY, Requests
from data.generators.fitted import (
    ARRIVALS,
    DIURNAL_AMPLITUDE,
    DURATION_SEVERAL_S,
    DURATION_SINGLE_S,
    KALOS_SIZES,
    PHILLY_SIZES,
)
from data.generators.marginals import SizeMix
from data.schemas.cluster import Node

DAY_S = 86_400.0

CHAINED = 0.06
"""Share of jobs that wait for an earlier one, as a step of a pipeline does; an assumption."""

PAIRED = 0.06
"""Share of jobs whose successor belongs to the same gang, as a trainer and its rollout workers do; an assumption."""

RACK_WIDE = 0.3
"""Share of 64-GPU jobs that take a whole NVL72 rack of 72 instead; an assumption."""


@dataclass(frozen=True, slots=True, eq=False)
class Arrivals:
    """Jobs before they are scheduled.

    Args:
        requests: what the scheduler sees.
        gang: number of the gang that a job shares with others, or ``ANY``; ``(jobs,)``.
    """

    requests: Requests
    gang: NDArray[np.int64]


def arrival_times(count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return when ``count`` jobs arrive in Philly's rhythm, in seconds, not falling, ``(count,)``.

    Gaps are drawn from ``ARRIVALS``; then time is stretched at night and squeezed by day.
    """
    times = np.cumsum(ARRIVALS(count, rng))
    grid = np.linspace(0.0, times[-1] + 2.0 * DAY_S, 4 * int(times[-1] // 3600.0 + 50))
    angle = 2.0 * np.pi / DAY_S
    passed = grid + DIURNAL_AMPLITUDE / angle * np.sin(angle * grid)  # integral of 1 + amplitude * cos
    return np.floor(np.interp(times, passed, grid))


def sizes_for(mean_gpus: float, largest: int) -> SizeMix:
    """Return a mix whose jobs, seen at one moment, hold ``mean_gpus`` GPUs on average.

    Who runs longer is seen more often, so each size counts as often as it lasts. The ratio between powers of two is
    Kalos' and the share of single GPUs gives way, up to Philly's; beyond that the ratio falls.

    Args:
        mean_gpus: mean GPUs of the jobs that are present.
        largest: most GPUs of one job.
    """
    for ratio in np.linspace(KALOS_SIZES.ratio, 0.05, 200).tolist():
        several = SizeMix(0.0, ratio, largest, np.nan)
        above = max(float(several.shares @ several.sizes) - mean_gpus, 0.0)
        weight = above * DURATION_SEVERAL_S.mean / DURATION_SINGLE_S.mean
        single = weight / (weight + max(mean_gpus - 1.0, 1e-9))
        if single <= PHILLY_SIZES.single:
            break
    return SizeMix(float(np.clip(single, 0.02, 0.98)), ratio, largest, np.nan)


def arrivals(
    nodes: Sequence[Node],
    count: int,
    *,
    mean_gpus: float,
    largest: int,
    load: float,
    occupied: float,
    rng: np.random.Generator,
) -> Arrivals:
    """Return the jobs that hold GPUs when we begin to look, all at time nought, and ``count`` that arrive after.

    Those of the beginning are drawn as one would meet them in a cluster that has run for long: who lasts longer is met
    more often, and some part of its life is over (residual life of a renewal process).

    Args:
        nodes: GPU models get jobs in proportion to their GPUs.
        count: jobs that arrive.
        mean_gpus: mean GPUs of the jobs that run at one moment.
        largest: most GPUs of one job; also at most half of the GPUs of its model.
        load: GPU seconds asked for over GPU seconds offered while they arrive.
        occupied: share of the GPUs that the jobs of the beginning ask for.
        rng: source of chance.
    """
    machines = _Machines.of(nodes, largest)
    capacity = float(machines.capacity.sum())
    sizes = sizes_for(mean_gpus, int(machines.room.max()))
    drawn = _drawn(machines, 4 * count + 256, sizes, rng)
    met = rng.choice(len(drawn.gpus), size=len(drawn.gpus), p=drawn.duration_s / drawn.duration_s.sum())
    first = drawn.taken(met)
    first = first.taken(np.flatnonzero(np.cumsum(first.gpus) <= occupied * capacity))
    first = replace(first, duration_s=np.maximum(1.0, first.duration_s * rng.random(len(first.gpus))))
    later = drawn.taken(np.arange(count))
    # not the mean of the few that were drawn: one job of a month among them would stretch time for all
    gpu_seconds = float(drawn.gpus @ np.where(drawn.gpus == 1, DURATION_SINGLE_S.mean, DURATION_SEVERAL_S.mean))
    span_s = count * gpu_seconds / len(drawn.gpus) / (capacity * load)
    times = arrival_times(count, rng)
    times *= span_s / max(float(times[-1]), 1.0)

    gpus = np.concatenate((first.gpus, later.gpus))
    model = np.concatenate((first.model, later.model))
    duration_s = np.concatenate((first.duration_s, later.duration_s))
    arrival_s = np.concatenate((np.zeros(len(first.gpus)), times))
    total = len(gpus)

    gang = np.full(total, ANY, dtype=np.int64)
    paired = np.flatnonzero((rng.random(total) < PAIRED)[:-1] & (gpus[:-1] > 1))
    for number, job in enumerate(paired.tolist()):
        gang[job] = number if gang[job] == ANY else gang[job]
        gang[job + 1] = gang[job]
        model[job + 1], gpus[job + 1], duration_s[job + 1] = model[job], gpus[job], duration_s[job]

    offset = rng.integers(1, 13, size=total)
    chained = (rng.random(total) < CHAINED) & (np.arange(total) >= offset + len(first.gpus)) & (gang == ANY)
    per_worker = np.minimum(gpus, machines.width[model])
    anywhere = (gpus == 1) & (gang == ANY) & (rng.random(total) < 0.3)
    return Arrivals(
        Requests(
            arrival_s=arrival_s,
            duration_s=duration_s,
            workers=gpus // per_worker,
            gpus_per_worker=per_worker,
            model=np.where(anywhere, ANY, model),
            after=np.where(chained, np.arange(total) - offset, ANY),
            models=machines.models,
        ),
        gang,
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Machines:
    """GPU models of a cluster, with the GPUs of each, those of its nodes, and the most that one job may hold."""

    models: tuple[str, ...]
    capacity: NDArray[np.int64]
    width: NDArray[np.int64]
    room: NDArray[np.int64]

    @classmethod
    def of(cls, nodes: Sequence[Node], largest: int) -> "_Machines":
        models = tuple(dict.fromkeys(node.gpu_model for node in nodes))
        each = [[node.gpus for node in nodes if node.gpu_model == model] for model in models]
        capacity = np.array([sum(gpus) for gpus in each])
        width = np.array([min(gpus) for gpus in each])
        return cls(models, capacity, width, np.clip(capacity // 2, 1, largest))


@dataclass(frozen=True, slots=True, eq=False)
class _Drawn:
    """Jobs as drawn: model index, GPUs and duration, each ``(jobs,)``."""

    model: NDArray[np.int64]
    gpus: NDArray[np.int64]
    duration_s: NDArray[np.float64]

    def taken(self, rows: NDArray[np.intp]) -> "_Drawn":
        return _Drawn(self.model[rows], self.gpus[rows], self.duration_s[rows])


def _drawn(machines: _Machines, count: int, sizes: SizeMix, rng: np.random.Generator) -> _Drawn:
    model = rng.choice(len(machines.models), size=count, p=machines.capacity / machines.capacity.sum())
    powers = 2 ** np.floor(np.log2(machines.room)).astype(np.int64)
    gpus = np.minimum(sizes(count, rng), powers[model])
    racks = (gpus == 64) & (machines.width[model] == 4) & (machines.room[model] >= 72)
    gpus = np.where(racks & (rng.random(count) < RACK_WIDE), 72, gpus)
    return _Drawn(model, gpus, np.where(gpus == 1, DURATION_SINGLE_S(count, rng), DURATION_SEVERAL_S(count, rng)))
