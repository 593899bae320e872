"""Which forecaster and which solver shall the next window use? A small LSTM that has read the windows before it.

Long short-term memory (Hochreiter and Schmidhuber 1997, doi 10.1162/neco.1997.9.8.1735) over features of each window
and the losses that each choice had in the window before. It is trained on the expected regret of choosing by its
probabilities, which is differentiable since the losses of all choices are known afterwards. Follow the leader (Hannan
1957; Cesa-Bianchi and Lugosi 2006, doi 10.1017/CBO9780511546921) and the best fixed choice are its yardsticks.

It ships off: on replays it never saw it chose as the best fixed choice did, boosting and QAOA, and gained nothing on it
(following the leader lost 0.17 points of error and 0.09 % of cost). Nothing calls it but ``bench_forecasters``, so
there is no file format for it either.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from tasks.forecasters.protocol import Floats, ForecastFailed

if TYPE_CHECKING:
    import torch

Ints = NDArray[np.int64]
Weights = tuple[tuple[str, NDArray[np.float32]], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Log:
    """A sequence of windows, oldest first, and what each choice would have cost in each.

    Args:
        features: known before the window, ``(windows, features)``.
        losses: one array per question, known after the window, lower is better, ``(windows, choices)``.

    Raises:
        ValueError: the arrays differ in length, or hold what is not finite.
    """

    features: Floats
    losses: tuple[Floats, ...]

    def __post_init__(self) -> None:
        for name, values in (
            ("features", self.features),
            *((f"losses[{n}]", one) for n, one in enumerate(self.losses)),
        ):
            if values.ndim != 2 or len(values) != len(self.features):
                raise ValueError(f"{name}: expected shape ({len(self.features)}, ...), got {values.shape}")
            if not np.isfinite(values).all():
                raise ValueError(f"{name}: expected finite numbers")

    @property
    def choices(self) -> tuple[int, ...]:
        """How many choices each question has."""
        return tuple(values.shape[1] for values in self.losses)


@dataclass(frozen=True, slots=True)
class MetaController:
    """Options of the network.

    Args:
        hidden: width of the memory.
        epochs: passes over all sequences.
        rate: of Adam.
        decay: of the weights.
    """

    hidden: int = 16
    epochs: int = 150
    rate: float = 0.01
    decay: float = 0.01
    kind: Literal["lstm"] = "lstm"

    def __post_init__(self) -> None:
        if not (1 <= self.hidden <= 256 and 1 <= self.epochs <= 10_000):
            raise ValueError(f"expected hidden of 1 to 256 and epochs of 1 to 10000, got {self}")

    def train(self, logs: Sequence[Log], rng: np.random.Generator) -> "MetaModel":
        """Return what the sequences teach: the same bytes for the same generator state.

        Raises:
            ValueError: the sequences differ in features or choices.
            ForecastFailed: there is nothing to learn from.
        """
        import torch

        from tasks.forecasters.gnn_network import reproducible

        if not logs or not all(len(log.features) for log in logs):
            raise ForecastFailed("no windows to learn a choice from")
        widths = {(log.features.shape[1], log.choices) for log in logs}
        if len(widths) > 1:
            raise ValueError(f"logs: expected the same features and choices in all, got {sorted(widths)}")
        scale = Scale.of(logs)
        inputs = [torch.tensor(scale.inputs(log), dtype=torch.float32) for log in logs]
        regrets = [[torch.tensor(one, dtype=torch.float32) for one in scale.regrets(log)] for log in logs]
        with reproducible(int(rng.integers(2**31))):
            network = _network(inputs[0].shape[1], self.hidden, logs[0].choices)
            optimizer = torch.optim.AdamW(network.parameters(), lr=self.rate, weight_decay=self.decay)
            for _ in range(self.epochs):
                loss = torch.zeros(())
                for rows, wanted in zip(inputs, regrets, strict=True):
                    for logits, regret in zip(network(rows), wanted, strict=True):
                        loss = loss + (torch.softmax(logits, dim=1) * regret).sum(dim=1).mean()
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]  # torch ships it untyped
                optimizer.step()
            weights = tuple((name, values.numpy().copy()) for name, values in network.state_dict().items())
        if not all(np.isfinite(values).all() for _, values in weights):
            raise ForecastFailed("the weights of the meta controller did not stay finite")
        return MetaModel(self, scale, logs[0].choices, weights)


@dataclass(frozen=True, slots=True, eq=False)
class Scale:
    """How features and losses become numbers of order one.

    Args:
        center: means of the features, ``(features,)``.
        spread: their standard deviations, 1 where there is none, ``(features,)``.
        typical: mean loss of each question's choices, by which losses are divided, ``(questions,)``.
    """

    center: Floats
    spread: Floats
    typical: Floats

    @classmethod
    def of(cls, logs: Sequence[Log]) -> "Scale":
        """Return the scale that fits ``logs``."""
        rows = np.concatenate([log.features for log in logs])
        spread = rows.std(axis=0)
        typical = [np.mean(np.abs(np.concatenate([log.losses[n] for log in logs]))) for n in range(len(logs[0].losses))]
        return cls(rows.mean(axis=0), np.where(spread > 1e-9, spread, 1.0), np.maximum(typical, 1e-9))

    def inputs(self, log: Log) -> Floats:
        """Return the features of each window and the losses of the one before it, ``(windows, inputs)``."""
        features = np.clip((log.features - self.center) / self.spread, -4.0, 4.0)
        before = []
        for losses, typical in zip(log.losses, self.typical, strict=True):
            shown = np.clip(losses / typical, -4.0, 4.0)
            before.append(np.concatenate([np.zeros((1, shown.shape[1])), shown[:-1]]))
        return np.concatenate([features, *before], axis=1)

    def regrets(self, log: Log) -> tuple[Floats, ...]:
        """Return how much worse than the best choice each was, ``(windows, choices)`` for each question."""
        return tuple(
            (losses - losses.min(axis=1, keepdims=True)) / typical
            for losses, typical in zip(log.losses, self.typical, strict=True)
        )


@dataclass(frozen=True, slots=True, eq=False)
class MetaModel:
    """A network that has learned to choose.

    Args:
        options: how it was made.
        scale: of features and losses.
        choices: how many each question has.
        weights: parameters by name.
    """

    options: MetaController
    scale: Scale
    choices: tuple[int, ...]
    weights: Weights
    kind: Literal["lstm"] = "lstm"

    def choose(self, log: Log) -> Ints:
        """Return the choice for each window from what was known before it, ``(windows, questions)``.

        The losses of a window only ever serve the windows after it, so the last row is the choice for a window whose
        losses nobody knows yet (whatever stands there).

        Raises:
            ValueError: ``log`` has other features or choices.
        """
        import torch

        from tasks.forecasters.gnn_network import reproducible

        if log.choices != self.choices or log.features.shape[1] != self.scale.center.size:
            raise ValueError(
                f"log: expected {self.scale.center.size} features and choices {self.choices}, "
                f"got {log.features.shape[1]} and {log.choices}"
            )
        rows = torch.tensor(self.scale.inputs(log), dtype=torch.float32)
        with reproducible(0), torch.no_grad():
            network = _network(rows.shape[1], self.options.hidden, self.choices)
            network.load_state_dict({name: torch.tensor(values) for name, values in self.weights})
            return np.stack([logits.argmax(dim=1).numpy() for logits in network(rows)], axis=1).astype(np.int64)


def follow_the_leader(log: Log) -> Ints:
    """Return for each window the choice with the lowest total loss before it, ``(windows, questions)``.

    The first window, and a tie, go to the first choice.
    """
    chosen = []
    for losses in log.losses:
        total = np.concatenate([np.zeros((1, losses.shape[1])), np.cumsum(losses, axis=0)[:-1]])
        chosen.append(total.argmin(axis=1))
    return np.stack(chosen, axis=1).astype(np.int64)


def best_fixed(logs: Sequence[Log]) -> Ints:
    """Return the choice of each question with the lowest mean loss over all windows of ``logs``, ``(questions,)``."""
    return np.array(
        [np.concatenate([log.losses[n] for log in logs]).mean(axis=0).argmin() for n in range(len(logs[0].losses))],
        dtype=np.int64,
    )


def _network(inputs: int, hidden: int, choices: tuple[int, ...]) -> "torch.nn.Module":
    """Return a memory and one head per question; it maps ``(windows, inputs)`` to logits ``(windows, choices)``."""
    import torch

    class Network(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.memory = torch.nn.LSTM(inputs, hidden)
            self.heads = torch.nn.ModuleList(torch.nn.Linear(hidden, count) for count in choices)

        def forward(self, rows: torch.Tensor) -> list[torch.Tensor]:
            state, _ = self.memory(rows)
            return [head(state) for head in self.heads]

    return Network()
