"""What would gradient-boosted trees say of a job's draw? The rival of the graph network, and its fallback.

Histogram gradient boosting (Ke et al. 2017, LightGBM, Advances in Neural Information Processing Systems 30) as
scikit-learn builds it. The trees learn the share of the highest draw, which carries over between GPU models as watts do
not. A model is never stored: it is trained again from the samples, which takes a second and spares us a pickle.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor
from threadpoolctl import threadpool_limits

from data.schemas.power import PowerSamples
from tasks.forecasters.protocol import Floats, ForecastFailed


@dataclass(frozen=True, slots=True, eq=False)
class BoostingModel:
    """Trained trees; ``regressor`` answers in shares of the highest draw."""

    regressor: HistGradientBoostingRegressor
    feature_set: str
    gpu_models: frozenset[str]
    kind: Literal["boosting"] = "boosting"

    def forecast(self, samples: PowerSamples) -> Floats:
        """Return watts; NaN for GPU models that were not among the samples.

        Raises:
            ValueError: ``samples`` have other features.
        """
        if samples.feature_set != self.feature_set:
            raise ValueError(f"samples: expected features {self.feature_set}, got {samples.feature_set}")
        if not samples.ids:
            return np.empty(0)
        with threadpool_limits(1):
            share = self.regressor.predict(samples.features)
        known = np.array([model in self.gpu_models for model in samples.gpu_models])
        return samples.clipped(np.where(known, share * samples.max_w, np.nan))


@dataclass(frozen=True, slots=True)
class Boosting:
    """Options of the trees, chosen on 34 models of the ML.ENERGY leaderboard.

    On two generated clusters of 1,024 GPUs they erred less than scikit-learn's own (16 % for 17 %, 19 % for 21 %), on
    served models about as much, see ``bench_forecasters``.

    Args:
        rounds: trees.
        rate: shrinkage of each.
        depth: of each.
        columns: share of the features that each split may choose from; less makes the trees less alike.
        evenness: 0 where each row weighs the same, 1 where each group does.
        fewest: measured rows below which nothing is learned.
    """

    rounds: int = 200
    rate: float = 0.05
    depth: int = 4
    columns: float = 0.3
    evenness: float = 0.5
    fewest: int = 20
    kind: Literal["boosting"] = "boosting"

    def train(self, samples: PowerSamples, rng: np.random.Generator) -> BoostingModel:
        """Return trees grown on the measured rows, each also as it looked before it started.

        A waiting job has no utilisation yet. Trees that only ever saw running jobs would lean on it, so every row
        with such a feature is shown a second time without.

        Raises:
            ForecastFailed: too few rows are measured.
        """
        measured = samples.take(np.flatnonzero(samples.measured))
        if len(measured.ids) < self.fewest:
            raise ForecastFailed(f"{len(measured.ids)} measured jobs, at least {self.fewest} are needed")
        told = np.isfinite(measured.features[:, np.array(measured.after_start, dtype=bool)]).any(axis=1)
        features = np.concatenate([measured.features, measured.waiting().features[told]])
        features[:, np.isnan(features).all(axis=0)] = 0.0  # scikit-learn 1.9 fails on a column that is all NaN
        share = np.maximum(measured.clipped(measured.power_w) / measured.max_w, 1e-3)
        _, group, sizes = np.unique(np.array(measured.groups), return_inverse=True, return_counts=True)
        weights = sizes[group] ** -self.evenness / share  # what is judged is the error relative to the draw
        weights /= weights.mean()
        regressor = HistGradientBoostingRegressor(
            max_iter=self.rounds,
            learning_rate=self.rate,
            max_depth=self.depth,
            max_features=self.columns,
            min_samples_leaf=int(np.clip(len(features) // 20, 3, 20)),
            early_stopping=False,
            random_state=int(rng.integers(2**31)),
        )
        with threadpool_limits(1):
            regressor.fit(
                features, np.concatenate([share, share[told]]), sample_weight=np.concatenate([weights, weights[told]])
            )
        return BoostingModel(regressor, measured.feature_set, frozenset(measured.gpu_models))
