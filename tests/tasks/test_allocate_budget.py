"""The verb of budgets: the method that applies, nothing above its bound, and what the draws of the laws say."""

from itertools import product

import numpy as np
import pytest

from data.schemas.scaling import Series
from qiskit_solvers.anneal import Anneal
from qiskit_solvers.exact import Exact
from qiskit_solvers.ising import energies
from qiskit_solvers.qaoa import Qaoa
from tasks.allocate_budget import CLOSED_FORM, EXACT, GRID, MULTIPLIER, allocate_budget
from tasks.budget_uncertainty import mean_law
from tasks.fitted_dimensions import dimension_of, draws_of
from tasks.problems.budget import Budget
from tasks.problems.budget_dimensions import Dimension, Floats, Law, Levels, PowerLaw
from tasks.problems.budget_ising import brought_within, coded
from tasks.refine import Effort
from tasks.scaling.bootstrap import bootstrapped
from tasks.scaling.fit import fit_law
from tasks.scaling.fitted import Fit
from tasks.scaling.laws import Span
from tasks.scaling.power_laws import Power, PowerFloor

EFFORT = Effort(evaluations=400, rounds=2, window=6)
STEPS = (1.0, 2.0, 4.0, 8.0)


def dimensions(steps: tuple[float, ...] = STEPS, count: int = 3) -> list[Dimension]:
    rng = np.random.default_rng(5)
    return [
        Dimension(
            f"d{k}",
            "unit",
            PowerLaw(1.0, float(rng.uniform(0.2, 0.9))),
            PowerLaw(float(rng.uniform(1.0, 5.0)), 1.0),
            1.0,
            8.0,
            steps,
        )
        for k in range(count)
    ]


def best_of_all(some: list[Dimension], laws: list[Law], budget: float) -> tuple[float, tuple[float, ...]]:
    """List every choice of steps and return the largest product of performances, and its scales."""
    found = []
    for scales in product(STEPS, repeat=len(some)):
        takes = sum(float(each.price(np.array([one]))[0]) for each, one in zip(some, scales, strict=True))
        if takes <= budget:
            gives = np.prod([law(np.array([one]))[0] for law, one in zip(laws, scales, strict=True)])
            found.append((float(gives), scales))
    return max(found)


def test_steps_are_chosen_exactly_and_no_method_is_above_the_bound():
    some = dimensions()
    found = allocate_budget(some, 30.0, Exact(), np.random.default_rng(0), EFFORT)
    best, scales = best_of_all(some, [each.law for each in some], 30.0)
    assert found.method == EXACT
    assert np.exp(found.log_performance) == pytest.approx(best)
    assert tuple(found.scale.tolist()) == scales
    assert found.spend.sum() <= 30.0
    assert found.gap == 0.0
    assert all(row.log_performance <= found.bound + 1e-12 and row.gap >= 0.0 for row in found.rows)
    methods = {row.method for row in found.rows}
    assert {EXACT, "greedy", "random", "anneal on windows", "exact on windows"} <= methods
    assert "exact, the whole choice in 6 spins" in methods
    assert found.fallbacks == ()


def test_qaoa_stands_in_the_table():
    found = allocate_budget(
        dimensions(), 30.0, Qaoa(layers=4, shots=64, on="simulator"), np.random.default_rng(0), EFFORT
    )
    rows = {row.method: row for row in found.rows}
    assert rows["qaoa on windows"].log_performance <= found.log_performance
    assert rows["qaoa, the whole choice in 6 spins"].evaluations > 0


def test_power_laws_take_the_closed_form_within_their_ranges_and_the_multiplier_at_the_ends():
    free = dimensions(())
    found = allocate_budget(free, 25.0, Exact(), np.random.default_rng(0), EFFORT)
    assert found.method == CLOSED_FORM
    share = np.array([each.law.exponent for each in free])  # prices are linear
    np.testing.assert_allclose(found.spend, 25.0 * share / share.sum())
    assert found.level_of is None
    assert found.log_performance == max(row.log_performance for row in found.rows)
    ends = allocate_budget(free, 60.0, Exact(), np.random.default_rng(0), EFFORT)
    assert ends.method == MULTIPLIER
    assert ends.notes == ("the closed form leaves a dimension's range",)
    assert ends.gap < 1e-8
    assert ends.scale.max() <= 8.0


def test_laws_that_are_not_concave_are_left_to_levels_and_the_notes_say_so():
    late = Dimension("late", "unit", lambda n: 1.0 + 1.0 / (1.0 + np.exp(10.0 - n)), PowerLaw(1.0, 1.0), 0.1, 20.0)
    found = allocate_budget([*dimensions((), 1), late], 18.0, Exact(), np.random.default_rng(0), EFFORT)
    assert found.method == EXACT
    assert found.notes[0] == "not concave in what it costs: late"
    assert "33 scales at equal ratios stand for the range of d0, late" in found.notes


