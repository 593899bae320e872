"""Are maps made for past windows where the past recurs, and does the recurrent network answer only if it did better?"""

import json

import numpy as np
import pytest

from data.generators.fitted import EXPERT_SKEW
from data.generators.routing import relative_loads
from tasks.forecasters.load import Ewma
from tasks.forecasters.load_lstm import Lstm
from tasks.forecasters.load_scenarios import PastWindows, recurrence

BRIEF = Lstm(hidden=8, epochs=60, least_windows=8)


def mixtures(windows: int, rng: np.random.Generator) -> np.ndarray:
    """Return windows of two kinds of requests in random parts, ``(windows, 3, 32)``."""
    kinds = rng.lognormal(5.0, 1.0, (2, 3, 32))
    part = rng.random((windows, 1, 1))
    return np.asarray(part * kinds[0] + (1.0 - part) * kinds[1])


def test_past_windows_are_futures_where_the_past_recurs(rng):
    loads = mixtures(6, rng)
    forecast = Ewma()(loads)
    futures = forecast.scenarios
    assert futures.recurrence > 0.99
    assert len(futures.tokens) == 5
    assert np.array_equal(futures.tokens[0], forecast.tokens)
    np.testing.assert_allclose(futures.tokens.sum(axis=2), np.tile(forecast.tokens.sum(axis=1), (5, 1)))
    scale = futures.tokens[1] / loads[-1]
    np.testing.assert_allclose(scale, np.repeat(scale[:, :1], 32, axis=1))
    assert futures.likelihood == pytest.approx([0.2, 0.2, 0.2, 0.2, 0.2])
    assert futures.load_error < 0.1 * forecast.error


def test_experts_that_drift_on_their_own_leave_the_forecast_and_its_error(rng):
    forecast = Ewma()(1_000.0 * relative_loads(8, 4, 256, EXPERT_SKEW, rng))
    assert forecast.scenarios.recurrence < 0.2
    assert forecast.scenarios.tokens.shape == (1, 4, 256)
    assert forecast.scenarios.load_error == pytest.approx(1.2533 * forecast.error, rel=1e-3)


def test_the_explained_share_is_that_of_a_projection():
    # the newest deviates by (3, 4, 0) from nothing, the earlier one by (1, 0, 0): 9 of 25 are explained
    centre = np.full((1, 3), 100.0)
    loads = centre + np.array([[[10.0, -10.0, 0.0]], [[10.0, 0.0, -10.0]]])
    deviation = np.array([10.0, 0.0, -10.0]) @ np.array([1.0, -1.0, 0.0]) / np.sqrt(2.0)
    assert recurrence(loads, centre) == pytest.approx(deviation**2 / 200.0)
    assert recurrence(np.stack([centre, centre]), centre) == 0.0


@pytest.mark.parametrize("windows", [1, 2])
def test_too_little_past_is_no_evidence(windows, rng):
    assert len(Ewma()(mixtures(windows, rng)).scenarios.tokens) == 1


def test_a_recording_of_several_kinds_of_requests_recurs(real_data):
    files = sorted((real_data / "sglang_deepseek_expert_counts").glob("prefill*.json"))
    if len(files) < 4:
        pytest.skip("no recordings of prefill")
    loads = np.array([json.loads(path.read_text())["logical_count"] for path in files], dtype=np.float64)[:, 3:]
    assert Ewma()(loads).scenarios.recurrence > 0.5


def test_the_network_answers_where_it_beats_both_on_windows_held_out():
    # every other window is the opposite of the one before: neither a mean nor the last window can know
    rng = np.random.default_rng(0)
    level, swing = rng.lognormal(5.0, 0.5, (2, 16)), rng.choice([-0.7, 0.7], (2, 16))
    loads = np.array([level * np.exp(swing * (-1) ** window) for window in range(14)])
    network, mean = BRIEF(loads, np.random.default_rng(1)), Ewma()(loads)
    assert network.method.startswith("a recurrent network: errors on the newest 3 windows, held out")
    coming = level * np.exp(swing)
    assert np.abs(network.tokens - coming).sum() < 0.5 * np.abs(mean.tokens - coming).sum()
    np.testing.assert_allclose(network.tokens.sum(axis=1), loads[-1].sum(axis=1))
    again = BRIEF(loads, np.random.default_rng(1))
    assert again.tokens.tobytes() == network.tokens.tobytes()


def test_the_network_steps_back_where_there_is_nothing_to_learn(rng):
    loads = 100.0 * np.exp(0.3 * rng.standard_normal((10, 2, 16)))
    forecast = BRIEF(loads, rng)
    assert np.array_equal(forecast.tokens, Ewma()(loads).tokens)
    assert "since a recurrent network did no better" in forecast.method
    assert forecast.error == Ewma()(loads).error


def test_few_windows_are_not_worth_a_network(rng):
    loads = mixtures(5, rng)
    assert Lstm()(loads, rng).method == Ewma()(loads).method


def test_options_out_of_range_are_refused():
    with pytest.raises(ValueError, match="sizes of at least 1"):
        Lstm(hidden=0)
    with pytest.raises(ValueError, match="likelihood"):
        PastWindows(forecast_likelihood=0.0)
