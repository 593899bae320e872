"""What do one-hot groups buy? QAOA that keeps them beside the penalty formulation, its angles fully optimised.

Times are of everything: the costs of all strings, the angles, the state and its probabilities. The penalty
formulation gets, for each model, the best of three penalty weights and 100 steps of L-BFGS on exact derivatives.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import numpy as np

from qiskit_solvers import one_hot
from qiskit_solvers.angles.fixed import fixed
from qiskit_solvers.angles.optimize import optimised
from qiskit_solvers.angles.ramp import tuned_ramp
from qiskit_solvers.angles.schedule import Schedule
from qiskit_solvers.ising import Ising, strings_of
from qiskit_solvers.simulation.full import FullSpace
from qiskit_solvers.simulation.subspace import Subspace
from tests.benchmarks.solver.families import assignment
from tests.benchmarks.solver.printing import brief, show
from tests.benchmarks.solver.schedules import on, optimal

_WEIGHTS = (0.25, 0.5, 1.0)
"""Shares of the penalty that is proved to be enough; the lower ones are easier to search and mostly enough too."""


@dataclass(frozen=True, slots=True)
class Row:
    """One method on one size.

    Args:
        method: its name.
        size: items x bins.
        optimum: median probability of the optimum per sample.
        ms: median processor time.
        models: how many instances.
    """

    method: str
    size: str
    optimum: float
    ms: float
    models: int


def one_hot_rows(*, models: int, penalties: int, largest: bool) -> list[Row]:
    """Measure and print.

    Args:
        models: instances of 6 items x 3 bins.
        penalties: how many of them the penalty formulation gets (2**18 amplitudes each).
        largest: also 7 items x 8 bins, 56 qubits.
    """
    small = [assignment(6, 3, np.random.default_rng(seed)) for seed in range(models)]
    rows = [
        _row("every string, costs and minimum", "6 x 3", small, _enumerated),
        _row("XY, fixed p=3", "6 x 3", small, _solved(lambda: fixed(3, "one_hot"))),
        _row("XY, ramp p=30", "6 x 3", small, _solved(lambda: tuned_ramp(30, "one_hot"))),
        _row("XY, trained p=30", "6 x 3", small, _solved(lambda: fixed(30, "one_hot"))),
        _row("XY, ramp p=100", "6 x 3", small, _solved(lambda: tuned_ramp(100, "one_hot"))),
        _row("penalty, p=3 optimised", "6 x 3", small[:penalties], _penalised),
    ]
    if largest:
        large = [assignment(7, 8, np.random.default_rng(seed)) for seed in range(3)]
        rows.append(_row("every string, costs and minimum", "7 x 8", large, _enumerated))
        rows.append(_row("XY, fixed p=3", "7 x 8", large, _solved(lambda: fixed(3, "one_hot"))))
    show(
        "one-hot groups: items x bins, medians",
        ("", "size", "models", "P(opt)", "ms"),
        [(row.method, row.size, str(row.models), brief(row.optimum), brief(row.ms)) for row in rows],
    )
    return rows


def _row(method: str, size: str, models: list[Ising], solve: Callable[[Ising], float]) -> Row:
    if len(models) > 1:
        solve(models[0])  # compiled and warm; a single model is one of those that take seconds
    chances, times = [], []
    for model in models:
        began = time.process_time()
        chance = solve(model)
        times.append(1e3 * (time.process_time() - began))
        chances.append(chance)
    return Row(method, size, median(chances), median(times), len(models))


def _enumerated(ising: Ising) -> float:
    return float(Subspace(ising).costs.argmin() >= 0)


def _solved(schedule: Callable[[], Schedule]) -> Callable[[Ising], float]:
    def solve(ising: Ising) -> float:
        space = Subspace(ising)
        at = on(space, schedule())
        return float(space.probabilities(at.gammas, at.betas) @ optimal(space.costs))

    return solve


def _penalised(ising: Ising) -> float:
    safe = float(one_hot.safe_weights(ising).max())
    return max(_optimised_penalty(ising, share * safe) for share in _WEIGHTS)


def _optimised_penalty(ising: Ising, weight: float) -> float:
    space = FullSpace(one_hot.penalised(ising, weight))
    best = optimised(space, on(space, tuned_ramp(3, "transverse")), max_iterations=100).schedule
    strings = strings_of(np.arange(space.size), ising.spins)
    allowed = one_hot.feasible(ising, strings)
    # feasible strings keep their energies: the optimum is the lowest of them, whatever the penalty left below it
    wanted = np.zeros(space.size)
    wanted[allowed] = optimal(space.costs[allowed])
    return float(space.probabilities(best.gammas, best.betas) @ wanted)
