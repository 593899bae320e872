"""What does less energy cost in time? Plans of one cluster from the least energy that its jobs need to no budget."""

from dataclasses import dataclass

import numpy as np

from tasks.problems.power import Power, Schedule


@dataclass(frozen=True, slots=True, eq=False)
class FrontierPoint:
    """One plan of the frontier.

    Args:
        budget_kwh: the energy budget under which it was made; None for none.
        energy_kwh: what all jobs draw above idle GPUs until they have ended.
        completion_h: mean hours until a job has ended, by GPUs and priority.
        cost: of the plan, budgets aside.
        schedule: the plan.
    """

    budget_kwh: float | None
    energy_kwh: float
    completion_h: float
    cost: float
    schedule: Schedule


@dataclass(frozen=True, slots=True, eq=False)
class Frontier:
    """Completion against energy.

    Args:
        in_force: what is in force.
        points: by rising energy and falling completion; a plan that another is no worse than in both is left out.
    """

    in_force: FrontierPoint
    points: tuple[FrontierPoint, ...]


def power_frontier(problem: Power, plans: int, evaluations: int, rng: np.random.Generator) -> Frontier:
    """Return the frontier of ``plans`` budgets, evenly from what the jobs need at least to the energy without a budget.

    The plan without a budget comes first; then budgets rise, and each plan begins from that of the one below, or from
    what is in force: a wider budget never costs more (the constraint method of Haimes, Lasdon and Wismer 1971, doi
    10.1109/TSMC.1971.4308298).

    Args:
        problem: the power noun; a budget of its own counts for no plan here.
        plans: at least 2.
        evaluations: fits of one job at one level that may be looked for, for each plan.
        rng: all chance.

    Raises:
        ValueError: fewer than two plans.
    """
    if plans < 2:
        raise ValueError(f"plans: expected at least 2, got {plans}")
    free = problem.with_energy_budget(None)
    widest = free.search(free.incumbent(), evaluations, rng).decision
    made = []
    below = None
    for budget_kwh in np.linspace(free.least_energy_kwh(), free.energy_kwh(widest), plans)[:-1].tolist():
        posed = problem.with_energy_budget(budget_kwh)
        starts = [posed.incumbent()] if below is None else [posed.incumbent(), below]
        below = posed.search(min(starts, key=posed.cost), evaluations, rng).decision
        made.append(_point(free, budget_kwh, below))
    made.append(_point(free, None, widest if below is None or free.cost(widest) <= free.cost(below) else below))
    return Frontier(_point(free, None, free.incumbent()), _undominated(made))


def _point(free: Power, budget_kwh: float | None, schedule: Schedule) -> FrontierPoint:
    figures = {figure.name: figure.value for figure in free.figures(schedule)}
    return FrontierPoint(
        budget_kwh=budget_kwh,
        energy_kwh=free.energy_kwh(schedule),
        completion_h=figures["power.weighted_completion_h"],
        cost=free.cost(schedule),
        schedule=schedule,
    )


def _undominated(points: list[FrontierPoint]) -> tuple[FrontierPoint, ...]:
    """Return the points by rising energy, each of which ends sooner than all that need no more."""
    kept: list[FrontierPoint] = []
    for point in sorted(points, key=lambda each: (each.energy_kwh, each.completion_h)):
        if not kept or point.completion_h < kept[-1].completion_h:
            kept.append(point)
    return tuple(kept)
