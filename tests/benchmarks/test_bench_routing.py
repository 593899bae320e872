"""The benchmark's own arithmetic, and that each piece of it runs: what it prints is only worth something if so."""

import json

import numpy as np
import pytest

from tasks.problems.routing import ExpertMap, RoutingWeights
from tasks.problems.routing_balance import balancedness
from tests.benchmarks.columns import compared
from tests.benchmarks.routing.cases import drifting, recorded, shares, thinned
from tests.benchmarks.routing.held_out import Measured, against, measured, plot, show, summary
from tests.benchmarks.routing.instances import CpSat, budgeted_eplb, budgeted_greedy, exact, flow_of, provable, small
from tests.benchmarks.routing.methods import PLENTY, as_it_is, eplb, expected, foreseen, greedy, ours, posed

TINY = {"layers": 2, "experts": 8, "ranks": 4, "slots": 12, "windows": 4, "per_domain": 2}


def test_a_seed_gives_the_same_case_and_plans_do_not_see_what_is_held_out():
    one, again = (drifting([3], **TINY)[0] for _ in range(2))
    assert np.array_equal(one.held_out, again.held_out)
    assert np.array_equal(one.next_flow, again.next_flow)
    assert not any(np.array_equal(window, one.held_out) for window in one.history)
    assert not np.allclose(one.flow, one.next_flow)


def test_no_recording_is_in_its_own_history_and_the_map_in_force_is_for_the_other_phase(rng):
    names = ("decode_a", "decode_b", "prefill_a", "prefill_b", "prefill_c")
    loads = {name: shares(rng.lognormal(size=(3, 8))) for name in names}
    for mixed, histories in ((False, [1, 1, 2, 2, 2]), (True, [4] * 5)):
        cases = recorded(loads, 4, 12, mixed=mixed, most=9)
        assert [case.name for case in cases] == list(names)
        assert [len(case.history) for case in cases] == histories
        for case in cases:
            assert np.array_equal(case.held_out, loads[case.name])
            assert not any(np.array_equal(window, case.held_out) for window in case.history)
    phase = recorded(loads, 4, 12, mixed=False, most=9)
    assert np.array_equal(phase[0].in_force, eplb(lambda _: loads["prefill_a"])(phase[0], PLENTY).placement)
    assert len(thinned(phase, 2)[0].held_out) == 2
    assert len(recorded(loads, 4, 12, mixed=True, most=2)) == 2


def test_the_noun_gets_what_the_case_knows_and_nothing_of_what_is_held_out():
    case = drifting([1], **TINY)[0]
    problem = posed(case, 5, RoutingWeights())
    assert np.array_equal(flow_of(problem), case.flow)
    assert problem.budget == 5
    figures = {each.name.rpartition(".")[2]: each.value for each in problem.figures(problem.incumbent())}
    assert figures["balancedness"] == pytest.approx(balancedness(case.held_out, case.in_force, 4))


@pytest.mark.slow
def test_plans_keep_the_budget_and_are_told_with_intervals(tmp_path):
    cases = drifting(range(2), **TINY)
    methods = {"as it is": as_it_is, "EPLB": eplb(expected), "greedy": greedy(0.5), "ours": ours(RoutingWeights(), 20)}
    rows = measured("tiny", cases, methods, (3, PLENTY))
    assert len(rows) == 2 * 2 * 4
    assert all(row.moved <= row.budget for row in rows)
    assert all(0.0 < row.balance <= 1.0 and 0.0 <= row.crossing <= 1.0 for row in rows)
    assert "ours" in show("tiny", rows, "EPLB")
    told = summary(rows, "EPLB")
    assert json.loads(json.dumps(told, allow_nan=False))[0]["method"] == "as it is"
    plot(rows, "EPLB", tmp_path / "tiny.png")
    assert (tmp_path / "tiny.png").stat().st_size > 1000


def test_a_split_that_sees_the_window_is_never_worse():
    cases = drifting(range(3), **TINY)
    rows = measured("tiny", cases, {"even": eplb(expected), "seen": foreseen(eplb(expected))}, (PLENTY,))
    for case in cases:
        even, seen = (next(r.balance for r in rows if (r.case, r.method) == (case.name, m)) for m in ("even", "seen"))
        assert seen >= even - 1e-9


def test_differences_are_of_the_same_cases():
    rows = [
        Measured("t", case, method, 1, value, np.nan, 0, 0.0)
        for case, method, value in (("a", "x", 0.5), ("b", "x", 0.7), ("b", "y", 0.6), ("a", "y", 0.4))
    ]
    gap = against(rows, "x", "y", 1, "balance")
    assert (gap.mean, gap.low, gap.high) == pytest.approx((0.1, 0.1, 0.1))


def test_what_cp_sat_proves_is_not_undercut():
    (_, problem), *_ = provable(2)
    found = exact(problem, 20.0)
    assert found is not None
    assert found.cost == pytest.approx(problem.cost(ExpertMap(found.placement)), abs=2e-3)
    searched = problem.search(problem.incumbent(), 20_000, np.random.default_rng(0)).decision
    assert problem.cost(searched) >= found.bound - 1e-9


def test_yardsticks_of_the_columns_answer_within_the_budget_and_not_worse_than_what_is_in_force():
    yardsticks = {"EPLB": budgeted_eplb, "greedy": budgeted_greedy, "CP-SAT": CpSat()}
    problems = small(1)
    found = compared(problems, yardsticks, seconds=0.5, seed=1)
    (_, problem) = problems[0]
    for row in found.reached:
        assert row.cost <= row.incumbent + 1e-9
        moved = next(value for name, value in row.figures.items() if name.endswith("moved_replicas"))
        assert moved <= problem.budget
