"""What does a job draw, going by its like? GraphSAGE over jobs, in which those that are measured tell the others.

GraphSAGE (Hamilton et al. 2017, arXiv 1706.02216) with one aggregation per relation. A measured job's draw is part of
what it tells; in training, draws are hidden in turn and asked for (masked label prediction: Shi et al. 2021, arXiv
2009.03509). Jobs that nobody measured only listen, so a forecast does not depend on which others are asked about.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from data.schemas.power import PowerSamples
from tasks.forecasters.graph import RELATIONS, Ints, Scaler, neighbours
from tasks.forecasters.protocol import Floats, ForecastFailed

with warnings.catch_warnings():
    # torch-geometric 2.8 calls it while it is imported, with torch 2.13; nothing of ours does
    warnings.filterwarnings("ignore", message="`torch.jit.script` is deprecated", category=DeprecationWarning)
    from torch_geometric.nn import SAGEConv

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
        members = tuple(_fitted(self, support, scaler, edges, child) for child in rng.spawn(self.members))
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
        features = np.concatenate([self.scaler.scaled(self.support), self.scaler.scaled(samples)])
        told = np.concatenate([_logit(_share(self.support)), np.zeros(len(samples.ids))])
        known = np.concatenate([np.ones(count), np.zeros(len(samples.ids))])
        share = np.zeros(len(samples.ids))
        with reproducible(0), torch.no_grad():
            inputs = _inputs(features, told, known)
            for weights in self.members:
                network = _Network(features.shape[1], self.options)
                network.load_state_dict({name: torch.tensor(values) for name, values in weights})
                logits = network.eval()(inputs, [torch.tensor(one) for one in edges])
                share += torch.sigmoid(logits).double().numpy()[count:] / len(self.members)
        have = set(self.support.gpu_models)
        known_model = np.array([model in have for model in samples.gpu_models])
        watts = samples.idle_w + share * (samples.max_w - samples.idle_w)
        return samples.clipped(np.where(known_model, watts, np.nan))


def parameter_shapes(options: GraphSage, scaler: Scaler) -> dict[str, tuple[int, ...]]:
    """Return name and shape of each parameter of a network with these options and features."""
    with torch.device("meta"):
        network = _Network(scaler.center.size + int(scaler.flagged.sum()), options)
    return {name: tuple(values.shape) for name, values in network.state_dict().items()}


class _Network(torch.nn.Module):
    """Encoder, aggregations with a sum over relations and a shortcut, head."""

    def __init__(self, features: int, options: GraphSage) -> None:
        super().__init__()
        width = options.hidden
        self.encoder = torch.nn.Linear(features + 2, width)
        self.layers = torch.nn.ModuleList(
            torch.nn.ModuleList(SAGEConv(width, width, root_weight=number == 0) for number, _ in enumerate(RELATIONS))
            for _ in range(options.layers)
        )
        self.head = torch.nn.Sequential(torch.nn.Linear(width, width), torch.nn.ReLU(), torch.nn.Linear(width, 1))

    def forward(self, inputs: torch.Tensor, edges: list[torch.Tensor]) -> torch.Tensor:
        """Return the logit of the share between idle and highest draw, ``(jobs,)``."""
        state = torch.relu(self.encoder(inputs))
        for layer in self.layers:
            assert isinstance(layer, torch.nn.ModuleList)  # noqa: S101  # a ModuleList does not tell mypy what it holds
            heard = torch.stack([convolve(state, one) for convolve, one in zip(layer, edges, strict=True)])
            state = state + torch.relu(heard.sum(dim=0))
        answer: torch.Tensor = self.head(state)[:, 0]
        return answer


def _fitted(
    options: GraphSage, support: PowerSamples, scaler: Scaler, edges: tuple[Ints, ...], rng: np.random.Generator
) -> Weights:
    """Return the parameters of one network after training."""
    seen, waiting = (scaler.scaled(rows) for rows in (support, support.waiting()))
    share = _share(support)
    told = _logit(share)
    span_w = support.max_w - support.idle_w
    target_w = torch.tensor(support.clipped(support.power_w), dtype=torch.float32)
    base_w, range_w = (torch.tensor(values, dtype=torch.float32) for values in (support.idle_w, span_w))
    groups = np.unique(support.groups, return_inverse=True)[1]
    numeric = len(support.names)
    paths = [torch.tensor(one) for one in edges]
    with reproducible(int(rng.integers(2**31))):
        network = _Network(seen.shape[1], options)
        optimizer = torch.optim.AdamW(network.parameters(), lr=options.rate, weight_decay=options.decay)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, options.rate, total_steps=options.epochs)
        for epoch in range(options.epochs):
            hidden = _hidden(groups, options.hidden_share, whole_groups=epoch % 2 == 0, rng=rng)
            before_start = hidden & (rng.random(hidden.size) < 0.5)
            features = np.where(before_start[:, None], waiting, seen)
            features[:, :numeric] += options.noise * rng.standard_normal((hidden.size, numeric))
            logits = network(_inputs(features, np.where(hidden, 0.0, told), (~hidden).astype(np.float64)), paths)
            watts = base_w + range_w * torch.sigmoid(logits)
            asked = torch.tensor(hidden)
            loss = (torch.abs(watts - target_w) / target_w)[asked].mean()
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]  # torch ships it untyped
            optimizer.step()
            schedule.step()
        return tuple((name, values.numpy().copy()) for name, values in network.state_dict().items())


def _hidden(groups: Ints, share: float, *, whole_groups: bool, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Return which draws to hide, ``(jobs,)``: whole groups, as for work never seen, or single jobs; at least one."""
    units = groups if whole_groups else np.arange(groups.size)
    count = int(units.max()) + 1
    chosen = rng.permutation(count)[: max(1, round(share * count))]
    return np.isin(units, chosen)


def _share(samples: PowerSamples) -> Floats:
    """Return where between idle and highest the measured draws lie, kept off both ends so that a logit exists."""
    span = np.maximum(samples.max_w - samples.idle_w, 1e-9)
    return np.clip((samples.power_w - samples.idle_w) / span, 0.02, 0.98)


def _logit(share: Floats) -> Floats:
    return np.asarray(np.log(share / (1.0 - share)))


def _inputs(features: Floats, told: Floats, known: Floats) -> torch.Tensor:
    return torch.tensor(np.column_stack([features, told, known]), dtype=torch.float32)


@contextmanager
def reproducible(seed: int) -> Iterator[None]:
    """Run torch seeded, with deterministic algorithms, on one thread; afterwards all is as others had it."""
    threads = torch.get_num_threads()
    strict, warn = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        torch.set_num_threads(1)
        torch.use_deterministic_algorithms(True)
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(strict, warn_only=warn)
            torch.set_num_threads(threads)
