"""The recommended solver fits the budget, by a cost model that is read from a file."""

import json
from pathlib import Path

import numpy as np
import pytest

from qiskit_solvers import Anneal, Exact, Ising, Qaoa, Rqaoa, TooLarge, predicted_s, recommend
from qiskit_solvers.measure import fitted
from qiskit_solvers.recommend import measured_costs, units, work_of


def model(spins: int, groups: tuple[tuple[int, ...], ...] = ()) -> Ising:
    rng = np.random.default_rng(spins)
    return Ising(rng.normal(size=spins), np.triu(rng.normal(size=(spins, spins)), 1), 0.0, groups)


@pytest.fixture
def costs(tmp_path: Path) -> Path:
    """A machine on which every unit of work takes a microsecond."""
    kinds = ("exact", "anneal", "rqaoa", "qaoa-simulator", "qaoa-aer")
    path = tmp_path / "costs.json"
    path.write_text(json.dumps({"models": {kind: {"start_s": 0.001, "unit_s": 1e-6} for kind in kinds}}))
    return path


def test_what_can_be_enumerated_in_time_is_enumerated(costs: Path):
    assert isinstance(recommend(model(10), 0.01, costs=costs), Exact)


def test_what_cannot_is_annealed_with_as_many_sweeps_as_fit(costs: Path):
    long, short = (recommend(model(30), budget_s, costs=costs) for budget_s in (100.0, 1.0))
    assert isinstance(long, Anneal)
    assert isinstance(short, Anneal)
    assert long.sweeps > short.sweeps


def test_a_quantum_method_is_taken_where_one_is_asked_for(costs: Path):
    deep, shallow = (recommend(model(10), budget_s, among="quantum", costs=costs) for budget_s in (10.0, 0.05))
    assert isinstance(deep, Qaoa)
    assert isinstance(shallow, Qaoa)
    assert deep.layers > shallow.layers
    assert isinstance(recommend(model(40), 60.0, among="quantum", costs=costs), Rqaoa)


def test_one_hot_groups_count_by_their_feasible_strings(costs: Path):
    """24 spins in 8 groups of 3 have 6,561 strings."""
    groups = tuple((i, i + 1, i + 2) for i in range(0, 24, 3))
    solver = recommend(model(24, groups), 0.1, costs=costs)
    assert isinstance(solver, Exact)
    assert len(solver(model(24, groups), np.random.default_rng(0))) == 32


@pytest.mark.parametrize("among", ["all", "quantum"])
@pytest.mark.parametrize("spins", [0, 1, 6, 12, 18, 26, 60])
@pytest.mark.parametrize("budget_s", [3.0, 30.0])
def test_what_is_recommended_is_expected_to_fit(among: str, spins: int, budget_s: float):
    solver = recommend(model(spins), budget_s, among=among)
    assert predicted_s(solver, model(spins)) <= budget_s


def test_a_recommended_solver_takes_its_model():
    for among in ("all", "quantum"):
        ising = model(8)
        assert recommend(ising, 5.0, among=among)(ising, np.random.default_rng(0)).shape[1] == 8


def test_no_time_is_refused():
    with pytest.raises(ValueError, match="expected a positive number of seconds, got 0"):
        recommend(model(4), 0.0)
    with pytest.raises(TooLarge, match=r"no solver is expected to answer in time; .* comes closest"):
        recommend(model(60), 1e-7)


def test_work_grows_with_the_model():
    small, large = (work_of(model(spins)) for spins in (8, 12))
    for solver in (Exact(), Anneal(), Rqaoa(), Qaoa(), Qaoa(on="simulator")):
        assert units(solver, large)[1] > units(solver, small)[1]


def test_a_fit_finds_the_line_that_times_lie_on():
    amounts = np.array([0.0, 1e3, 1e6, 1e9])
    start_s, unit_s = fitted(amounts, 0.02 + 3e-9 * amounts)
    assert start_s == pytest.approx(0.02)
    assert unit_s == pytest.approx(3e-9)
    assert min(fitted(amounts, np.array([0.02, 0.01, 0.01, 0.01]))) >= 0.0


def test_a_choice_among_others_is_refused():
    with pytest.raises(ValueError, match="among: expected one of"):
        recommend(model(4), 1.0, among="best")


def test_an_unknown_solver_has_no_cost_model():
    with pytest.raises(ValueError, match="no cost model knows"):
        units(Qaoa(angles="optimised"), work_of(model(3)))


def test_the_shipped_costs_are_of_every_model():
    assert set(measured_costs()) == {"exact", "anneal", "rqaoa", "qaoa-simulator", "qaoa-aer"}
    assert all(start_s >= 0 and unit_s > 0 for start_s, unit_s in measured_costs().values())


def test_a_damaged_file_is_named(tmp_path: Path):
    path = tmp_path / "costs.json"
    path.write_text('{"models": {"exact": {"start_s": "soon"}}}')
    with pytest.raises(ValueError, match=r"costs\.json: expected start_s and unit_s"):
        measured_costs(path)
