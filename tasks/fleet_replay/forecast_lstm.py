"""Does a recurrent network see more in demand's past than waves and last values do?

One small network learns from all series what the waves of :class:`tasks.fleet_replay.forecast.Seasonal` leave: it is
given their newest residuals and the clock, and tells quantiles of the next one (pinball loss; Koenker and Bassett 1978,
doi 10.2307/1913643).
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from tasks.fleet_replay.forecast import Blocks, Seasonal, clock

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Lstm:
    """Long short-term memory (Hochreiter and Schmidhuber 1997, doi 10.1162/neco.1997.9.8.1735).

    Args:
        hidden: size of the memory.
        epochs: passes over the blocks that are learned from.
        quantiles: that are learned together; the middle one answers.
        seasonal: waves that it starts from.
    """

    hidden: int = 24
    epochs: int = 150
    quantiles: tuple[float, ...] = (0.05, 0.5, 0.95, 0.995)
    seasonal: Seasonal = field(default_factory=Seasonal)
    kind: str = "seasonal, recurrent network"

    def __post_init__(self) -> None:
        if 0.5 not in self.quantiles or self.hidden < 1 or self.epochs < 1:
            raise ValueError(f"expected the middle quantile, 0.5, and sizes of at least 1, got {self}")

    def __call__(self, blocks: Blocks, rng: np.random.Generator) -> Floats:
        """Return the middle forecast of each block, ``(series, blocks)``."""
        return np.asarray(self.told(blocks, rng)[self.quantiles.index(0.5)])

    def told(self, blocks: Blocks, rng: np.random.Generator) -> Floats:
        """Return all quantiles of each block, ``(quantiles, series, blocks)``."""
        import torch  # takes seconds, which whoever does without need not wait for

        course = self.seasonal.course(blocks)
        residual = np.log(blocks.peak) - course
        scale = float(residual[:, : blocks.learned].std()) or 1.0
        before = np.column_stack([np.zeros(len(residual)), residual[:, :-1]]) / scale
        time = np.broadcast_to(clock(blocks, 2)[:, 1:5], (len(residual), residual.shape[1], 4))
        given = torch.tensor(np.concatenate([before[:, :, None], time], axis=2), dtype=torch.float32)
        wanted = torch.tensor(residual / scale, dtype=torch.float32)
        seed, state = int(rng.integers(2**31)), torch.random.get_rng_state()
        try:
            torch.manual_seed(seed)
            memory = torch.nn.LSTM(given.shape[2], self.hidden, batch_first=True)
            head = torch.nn.Linear(self.hidden, len(self.quantiles))
            torch.nn.init.zeros_(head.weight)
            torch.nn.init.zeros_(head.bias)  # so that it starts as the last value
        finally:
            torch.random.set_rng_state(state)
        shares = torch.tensor(self.quantiles)
        learned = blocks.learned
        steps = torch.optim.Adam([*memory.parameters(), *head.parameters()], lr=0.01)
        for _ in range(self.epochs):
            steps.zero_grad()
            told = given[:, :learned, :1] + head(memory(given[:, :learned])[0])
            gap = wanted[:, :learned, None] - told
            loss = torch.maximum(shares * gap, (shares - 1.0) * gap).mean()
            loss.backward()  # type: ignore[no-untyped-call]  # torch does not say
            steps.step()
        with torch.no_grad():
            answers = (given[:, :, :1] + head(memory(given)[0])).double().numpy()
        return np.asarray(np.exp(course[None] + scale * np.moveaxis(answers, 2, 0)))
