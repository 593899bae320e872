"""What do trees and graph network say together? A weighted mean: they err on different rows.

Stacking (Wolpert 1992, doi 10.1016/S0893-6080(05)80023-1) with one weight, chosen on 34 models of the ML.ENERGY
leaderboard; used where it errs less than either member on groups held out.
"""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from data.schemas.power import PowerSamples
from tasks.forecasters.boosting import Boosting
from tasks.forecasters.protocol import Floats, PowerForecaster, PowerModel

GRAPH_SHARE = 0.2
"""Weight of the graph network's answer."""


def blended(graph_w: Floats, boosting_w: Floats) -> Floats:
    """Return the weighted mean of two answers; NaN where either has none."""
    return GRAPH_SHARE * graph_w + (1.0 - GRAPH_SHARE) * boosting_w


@dataclass(frozen=True, slots=True, eq=False)
class BlendModel:
    """Both members, trained on the same rows."""

    graph: PowerModel
    boosting: PowerModel
    kind: Literal["blend"] = "blend"

    def forecast(self, samples: PowerSamples) -> Floats:
        """Return watts; NaN where either member cannot say.

        Raises:
            ValueError: ``samples`` have other features.
        """
        return samples.clipped(blended(self.graph.forecast(samples), self.boosting.forecast(samples)))


@dataclass(frozen=True, slots=True)
class Blend:
    """Options of both members; the graph network is passed in, since torch is slow to import."""

    graph: PowerForecaster
    boosting: PowerForecaster = field(default_factory=Boosting)
    kind: Literal["blend"] = "blend"

    def train(self, samples: PowerSamples, rng: np.random.Generator) -> BlendModel:
        """Return both members, trained.

        Raises:
            ForecastFailed: one of them cannot learn from these samples.
        """
        one, other = rng.spawn(2)
        return BlendModel(self.graph.train(samples, one), self.boosting.train(samples, other))
