"""How wrong are power forecasts for models that nobody measured, and how often do their upper bounds hold?

The table is split by model twice. In five folds as the yardstick was measured; and once into 34 models, on which all
options were chosen, and 12 that no option was chosen on. Intervals are bootstraps over models, since the rows of one
model err alike.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.model_selection import GroupKFold

from data.schemas.power import Floats, PowerSamples
from tasks.forecasters.blend import blended
from tasks.forecasters.boosting import Boosting
from tasks.forecasters.gnn import GraphSage
from tasks.forecasters.median import Median
from tasks.forecasters.power_features import with_roofline
from tasks.forecasters.protocol import PowerForecaster
from tasks.forecasters.residuals import upper_factor

FOLDS = 5
RESAMPLES = 2_000
QUANTILES = (0.8, 0.9, 0.95)

YARDSTICK = "HistGradientBoosting, as it comes (yardstick)"
MEDIAN = "median by GPU model and task (yardstick)"
TREES = "boosting, shares of the highest draw"
TREES_ROOFLINE = "the same with roofline features"
GRAPH = "GraphSAGE with roofline features"
TREES_BOTH = "mean of both trees"
BLEND = "mean of both trees 0.8, GraphSAGE 0.2"

RESERVED = (
    "Qwen/Qwen3-235B-A22B-Thinking-2507",
    "Qwen/Qwen3-Coder-30B-A3B-Instruct",
    "Qwen/Qwen3-Omni-30B-A3B-Instruct",
    "black-forest-labs/FLUX.1-dev",
    "deepseek-ai/DeepSeek-V3.1",
    "google/gemma-3-12b-it",
    "meta-llama/Llama-3.1-405B-Instruct",
    "meta-llama/Llama-3.1-70B-Instruct",
    "meta-llama/Llama-3.1-8B-Instruct",
    "meta-llama/Llama-4-Maverick-17B-128E-Instruct-FP8",
    "tencent/HunyuanVideo",
    "zai-org/CogVideoX-2b",
)
"""Models drawn by chance before anything was tuned: 9 of language, 3 of diffusion."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean and its 95 % bootstrap interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:6.1%} [{self.low:5.1%}, {self.high:5.1%}]"


@dataclass(frozen=True, slots=True, eq=False)
class PowerTable:
    """Forecasts of rows whose models were not seen, and what was measured.

    Args:
        folds: forecasts by method when the models are split into five, watts ``(rows,)``.
        reserved: those of the reserved models alone, watts ``(rows of them,)``.
        samples: all rows.
        fold: in which each row was held out, ``(rows,)``.
    """

    folds: Mapping[str, Floats]
    reserved: Mapping[str, Floats]
    samples: PowerSamples
    fold: np.ndarray

    @property
    def unseen(self) -> PowerSamples:
        """Rows of the reserved models."""
        return self.samples.take(np.flatnonzero(np.isin(self.samples.groups, RESERVED)))

    def errors(self) -> dict[str, tuple[Interval, Interval]]:
        """Return for each method the mean absolute percentage error in five folds and on the reserved models."""
        return {
            name: (_error(self.folds[name], self.samples), _error(self.reserved[name], self.unseen))
            for name in self.folds
        }

    def against_yardstick(self) -> dict[str, tuple[Interval, Interval]]:
        """Return how much each error is above that of the yardstick; below 0 is better."""
        return {
            name: (
                _error(self.folds[name], self.samples, self.folds[YARDSTICK]),
                _error(self.reserved[name], self.unseen, self.reserved[YARDSTICK]),
            )
            for name in self.folds
            if name != YARDSTICK
        }

    def coverage(self, name: str) -> list[dict[str, float]]:
        """Return how often the bounds of ``name`` held, each fold's from the errors in the other folds."""
        samples, watts = self.samples, self.folds[name]
        ratios, groups = samples.power_w / watts, np.array(samples.groups)
        told = []
        for quantile in QUANTILES:
            high = np.empty(len(watts))
            for fold in range(FOLDS):
                others, here = self.fold != fold, self.fold == fold
                factor = upper_factor(ratios[others], tuple(groups[others]), quantile)
                high[here] = np.clip(watts[here] * factor, watts[here], samples.max_w[here])
            held = samples.power_w <= high + 1e-9
            by_model = [held[groups == model].mean() for model in np.unique(groups)]
            told.append(
                {
                    "stated": quantile,
                    "of models": float(np.mean(by_model)),
                    "sampling error": float(np.std(by_model) / np.sqrt(len(by_model))),
                    "of rows": float(held.mean()),
                    "bound over forecast": float(np.mean(high / watts)),
                }
            )
        return told

    def show(self) -> None:
        """Print errors, and how often the bounds hold."""
        models = len(set(self.samples.groups))
        print(f"\npower of one GPU, ML.ENERGY, {len(self.samples.ids)} configurations of {models} models never seen:")
        print("mean absolute percentage error, 95 % bootstrap over models")
        print(f"{'method':48}{'five folds':>24}{'12 reserved models':>24}")
        for name, (folds, reserved) in self.errors().items():
            print(f"{name:48}{folds!s:>24}{reserved!s:>24}")
        print("less the yardstick's error")
        for name, (folds, reserved) in self.against_yardstick().items():
            print(f"{name:48}{folds!s:>24}{reserved!s:>24}")
        print(self.verdict())
        for method in (BLEND, TREES_BOTH):
            print(f"\nupper bounds of: {method}; share of draws at or below, models never seen")
            for row in self.coverage(method):
                print(
                    f"stated {row['stated']:.0%}: {row['of models']:.1%} +- {2 * row['sampling error']:.1%} with each "
                    f"model weighing the same, {row['of rows']:.1%} of rows; bound {row['bound over forecast']:.2f} "
                    "times the forecast"
                )

    def verdict(self) -> str:
        """Return the sentence that says whether anything beats the yardstick in both splits."""
        better = [
            name
            for name, (folds, reserved) in self.against_yardstick().items()
            if folds.mean < 0.0 and reserved.mean < 0.0
        ]
        if better:
            return f"lower than the yardstick in both splits: {', '.join(better)}"
        return "nothing is lower than the yardstick in both splits: plain trees stay the default for served models"

    def told(self) -> dict[str, Any]:
        """Return all figures for the JSON file."""
        return {
            "errors": {
                name: {"folds": vars_of(folds), "reserved": vars_of(reserved)}
                for name, (folds, reserved) in self.errors().items()
            },
            "coverage": {method: self.coverage(method) for method in (BLEND, TREES_BOTH)},
        }


