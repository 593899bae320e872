"""How are jobs, GPUs and links of the traces distributed?

The traces are not part of the project: they are looked for in ``$QUANTUMFLOW_DATA``, else in ``../shared/data`` beside
the repository. Mixtures are fitted by expectation-maximisation (Dempster et al. 1977, doi
10.1111/j.2517-6161.1977.tb01600.x).
"""

import csv
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import ks_2samp

from data.generators.marginals import (
    HyperExponential,
    LognormalMixture,
    NormalMixture,
    SizeMix,
    Values,
)

DRAWS = 200_000
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)

PHILLY = "philly_sia/philly_sorted_rows20000_40000.csv"
KALOS = "acme_cdf"
DEEPSEEK = "sglang_deepseek_expert_counts"
OLMOE = "olmoe_routing/crosslayer_top1.csv"
ZEUS = "zeus_nsdi23"
AZURE = "azure_llm_2023/AzureLLMInferenceTrace_code.csv"


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """A fitted figure beside the trace.

    Args:
        name: of the constant in ``fitted.py``.
        source: file that it was fitted to.
        value: the figure.
        real: what the trace holds, ``(rows,)``.
        drawn: what the figure draws.
        ks: Kolmogorov-Smirnov distance between the two.
    """

    name: str
    source: str
    value: object
    real: Values
    drawn: Values
    ks: float


def folder_of_traces() -> Path:
    """Return where the traces are looked for unless somebody says otherwise."""
    named = os.environ.get("QUANTUMFLOW_DATA")
    return Path(named) if named else Path(__file__).resolve().parents[2].parent / "shared" / "data"


def column(path: Path, name: str) -> Values:
    """Return one numeric column of a CSV file, ``(rows,)``."""
    with path.open(newline="") as file:
        return np.array([float(row[name]) for row in csv.DictReader(file)])


def waiting_times(path: Path) -> Values:
    """Return the seconds between arrivals of a Philly file, ``(jobs - 1,)``."""
    with path.open(newline="") as file:
        times = np.sort(np.array([row["timestamp"] for row in csv.DictReader(file)], dtype="datetime64[s]"))
    return np.diff(times).astype(np.float64)


def exponential_phases(values: Values, phases: int, steps: int = 400) -> tuple[Values, Values]:
    """Fit a mixture of exponentials; returns weights and means, each ``(phases,)``."""
    means = np.maximum(np.quantile(values, np.linspace(0.1, 0.97, phases)), 0.3)
    weights = np.full(phases, 1.0 / phases)
    for _ in range(steps):
        share = weights / means * np.exp(-values[:, None] / means)
        share /= share.sum(axis=1, keepdims=True)
        weights = share.mean(axis=0)
        means = (share * values[:, None]).sum(axis=0) / share.sum(axis=0)
    return weights, means


def normal_parts(values: Values, parts: int, least_sigma: float, steps: int = 500) -> tuple[Values, Values, Values]:
    """Fit a mixture of normals; returns weights, means and standard deviations, each ``(parts,)``."""
    means = np.quantile(values, (np.arange(parts) + 0.5) / parts)
    sigmas = np.full(parts, values.std() / parts + least_sigma)
    weights = np.full(parts, 1.0 / parts)
    for _ in range(steps):
        log = np.log(weights) - np.log(sigmas) - 0.5 * ((values[:, None] - means) / sigmas) ** 2
        share = np.exp(log - log.max(axis=1, keepdims=True))
        share /= share.sum(axis=1, keepdims=True)
        count = share.sum(axis=0)
        weights, means = count / count.sum(), (share * values[:, None]).sum(axis=0) / count
        sigmas = np.sqrt((share * (values[:, None] - means) ** 2).sum(axis=0) / count)
        sigmas = np.maximum(sigmas, least_sigma)
    return weights, means, sigmas


def _rounded(values: Values, digits: int) -> tuple[float, ...]:
    return tuple(round(float(value), digits) for value in values)


def _compared(
    name: str,
    source: str,
    value: Callable[[int, np.random.Generator], NDArray[Any]],
    real: Values,
    decimals: int | None = None,
) -> Fit:
    drawn = np.asarray(value(DRAWS, np.random.default_rng(0)), dtype=np.float64)
    if decimals is not None:
        drawn = drawn.round(decimals)
    return Fit(name, source, value, real, drawn, float(ks_2samp(real, drawn).statistic))


def fit_arrivals(data: Path) -> Fit:
    """Fit the time between two arrivals. Traces count whole seconds: half of one is added before, dropped after."""
    real = waiting_times(data / PHILLY)
    weights, means = exponential_phases(real + np.random.default_rng(0).random(len(real)), 3)
    return _compared("ARRIVALS", PHILLY, HyperExponential(_rounded(weights, 4), _rounded(means, 2), np.nan), real)


