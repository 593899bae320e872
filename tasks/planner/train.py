"""How is the planner taught? Like a rule first, then by its own rewards: a masked policy gradient.

REINFORCE (Williams 1992, doi 10.1007/BF00992696) over budgets, masked to those that would do something (Huang and
Ontanon 2022, arXiv 2006.14171). Several runs share each stretch of the trace, and the mean of the others is the
baseline of each; arrivals do not depend on decisions, so that takes most of the noise away.

Run: ``python -m tasks.planner.train TRACE.csv --output tasks/planner/weights.json``. Only days before ``--held-out``
are seen.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from data.readers.traces.philly import read_arrivals
from tasks.planner.episode import FEATURES, Episode, Matrix, View, episode, play, thinned
from tasks.planner.policy import Learned, save_policy
from tasks.planner.rules import PAY_BACKS, PayBack, best_of
from tasks.planner.world import TICK_S, Jobs

DAY_S = 86_400.0
TRAINING_DAYS = 5.7
"""From the trace's first job on; the rest is held out."""

DOMAINS = (48, 56, 64)
RESTARTS_H = (0.25, 1.0, 4.0)
"""Prices of a restart that are trained and measured: small jobs, and large ones with rare checkpoints."""


@dataclass(frozen=True, slots=True)
class Training:
    """Options.

    Args:
        updates: gradient steps.
        stretches: of the trace in each step.
        runs: of each stretch.
        discount: of a reward per tick; 0.98 looks some eight hours ahead; 0.995 was no better on the
            training days.
        rate: of Adam.
        entropy: weight of the entropy, which keeps it trying.
        clone: steps of imitation before.
    """

    updates: int = 80
    stretches: int = 4
    runs: int = 4
    discount: float = 0.98
    rate: float = 0.01
    entropy: float = 0.003
    clone: int = 600


class _Recording:
    """Plays a policy by chance, or a rule, and keeps what it saw."""

    def __init__(self, policy: Learned | PayBack, rng: np.random.Generator | None) -> None:
        self.policy, self.rng = policy, rng
        self.tables: list[Matrix] = []
        self.allowed: list[npt.NDArray[np.bool_]] = []

    def __call__(self, view: View) -> int:
        self.tables.append(view.table)
        self.allowed.append(view.allowed)
        if self.rng is None or not isinstance(self.policy, Learned):
            return self.policy(view)
        scores = np.where(view.allowed, self.policy.scores(view.table), -np.inf)
        gumbel = self.rng.gumbel(size=scores.size)
        return int(np.argmax(scores + gumbel))


def stretches(jobs: Jobs, days: Sequence[float], length_s: float, seed: int) -> list[Episode]:
    """Return an episode for each day, size of cluster and price; half of them begin on a tidy cluster."""
    made = []
    rng = np.random.default_rng(seed)
    for number, day in enumerate(days):
        for size, domains in enumerate(DOMAINS):
            begin = float(jobs.arrival_s[0]) + day * DAY_S
            kept = thinned(jobs, 0.95, rng)
            made += [
                episode(kept, domains, begin, begin + length_s, restart_h=price, tidy_every=6 * ((number + size) % 2))
                for price in RESTARTS_H
            ]
    return made


def trained(episodes: Sequence[Episode], options: Training, rng: np.random.Generator) -> Learned:
    """Return a policy taught on ``episodes``."""
    import torch

    torch.manual_seed(int(rng.integers(2**31)))
    rule = best_of(PAY_BACKS, episodes)
    if not isinstance(rule, PayBack):
        raise TypeError(f"expected a pay-back rule, got {rule}")
    weights = {
        "linear": torch.zeros(FEATURES, dtype=torch.float64),
        "inner": 0.3 * torch.randn(FEATURES, 16, dtype=torch.float64),
        "bias": torch.zeros(16, dtype=torch.float64),
        "outer": 0.01 * torch.randn(16, dtype=torch.float64),
    }
    for value in weights.values():
        value.requires_grad_()

    def scores(tables: torch.Tensor, allowed: torch.Tensor) -> torch.Tensor:
        hidden = torch.tanh(tables @ weights["inner"] + weights["bias"])
        told = tables @ weights["linear"] + hidden @ weights["outer"]
        return torch.log_softmax(told.masked_fill(~allowed, -1e9), dim=-1)

    def current() -> Learned:
        plain = {name: value.detach().numpy().copy() for name, value in weights.items()}
        return Learned(plain["linear"], plain["inner"], plain["bias"], plain["outer"])

    tables, allowed, chosen = [], [], []
    for given in episodes:
        recording = _Recording(rule, None)
        chosen.append(play(given, recording).chosen)
        tables += recording.tables
        allowed += recording.allowed
    x, mask = torch.from_numpy(np.stack(tables)), torch.from_numpy(np.stack(allowed))
    y = torch.from_numpy(np.concatenate(chosen))
    matters = mask.sum(dim=1) > 1
    x, mask, y = x[matters], mask[matters], y[matters]
    adam = torch.optim.Adam(weights.values(), lr=0.02)
    for _ in range(options.clone):
        loss = -scores(x, mask).gather(1, y[:, None]).mean()
        adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        adam.step()
    adam = torch.optim.Adam(weights.values(), lr=options.rate)
    for _ in range(options.updates):
        policy = current()
        loss = torch.zeros((), dtype=torch.float64)
        for index in rng.choice(len(episodes), options.stretches, replace=False).tolist():
            recordings = [_Recording(policy, rng) for _ in range(options.runs)]
            outcomes = [play(episodes[index], recording) for recording in recordings]
            ahead = np.stack([_discounted(outcome.reward, options.discount) for outcome in outcomes])
            others = (ahead.sum(axis=0) - ahead) / (options.runs - 1)
            advantage = ahead - others
            advantage /= max(1e-9, float(advantage.std()))
            for recording, outcome, gain in zip(recordings, outcomes, advantage, strict=True):
                mask = torch.from_numpy(np.stack(recording.allowed))
                logs = scores(torch.from_numpy(np.stack(recording.tables)), mask)
                taken = logs.gather(1, torch.from_numpy(outcome.chosen)[:, None])[:, 0]
                matters = mask.sum(dim=1) > 1
                entropy = -(logs.exp() * logs.masked_fill(~mask, 0.0)).sum(dim=1)
                loss = loss - (taken * torch.from_numpy(gain))[matters].mean() - options.entropy * entropy.mean()
        adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        adam.step()
    return current()


def _discounted(reward: Matrix, discount: float) -> Matrix:
    """Return at each tick the discounted sum of the rewards from there on, ``(ticks,)``."""
    ahead = np.empty_like(reward)
    total = 0.0
    for tick in range(reward.size - 1, -1, -1):
        total = float(reward[tick]) + discount * total
        ahead[tick] = total
    return ahead


def main() -> None:
    """Teach the planner, and write its weights."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trace", type=Path)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--held-out", type=float, default=TRAINING_DAYS, help="days that are seen")
    parser.add_argument("--updates", type=int, default=Training().updates)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    jobs = Jobs(*read_arrivals(options.trace))
    days = np.arange(1.0, options.held_out - 0.5, 1.0).tolist()
    seen = stretches(jobs, days, 0.7 * DAY_S, options.seed)
    last_seen_s = float(jobs.arrival_s[0]) + options.held_out * DAY_S
    if max(given.end_s for given in seen) > last_seen_s + TICK_S:
        raise ValueError("a stretch reaches into the held-out days")
    policy = trained(seen, Training(updates=options.updates), np.random.default_rng(options.seed))
    save_policy(policy, options.output)


if __name__ == "__main__":
    main()
