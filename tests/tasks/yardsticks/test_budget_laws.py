"""Budgets over every scale: the closed form, the multiplier, and a general solver agree."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from tasks.problems.budget import Budget
from tasks.problems.budget_dimensions import Dimension, Floats, PowerLaw
from tasks.yardsticks.budget import exact
from tasks.yardsticks.budget_laws import by_multiplier, closed_form, concave, inside


def power_laws(count: int, seed: int) -> list[Dimension]:
    rng = np.random.default_rng(seed)
    return [
        Dimension(
            f"d{k}",
            "unit",
            PowerLaw(float(rng.uniform(0.5, 3.0)), float(rng.uniform(0.05, 1.2))),
            PowerLaw(float(rng.uniform(0.1, 50.0)), float(rng.uniform(0.7, 1.6))),
            1e-6,
            1e9,
        )
        for k in range(count)
    ]


def amdahl(serial: float) -> Dimension:
    return Dimension("amdahl", "GPU", lambda n: 1.0 / (serial + (1.0 - serial) / n), PowerLaw(2.0, 1.0), 1.0, 512.0)


def usl(contention: float, coherency: float) -> Dimension:
    def law(n: Floats) -> Floats:
        return np.asarray(n / (1.0 + contention * (n - 1.0) + coherency * n * (n - 1.0)))

    return Dimension("usl", "node", law, PowerLaw(1.5, 1.0), 1.0, 200.0)


def floored(floor: float) -> Dimension:
    """The reciprocal of a loss with a floor."""
    return Dimension("loss", "FLOP", lambda n: 1.0 / (floor + n**-0.35), PowerLaw(0.3, 1.1), 0.5, 4000.0)


MIXED = (amdahl(0.02), usl(0.03, 5e-4), floored(1.7))


def by_slsqp(dimensions: Sequence[Dimension], budget: float, start: Floats) -> float:
    """Return the logarithm of performance that scipy's general solver reaches over log scales."""

    def loss(place: Floats) -> float:
        return -sum(float(np.log(each.law(np.exp([one])))[0]) for each, one in zip(dimensions, place, strict=True))

    def left(place: Floats) -> float:
        takes = sum(float(each.price(np.exp([one]))[0]) for each, one in zip(dimensions, place, strict=True))
        return 1.0 - takes / budget

    found = minimize(
        loss,
        np.log(start),
        method="SLSQP",
        bounds=[(np.log(each.least), np.log(each.most)) for each in dimensions],
        constraints=[{"type": "ineq", "fun": left}],
        options={"ftol": 1e-15, "maxiter": 1000},
    )
    assert left(found.x) >= -1e-9
    return -float(found.fun)


@pytest.mark.parametrize("seed", range(4))
def test_the_closed_form_is_what_a_general_solver_finds(seed: int):
    dimensions = power_laws(10, seed)
    found = closed_form(dimensions, 1000.0)
    assert found.spent == pytest.approx(1000.0, rel=1e-12)
    assert inside(dimensions, found.scale)
    start = np.array([(10.0 / each.price(np.ones(1))[0]) for each in dimensions])
    assert by_slsqp(dimensions, 1000.0, start) == pytest.approx(found.log_performance, abs=1e-8)


@settings(max_examples=8)
@given(count=st.integers(1, 6), seed=st.integers(0, 10_000), budget=st.floats(1.0, 1e5))
def test_the_multiplier_finds_the_closed_form(count: int, seed: int, budget: float):
    dimensions = power_laws(count, seed)
    form, multiplier = closed_form(dimensions, budget), by_multiplier(dimensions, budget)
    assert multiplier.spent <= budget * (1 + 1e-12)
    assert multiplier.log_performance == pytest.approx(form.log_performance, abs=1e-9)
    np.testing.assert_allclose(multiplier.scale, form.scale, rtol=1e-6)
    assert multiplier.log_performance <= form.log_performance + 1e-12
    assert form.log_performance <= multiplier.bound <= form.log_performance + 1e-8


@pytest.mark.parametrize("budget", [10.0, 60.0, 400.0])
def test_laws_that_are_concave_are_solved_to_their_bound_and_slsqp_is_no_better(budget: float):
    found = by_multiplier(MIXED, budget)
    assert found.spent <= budget * (1 + 1e-12)
    assert inside(MIXED, found.scale)
    assert found.bound - 1e-8 <= found.log_performance <= found.bound
    other = by_slsqp(MIXED, budget, np.array([1.5, 1.5, 1.0]))
    assert other <= found.bound + 1e-8
    assert found.log_performance == pytest.approx(other, abs=1e-6)


def test_a_budget_that_is_more_than_enough_stops_at_the_peak():
    found = by_multiplier([usl(0.03, 5e-4)], 1e6)
    assert found.scale[0] == pytest.approx(np.sqrt((1.0 - 0.03) / 5e-4), rel=1e-6)  # Gunther's peak
    assert found.spent < 100.0


def test_levels_approach_the_scales_from_below():
    dimensions, budget = MIXED, 200.0
    whole = by_multiplier(dimensions, budget)
    reached = []
    for count in (4, 16, 64):
        problem = Budget(tuple(each.levels(count) for each in dimensions), budget)
        reached.append(-problem.cost(exact(problem)))
    assert max(reached) <= whole.bound
    assert reached[-1] > reached[0]
    assert whole.log_performance - reached[-1] < 0.02


def test_concave_is_told_from_what_is_not():
    assert all(concave(each) for each in (*MIXED, *power_laws(3, 0)))
    late = Dimension("late", "unit", lambda n: 1.0 + 1.0 / (1.0 + np.exp(10.0 - n)), PowerLaw(1.0, 1.0), 0.1, 20.0)
    assert not concave(late)
    cheaper = Dimension("cheaper", "unit", PowerLaw(1.0, 0.5), PowerLaw(1.0, -1.0), 1.0, 2.0)
    nothing = Dimension("nothing", "unit", lambda n: n - 5.0, PowerLaw(1.0, 1.0), 1.0, 8.0)
    assert not concave(cheaper)
    assert not concave(nothing)


def test_what_has_no_closed_form_is_refused_by_name():
    with pytest.raises(ValueError, match="amdahl: expected a law that is a power"):
        closed_form(MIXED, 10.0)
    with pytest.raises(ValueError, match="more than 0"):
        closed_form(power_laws(2, 0), 0.0)
    falls = Dimension("falls", "unit", PowerLaw(1.0, -0.5), PowerLaw(1.0, 1.0), 1.0, 2.0)
    with pytest.raises(ValueError, match="falls: expected a law that is a power above 0"):
        closed_form([falls], 10.0)


def test_a_budget_below_the_smallest_scales_says_by_how_much():
    with pytest.raises(ValueError, match=r"expected at least 3\..*, the smallest scales, got 1: 2\..* short"):
        by_multiplier(MIXED, 1.0)