def fit_duration(data: Path, *, single: bool) -> Fit:
    """Fit how long jobs run: those of one GPU, or those of several."""
    duration, gpus = column(data / PHILLY, "duration"), column(data / PHILLY, "num_gpus")
    real = duration[(gpus == 1) == single]
    weights, means, sigmas = normal_parts(np.log(real), 6 if single else 4, 0.05)
    value = LognormalMixture(
        _rounded(weights, 4), _rounded(np.exp(means), 0), _rounded(sigmas, 3), 2.0, float(duration.max()), np.nan
    )
    return _compared("DURATION_SINGLE_S" if single else "DURATION_SEVERAL_S", PHILLY, value, real)


def fit_sizes(data: Path) -> Fit:
    """Fit how many GPUs jobs ask for: the share of one, and the ratio between powers of two by maximum likelihood."""
    real = column(data / PHILLY, "num_gpus")
    single, step = float((real == 1).mean()), np.log2(real[real > 1]) - 1.0
    largest = int(real.max())
    candidates = np.linspace(0.05, 2.0, 1951)
    powers = np.arange(int(np.log2(largest)))
    likelihood = step.sum() * np.log(candidates) - len(step) * np.log((candidates[:, None] ** powers).sum(axis=1))
    value = SizeMix(round(single, 4), round(float(candidates[likelihood.argmax()]), 3), largest, np.nan)
    return _compared("PHILLY_SIZES", PHILLY, value, real)


def fit_gang_ratio(data: Path) -> SizeMix:
    """Match mean, median (one GPU) and largest size that Acme's summary gives for Kalos; there are no quantiles."""
    with (data / KALOS / "cluster_summary.csv").open(newline="") as file:
        row = next(row for row in csv.DictReader(file) if row["id"] == "Kalos")
    mean, largest = float(row["avg_gpu_num"]), int(float(row["max_gpu"]))
    mixes = [SizeMix(0.5, round(ratio, 3), largest, np.nan) for ratio in np.linspace(0.3, 1.2, 901).tolist()]
    return min(mixes, key=lambda mix: abs(float(mix.shares @ mix.sizes) - mean))


def fit_gpu_power(data: Path) -> Fit:
    """Fit the draw of an A100 to Acme's quantile curve."""
    source = f"{KALOS}/gpu_power_kalos.csv"
    real = column(data / source, "gpu_power_W")
    weights, means, sigmas = normal_parts(real, 6, 1.0)
    value = NormalMixture(
        _rounded(weights, 3), _rounded(means, 1), _rounded(sigmas, 1), float(real.min()), float(real.max()), np.nan
    )
    return _compared("GPU_POWER_W", source, value, real)


def fit_utilisation(data: Path) -> Fit:
    """Fit how busy a GPU is, as a share of one; the curve counts whole percents."""
    source = f"{KALOS}/util_gpu_kalos.csv"
    real = column(data / source, "gpu_util_pct") / 100.0
    weights, means, sigmas = normal_parts(real[real > 0.0], 4, 0.003)
    nought = round(float((real == 0.0).mean()), 3)
    value = NormalMixture(_rounded(weights, 3), _rounded(means, 4), _rounded(sigmas, 4), 0.01, 1.0, np.nan, nought)
    return _compared("UTILISATION", source, value, real, decimals=2)


def fit_throughput(data: Path) -> Fit:
    """Fit what an adapter of 25 GB/s sends (the curve counts MB/s), as a share of its line rate."""
    source = f"{KALOS}/ib_seren.csv"
    real = column(data / source, "ib_send") / 25_000.0
    weights, means, sigmas = normal_parts(real[real > 0.0], 2, 0.001)
    nought = round(float((real == 0.0).mean()), 3)
    value = NormalMixture(
        _rounded(weights, 3), _rounded(means, 4), _rounded(sigmas, 4), 0.0, float(real.max()), np.nan, nought
    )
    return _compared("THROUGHPUT_SHARE", source, value, real)


def report(fits: Sequence[Fit]) -> str:
    """Return the table that ``python -m data.generators.fit`` prints."""
    lines = []
    for fit in fits:
        lines += [f"{fit.name}  from {fit.source}  KS {fit.ks:.4f}", f"  {fit.value}"]
        lines.append("  quantile " + "".join(f"{level:>13.2f}" for level in QUANTILES))
        for name, values in (("real", fit.real), ("drawn", fit.drawn)):
            lines.append(f"  {name:<8} " + "".join(f"{value:>13.4g}" for value in np.quantile(values, QUANTILES)))
    return "\n".join(lines)
