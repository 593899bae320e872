"""What does a model that nobody measured draw when it is served? Two sets of trees and a graph network, averaged.

One set of trees sees the table alone, the other its roofline too; they err on different models. Stacking (Wolpert 1992,
doi 10.1016/S0893-6080(05)80023-1) with fixed weights, chosen on 34 models of the ML.ENERGY leaderboard: 10.6 % in five
folds of all 46, where plain trees err by 11.2 %, but 11.2 % on the 12 models that no weight was chosen on, where plain
trees err by 10.4 %. So it is not the default of anything; ``bench_forecasters`` prints both.
"""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from data.schemas.power import PowerSamples
from tasks.forecasters.blend import blended
from tasks.forecasters.boosting import Boosting
from tasks.forecasters.power_features import with_roofline
from tasks.forecasters.protocol import Floats, PowerForecaster, PowerModel


def combined(table_w: Floats, roofline_w: Floats, graph_w: Floats | None) -> Floats:
    """Return the mean of both trees, and of that and the graph network where there is one."""
    trees = (table_w + roofline_w) / 2.0
    return trees if graph_w is None else blended(graph_w, trees)


@dataclass(frozen=True, slots=True, eq=False)
class ServedModel:
    """All members, trained on the same rows."""

    table: PowerModel
    roofline: PowerModel
    graph: PowerModel | None
    kind: Literal["served"] = "served"

    def forecast(self, samples: PowerSamples) -> Floats:
        """Return watts; NaN where a member cannot say.

        Raises:
            ValueError: ``samples`` have other features.
        """
        rich = with_roofline(samples)
        graph_w = None if self.graph is None else self.graph.forecast(rich)
        return samples.clipped(combined(self.table.forecast(samples), self.roofline.forecast(rich), graph_w))


@dataclass(frozen=True, slots=True)
class Served:
    """Options of the members.

    Args:
        graph: the graph network, passed in since torch is slow to import; None for the trees alone.
        boosting: options of both trees.
    """

    graph: PowerForecaster | None = None
    boosting: PowerForecaster = field(default_factory=Boosting)
    kind: Literal["served"] = "served"

    def train(self, samples: PowerSamples, rng: np.random.Generator) -> ServedModel:
        """Return all members, trained on the measured rows of ``samples``.

        Raises:
            ForecastFailed: one of them cannot learn from these samples.
            ValueError: the rows are not configurations of served models.
        """
        rich = with_roofline(samples)
        one, two, three = rng.spawn(3)
        graph = None if self.graph is None else self.graph.train(rich, three)
        return ServedModel(self.boosting.train(samples, one), self.boosting.train(rich, two), graph)
