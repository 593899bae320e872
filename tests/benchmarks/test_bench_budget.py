"""The benchmark of budgets: its instances, its counting, and that no method is over the budget or above the best."""

import numpy as np
import pytest

from tasks.yardsticks.budget import exact, exhaustive
from tests.benchmarks.fleet.budget import circuit_of, gaps_of, method_table
from tests.benchmarks.fleet.budget_instances import DIMENSIONS, FAMILIES, instances
from tests.benchmarks.fleet.budget_tables import widened
from tests.benchmarks.fleet.frontiers import summed_all


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_instances_are_ten_dimensions_whose_budget_binds(family: str):
    for problem, again in zip(instances(family, 3, 5), instances(family, 3, 5), strict=True):
        assert [each.name for each in problem.levels] == list(DIMENSIONS)
        assert problem.counts.tolist() == [4] * 10
        assert problem.budget == again.budget
        assert problem.relaxed.price > 0.0
        assert problem.spend.max(axis=1).sum() > problem.budget
        assert problem.cost(exact(problem)) == pytest.approx(problem.cost(exhaustive(problem)), abs=1e-12)


@pytest.mark.slow
def test_no_method_is_above_the_best_and_the_table_claims_nothing():
    gaps, seconds = gaps_of(instances("gain as spend", 2, 5), evaluations=32)
    assert all(gap >= 0.0 for each in gaps.values() for gap in each)
    assert gaps["exact: what nothing dominates"] == [0.0, 0.0]
    text = method_table("gain as spend", gaps, seconds, 32)
    assert "No advantage is claimed" in text
    assert all(name in text for name in gaps)


@pytest.mark.slow
def test_the_circuit_beats_a_random_string_on_average():
    told = circuit_of(instances("power laws", 1, 5)[0])
    assert told["random"] < told["expected"] <= 1.0


def test_wider_budgets_have_every_dimension_once_and_sums_of_all_choices_are_all():
    problem = widened(FAMILIES["power laws"], 2, 4, 5)
    assert len({each.name for each in problem.levels}) == 20
    groups = [np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[10.0, 20.0]])]
    assert summed_all(groups).tolist() == [[11.0, 22.0], [13.0, 24.0]]