def test_where_partial_choices_are_too_many_the_grid_answers_with_its_bound(monkeypatch: pytest.MonkeyPatch):
    some = dimensions()
    best, _ = best_of_all(some, [each.law for each in some], 30.0)
    monkeypatch.setattr("tasks.yardsticks.budget.MOST_STATES", 3)
    found = allocate_budget(some, 30.0, Exact(), np.random.default_rng(0), EFFORT)
    assert found.method.startswith(GRID)
    assert found.log_performance <= np.log(best) + 1e-12 <= found.bound + 1e-9


def test_a_budget_below_the_least_says_by_how_much():
    least = sum(float(each.price(np.ones(1))[0]) for each in dimensions())
    for steps in (STEPS, ()):
        with pytest.raises(ValueError, match=rf"at least {least:g}.* short"):
            allocate_budget(dimensions(steps), 0.5 * least, Exact(), np.random.default_rng(0), EFFORT)


def test_draws_tell_how_often_each_level_wins_and_what_the_choice_gives_up():
    some, rng = dimensions(), np.random.default_rng(1)
    draws = [[PowerLaw(1.0, float(each.law.exponent + rng.normal(0.0, 0.15))) for each in some] for _ in range(12)]
    found = allocate_budget(some, 30.0, Exact(), np.random.default_rng(0), EFFORT, draws)
    told = found.uncertainty
    assert told is not None
    assert (told.draws, told.left_out) == (12, 0)
    winners, given_up = [], []
    for laws in draws:
        best, scales = best_of_all(some, list(laws), 30.0)
        winners.append(scales)
        chosen = np.prod([law(np.array([one]))[0] for law, one in zip(laws, found.scale, strict=True)])
        given_up.append(1.0 - chosen / best)
    np.testing.assert_allclose(told.regret, given_up, atol=1e-9)
    for k in range(3):
        shares = told.wins(k)
        assert sum(shares.values()) == pytest.approx(1.0)
        for step, share in shares.items():
            assert share == pytest.approx(np.mean([scales[k] == step for scales in winners]))
    assert told.stays_best == pytest.approx(np.mean(np.array(given_up) < 1e-9))
    assert np.log1p(-told.hedged_regret).mean() >= np.log1p(-told.regret).mean() - 1e-12


def test_laws_that_are_certain_leave_no_regret_and_one_winner():
    for steps in (STEPS, ()):
        some = dimensions(steps)
        draws = [[each.law for each in some]] * 3
        told = allocate_budget(some, 25.0, Exact(), np.random.default_rng(0), EFFORT, draws).uncertainty
        assert told is not None
        assert told.stays_best == 1.0
        assert all(len(told.wins(k)) == 1 for k in range(3))
        np.testing.assert_allclose(told.hedged, told.best_scale[0], rtol=1e-6)


def test_draws_without_performance_are_left_out_and_counted_and_wrong_ones_refused():
    some = dimensions()

    def never(scale: Floats) -> Floats:
        return np.zeros_like(scale)

    laws = [each.law for each in some]
    told = allocate_budget(
        some, 30.0, Exact(), np.random.default_rng(0), EFFORT, [laws, [never, *laws[1:]]]
    ).uncertainty
    assert told is not None
    assert (told.draws, told.left_out) == (1, 1)
    with pytest.raises(ValueError, match="found none in 1 draws"):
        allocate_budget(some, 30.0, Exact(), np.random.default_rng(0), EFFORT, [[never, *laws[1:]]])
    with pytest.raises(ValueError, match="expected 3 laws in each, got 2"):
        allocate_budget(some, 30.0, Exact(), np.random.default_rng(0), EFFORT, [laws[:2]])


def test_a_law_without_performance_is_refused_by_name_whether_or_not_there_are_steps():
    for steps in (STEPS, ()):
        nothing = Dimension("nothing", "unit", lambda n: n - 5.0, PowerLaw(1.0, 1.0), 1.0, 8.0, steps)
        with pytest.raises(ValueError, match=r"nothing: expected a performance above 0, found -4.0 at scale 1.0"):
            allocate_budget([*dimensions(steps), nothing], 30.0, Exact(), np.random.default_rng(0), EFFORT)


def test_the_mean_of_power_laws_is_the_geometric_mean():
    scale = np.array([1.0, 3.0, 9.0])
    powers = [PowerLaw(2.0, 0.3), PowerLaw(5.0, 0.8)]
    expected = np.sqrt(powers[0](scale) * powers[1](scale))
    assert isinstance(mean_law(powers), PowerLaw)
    np.testing.assert_allclose(mean_law(powers)(scale), expected)
    np.testing.assert_allclose(mean_law([powers[0], lambda n: powers[1](n)])(scale), expected)


