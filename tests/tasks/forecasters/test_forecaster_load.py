import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.forecasters.load import Ewma


@given(st.integers(1, 8), st.floats(0.0, 1e15))
def test_a_constant_series_is_forecast_to_the_bit(windows, tokens):
    forecast = Ewma()(np.full((windows, 2, 3), tokens))
    assert (forecast.tokens == tokens).all()
    assert forecast.error == 0.0


def test_loads_that_only_scatter_are_forecast_better_than_by_the_last_window():
    rng = np.random.default_rng(0)
    level = rng.gamma(0.8, 1_000.0, size=(4, 32))
    better, ours, last = 0, 0.0, 0.0
    for _ in range(30):
        loads = level * np.exp(0.4 * rng.standard_normal((13, 4, 32)))
        forecast = Ewma()(loads[:-1]).tokens
        ours += np.abs(forecast - loads[-1]).sum()
        last += np.abs(loads[-2] - loads[-1]).sum()
        better += np.abs(forecast - loads[-1]).sum() < np.abs(loads[-2] - loads[-1]).sum()
    assert better >= 28
    assert ours < 0.85 * last


def test_loads_that_drift_are_forecast_by_the_last_window():
    loads = np.cumsum(np.full((10, 2, 4), 100.0), axis=0)
    forecast = Ewma()(loads)
    assert forecast.alpha == 1.0
    assert np.array_equal(forecast.tokens, loads[-1])


@pytest.mark.parametrize("windows", [1, 2])
def test_too_little_past_leaves_the_last_window(windows):
    loads = np.random.default_rng(0).random((windows, 2, 4))
    assert np.array_equal(Ewma()(loads).tokens, loads[-1])


def test_no_weight_is_chosen_that_was_worse_than_the_last_window_in_the_past():
    rng = np.random.default_rng(1)
    for _ in range(20):
        forecast = Ewma()(np.abs(np.cumsum(rng.standard_normal((7, 2, 8)), axis=0)))
        assert forecast.error <= forecast.last_window_error


def test_the_weights_of_the_average_are_those_of_the_definition():
    loads = np.array([1.0, 4.0, 2.0]).reshape(3, 1, 1)
    forecast = Ewma(alphas=(0.5,))(loads)
    assert forecast.alpha == 0.5
    assert forecast.tokens.item() == 0.25 * 1.0 + 0.25 * 4.0 + 0.5 * 2.0
    assert forecast.error == (abs(4.0 - 1.0) + abs(2.0 - 2.5)) / 6.0
    assert forecast.last_window_error == (abs(4.0 - 1.0) + abs(2.0 - 4.0)) / 6.0


def test_idle_experts_stay_idle():
    assert not Ewma()(np.zeros((4, 2, 3))).tokens.any()


@pytest.mark.parametrize("shape", [(0, 2, 3), (4, 3)])
def test_a_wrong_shape_is_refused(shape):
    with pytest.raises(ValueError, match="expected shape"):
        Ewma()(np.zeros(shape))


@pytest.mark.parametrize("alphas", [(), (0.0,), (1.5,)])
def test_weights_outside_their_range_are_refused(alphas):
    with pytest.raises(ValueError, match="above 0 and at most 1"):
        Ewma(alphas)
