"""The benchmark's own arithmetic: what it prints is only worth something if this holds."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from qiskit_solvers.angles.schedule import Schedule
from qiskit_solvers.exact import Exact
from qiskit_solvers.ising import Ising, diagonal, energies
from tests.benchmarks.bench_solver import plain
from tests.benchmarks.solver.families import FAMILIES, assignment
from tests.benchmarks.solver.goals import Goal
from tests.benchmarks.solver.hard import loss
from tests.benchmarks.solver.intervals import median_interval, ratio, shots99
from tests.benchmarks.solver.judged import Outcome, judged
from tests.benchmarks.solver.qokit import VERSION, qokit
from tests.benchmarks.solver.refining import Walk, closed
from tests.benchmarks.solver.stock import cp_sat
from tests.benchmarks.solver.stopwatch import interleaved
from tests.benchmarks.solver.swaps import swaps
from tests.benchmarks.solver.warm_start import _probabilities, descended


def test_the_interval_of_a_median_covers_it_and_narrows(rng: np.random.Generator) -> None:
    few, many = (median_interval(rng.normal(size=size), rng) for size in (20, 2000))
    assert few.low <= few.middle <= few.high
    assert many.high - many.low < few.high - few.low
    assert many.low < 0.05
    assert many.high > -0.05


def test_the_median_of_mostly_failures_is_infinite(rng: np.random.Generator) -> None:
    interval = median_interval(np.array([1.0, math.inf, math.inf]), rng)
    assert math.isinf(interval.middle)
    assert not math.isnan(interval.low)


def test_shots99_miss_with_one_percent() -> None:
    for probability in (1e-4, 0.02, 0.5):
        assert (1.0 - probability) ** shots99(probability) == pytest.approx(0.01)
    assert shots99(0.0) == math.inf
    assert shots99(1.0) == 1.0


def test_an_outcome_without_success_never_ends() -> None:
    assert Outcome(0.0, 0.5, 1.0, 1.0).ms99 == math.inf
    assert Outcome(1.0, 1.0, 2.0, 3.0).ms99 == 5.0


def test_the_ratio_is_one_at_the_optimum_and_zero_at_chance() -> None:
    assert ratio(-3.0, -3.0, 1.0) == 1.0
    assert ratio(1.0, -3.0, 1.0) == 0.0
    assert ratio(0.0, 0.0, 0.0) == 1.0


def test_the_stopwatch_takes_turns_and_does_not_repeat_the_slow() -> None:
    now, order = [0.0], []

    def takes(name: str, seconds: float):
        def call(_number: int) -> None:
            order.append(name)
            now[0] += seconds

        return call

    calls = {name: takes(name, seconds) for name, seconds in (("quick", 0.5), ("slow", 9.0), ("long", 2.0))}
    timings = interleaved(calls, rounds=4, patience_s=5.0, clock=lambda: now[0])
    assert {name: timing.readings for name, timing in timings.items()} == {"quick": 4, "slow": 1, "long": 3}
    assert [timings[name].ms for name in calls] == pytest.approx([500.0, 9000.0, 2000.0])
    assert order[-7:] == ["quick", "long", "quick", "long", "quick", "long", "quick"]


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_a_seed_gives_the_same_model(family: str) -> None:
    one, again = (FAMILIES[family](np.random.default_rng(3)) for _ in range(2))
    assert np.array_equal(one.h, again.h)
    assert np.array_equal(one.couplings, again.couplings)
    assert one.groups == again.groups


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_samples_are_judged_as_probabilities_are(family: str, rng: np.random.Generator) -> None:
    model = judged(FAMILIES[family](rng))
    indices = rng.integers(0, model.space.size, 4000)
    shares = np.bincount(indices, minlength=model.space.size) / indices.size
    assert model.of_samples(model.space.strings(indices)) == pytest.approx(model.of_probabilities(shares))
    best = model.space.strings(np.flatnonzero(model.best))
    assert model.of_samples(best) == pytest.approx((1.0, 1.0))


def test_a_sample_that_breaks_a_group_counts_as_chance(rng: np.random.Generator) -> None:
    model = judged(assignment(3, 2, rng))
    assert model.of_samples(np.ones((5, 6), np.int8)) == (0.0, 0.0)


def test_cp_sat_and_enumeration_agree(rng: np.random.Generator) -> None:
    for family in ("SK, n 14", "assignment, 6 x 3"):
        model = judged(FAMILIES[family](rng))
        assert energies(model.ising, cp_sat(model.ising, seed=1))[0] == pytest.approx(model.lowest, rel=1e-6)


def test_a_window_of_swaps_is_exact_for_every_string(rng: np.random.Generator) -> None:
    problem = swaps(0)
    decision = problem.descended(problem.incumbent())
    window = problem.window(decision, 10, rng)
    for string in rng.choice(np.array([1, -1], np.int8), (50, 10)):
        sewn = window.sew(string)
        assert energies(window.ising, string)[0] == pytest.approx(problem.cost(sewn))
        assert np.array_equal(np.bincount(sewn), np.full(8, 8))


@pytest.mark.slow
def test_no_swap_improves_a_local_optimum_and_annealing_never_loses(rng: np.random.Generator) -> None:
    problem = swaps(1)
    decision = problem.descended(problem.incumbent())
    here = problem.cost(decision)
    for i, j in rng.integers(0, 64, (300, 2)):
        swapped = decision.copy()
        swapped[[i, j]] = swapped[[j, i]]
        assert problem.cost(swapped) >= here - 1e-9
    found = problem.search(decision, 20_000, rng)
    assert problem.cost(found.decision) <= here + 1e-9
    assert (problem.cost(found.decision) < here - 1e-9) == (found.accepted > 0)


def test_a_warm_start_is_simulated_as_its_circuit(rng: np.random.Generator) -> None:
    from qiskit.quantum_info import Statevector

    from qiskit_solvers import one_hot
    from qiskit_solvers.circuits.warm_start import start_probabilities, warm_start_circuit
    from qiskit_solvers.simulation.subspace import Subspace

    free = Ising(rng.normal(size=7), np.triu(rng.normal(size=(7, 7)), 1), 0.3)
    model = Ising(free.h, free.J, free.offset, groups=((0, 1, 2), (3, 5)))
    space = Subspace(model)
    gammas, betas = rng.uniform(0.1, 0.6, (2, 3))
    start = space.strings(np.array([5]))[0]
    chances = start_probabilities(model, (1 - start) / 2, 0.25)
    factors = [
        np.sqrt(np.array([1 - chances[f.spins[0]], chances[f.spins[0]]]) if f.free else chances[list(f.spins)])
        for f in one_hot.factors(model)
    ]
    ours = _probabilities(space.costs, factors, gammas, betas)
    circuit = warm_start_circuit(model, (1 - start) / 2, gammas, betas, epsilon=0.25)
    theirs = Statevector(circuit).probabilities()
    bits = space.strings(np.arange(space.size)) < 0
    assert theirs[(bits << np.arange(7)).sum(axis=1)] == pytest.approx(ours, abs=1e-9)


def test_a_descent_ends_where_no_single_choice_helps(rng: np.random.Generator) -> None:
    model = assignment(5, 3, rng)
    space = judged(model).space
    end = descended(model, space.strings(np.array([100]))[0])
    best = float(energies(model, end)[0])
    near = space.strings(np.arange(space.size))
    near = near[(near != end).sum(axis=1) <= 2]  # one item in another bin
    assert energies(model, near).min() == pytest.approx(best)


def test_the_loss_is_that_of_its_two_probabilities(rng: np.random.Generator) -> None:
    amount, quantum, classical = loss(FAMILIES["SK, n 14"](rng))
    assert amount == pytest.approx(math.log10(classical / quantum))
    assert 0.0 < quantum <= 1.0
    assert 0.0 < classical <= 1.0


def test_goals_say_by_how_much_they_are_missed() -> None:
    assert Goal("speed", "at least", 20.0, 25.0, "").met
    assert Goal("speed", "at least", 20.0, 10.0, "").distance == 2.0
    assert Goal("time", "at most", 10.0, 15.0, "").distance == 1.5
    assert not Goal("time", "at most", 10.0, math.nan, "").met


def test_shares_of_a_gap_leave_out_runs_without_one() -> None:
    walks = [
        Walk("p", "a", 0, 10.0, (8.0,), 1, 1, 0.5),
        Walk("p", "b", 0, 10.0, (6.0,), 1, 1, 0.5),
        Walk("p", "a", 1, 6.0, (6.0,), 1, 0, 0.5),
    ]
    assert closed(walks) == {("p", "a"): [0.5], ("p", "b"): [1.0]}


def test_a_wheel_without_sources_is_skipped_with_its_reasons(tmp_path: Path) -> None:
    (tmp_path / f"wheel-{VERSION}").mkdir()
    found = qokit(tmp_path)
    assert found.libraries == {}
    assert found.fallback is None
    assert len(found.missing) == 3


def test_json_has_null_for_what_is_not_finite() -> None:
    written = json.dumps(plain({"a": (math.inf, 1.0), "b": Goal("x", "at most", 1.0, math.nan, "")}), allow_nan=False)
    assert json.loads(written)["a"] == [None, 1.0]


def test_exact_windows_of_swaps_never_lose(rng: np.random.Generator) -> None:
    problem = swaps(2)
    decision = problem.incumbent()
    window = problem.window(decision, 8, rng)
    best = Exact()(window.ising, rng)[0]
    assert problem.cost(window.sew(best)) == pytest.approx(diagonal(window.ising).min())
    assert problem.cost(window.sew(best)) <= problem.cost(decision)


def test_schedules_of_the_warm_start_are_scaled_by_a_grid(rng: np.random.Generator) -> None:
    from tests.benchmarks.solver.warm_start import warm_probabilities

    model = assignment(4, 3, rng)
    known = judged(model)
    start = descended(model, known.space.strings(np.array([7]))[0])
    schedule = Schedule(np.full(2, 1.0 / known.deviation), np.array([0.4, 0.2]))
    chances = warm_probabilities(model, known.space.costs, start, schedule, 0.25)
    assert chances.sum() == pytest.approx(1.0)
    assert known.of_probabilities(chances)[1] > 0.5
