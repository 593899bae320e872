"""How does our search stand beside CP-SAT at equal seconds, with and without its energy as our budget?"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from qiskit_solvers.errors import SolverFailed
from tasks.problems.power import Power, Schedule
from tasks.yardsticks.power import cp_sat
from tests.benchmarks.columns import Interval, interval
from tests.benchmarks.power.instances import Sweep, capped_alike, instance

ROUNDED = 1e-9
"""Relative difference below which two energies are the same."""


@dataclass(frozen=True, slots=True)
class Beside:
    """Ours over CP-SAT's at equal seconds, less one, in percent, below 0 is better for us.

    Args:
        jobs: of each instance.
        budget: whether ours had to keep to the energy of CP-SAT's.
        answered: instances for which CP-SAT had an answer.
        instances: all.
        cost: mean and interval.
        completion: likewise, weighted.
        energy: likewise.
        both: instances on which ours is no worse in completion and energy.
    """

    jobs: int
    budget: bool
    answered: int
    instances: int
    cost: str
    completion: str
    energy: str
    both: int


def answered(problem: Power, hint: Schedule, seconds: float) -> Schedule | None:
    """Return CP-SAT's feasible schedule in the seconds, or the hint where that is cheaper: it need not return it."""
    try:
        schedule = cp_sat(problem, seconds, 0, hint=hint).schedule
    except SolverFailed:
        return None
    if not problem.feasible(schedule):
        return None
    return schedule if problem.cost(schedule) < problem.cost(hint) else hint


def searched(problem: Power, seconds: float, seed: int) -> Schedule:
    """Return our search's schedule in about the seconds, by a rate that is measured first."""
    begin, rng = time.perf_counter(), np.random.default_rng(seed)
    problem.search(problem.incumbent(), 20_000, rng)
    rate = 20_000 / (time.perf_counter() - begin)
    left = seconds - (time.perf_counter() - begin)
    return problem.search(problem.incumbent(), max(1, int(rate * left)), rng).decision


def scaled(
    data: Path, swept: Sequence[Sweep], jobs: int, seconds: float, instances: int, patience: float
) -> tuple[Beside, Beside]:
    """Return our search beside CP-SAT's on instances of a size, without an energy budget and with that of CP-SAT's.

    Without an answer what is in force counts as CP-SAT's.
    """
    answers = 0
    ratios: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    for seed in range(100, 100 + instances):
        problem = capped_alike(instance(data, swept, jobs, seed))
        theirs = answered(problem, problem.incumbent(), patience * seconds)
        answers += theirs is not None
        held = theirs or problem.incumbent()
        posed = (problem, problem.with_energy_budget(problem.energy_kwh(held)))
        for row, ours in zip(ratios, posed, strict=True):
            row.append(told(problem, searched(ours, seconds, seed)) / told(problem, held))
    without, within = (np.array(row) for row in ratios)
    return row_of(jobs, False, answers, without), row_of(jobs, True, answers, within)


def row_of(jobs: int, budget: bool, answered: int, ratios: np.ndarray) -> Beside:
    """Return a row of the ratios of cost, completion and energy, ``(instances, 3)``."""
    cost, completion, energy = (str(percent(column)) for column in ratios.T)
    both = int((ratios[:, 1:] <= 1.0 + ROUNDED).all(axis=1).sum())
    return Beside(jobs, budget, answered, len(ratios), cost, completion, energy, both)


def show_beside(rows: Sequence[Beside], seconds: float, patience: float) -> None:
    """Print one of the tables beside CP-SAT."""
    held = ", with the energy of CP-SAT's as our budget" if rows[0].budget else ", no energy budget"
    theirs = f"{patience * seconds:g} s of CP-SAT{held}"
    print(f"\n{seconds:g} s of our search over {theirs}; less one, in %: below 0 is better for us; 95 % intervals")
    heads = f"{'cost':>28} {'weighted completion':>28} {'energy':>28} {'neither worse':>14}"
    print(f"{'jobs':>5} {'CP-SAT answered':>16} {heads}")
    for row in rows:
        told_of = f"{row.cost:>28} {row.completion:>28} {row.energy:>28} {f'{row.both}/{row.instances}':>14}"
        print(f"{row.jobs:5d} {f'{row.answered}/{row.instances}':>16} {told_of}")


def told(problem: Power, schedule: Schedule) -> np.ndarray:
    """Return cost, weighted completion in hours, and energy of the jobs in kWh, ``(3,)``."""
    hours = next(each.value for each in problem.figures(schedule) if each.name == "power.weighted_completion_h")
    return np.array([problem.cost(schedule), hours, problem.energy_kwh(schedule)])


def percent(ratios: np.ndarray) -> Interval:
    """Return ratios less one in percent."""
    return interval(100.0 * (ratios - 1.0))
