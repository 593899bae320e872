"""Does the meta controller choose better than the best fixed choice and than following the leader?

It learns from the first 20 windows of every sequence but the last two, and is judged on the later windows of those, and
on all windows of the two sequences that it never saw. The best fixed choice is the one of the windows it is judged on:
nobody could have known it, so the yardstick is harder than a real one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from data.schemas.power import Floats
from tasks.forecasters.meta_controller import Log, MetaController, MetaModel, best_fixed, follow_the_leader
from tests.benchmarks.forecasters.windows import FORECASTERS, SOLVERS, losses_of

LEARNED, UNSEEN = 20, 2
RESAMPLES = 2_000
QUESTIONS = ("forecaster", "solver")
OURS, LEADER, FIXED, HINDSIGHT = "meta controller", "follow the leader", "best fixed choice", "best in hindsight"


@dataclass(frozen=True, slots=True, eq=False)
class MetaTable:
    """Losses of every way to choose, window by window.

    Args:
        losses: by part of the data and method, ``(windows, questions)``.
        fixed: names of the best fixed choices, by part.
    """

    losses: Mapping[str, Mapping[str, Floats]]
    fixed: Mapping[str, tuple[str, ...]]

    def beaten(self) -> bool:
        """Tell whether the controller's loss is below both yardsticks', for both questions, in both parts."""
        return all(
            float(by_method[OURS][:, number].mean()) < float(by_method[other][:, number].mean())
            for by_method in self.losses.values()
            for other in (LEADER, FIXED)
            for number in range(len(QUESTIONS))
        )

    def show(self) -> None:
        """Print mean losses, and the differences to both yardsticks with 95 % bootstrap intervals over windows."""
        for part, by_method in self.losses.items():
            windows = len(by_method[OURS])
            print(f"\nmeta controller, {part}, {windows} windows; best fixed: {', '.join(self.fixed[part])}")
            print(f"{'method':28}{'error of the forecaster':>26}{'cost above the best solver':>30}")
            for name, losses in by_method.items():
                print(f"{name:28}{losses[:, 0].mean():>26.2%}{losses[:, 1].mean():>28.4f} %")
            for other in (LEADER, FIXED):
                each = by_method[OURS] - by_method[other]
                (low, high), (below, above) = (_interval(each[:, number]) for number in range(2))
                print(
                    f"ours less {other:18} {each[:, 0].mean():+.2%} [{low:+.2%}, {high:+.2%}]   "
                    f"{each[:, 1].mean():+.4f} [{below:+.4f}, {above:+.4f}] %"
                )
        print(f"beats both yardsticks in both questions: {'yes' if self.beaten() else 'no, so it ships off'}")

    def told(self) -> dict[str, Any]:
        """Return all figures for the JSON file."""
        return {
            part: {
                "best fixed": dict(zip(QUESTIONS, self.fixed[part], strict=True)),
                "mean loss": {
                    name: dict(zip(QUESTIONS, losses.mean(axis=0).tolist(), strict=True))
                    for name, losses in by_method.items()
                },
            }
            for part, by_method in self.losses.items()
        } | {"beats both": self.beaten()}


def meta_table(logs: Sequence[Log], seed: int = 0) -> MetaTable:
    """Return the losses of all ways to choose on windows that the controller did not learn from."""
    known, unseen = logs[:-UNSEEN], logs[-UNSEEN:]
    first = [Log(log.features[:LEARNED], tuple(one[:LEARNED] for one in log.losses)) for log in known]
    model = MetaController().train(first, np.random.default_rng(seed))
    parts = {"later windows": (known, LEARNED), "sequences never seen": (unseen, 0)}
    losses, fixed = {}, {}
    for part, (chosen, start) in parts.items():
        judged = [Log(log.features[start:], tuple(one[start:] for one in log.losses)) for log in chosen]
        best = best_fixed(judged)
        losses[part] = _by_method(model, chosen, start, best)
        names = (tuple(FORECASTERS), SOLVERS)
        fixed[part] = tuple(options[number] for options, number in zip(names, best.tolist(), strict=True))
    return MetaTable(losses, fixed)


def _by_method(model: MetaModel, logs: Sequence[Log], start: int, best: np.ndarray) -> dict[str, Floats]:
    ways = {
        OURS: model.choose,
        LEADER: follow_the_leader,
        FIXED: lambda log: np.tile(best, (len(log.features), 1)),
        HINDSIGHT: lambda log: np.stack([one.argmin(axis=1) for one in log.losses], axis=1),
    }
    return {name: np.concatenate([losses_of(log, way(log))[start:] for log in logs]) for name, way in ways.items()}


def _interval(values: Floats) -> tuple[float, float]:
    drawn = np.random.default_rng(0).integers(len(values), size=(RESAMPLES, len(values)))
    low, high = np.quantile(values[drawn].mean(axis=1), (0.025, 0.975))
    return float(low), float(high)
