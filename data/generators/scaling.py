"""How might a fleet's performance grow along each of ten dimensions? Series with known laws, for trying things out.

Each run measures one scale of every dimension, and has luck of its own: compute and energy share most of theirs, so
that correlations have something to find. The laws stand here, and nowhere in the file.
"""

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data.schemas.scaling import Better, Dimension, Floats, Series

SEED = 6
"""Of the file that ships."""

RUNS = 16
NOISE = 0.02
"""Standard deviation of log performance."""

SHARED = 0.7
"""Share of the variance of compute's and energy's luck that is the same."""


@dataclass(frozen=True, slots=True)
class Truth:
    """The law of one dimension.

    Args:
        dimension: along which the fleet grows.
        low: smallest scale.
        high: largest.
        law: performance by scale.
        scale_unit: of the scale.
        performance_unit: of what is measured.
        better: which way.
    """

    dimension: Dimension
    low: float
    high: float
    law: Callable[[Floats], Floats]
    scale_unit: str
    performance_unit: str
    better: Better = "higher"


def _compute(n: Floats) -> Floats:
    return 41.0 * n / (1.0 + 4e-4 * (n - 1.0))


def _memory(n: Floats) -> Floats:
    return 9_000.0 / (1.0 + (180.0 / n) ** 1.4)


def _storage(n: Floats) -> Floats:
    return 0.6 + 1.9 * np.log(n)


def _network(n: Floats) -> Floats:
    return 96.0 / (1.0 + (70.0 / n) ** 0.9)


def _geographic(n: Floats) -> Floats:
    return 21.0 + 190.0 * n**-0.8


def _temporal(n: Floats) -> Floats:
    return 4.2 + 23.0 * n**-0.45


def _algorithmic(n: Floats) -> Floats:
    return 1.82 + 520.0 * n**-0.34


def _energy(n: Floats) -> Floats:
    bend = 0.1 * np.logaddexp(0.0, np.log(n / 320.0) / 0.1)
    return 60.0 * n**0.95 * np.exp(-0.55 * bend)


def _cost(n: Floats) -> Floats:
    return 3.1 * n**0.93


def _reliability(n: Floats) -> Floats:
    return 30.0 * n / (1.0 + 0.05 * (n - 1.0) + 2e-3 * n * (n - 1.0))


TRUTHS: tuple[Truth, ...] = (
    Truth("compute", 1.0, 4096.0, _compute, "GPUs", "samples/s"),
    Truth("memory", 16.0, 2048.0, _memory, "GB", "tokens/s"),
    Truth("storage", 2.0, 1000.0, _storage, "GB/s", "checkpoints/h"),
    Truth("network", 25.0, 3200.0, _network, "Gbit/s", "% of peak"),
    Truth("geographic", 1.0, 50.0, _geographic, "regions", "ms at P95", "lower"),
    Truth("temporal", 1.0, 365.0, _temporal, "days of history", "% forecast error", "lower"),
    Truth("algorithmic", 1e7, 7e10, _algorithmic, "parameters", "nats/token", "lower"),
    Truth("energy", 5.0, 5000.0, _energy, "kW", "samples/s"),
    Truth("cost", 10.0, 50_000.0, _cost, "USD/h", "samples/s"),
    Truth("reliability", 1.0, 48.0, _reliability, "spares", "hours between stops"),
)


def scaling_series(rng: np.random.Generator, *, runs: int = RUNS, noise: float = NOISE) -> tuple[Series, ...]:
    """Return a series for each of the ten dimensions.

    Args:
        rng: source of chance.
        runs: points of each series.
        noise: standard deviation of log performance.

    Raises:
        ValueError: fewer than two runs, or negative noise.
    """
    if runs < 2 or noise < 0.0:
        raise ValueError(f"expected runs >= 2 and noise >= 0, found {runs} and {noise}")
    names = tuple(f"run-{number:02d}" for number in range(runs))
    shared = rng.standard_normal(runs)
    found = []
    for truth in TRUTHS:
        luck = rng.standard_normal(runs)
        if truth.dimension in ("compute", "energy"):
            luck = np.sqrt(SHARED) * shared + np.sqrt(1.0 - SHARED) * luck
        scale = np.array([float(f"{each:.4g}") for each in np.geomspace(truth.low, truth.high, runs)])
        performance = truth.law(scale) * np.exp(noise * luck)
        found.append(
            Series(
                truth.dimension,
                truth.dimension,
                scale,
                performance,
                truth.scale_unit,
                truth.performance_unit,
                truth.better,
                names,
            )
        )
    return tuple(found)


def write_scaling(path: Path, rng: np.random.Generator) -> Path:
    """Write the series as a table that :mod:`data.readers.scaling.series_csv` reads; the folder is made if missing.

    Args:
        path: of the file.
        rng: source of chance; ``default_rng(SEED)`` gives the file that ships.

    Raises:
        OSError: it cannot be written.
    """
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["dimension", "scale", "performance", "run", "scale_unit", "performance_unit", "better"])
    for series in scaling_series(rng):
        for scale, performance, run in zip(series.scale, series.performance, series.runs, strict=True):
            units = [series.scale_unit, series.performance_unit, series.better]
            table.writerow([series.dimension, f"{scale:g}", f"{performance:.6g}", run, *units])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text.getvalue(), encoding="utf-8")
    return path
