"""The noun of budgets: never over the budget, never below its bound, and what the exact methods agree on."""

from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from qiskit_solvers.anneal import Anneal
from qiskit_solvers.errors import TooLarge
from qiskit_solvers.exact import Exact
from qiskit_solvers.ising import energies
from tasks.problems.budget import Allotted, Budget
from tasks.problems.budget_dimensions import Dimension, Levels, PowerLaw
from tasks.refine import Effort, refine
from tasks.yardsticks.budget import at_random, at_the_price, dynamic_programme, exact, exhaustive, greedy, programme


def some_levels(dimensions: int, count: int, seed: int) -> tuple[Levels, ...]:
    """Dimensions with unlike laws and prices, each with ``count`` levels, too bumpy for their hulls."""
    rng = np.random.default_rng(seed)
    made = []
    for number in range(dimensions):
        scale = np.geomspace(1.0, 64.0, count)
        performance = scale ** rng.uniform(0.1, 0.9) * np.exp(rng.normal(0.0, 0.1, count))
        spend = rng.uniform(1.0, 20.0) * scale ** rng.uniform(0.8, 1.3)
        made.append(Levels(f"d{number}", scale, performance, spend))
    return tuple(made)


def posed(dimensions: int, count: int, seed: int, share: float = 0.3) -> Budget:
    """A budget between the cheapest and the dearest levels."""
    levels = some_levels(dimensions, count, seed)
    least, most = (sum(float(pick(each.spend)) for each in levels) for pick in (np.min, np.max))
    return Budget(levels, least + share * (most - least))


def every(problem: Budget) -> list[Allotted]:
    return [Allotted(np.array(choice)) for choice in product(*(range(count) for count in problem.counts))]


METHODS: dict[str, Callable[[Budget], Allotted]] = {
    "exact": exact,
    "dynamic programme": lambda problem: dynamic_programme(problem).decision,
    "greedy": greedy,
    "annealing": lambda problem: problem.annealed(problem.incumbent(), 500, np.random.default_rng(0))[0],
    "search": lambda problem: problem.search(problem.incumbent(), 500, np.random.default_rng(0)).decision,
    "random": lambda problem: at_random(problem, 500, np.random.default_rng(0)),
}


@settings(max_examples=40)
@given(dimensions=st.integers(1, 4), count=st.integers(1, 5), seed=st.integers(0, 10_000), share=st.floats(0.0, 1.1))
def test_all_methods_keep_to_the_budget_and_none_is_better_than_the_best_of_all_choices(
    dimensions: int, count: int, seed: int, share: float
):
    problem = posed(dimensions, count, seed, share)
    rows = range(dimensions)
    spends = {
        choice: sum(problem.levels[i].spend[choice[i]] for i in rows)
        for choice in product(range(count), repeat=dimensions)
    }
    fits = [choice for choice, spent in spends.items() if spent <= problem.budget * (1 + 1e-12)]
    best = max(np.prod([problem.levels[i].performance[choice[i]] for i in rows]) for choice in fits)
    start = np.prod([problem.levels[i].performance[problem.incumbent().level_of[i]] for i in rows])
    for name, method in METHODS.items():
        found = method(problem)
        assert tuple(found.level_of.tolist()) in fits, name
        reached = np.prod([problem.levels[i].performance[found.level_of[i]] for i in rows])
        assert start * (1 - 1e-12) <= reached <= best * (1 + 1e-12), name
        assert problem.cost(found) == pytest.approx(-np.log(reached), abs=1e-12)
    assert problem.cost(exact(problem)) == pytest.approx(-np.log(best), abs=1e-12)
    assert problem.cost(exhaustive(problem)) == pytest.approx(-np.log(best), abs=1e-12)
    assert problem.bound() <= -np.log(best) + 1e-12
    assert dynamic_programme(problem).bound <= -np.log(best) + 1e-12


