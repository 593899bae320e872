"""Does a recurrent network forecast the load of experts better than the last window and a weighted mean do?

It is trained on all but the newest windows, and measured on those, one step ahead; it answers only if it did better
there than both. One small network learns from the series of all experts of all layers.
"""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tasks.forecasters.load import Ewma, Loads
from tasks.forecasters.load_scenarios import PastWindows

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Lstm:
    """Long short-term memory (Hochreiter and Schmidhuber 1997, doi 10.1162/neco.1997.9.8.1735) over log loads.

    Args:
        hidden: size of the memory.
        epochs: passes over the series.
        held_out: newest windows on which it is measured.
        least_windows: past windows below which it is not tried.
        most_series: series of experts that it learns from, drawn by chance where there are more.
    """

    hidden: int = 16
    epochs: int = 120
    held_out: int = 3
    least_windows: int = 12
    most_series: int = 2_000
    kind: Literal["lstm"] = "lstm"

    def __post_init__(self) -> None:
        if min(self.hidden, self.epochs, self.held_out, self.most_series) < 1 or self.least_windows < self.held_out + 3:
            raise ValueError(f"expected sizes of at least 1 and windows for 3 steps beside the held out, got {self}")

    def __call__(self, loads: Floats, rng: np.random.Generator) -> Loads:
        """Return the forecast of the window after the last of ``loads``, ``(windows, layers, experts)``.

        It is the weighted mean's, with a word on why, where there are too few windows or the network did no better.
        """
        mean = Ewma()(loads)
        if len(loads) < self.least_windows:
            return mean
        steps = range(len(loads) - self.held_out, len(loads))
        answers = self._answers(loads, rng)
        total = float(loads[steps.start :].sum()) or 1.0
        errors = {
            "network": sum(float(np.abs(answers[step - steps.start] - loads[step]).sum()) for step in steps) / total,
            "mean": sum(float(np.abs(Ewma()(loads[:step]).tokens - loads[step]).sum()) for step in steps) / total,
            "last window": sum(float(np.abs(loads[step - 1] - loads[step]).sum()) for step in steps) / total,
        }
        said = f"on the newest {self.held_out} windows, held out, " + ", ".join(
            f"{name} {error:.1%}" for name, error in errors.items()
        )
        if errors["network"] >= min(errors["mean"], errors["last window"]):
            return replace(mean, method=f"{mean.method}, since a recurrent network did no better: errors {said}")
        tokens = answers[-1]
        tokens.flags.writeable = False
        scenarios = PastWindows()(loads, tokens, answers[-2], errors["network"])
        method = f"a recurrent network: errors {said}"
        return replace(mean, tokens=tokens, error=errors["network"], scenarios=scenarios, method=method)

    def _answers(self, loads: Floats, rng: np.random.Generator) -> list[Floats]:
        """Return forecasts of each held-out window and of the next, by a network that saw none of them in training."""
        import torch  # takes seconds, which a flow without so many windows need not wait for

        volume = loads.sum(axis=2, keepdims=True) / loads.shape[2]
        series = np.log((loads + 1.0) / (volume + 1.0)).reshape(len(loads), -1).T  # (series, windows)
        learned = len(loads) - self.held_out
        chosen = rng.permutation(len(series))[: self.most_series]
        seed, before = int(rng.integers(2**31)), torch.random.get_rng_state()
        try:
            torch.manual_seed(seed)
            memory = torch.nn.LSTM(1, self.hidden, batch_first=True)
            head = torch.nn.Linear(self.hidden, 1)
            torch.nn.init.zeros_(head.weight)
            torch.nn.init.zeros_(head.bias)  # so that it starts as the last window
        finally:
            torch.random.set_rng_state(before)
        known = torch.tensor(series[:, :, None], dtype=torch.float32)
        past = known[torch.as_tensor(chosen), :learned]
        steps = torch.optim.Adam([*memory.parameters(), *head.parameters()], lr=0.01)
        for _ in range(self.epochs):
            steps.zero_grad()
            change = head(memory(past[:, :-1])[0])
            loss = torch.nn.functional.mse_loss(past[:, :-1] + change, past[:, 1:])
            loss.backward()  # type: ignore[no-untyped-call]  # torch does not say
            steps.step()
        with torch.no_grad():
            ahead = (known + head(memory(known)[0]))[:, learned - 1 :, 0].double().numpy()
        found = []
        for column, level in zip(ahead.T, volume[learned - 1 :], strict=True):
            tokens = np.exp(column).reshape(loads.shape[1:])
            found.append(np.asarray(tokens * level * (loads.shape[2] / tokens.sum(axis=1, keepdims=True))))
        return found
