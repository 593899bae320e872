"""What is learned in GraphSAGE over jobs, and how? The only part of that forecaster that needs torch."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray

from data.schemas.power import PowerSamples
from tasks.forecasters.gnn import GraphSage, Weights
from tasks.forecasters.graph import RELATIONS, Ints, Scaler
from tasks.forecasters.protocol import Floats

with warnings.catch_warnings():
    # torch-geometric 2.8 calls it while it is imported, with torch 2.13; nothing of ours does
    warnings.filterwarnings("ignore", message="`torch.jit.script` is deprecated", category=DeprecationWarning)
    from torch_geometric.nn import SAGEConv


class Network(torch.nn.Module):
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


def fitted(
    options: GraphSage, support: PowerSamples, scaler: Scaler, edges: tuple[Ints, ...], rng: np.random.Generator
) -> Weights:
    """Return the parameters of one network after training.

    Args:
        options: of the network and its training.
        support: measured jobs, which it is asked about and hears.
        scaler: of their features.
        edges: who hears whom in each relation, ``(2, edges)``.
        rng: source of chance.
    """
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
        network = Network(seen.shape[1], options)
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


def shares(
    options: GraphSage,
    members: Sequence[Weights],
    features: Floats,
    support: PowerSamples,
    edges: Sequence[Ints],
) -> Floats:
    """Return where between idle and highest the networks see each job, 0 to 1, ``(jobs,)``: their mean.

    Args:
        options: of the networks.
        members: parameters of each.
        features: of all jobs, first those of ``support``, ``(jobs, columns)``.
        support: measured jobs, which tell their draw; the others only listen.
        edges: who hears whom in each relation, ``(2, edges)``.
    """
    count = len(support.ids)
    told, known = np.zeros((2, len(features)))
    told[:count], known[:count] = _logit(_share(support)), 1.0
    share = np.zeros(len(features))
    with reproducible(0), torch.no_grad():
        inputs = _inputs(features, told, known)
        for weights in members:
            network = Network(features.shape[1], options)
            network.load_state_dict({name: torch.tensor(values) for name, values in weights})
            logits = network.eval()(inputs, [torch.tensor(one) for one in edges])
            share += torch.sigmoid(logits).double().numpy() / len(members)
    return share


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