def fitted(kind: str, draws: int = 0) -> Fit:
    """A law fitted to nine points about 2 n^0.5, or about 1.5 + 3 n^-0.4."""
    rng = np.random.default_rng(0)
    scale = np.geomspace(1.0, 64.0, 9)
    exact = 2.0 * np.sqrt(scale) if kind == "power" else 1.5 + 3.0 * scale**-0.4
    series = Series(kind, "compute", scale, exact * np.exp(rng.normal(0.0, 1e-3, 9)), "GPU")
    span = Span(0.0, float(np.log(64.0)))
    fit = fit_law(series, Power(span) if kind == "power" else PowerFloor(span))
    return bootstrapped(series, fit, rng, draws=draws) if draws else fit


def test_fits_become_dimensions_and_losses_their_reciprocals():
    fits = [fitted("power", 8), fitted("loss", 8)]
    power = dimension_of("compute", fits[0], PowerLaw(1.0, 1.0))
    assert isinstance(power.law, PowerLaw)
    assert (power.law.amplitude, power.law.exponent) == pytest.approx((2.0, 0.5), rel=0.01)
    assert (power.unit, power.least, power.most) == ("GPU", 1.0, 64.0)
    slower = dimension_of("minutes", fits[0], PowerLaw(1.0, 1.0), better="lower").law
    assert isinstance(slower, PowerLaw)
    assert (slower.amplitude, slower.exponent) == pytest.approx((0.5, -0.5), rel=0.01)
    loss = dimension_of("loss", fits[1], PowerLaw(1.0, 1.0), better="lower")
    scale = np.array([1.0, 8.0])
    np.testing.assert_allclose(loss.law(scale), 1.0 / (1.5 + 3.0 * scale**-0.4), rtol=0.01)
    draws = draws_of(fits, ["higher", "lower"], 4)
    told = allocate_budget([power, loss], 40.0, Exact(), np.random.default_rng(0), EFFORT, draws)
    assert told.method == MULTIPLIER
    assert told.uncertainty is not None
    assert 0.0 < told.uncertainty.regret.max() < 1e-3
    with pytest.raises(ValueError, match="at most 8 draws"):
        draws_of(fits, ["higher", "lower"], 9)


def test_a_fit_is_not_followed_more_than_an_octave_without_draws():
    with pytest.raises(ValueError, match="up to 128, twice the largest measured, got 200"):
        dimension_of("compute", fitted("power"), PowerLaw(1.0, 1.0), most=200.0)
    assert dimension_of("compute", fitted("power", 8), PowerLaw(1.0, 1.0), most=200.0).most == 200.0


def test_the_coded_choice_has_the_loss_and_the_price_of_every_string():
    rng = np.random.default_rng(2)
    levels = tuple(
        Levels(f"d{count}", np.arange(1.0, count + 1.0), rng.uniform(1.0, 9.0, count), rng.uniform(1.0, 9.0, count))
        for count in (1, 2, 3, 4)
    )
    problem = Budget(levels, 0.6 * sum(float(each.spend.max()) for each in levels))
    model = coded(problem, curvature=0.0)
    assert model.ising.spins == 5
    seen = set()
    for bits in product((1, -1), repeat=5):
        string = np.array(bits, np.int8)
        choice = model.decode(string)
        seen.add(tuple(choice.level_of.tolist()))
        expected = problem.cost(choice) + problem.relaxed.price * (problem.spent(choice) - problem.budget)
        assert energies(model.ising, string)[0] == pytest.approx(expected, abs=1e-12)
        within = brought_within(problem, choice)
        assert problem.feasible(within)
        assert not problem.feasible(choice) or within.level_of.tolist() == choice.level_of.tolist()
    assert len(seen) == 24


def test_the_square_of_the_budget_is_exact_where_spends_are_additive_in_the_bits():
    scale = np.array([1.0, 2.0, 3.0, 4.0])
    levels = tuple(Levels(f"d{k}", scale, scale ** (0.3 + 0.1 * k), (1.0 + k) * scale) for k in range(3))
    problem = Budget(levels, 12.0)
    flat, bent = coded(problem, curvature=0.0), coded(problem, curvature=2.0)
    weight = 2.0 * problem.relaxed.price / 2.0  # the median spend between levels is 2
    for bits in product((1, -1), repeat=6):
        string = np.array(bits, np.int8)
        over = problem.spent(flat.decode(string)) - problem.budget
        added = energies(bent.ising, string)[0] - energies(flat.ising, string)[0]
        assert added == pytest.approx(weight * over**2, abs=1e-9)


def test_more_than_four_levels_are_not_coded():
    five = Levels("wide", np.arange(1.0, 6.0), np.arange(1.0, 6.0), np.arange(1.0, 6.0))
    with pytest.raises(ValueError, match="wide: expected at most 4 levels, got 5"):
        coded(Budget((five,), 3.0))


def test_the_same_generator_gives_the_same_answer():
    once, again = (allocate_budget(dimensions(), 30.0, Anneal(), np.random.default_rng(3), EFFORT) for _ in range(2))
    assert once.rows == again.rows
    assert once.scale.tolist() == again.scale.tolist()
