"""The noun of token windows: a quadratic cost whose windows are exact for every string, and never worse."""

from itertools import product

import numpy as np
import pytest

from data.generators.tokens import domains_of_experts, token_stream
from qiskit_solvers.exact import Exact
from qiskit_solvers.ising import energies
from qiskit_solvers.qaoa import Qaoa
from tasks.problems.tokens import Assigned, TokenWeights, TokenWindow
from tasks.refine import Effort, refine
from tasks.token_routing.routers import HashRouter

EFFORT = Effort(evaluations=20_000, rounds=2, window=6, patience=2)


@pytest.fixture
def problem() -> TokenWindow:
    graph = domains_of_experts(2, 2, 2)
    rng = np.random.default_rng(3)
    tokens = token_stream(60, graph, rng)
    return TokenWindow(
        tokens, graph, HashRouter()(tokens, graph), base_load=rng.random(8) * 20, base_inflow=rng.random(3) * 5
    )


def test_the_cost_is_the_definition(problem: TokenWindow):
    tokens, graph = problem.tokens, problem.graph
    decision = problem.incumbent()
    assert problem.base_load is not None
    assert problem.base_inflow is not None
    whole = tokens.complexity.sum() + problem.base_load.sum()
    load, inflow, way = problem.base_load.copy(), problem.base_inflow.copy(), 0.0
    for token, expert in enumerate(decision.expert_of.tolist()):
        load[expert] += tokens.complexity[token]
        origin = tokens.origin[token]
        way += tokens.complexity[token] * graph.distance[origin, expert]
        if graph.place_domain[origin] != graph.domain[expert]:
            inflow[graph.domain[expert]] += tokens.complexity[token]
    expected = sum((load / whole) ** 2 / graph.share) - 1 + 0.2 * way / whole + 0.2 * sum((inflow / whole) ** 2)
    assert problem.cost(decision) == pytest.approx(expected, rel=1e-12)


def test_every_string_of_a_window_has_its_exact_cost(problem: TokenWindow):
    window = problem.window(problem.incumbent(), 5, np.random.default_rng(0))
    strings = np.array(list(product((1, -1), repeat=window.ising.spins)), dtype=np.int8)
    costs = [problem.cost(window.sew(string)) for string in strings]
    np.testing.assert_allclose(energies(window.ising, strings), costs, rtol=0, atol=1e-12)


def test_the_bound_is_below_the_best_of_all(problem: TokenWindow):
    small = TokenWindow(problem.tokens.take(np.arange(4)), problem.graph, problem.in_force[:4])
    every = (np.array(each) for each in product(range(8), repeat=4))
    assert small.bound() <= min(small.cost(Assigned(each)) for each in every) + 1e-12


@pytest.mark.slow
@pytest.mark.parametrize("solver", [Exact(), Qaoa(layers=4, shots=64)])
def test_refining_never_raises_the_cost_and_is_the_same_again(problem: TokenWindow, solver: Exact | Qaoa):
    ends = [refine(problem, solver, np.random.default_rng(5), effort=EFFORT) for _ in range(2)]
    costs = ends[0].costs
    assert list(costs) == sorted(costs, reverse=True)
    assert costs[-1] < costs[0]
    np.testing.assert_array_equal(ends[0].decision.expert_of, ends[1].decision.expert_of)


def test_a_single_expert_leaves_nothing_to_decide():
    graph = domains_of_experts(1, 1, 1)
    tokens = token_stream(5, graph, np.random.default_rng(0))
    problem = TokenWindow(tokens, graph, np.zeros(5, np.int64))
    assert problem.window(problem.incumbent(), 4, np.random.default_rng(0)).ising.spins == 0
    assert problem.search(problem.incumbent(), 100, np.random.default_rng(0)).evaluations == 0


def test_wrong_shapes_are_refused(problem: TokenWindow):
    with pytest.raises(ValueError, match="in_force"):
        TokenWindow(problem.tokens, problem.graph, problem.in_force[:-1])
    with pytest.raises(ValueError, match="experts below 8"):
        TokenWindow(problem.tokens, problem.graph, problem.in_force + 8)
    with pytest.raises(ValueError, match="at least 0"):
        TokenWeights(way=-1.0)
