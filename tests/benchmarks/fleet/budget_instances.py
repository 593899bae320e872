"""Which budgets is the benchmark of budgets about? Ten dimensions of levels, from power laws and from worse."""

from collections.abc import Callable

import numpy as np

from tasks.problems.budget import Budget
from tasks.problems.budget_dimensions import Dimension, Levels, PowerLaw

DIMENSIONS = (
    "compute",
    "memory",
    "storage",
    "network",
    "geographic",
    "temporal",
    "algorithmic",
    "energy",
    "cost",
    "reliability",
)

Draw = Callable[[np.random.Generator, int], Levels]


def dimensions_of(rng: np.random.Generator, steps: tuple[float, ...] = ()) -> list[Dimension]:
    """Return ten dimensions with power laws and prices; scales from 1 to 64."""
    return [
        Dimension(
            name,
            "unit",
            PowerLaw(1.0, float(rng.uniform(0.1, 0.95))),
            PowerLaw(float(rng.lognormal(1.0, 0.8)), float(rng.uniform(0.8, 1.3))),
            1.0,
            64.0,
            steps,
        )
        for name in DIMENSIONS
    ]


def lawful(rng: np.random.Generator, levels: int) -> Budget:
    """Return a budget over scales that double from level to level (or as many at equal ratios up to 64)."""
    made = [each.levels(levels) for each in dimensions_of(rng, tuple(2.0 ** np.arange(levels)) if levels <= 7 else ())]
    return _within(tuple(made), rng)


def alike(rng: np.random.Generator, levels: int) -> Budget:
    """Return a budget over levels that bring nearly as much as they take: the hard kind of knapsack.

    Gains that are nearly proportional to weights leave no order to be greedy by (strongly correlated instances;
    Pisinger 2005, doi 10.1016/j.cor.2004.03.002).
    """
    made = []
    for name in DIMENSIONS:
        more = np.sort(rng.uniform(1.0, 20.0, levels))
        more[0] = 1.0
        gain = 0.05 * (more - 1.0) + rng.uniform(0.0, 0.02, levels)
        made.append(Levels(name, np.arange(1.0, levels + 1.0), np.exp(gain), more))
    return _within(tuple(made), rng)


FAMILIES: dict[str, Callable[[np.random.Generator, int], Budget]] = {"power laws": lawful, "gain as spend": alike}


def instances(family: str, count: int, seed: int, levels: int = 4) -> list[Budget]:
    """Return some budgets of a family; the same seed gives the same ones."""
    return [FAMILIES[family](np.random.default_rng([seed, number]), levels) for number in range(count)]


def _within(levels: tuple[Levels, ...], rng: np.random.Generator) -> Budget:
    least = sum(float(each.spend.min()) for each in levels)
    most = sum(float(each.spend.max()) for each in levels)
    return Budget(levels, least + float(rng.uniform(0.15, 0.6)) * (most - least))
