"""Facts about the frontier of completion against energy."""

import numpy as np
import pytest

from tasks.problems.power import Power
from tasks.problems.power_frontier import power_frontier
from tests.tasks.problems.test_power_budget import budgeted


@pytest.mark.parametrize("seed", range(3))
def test_less_energy_takes_longer_and_every_plan_can_be_kept(seed: int) -> None:
    problem = Power.from_snapshot(budgeted(40 + seed, None))
    frontier = power_frontier(problem, 5, 1_500, np.random.default_rng(seed))
    energies = [point.energy_kwh for point in frontier.points]
    hours = [point.completion_h for point in frontier.points]
    assert energies == sorted(set(energies))
    assert hours == sorted(set(hours), reverse=True)
    assert energies[0] == pytest.approx(problem.least_energy_kwh())
    assert frontier.points[-1].cost <= frontier.in_force.cost
    for point in frontier.points:
        assert problem.feasible(point.schedule)
        assert point.budget_kwh is None or point.energy_kwh <= point.budget_kwh + 1e-6
        assert point.cost == problem.cost(point.schedule)


def test_the_budget_of_the_problem_itself_does_not_count() -> None:
    snapshots = (budgeted(44, None), budgeted(44, 0.2))
    found = [power_frontier(Power.from_snapshot(snapshot), 3, 500, np.random.default_rng(0)) for snapshot in snapshots]
    assert [p.energy_kwh for p in found[0].points] == [p.energy_kwh for p in found[1].points]
    assert found[0].in_force.cost == found[1].in_force.cost


def test_one_plan_is_no_frontier() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        power_frontier(Power.from_snapshot(budgeted(45, None)), 1, 10, np.random.default_rng(0))
