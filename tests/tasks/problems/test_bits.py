"""The noun of steps: exact at sizes where all choices can be listed, within its limits, never below its bound."""

from itertools import product

import numpy as np
import pytest

from qiskit_solvers.anneal import Anneal
from qiskit_solvers.qaoa import Qaoa
from tasks.problems.bits import Bits, Chosen
from tasks.refine import Effort, refine
from tasks.yardsticks.bits import exact, lagrangian


def steps_of_tensors(tensors: int, measures: int, seed: int, steps: int = 12) -> Bits:
    """Tensors of unlike size and sensitivity, with what a uniform choice of steps loses as the limit."""
    rng = np.random.default_rng(seed)
    elements = np.exp(rng.normal(9.0, 1.0, tensors)).round()
    error = 0.004 * 2.0 ** (np.arange(steps) / 2)
    size = elements[:, None] * (np.log2(1.0 / error) + 0.25) / 8.0
    lost = np.exp(rng.normal(0.0, 1.5, (measures, tensors)))[:, :, None] * error**2
    uniform = np.full(tensors, steps // 2)
    return Bits(size, lost / lost[:, :, steps // 2].sum(axis=1)[:, None, None], Chosen(uniform), int(elements.sum()))


def every_choice(problem: Bits) -> list[Chosen]:
    tensors, steps = problem.size_bytes.shape
    return [Chosen(np.array(choice)) for choice in product(range(steps), repeat=tensors)]


@pytest.mark.parametrize(("measures", "seed"), [(1, 0), (1, 1), (3, 2), (3, 3)])
def test_the_search_finds_the_best_of_all_choices(measures: int, seed: int):
    problem = steps_of_tensors(4, measures, seed, steps=7)
    best = min(problem.cost(choice) for choice in every_choice(problem) if problem.feasible(choice))
    found = problem.search(problem.incumbent(), 50_000, np.random.default_rng(0))
    assert problem.feasible(found.decision)
    assert problem.cost(found.decision) == pytest.approx(best, rel=1e-12)
    assert problem.bound() <= best
    assert problem.cost(exact(problem, seconds=20.0)) == pytest.approx(best, rel=1e-6)
    assert best <= problem.cost(lagrangian(problem)) <= problem.cost(problem.incumbent())


@pytest.mark.parametrize("measures", [1, 3])
def test_the_bound_is_close_where_tensors_are_many(measures: int):
    problem = steps_of_tensors(60, measures, seed=4)
    found = problem.search(problem.incumbent(), 200_000, np.random.default_rng(0)).decision
    assert problem.feasible(found)
    assert problem.bound() <= problem.cost(found) <= 1.005 * problem.bound()
    assert problem.cost(found) < 0.95 * problem.cost(problem.incumbent())


@pytest.mark.slow
@pytest.mark.parametrize("solver", [Anneal(), Qaoa(layers=4, shots=64)], ids=lambda solver: solver.kind)
def test_windows_alone_take_it_below_the_lagrangian_rule(solver: Anneal | Qaoa):
    problem = steps_of_tensors(8, 3, seed=5)
    refined = refine(problem, solver, np.random.default_rng(1), effort=Effort(evaluations=0, rounds=10, window=8))
    assert problem.feasible(refined.decision)
    assert refined.costs[-1] < problem.cost(lagrangian(problem))


def test_a_tensor_without_some_steps_never_gets_one():
    given = steps_of_tensors(6, 2, seed=6)
    size = given.size_bytes.copy()
    size[2, 3:] = size[4, :5] = np.inf
    in_force = np.full(6, 5)
    in_force[2] = 1
    problem = Bits(size, given.share / 2.0, Chosen(in_force), given.elements)
    for decision in (
        problem.search(problem.incumbent(), 20_000, np.random.default_rng(0)).decision,
        refine(problem, Anneal(), np.random.default_rng(0), effort=Effort(evaluations=100, rounds=4)).decision,
        exact(problem, seconds=20.0),
        lagrangian(problem),
    ):
        assert problem.feasible(decision)
        assert decision.step_of[2] < 3
        assert decision.step_of[4] >= 5


def test_where_no_step_loses_anything_the_coarsest_win():
    given = steps_of_tensors(5, 1, seed=7)
    problem = Bits(given.size_bytes, 0.0 * given.share, given.in_force, given.elements)
    found = problem.search(problem.incumbent(), 1_000, np.random.default_rng(0)).decision
    assert found.step_of.tolist() == [11] * 5
    assert problem.bound() == pytest.approx(problem.cost(found))


@pytest.mark.parametrize(
    ("size", "share", "step", "said"),
    [
        (np.ones((0, 3)), np.ones((1, 0, 3)), (), "size_bytes"),
        (np.ones((2, 3)), np.ones((1, 2, 2)), (0, 0), "share: expected shape"),
        (np.ones((2, 3)), np.full((1, 2, 3), np.nan), (0, 0), "share: expected finite"),
        (np.full((2, 3), -1.0), np.zeros((1, 2, 3)), (0, 0), "size_bytes and elements"),
        (np.ones((2, 3)), np.zeros((1, 2, 3)), (0,), "in_force: expected 2"),
        (np.ones((2, 3)), np.zeros((1, 2, 3)), (0, 3), "in_force: expected steps below 3"),
        (np.ones((2, 3)), np.full((1, 2, 3), 0.6), (0, 0), "in_force: expected shares"),
    ],
)
def test_a_wrong_problem_is_refused(size: np.ndarray, share: np.ndarray, step: tuple[int, ...], said: str):
    with pytest.raises(ValueError, match=said):
        Bits(size, share, Chosen(np.array(step, np.int64)), 10)