@pytest.mark.parametrize("seed", range(5))
def test_the_bound_is_the_linear_programmes(seed: int):
    problem = posed(6, 7, seed)
    rows, columns = problem.loss.shape
    one_each = np.kron(np.eye(rows), np.ones((1, columns)))
    found = linprog(problem.loss.ravel(), problem.spend.reshape(1, -1), [problem.budget], one_each, np.ones(rows))
    assert problem.bound() == pytest.approx(found.fun, abs=1e-8)
    assert problem.relaxed.price == pytest.approx(-found.ineqlin.marginals[0], rel=1e-6)


def test_the_programme_on_a_grid_is_exact_where_spends_are_whole_cells():
    levels = tuple(
        Levels(
            f"d{k}", np.arange(1.0, 5.0), np.array([1.0, 1.5, 1.7, 2.5 + 0.1 * k]), np.array([1.0, 3.0, 4.0, 7.0 + k])
        )
        for k in range(5)
    )
    problem = Budget(levels, 21.0)
    found = dynamic_programme(problem, cells=16)  # 21 less the cheapest
    best = problem.cost(exhaustive(problem))
    assert problem.cost(found.decision) == pytest.approx(best, abs=1e-12)
    assert found.bound == pytest.approx(best, abs=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_ten_dimensions_of_29_levels_at_whole_prices_end_the_same_way_on_the_grid_and_by_highs(seed: int):
    rng = np.random.default_rng(seed)
    scale = np.arange(1.0, 30.0)
    levels = tuple(
        Levels(f"d{k}", scale, scale ** rng.uniform(0.2, 0.9), np.sort(rng.integers(1, 900, 29)).astype(np.float64))
        for k in range(10)
    )
    problem = Budget(levels, 3000.0)
    least = sum(float(each.spend.min()) for each in levels)
    found = dynamic_programme(problem, cells=int(problem.budget - least))
    assert problem.spent(found.decision) <= 3000.0
    assert found.bound == pytest.approx(problem.cost(found.decision), abs=1e-9)
    assert problem.cost(found.decision) == pytest.approx(problem.cost(programme(problem, 20.0)), abs=1e-9)
    assert problem.cost(found.decision) == pytest.approx(problem.cost(exact(problem)), abs=1e-12)


def test_a_coarse_grid_is_never_over_the_budget_and_says_how_far_it_may_be_from_the_best():
    problem = posed(8, 6, 4)
    best = problem.cost(exact(problem))
    gaps = []
    for cells in (10, 100, 1000, 10_000):
        found = dynamic_programme(problem, cells)
        assert problem.spent(found.decision) <= problem.budget
        assert found.bound <= best <= problem.cost(found.decision)
        gaps.append(problem.cost(found.decision) - found.bound)
    assert gaps[-1] < 0.1 * gaps[0]


@pytest.mark.parametrize("count", [4, 29])
def test_ten_dimensions_end_the_same_way_by_states_by_the_grid_and_by_highs(count: int):
    problem = posed(10, count, 7)
    best = problem.cost(exact(problem))
    grid = dynamic_programme(problem)
    assert grid.bound <= best <= problem.cost(grid.decision)
    assert problem.cost(grid.decision) - best < 2e-3
    assert problem.cost(programme(problem, seconds=20.0)) == pytest.approx(best, abs=1e-9)
    assert best <= problem.cost(greedy(problem))


def test_windows_are_exact_for_up_to_two_moves_and_every_string_is_within_the_budget():
    problem = posed(10, 4, 3)
    window = problem.window(greedy(problem), 8, np.random.default_rng(0))
    assert window.ising.spins == 8
    for bits in product((1, -1), repeat=8):
        string = np.array(bits, np.int8)
        sewn = window.sew(string)
        assert problem.feasible(sewn)
        if bits.count(-1) <= 2:
            assert energies(window.ising, string)[0] == pytest.approx(problem.cost(sewn), abs=1e-12)


@pytest.mark.parametrize("solver", [Exact(), Anneal()])
def test_windows_alone_improve_what_is_in_force_and_are_the_same_again(solver: Exact | Anneal):
    problem = posed(10, 4, 5)
    effort = Effort(evaluations=0, rounds=6, window=8)
    once, again = (refine(problem, solver, np.random.default_rng(1), effort=effort) for _ in range(2))
    assert once.costs == again.costs
    assert list(once.costs) == sorted(once.costs, reverse=True)
    assert problem.feasible(once.decision)


def test_a_budget_below_the_cheapest_levels_says_by_how_much():
    levels = some_levels(3, 4, 0)
    least = sum(float(each.spend.min()) for each in levels)
    with pytest.raises(ValueError, match=rf"at least {least:g}, the cheapest levels, got .*: 2 short"):
        Budget(levels, least - 2.0)


def test_what_is_in_force_must_be_a_choice_within_the_budget():
    problem = posed(3, 4, 0)
    with pytest.raises(ValueError, match="over"):
        Budget(problem.levels, problem.budget, Allotted(np.full(3, 3)))
    with pytest.raises(ValueError, match="a level below"):
        Budget(problem.levels, problem.budget, Allotted(np.array([0, 0, 4])))
    with pytest.raises(ValueError, match="at least one dimension"):
        Budget((), 1.0)


def test_impossible_levels_are_refused_by_name():
    one = np.ones(2)
    with pytest.raises(ValueError, match=r"gpu: expected a performance above 0, found 0.0 at scale 2.0"):
        Levels("gpu", np.array([1.0, 2.0]), np.array([1.0, 0.0]), one)
    with pytest.raises(ValueError, match="gpu: expected a spend of at least 0, found -1"):
        Levels("gpu", one, one, -one)
    with pytest.raises(ValueError, match="0 < least <= most"):
        Dimension("gpu", "GPU", PowerLaw(1.0, 0.5), PowerLaw(1.0, 1.0), 2.0, 1.0)
    with pytest.raises(ValueError, match="rising steps"):
        Dimension("gpu", "GPU", PowerLaw(1.0, 0.5), PowerLaw(1.0, 1.0), 1.0, 4.0, (2.0, 1.0))


def test_a_known_choice_changes_nothing_but_what_is_left_to_look_at():
    problem = posed(10, 12, 2)
    known = problem.search(problem.incumbent(), 20_000, np.random.default_rng(0)).decision
    assert problem.cost(exact(problem, known)) == problem.cost(exact(problem))
    assert problem.cost(exact(problem)) <= problem.cost(known)


def test_draws_at_the_price_have_the_boltzmann_weights():
    problem = posed(3, 4, 1)
    draws = at_the_price(problem, 20_000, 0.3, np.random.default_rng(0))
    level_of = np.array([each.level_of for each in draws])
    priced = problem.loss + problem.relaxed.price * problem.spend
    weight = np.exp(-priced / 0.3)
    expected = weight / weight.sum(axis=1, keepdims=True)
    for row in range(3):
        np.testing.assert_allclose(np.bincount(level_of[:, row], minlength=4) / 20_000, expected[row], atol=0.015)
    with pytest.raises(ValueError, match="temperature"):
        at_the_price(problem, 1, 0.0, np.random.default_rng(0))


def test_too_many_choices_are_not_listed():
    with pytest.raises(TooLarge, match="exhaustive: expected at most"):
        exhaustive(posed(12, 5, 0))


def test_levels_of_a_dimension_reach_both_ends():
    dimension = Dimension("gpu", "GPU", PowerLaw(2.0, 0.5), PowerLaw(3.0, 1.0), 0.1, 7.3)
    levels = dimension.levels(5)
    assert (levels.scale[0], levels.scale[-1]) == (0.1, 7.3)
    np.testing.assert_allclose(levels.performance, 2.0 * np.sqrt(levels.scale))
    np.testing.assert_allclose(levels.spend, 3.0 * levels.scale)
