import numpy as np
import pytest

from data.generators.demand import generate_demand
from tasks.fleet_replay.demand import needed_ahead, recorded_swings, with_swings
from tasks.fleet_replay.forecast import LastValue, Seasonal, SeasonalNaive, blocks_of, forecast, running_factor
from tasks.fleet_replay.forecast_lstm import Lstm

TICK_S, BLOCK = 900.0, 2
DAY = int(86_400 / TICK_S)
QUICK = Lstm(hidden=8, epochs=4)
METHODS = (LastValue(), SeasonalNaive(), Seasonal(), QUICK)


def asked(seed: int, days: int = 24):
    demand = generate_demand(
        np.random.default_rng(seed),
        longitude_deg=np.array([-75.0, -120.0]),
        mean=np.array([20.0, 10.0]),
        ticks=days * DAY,
        tick_s=TICK_S,
    )
    return np.vstack([demand, demand.sum(axis=0)])


def blocks(demand):
    return blocks_of(demand, TICK_S, BLOCK, 14 * DAY // BLOCK, 18 * DAY // BLOCK)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.kind)
def test_no_method_sees_the_future(method):
    demand, cut = asked(0), 16 * DAY
    changed = demand.copy()
    changed[:, cut:] *= 3.0
    one, two = (method(blocks(each), np.random.default_rng(0)) for each in (demand, changed))
    assert np.array_equal(one[:, : cut // BLOCK + 1], two[:, : cut // BLOCK + 1])
    assert not np.array_equal(one, two)


def test_upper_forecasts_see_no_future_either():
    demand, cut = asked(0), 20 * DAY
    changed = demand.copy()
    changed[:, cut:] *= 3.0
    one, two = (forecast(blocks(each), (Seasonal(),), np.random.default_rng(0)).upper for each in (demand, changed))
    assert np.array_equal(one[: cut // BLOCK + 1], two[: cut // BLOCK + 1])


def test_the_method_that_erred_least_on_held_out_blocks_answers():
    found = forecast(blocks(asked(1)), METHODS, np.random.default_rng(0))
    assert found.kind == found.scores[0].kind
    assert found.scores[0].held_out == min(score.held_out for score in found.scores)
    by_kind = {score.kind: score.afterwards for score in found.scores}
    assert by_kind[Seasonal().kind] < min(by_kind[LastValue().kind], by_kind[SeasonalNaive().kind])


def test_upper_forecasts_hold_about_as_often_as_asked():
    for quantile in (0.8, 0.95):
        found = forecast(blocks(asked(2, 40)), (Seasonal(),), np.random.default_rng(0), quantile=quantile)
        assert found.scores[0].covered == pytest.approx(quantile, abs=0.06)


def test_a_wave_without_noise_is_told_by_the_season():
    at = np.arange(24 * DAY)
    wave = 10.0 + 4.0 * np.sin(2.0 * np.pi * at / DAY)[None, :]
    made = blocks(wave)
    assert forecast(made, (SeasonalNaive(), LastValue()), np.random.default_rng(0)).scores[0].afterwards < 1e-12
    assert forecast(made, (Seasonal(), LastValue()), np.random.default_rng(0)).scores[0].afterwards < 5e-3


def test_the_network_tells_quantiles_in_order_and_covers_what_it_says():
    made = blocks(asked(3))
    told = Lstm(hidden=8, epochs=40).told(made, np.random.default_rng(0))
    late = slice(made.learned, None)
    covered = [(made.peak[:, late] <= one[:, late]).mean() for one in told]
    assert covered == sorted(covered)
    assert 0.35 < covered[1] < 0.65
    assert covered[2] > 0.8


def test_factors_come_from_the_ratios_before():
    ratios = np.array([1.0, 1.2, 0.9, 1.1, 5.0, 1.0])
    factors = running_factor(ratios, 0, 3, 0.5)
    assert factors.tolist() == [1.0, 1.0, 1.0, 1.0, 1.1, 1.1]


def test_needed_lies_above_demand_most_of_the_time():
    demand = asked(4)[:2]
    before = 18 * DAY
    needed = needed_ahead(
        demand, TICK_S, before, (Seasonal(), LastValue()), np.random.default_rng(0), block_ticks=BLOCK
    )
    later = demand[:, before:].sum(axis=0)
    assert needed.machines.shape == later.shape
    assert (needed.machines >= later).mean() > 0.97
    assert needed.machines.mean() < 1.5 * later.mean()


def test_swings_of_a_recording_are_taken_over_without_its_course():
    rng = np.random.default_rng(0)
    rate = np.concatenate([np.full(30, 1.0), np.full(60, 50.0)])
    amount = np.repeat(rate, 10) * rng.uniform(0.8, 1.2, 900)
    swings = recorded_swings(np.arange(900) * 10.0, amount, 100.0)
    assert swings.mean() == pytest.approx(1.0)
    assert swings.std() < 0.2
    assert len(swings) < 70
    swung = with_swings(np.full((3, 1_000), 2.0), swings, rng)
    assert swung.shape == (3, 1_000)
    assert set(np.round(swung / 2.0, 9).ravel()) <= set(np.round(swings, 9))


def test_what_is_too_short_is_refused():
    with pytest.raises(ValueError, match="recording of 13 ticks"):
        recorded_swings(np.arange(5.0), np.ones(5), 1.0)
    with pytest.raises(ValueError, match="two days"):
        blocks_of(np.ones((1, 10)), TICK_S, 1, 3, 5)
