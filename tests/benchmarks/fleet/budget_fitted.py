"""What do fitted laws say of a budget over all ten dimensions, and how sure are they? The sample's series, end to end.

The table of series that ships is made by our own generator. Each law is chosen and fitted as ``flows run scaling``
does, with draws of its bootstrap; prices are ours too, so that each dimension's middle level takes as much.
"""

import time
from pathlib import Path

import numpy as np

from data.readers.scaling.series_csv import read_series
from qiskit_solvers.qaoa import Qaoa
from tasks.allocate_budget import BudgetAllocation, allocate_budget
from tasks.fitted_dimensions import dimension_of, draws_of
from tasks.problems.budget_dimensions import PowerLaw
from tasks.refine import Effort
from tasks.scaling.bootstrap import bootstrapped
from tasks.scaling.choose import choose

SERIES = Path("data/samples/fleet/scaling.csv")
DRAWS = 200
LEVELS = 4
BUDGET = 10.0
"""A middle level takes 1."""


def fitted_table(seed: int) -> tuple[str, object]:
    """Return the chosen scales, how often each wins over the draws, the regret, and the table of methods."""
    rng = np.random.default_rng([seed, 5])
    started = time.perf_counter()
    series = read_series(SERIES).series
    fits = [bootstrapped(each, choose(each).best, rng, draws=DRAWS) for each in series]
    fitted_s = time.perf_counter() - started
    some = []
    for each, fit in zip(series, fits, strict=True):
        steps = np.geomspace(fit.smallest, fit.largest, LEVELS + 2)[1:-1]  # well inside the data
        price = PowerLaw(1.0 / float(np.sqrt(steps[1] * steps[2])) ** 0.5, 0.5)
        ends = (float(steps[0]), float(steps[-1]))
        some.append(
            dimension_of(
                each.dimension,
                fit,
                price,
                better=each.better,
                least=ends[0],
                most=ends[1],
                steps=tuple(float(one) for one in steps),
            )
        )
    count = min(len(fit.draws) for fit in fits)
    draws = draws_of(fits, [each.better for each in series], count)
    started = time.perf_counter()
    solver = Qaoa(on="simulator")
    effort = Effort(evaluations=20_000, rounds=4, window=20)
    found = allocate_budget(some, BUDGET, solver, np.random.default_rng(seed), effort, draws)
    return told(found, [fit.form.kind for fit in fits], fitted_s, time.perf_counter() - started)


def told(found: BudgetAllocation, kinds: list[str], fitted_s: float, solved_s: float) -> tuple[str, object]:
    """Return the text and the figures of an allocation."""
    sure = found.uncertainty
    if sure is None:
        raise ValueError("expected an allocation with draws of its laws")
    wins = [sure.wins(row).get(float(found.scale[row]), 0.0) for row in range(len(found.names))]
    lines = [
        f"\nlaws fitted to the sample's ten series, {sure.draws} draws of each ({sure.left_out} left out); method: "
        f"{found.method}; fitted in {fitted_s:.1f} s, solved with all draws in {solved_s:.1f} s",
        f"{'dimension':14}{'law':>14}{'scale':>14}{'spend':>8}{'wins, % of draws':>18}",
    ]
    lines += [
        f"{name:14}{kind:>14}{scale:14.4g}{spend:8.2f}{100 * share:18.1f}"
        for name, kind, scale, spend, share in zip(found.names, kinds, found.scale, found.spend, wins, strict=True)
    ]
    lines.append(
        f"best in {100 * sure.stays_best:.1f} % of the draws; gives up {100 * sure.regret.mean():.3f} % of performance "
        f"on average, {100 * np.quantile(sure.regret, 0.95):.3f} % at the 95th percentile (hedged choice: "
        f"{100 * sure.hedged_regret.mean():.3f} % on average)"
    )
    lines += [f"  {row.method:48} the bound is {100 * row.gap:9.4f} % above it" for row in found.rows]
    figures = {
        "names": found.names,
        "laws": kinds,
        "scale": found.scale.tolist(),
        "wins": wins,
        "stays_best": sure.stays_best,
        "regret_mean": float(sure.regret.mean()),
        "rows": {row.method: row.gap for row in found.rows},
    }
    return "\n".join(lines), figures
