"""How good are samples? Every contestant on every family, medians over seeded models with bootstrap intervals.

- ratio: approximation ratio of the mean sample, ``(E_uniform - E) / (E_uniform - E_lowest)``: 0 for strings drawn
  by chance, 1 for the optimum. A sample that breaks a one-hot group counts 0.
- P(opt): probability that one sample is an optimum, ties included. One "sample" of a contestant that returns a
  single answer (exact, CP-SAT, RQAOA, Goemans-Williamson) is that answer.
- shots99: samples until an optimum was seen with 99 % probability.
- ms99: the time of that many samples and of what comes before them, processor time on one thread.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from qiskit_solvers.errors import SolverFailed, TooLarge
from qiskit_solvers.ising import Ising
from tests.benchmarks.solver.contestants import Contestant
from tests.benchmarks.solver.families import FAMILIES
from tests.benchmarks.solver.intervals import Interval, median_interval
from tests.benchmarks.solver.judged import Judged, Outcome, judged
from tests.benchmarks.solver.printing import brief, show

_FIGURES = ("ratio", "success", "shots99", "ms99")


@dataclass(frozen=True, slots=True)
class Row:
    """One contestant on one family.

    Args:
        family: its name.
        contestant: its name.
        models: how many models it got.
        refused: on how many it gave up.
        ratio: see the module, as the other figures.
        success: P(opt).
        shots99: samples.
        ms99: milliseconds.
    """

    family: str
    contestant: str
    models: int
    refused: int
    ratio: Interval
    success: Interval
    shots99: Interval
    ms99: Interval


def quality(windows: Sequence[Ising], field: Mapping[str, Contestant], *, models: int) -> list[Row]:
    """Measure and print.

    Args:
        windows: cut from real refine runs, a family of their own.
        field: who competes.
        models: of each seeded family.
    """
    rows = []
    families = {
        name: [family(np.random.default_rng(np.random.SeedSequence([7, seed]))) for seed in range(models)]
        for name, family in FAMILIES.items()
    }
    if windows:
        families["windows of refine runs"] = list(windows)
    for name, isings in families.items():
        began = time.perf_counter()
        found = _family(name, [judged(ising) for ising in isings], field)
        show(
            f"{name}: medians of {len(isings)} models [95 % interval]",
            ("", "models", "ratio", "P(opt)", "shots99", "ms99"),
            [_printed(row) for row in found],
        )
        print(f"({time.perf_counter() - began:.0f} s)")
        rows += found
    return rows


def _family(name: str, models: Sequence[Judged], field: Mapping[str, Contestant]) -> list[Row]:
    outcomes: dict[str, list[Outcome]] = {contestant: [] for contestant in field}
    refused = dict.fromkeys(field, 0)
    for contestant in field.values():
        if contestant.most != 1:  # those take long enough for a first call not to matter
            _tried(contestant, models[0], 0)  # compiled and loaded
    for number, model in enumerate(models):
        for key, contestant in field.items():
            if contestant.most and number >= contestant.most:
                continue
            outcome = _tried(contestant, model, number)
            if outcome is None:
                refused[key] += 1
            else:
                outcomes[key].append(outcome)
    rows = []
    for key, seen in outcomes.items():
        if seen:
            rng = np.random.default_rng(0)
            figures = [median_interval(np.array([getattr(each, figure) for each in seen]), rng) for figure in _FIGURES]
            rows.append(Row(name, key, len(seen), refused[key], *figures))
    return rows


def _tried(contestant: Contestant, model: Judged, seed: int) -> Outcome | None:
    try:
        return contestant.contest(model, np.random.default_rng(np.random.SeedSequence([11, seed])))
    except (SolverFailed, TooLarge):
        return None


def _printed(row: Row) -> tuple[str, ...]:
    cells = [f"{brief(each.middle)} [{brief(each.low)}, {brief(each.high)}]" for each in _intervals(row)]
    return (row.contestant, f"{row.models}" + (f" (-{row.refused})" if row.refused else ""), *cells)


def _intervals(row: Row) -> tuple[Interval, ...]:
    return (row.ratio, row.success, row.shots99, row.ms99)