def vars_of(interval: Interval) -> dict[str, float]:
    """Return mean and ends by name."""
    return {"mean": interval.mean, "low": interval.low, "high": interval.high}


def power_table(samples: PowerSamples, seed: int = 0) -> PowerTable:
    """Return what every method says of the rows of ``samples``, each from models other than its own."""
    fold = np.zeros(len(samples.ids), dtype=np.int64)
    folds: dict[str, Floats] = {}
    for number, (seen, unseen) in enumerate(GroupKFold(FOLDS).split(samples.features, groups=samples.groups)):
        fold[unseen] = number
        for name, watts in _answers(samples, seen, unseen, seed).items():
            folds.setdefault(name, np.empty(len(samples.ids)))[unseen] = watts
    aside = np.isin(samples.groups, RESERVED)
    reserved = _answers(samples, np.flatnonzero(~aside), np.flatnonzero(aside), seed)
    return PowerTable(folds, reserved, samples, fold)


def _answers(samples: PowerSamples, seen: np.ndarray, unseen: np.ndarray, seed: int) -> dict[str, Floats]:
    """Return watts by method; what is not answered counts as the median."""
    rich = with_roofline(samples)
    middle = float(np.median(samples.power_w[seen]))

    def answer(method: PowerForecaster, rows: PowerSamples) -> Floats:
        watts = method.train(rows.take(seen), np.random.default_rng(seed)).forecast(rows.take(unseen))
        return np.where(np.isnan(watts), middle, watts)

    plain = HistGradientBoostingRegressor(max_iter=100, min_samples_leaf=20, early_stopping=False, random_state=seed)
    plain.fit(samples.features[seen], samples.power_w[seen])
    table, roofline, graph = answer(Boosting(), samples), answer(Boosting(), rich), answer(GraphSage(most=2_000), rich)
    trees = (table + roofline) / 2.0
    return {
        MEDIAN: answer(Median(by_workload=True), samples),
        YARDSTICK: samples.take(unseen).clipped(plain.predict(samples.features[unseen])),
        TREES: table,
        TREES_ROOFLINE: roofline,
        GRAPH: graph,
        TREES_BOTH: trees,
        BLEND: blended(graph, trees),
    }


def _error(watts: Floats, samples: PowerSamples, other: Floats | None = None) -> Interval:
    """Return the mean relative error, less that of ``other``, over rows; resampled by model."""
    each = np.abs(watts - samples.power_w) / samples.power_w
    if other is not None:
        each = each - np.abs(other - samples.power_w) / samples.power_w
    _, model = np.unique(np.array(samples.groups), return_inverse=True)
    sums, counts = np.bincount(model, each), np.bincount(model)
    drawn = np.random.default_rng(0).integers(len(sums), size=(RESAMPLES, len(sums)))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.quantile(means, (0.025, 0.975))
    return Interval(float(each.mean()), float(low), float(high))
