"""Schedules refuse nonsense, and go from one depth to another as their papers say."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qiskit_solvers.angles.ramp import ramp
from qiskit_solvers.angles.schedule import Schedule, as_json, from_json, interpolated, rescaled, stretched

ANGLES = st.floats(-10, 10)
SCHEDULES = st.lists(st.tuples(ANGLES, ANGLES), max_size=9).map(
    lambda pairs: Schedule(np.array([g for g, _ in pairs], float), np.array([b for _, b in pairs], float))
)


@pytest.mark.parametrize(
    ("gammas", "betas", "says"),
    [
        (np.ones(2), np.ones(3), "two equal shapes"),
        (np.ones((1, 1)), np.ones((1, 1)), "two equal shapes"),
        (np.ones(1), np.array([np.nan]), "finite"),
        (np.array([np.inf]), np.ones(1), "finite"),
        (np.ones(1, dtype=np.int64), np.ones(1), "float64"),
    ],
)
def test_a_schedule_refuses_what_is_none(gammas, betas, says):
    with pytest.raises(ValueError, match=says):
        Schedule(gammas, betas)


def test_a_schedule_may_have_no_layers():
    assert Schedule(np.zeros(0), np.zeros(0)).layers == 0


def test_interp_follows_its_formula():
    """Zhou et al. 2020: angle i is (i-1)/p of u_(i-1) and (p-i+1)/p of u_i, u_0 = u_(p+1) = 0."""
    three = interpolated(Schedule(np.array([0.4, 1.0, 1.6]), np.array([0.6, 0.3, 0.1])))
    np.testing.assert_allclose(three.gammas, [0.4, 0.4 / 3 + 2 * 1.0 / 3, 2 * 1.0 / 3 + 1.6 / 3, 1.6])
    np.testing.assert_allclose(three.betas, [0.6, 0.6 / 3 + 2 * 0.3 / 3, 2 * 0.3 / 3 + 0.1 / 3, 0.1])
    two = interpolated(Schedule(np.array([0.8]), np.array([0.3])))
    np.testing.assert_allclose(two.gammas, [0.8, 0.8])


def test_interp_needs_a_layer():
    with pytest.raises(ValueError, match="at least one layer"):
        interpolated(Schedule(np.zeros(0), np.zeros(0)))


@settings(deadline=None)
@given(SCHEDULES.filter(lambda schedule: schedule.layers > 0))
def test_interp_stays_within_the_angles(schedule: Schedule):
    longer = interpolated(schedule)
    assert longer.layers == schedule.layers + 1
    assert longer.gammas.max() <= schedule.gammas.max() + 1e-9
    assert longer.gammas.min() >= schedule.gammas.min() - 1e-9
    assert longer.betas[0] == schedule.betas[0]
    assert longer.betas[-1] == schedule.betas[-1]


@settings(deadline=None)
@given(st.integers(2, 40), st.integers(0, 90), ANGLES, ANGLES)
def test_a_stretched_ramp_is_the_ramp_of_the_new_depth(before: int, after: int, cost: float, mixer: float):
    stretch, direct = stretched(ramp(before, cost, mixer), after), ramp(after, cost, mixer)
    np.testing.assert_allclose(stretch.gammas, direct.gammas, atol=1e-9)
    np.testing.assert_allclose(stretch.betas, direct.betas, atol=1e-9)


@settings(deadline=None)
@given(SCHEDULES)
def test_stretching_to_its_own_depth_changes_nothing(schedule: Schedule):
    same = stretched(schedule, schedule.layers)
    np.testing.assert_allclose(same.gammas, schedule.gammas, atol=1e-12)
    np.testing.assert_allclose(same.betas, schedule.betas, atol=1e-12)


def test_one_layer_stretches_to_a_constant_and_none_to_nothing_else():
    assert stretched(Schedule(np.array([0.7]), np.array([0.2])), 3).gammas.tolist() == [0.7] * 3
    with pytest.raises(ValueError, match="at least one layer"):
        stretched(Schedule(np.zeros(0), np.zeros(0)), 1)
    with pytest.raises(ValueError, match="at least 0"):
        stretched(Schedule(np.ones(1), np.ones(1)), -1)


def test_rescaling_divides_the_cost_angles_only():
    schedule = rescaled(ramp(4, 2.0, 0.5), 8.0)
    np.testing.assert_array_equal(schedule.gammas, ramp(4, 0.25, 0.5).gammas)
    np.testing.assert_array_equal(schedule.betas, ramp(4, 2.0, 0.5).betas)
    np.testing.assert_array_equal(rescaled(schedule, 0.0).gammas, schedule.gammas)


@pytest.mark.parametrize("deviation", [-1.0, np.nan, np.inf, 5e-324])
def test_rescaling_refuses_a_deviation_that_is_none(deviation: float):
    with pytest.raises(ValueError, match="finite"):
        rescaled(ramp(2, 1.0, 1.0), deviation)


@settings(deadline=None)
@given(SCHEDULES)
def test_json_gives_back_the_same_bits(schedule: Schedule):
    back = from_json(json.loads(json.dumps(as_json(schedule))))
    assert back.gammas.tobytes() == schedule.gammas.tobytes()
    assert back.betas.tobytes() == schedule.betas.tobytes()


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {},
        {"gammas": []},
        {"gammas": [], "betas": [], "more": []},
        {"gammas": [1.0], "betas": []},
        {"gammas": ["1"], "betas": [1.0]},
        {"gammas": [True], "betas": [1.0]},
        {"gammas": [None], "betas": [1.0]},
        {"gammas": [[1.0]], "betas": [[1.0]]},
        {"gammas": [10**400], "betas": [1.0]},
        {"gammas": [float("nan")], "betas": [1.0]},
        {"gammas": "12", "betas": "12"},
    ],
)
def test_json_of_another_form_is_refused(value: object):
    with pytest.raises(ValueError, match="expected"):
        from_json(value)
