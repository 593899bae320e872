"""What does a job draw, going by its like? GraphSAGE over jobs, in which those that are measured tell the others.

GraphSAGE (Hamilton et al. 2017, arXiv 1706.02216) with one aggregation per relation. A measured job's draw is part of
what it tells; in training, draws are hidden in turn and asked for (masked label prediction: Shi et al. 2021, arXiv
2009.03509). Jobs that nobody measured only listen, so a forecast does not depend on which others are asked about.

What it learns with stands in ``gnn_network``: to read a stored model, or to find that another forecaster is better,
needs no torch.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from data.schemas.power import PowerSamples
from tasks.forecasters.graph import RELATIONS, Scaler, neighbours
from tasks.forecasters.protocol import Floats, ForecastFailed

Weights = tuple[tuple[str, NDArray[np.float32]], ...]
"""Parameters of a network by name, in the network's order."""


@dataclass(frozen=True, slots=True)
class GraphSage:
    """Options of the network.

    Args:
        hidden: width.
        layers: aggregations, one after the other.
        nearest: speakers that a job hears in each relation.
        epochs: passes over the measured jobs.
        rate: highest learning rate of a one-cycle schedule.
        decay: of the weights.
        noise: on standardised features while training; what keeps a few hundred jobs from being learned by heart.
        hidden_share: of the draws that are hidden in each pass.
        members: networks whose answers are averaged.
        fewest: measured jobs below which nothing is learned.
        most: measured jobs that are kept, drawn by chance.
    """

    hidden: int = 32
    layers: int = 1
    nearest: int = 8
    epochs: int = 150
    rate: float = 0.01
    decay: float = 0.5
    noise: float = 0.3
    hidden_share: float = 0.5
    members: int = 2
    fewest: int = 24
    most: int = 512
    kind: Literal["graphsage"] = "graphsage"

    def __post_init__(self) -> None:
        # also what keeps a forged model file from asking for all memory
        bounds = {"hidden": 512, "layers": 4, "nearest": 64, "epochs": 10_000, "members": 16, "most": 20_000}
        for name, most in bounds.items():
            if not 1 <= getattr(self, name) <= most:
                raise ValueError(f"{name}: expected 1 to {most}, got {getattr(self, name)}")

    def train(self, samples: PowerSamples, rng: np.random.Generator) -> "GraphModel":
        """Return what the measured rows of ``samples`` teach: the same bytes for the same generator state.

        Raises:
            ForecastFailed: too few rows are measured, or the weights did not stay finite.
        """
        rows = np.flatnonzero(samples.measured)
        if rows.size < self.fewest:
            raise ForecastFailed(f"{rows.size} measured jobs, at least {self.fewest} are needed")
        support = samples.take(np.sort(rng.permutation(rows)[: self.most]))
        scaler = Scaler.of(support)
        edges = neighbours(support, support, scaler, self.nearest)
        from tasks.forecasters.gnn_network import fitted  # torch and torch-geometric take four seconds

        members = tuple(fitted(self, support, scaler, edges, child) for child in rng.spawn(self.members))
        if not all(np.isfinite(values).all() for weights in members for _, values in weights):
            raise ForecastFailed("the weights of the graph network did not stay finite")
        return GraphModel(self, support, scaler, members)


@dataclass(frozen=True, slots=True, eq=False)
class GraphModel:
    """Networks that have learned, with the measured jobs that speak to whoever is asked about.

    Args:
        options: how they were made.
        support: the measured jobs.
        scaler: of the features.
        members: parameters of each network.
    """

    options: GraphSage
    support: PowerSamples
    scaler: Scaler
    members: tuple[Weights, ...]
    kind: Literal["graphsage"] = "graphsage"

    def forecast(self, samples: PowerSamples) -> Floats:
        """Return watts; NaN for GPU models that are not in the support.

        Raises:
            ValueError: ``samples`` have other features.
        """
        if samples.feature_set != self.support.feature_set:
            raise ValueError(f"samples: expected features {self.support.feature_set}, got {samples.feature_set}")
        if not samples.ids:
            return np.empty(0)
        count = len(self.support.ids)
        pairs = zip(
            neighbours(self.support, self.support, self.scaler, self.options.nearest),
            neighbours(samples, self.support, self.scaler, self.options.nearest),
            strict=True,
        )
        edges = [
            np.concatenate([within, onto + np.array([[0], [count]])], axis=1).astype(np.int64) for within, onto in pairs
        ]
        from tasks.forecasters.gnn_network import shares  # as in train

        features = np.concatenate([self.scaler.scaled(self.support), self.scaler.scaled(samples)])
        share = shares(self.options, self.members, features, self.support, edges)[count:]
        have = set(self.support.gpu_models)
        known_model = np.array([model in have for model in samples.gpu_models])
        watts = samples.idle_w + share * (samples.max_w - samples.idle_w)
        return samples.clipped(np.where(known_model, watts, np.nan))


def parameter_shapes(options: GraphSage, scaler: Scaler) -> dict[str, tuple[int, ...]]:
    """Return name and shape of each parameter of a network with these options and features, in its order."""
    width = options.hidden
    shapes: dict[str, tuple[int, ...]] = {}

    def linear(name: str, outputs: int, inputs: int, *, bias: bool = True) -> None:
        shapes[f"{name}.weight"] = (outputs, inputs)
        if bias:
            shapes[f"{name}.bias"] = (outputs,)

    # the features, a flag for each that may be missing, the draw that is told and whether it is known
    linear("encoder", width, scaler.center.size + int(scaler.flagged.sum()) + 2)
    for layer in range(options.layers):
        for relation, _ in enumerate(RELATIONS):
            linear(f"layers.{layer}.{relation}.lin_l", width, width)
            if not relation:
                linear(f"layers.{layer}.{relation}.lin_r", width, width, bias=False)
    linear("head.0", width, width)
    linear("head.2", 1, width)
    return shapes
