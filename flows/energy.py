"""What could be chosen between energy and time? The frontier that the report shows where it was asked for."""

import numpy as np

from data.schemas.cluster import Snapshot
from data.schemas.plan import Action, Migrate, Place
from data.transition import apply_actions
from tasks.predict import Forecast
from tasks.problems.power import Power
from tasks.problems.power_frontier import power_frontier
from tasks.report.power_frontier import Choice, EnergyChoices


def energy_choices(
    snapshot: Snapshot, forecast: Forecast, actions: tuple[Action, ...], plans: int, evaluations: int, seed: int
) -> EnergyChoices:
    """Return plans of the same jobs under ``plans`` energy budgets, beside the plan that was made.

    Args:
        snapshot: that the plan was made for.
        forecast: what was assumed of jobs.
        actions: of the plan.
        plans: at least 2.
        evaluations: for each of them.
        seed: of all chance.
    """
    placed = tuple(action for action in actions if isinstance(action, Migrate | Place))
    posed = Power.from_snapshot(forecast.assumed(apply_actions(snapshot, placed)))
    done = Power.from_snapshot(forecast.assumed(apply_actions(snapshot, actions)))
    frontier = power_frontier(posed, plans, evaluations, np.random.default_rng(seed))
    points = tuple(Choice(point.energy_kwh, point.completion_h) for point in frontier.points)
    in_force = Choice(frontier.in_force.energy_kwh, frontier.in_force.completion_h)
    figures = {figure.name: figure.value for figure in done.figures(done.incumbent())}
    plan = Choice(done.energy_kwh(done.incumbent()), figures["power.weighted_completion_h"])
    return EnergyChoices(points, in_force, plan)
