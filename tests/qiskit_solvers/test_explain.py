"""What is said of an answer is true: every figure against its definition."""

import itertools
import tracemalloc

import numpy as np
import pytest

from qiskit_solvers import Anneal, Exact, Ising, Qaoa, SolverFailed, diagonal, energies, explain, solved
from qiskit_solvers.explain import shots99
from qiskit_solvers.simulation.spaces import circuit_cost, space_of


def model(spins: int, seed: int = 5) -> Ising:
    rng = np.random.default_rng(seed)
    return Ising(rng.normal(size=spins), np.triu(rng.normal(size=(spins, spins)), 1), 3.0)


def rng() -> np.random.Generator:
    return np.random.default_rng(1)


@pytest.mark.parametrize(
    "solver", [Qaoa(on="simulator", layers=3), Qaoa(layers=3), Anneal(), Exact()], ids=lambda solver: solver.kind
)
def test_solved_returns_the_solvers_own_strings(solver: object):
    ising = model(8)
    assert solved(ising, solver, rng()).strings.tobytes() == solver(ising, rng()).tobytes()


def test_the_figures_of_a_circuit_are_those_of_its_distribution():
    ising, qaoa = model(9), Qaoa(on="simulator", layers=3)
    cost = circuit_cost(ising)
    schedule = qaoa.schedule(cost)
    chances, energy = space_of(cost).probabilities(schedule.gammas, schedule.betas), diagonal(ising)
    told = explain(solved(ising, qaoa, rng()))
    assert told.proven
    assert told.lowest == pytest.approx(energy.min())
    assert told.mean == pytest.approx(energy.mean())
    assert told.expectation == pytest.approx(chances @ energy)
    assert told.optimum_probability == pytest.approx(chances[np.argmin(energy)])
    assert told.approximation_ratio == pytest.approx(
        (energy.mean() - chances @ energy) / (energy.mean() - energy.min())
    )


def test_within_groups_only_feasible_strings_count():
    ising = Ising(model(6).h, model(6).J, 3.0, ((0, 1, 2), (3, 4, 5)))
    told = explain(solved(ising, Qaoa(on="simulator"), rng()))
    feasible = []
    for first, second in itertools.product(range(3), range(3, 6)):
        string = np.ones((1, 6), dtype=np.int8)
        string[0, [first, second]] = -1
        feasible.append(energies(ising, string)[0])
    assert told.mean == pytest.approx(np.mean(feasible))
    assert told.lowest == pytest.approx(min(feasible))


def test_equal_optima_count_together():
    """A field-free model has each optimum twice."""
    ising = Ising(np.zeros(6), model(6).J)
    told = explain(solved(ising, Qaoa(on="simulator", layers=30), rng()))
    assert told.optimum_probability is not None
    assert told.optimum_probability > 0.5
    assert f"samples for 0.99: {shots99(told.optimum_probability):.0f}" in str(told)


def test_without_enumeration_the_best_known_stands_in():
    ising = model(9)
    result = solved(ising, Anneal(), rng())
    lowest = float(energies(ising, result.strings[:1])[0])
    told = explain(result, best_known=lowest - 10.0, max_spins=8)
    assert not told.proven
    assert told.lowest == pytest.approx(lowest - 10.0)
    assert 0 < told.approximation_ratio < 1
    assert "the lowest known" in str(told)


def test_an_answer_is_not_judged_by_itself():
    told = explain(solved(model(9), Anneal(), rng()), max_spins=8)
    assert told.lowest is None
    assert told.approximation_ratio is None
    assert "what is optimal is unknown" in str(told)
    with pytest.raises(ValueError, match="best_known: expected a finite energy, got nan"):
        explain(solved(model(4), Anneal(), rng()), best_known=float("nan"))


def test_solving_to_explain_does_what_a_call_does_and_no_more():
    """What is told later costs nothing before: the clock is read at the stages only."""
    ising, qaoa = model(18), Qaoa(on="simulator", layers=1, memory_mb=16)
    tracemalloc.start()
    solved(ising, qaoa, rng())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 << 20


def test_a_constant_model_is_solved_by_any_string():
    told = explain(solved(Ising(np.zeros(4), np.zeros((4, 4)), 7.0), Qaoa(on="simulator"), rng()))
    assert told.approximation_ratio == 1.0
    assert told.optimum_probability == pytest.approx(1.0)


def test_seconds_are_split_by_stage():
    ticks = iter([0.0, 1.0, 3.0, 7.0])
    seconds = solved(model(5), Qaoa(on="simulator"), rng(), clock=lambda: next(ticks)).seconds
    assert (seconds.build, seconds.angles, seconds.samples, seconds.total) == (1.0, 2.0, 4.0, 7.0)
    ticks = iter([0.0, 4.0])
    assert solved(model(5), Exact(), rng(), clock=lambda: next(ticks)).seconds.samples == 4.0


def test_a_failure_is_the_callers():
    with pytest.raises(SolverFailed):
        solved(model(12), Qaoa(layers=200, deadline_s=1e-3), rng())


@pytest.mark.parametrize(
    ("probability", "shots"), [(0.0, np.inf), (1.0, 1.0), (0.999, 1.0), (0.5, 6.643856), (0.01, 458.21)]
)
def test_shots_for_99_percent(probability: float, shots: float):
    assert shots99(probability) == pytest.approx(shots, rel=1e-4)


def test_what_is_no_probability_is_refused():
    with pytest.raises(ValueError, match=r"expected 0 to 1, got 1\.5"):
        shots99(1.5)
