from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.forecasters.power import HIGHEST, PowerRules, forecast_power, judge
from tasks.forecasters.residuals import Residuals, upper_factor


def test_groups_of_one_row_give_the_order_statistic_of_split_conformal_prediction():
    """The ceil(0.9 x 20)-th of 19 ratios, a textbook case."""
    ratios = np.arange(1.0, 20.0)
    groups = tuple(f"gang-{row}" for row in range(19))
    assert upper_factor(ratios, groups, 0.9) == 18.0
    assert upper_factor(ratios, groups, 0.95) == 19.0


def test_too_few_groups_promise_nothing():
    ratios = np.linspace(0.9, 1.1, 180)
    groups = tuple(f"gang-{row % 18}" for row in range(180))
    assert upper_factor(ratios, groups, 0.95) == np.inf  # 18 of 19 is less than 0.95
    assert np.isfinite(upper_factor(ratios, groups, 0.9))


def test_a_large_group_does_not_drown_a_small_one():
    ratios = np.concatenate([np.ones(1_000), np.full(4, 2.0)])
    groups = ("large",) * 1_000 + ("b", "c", "d", "e")
    assert upper_factor(ratios, groups, 0.5) == 2.0


@settings(max_examples=20, deadline=None)
@given(
    ratios=st.lists(st.floats(0.1, 10.0) | st.just(float("nan")), min_size=1, max_size=40),
    low=st.floats(0.05, 0.95),
    more=st.floats(0.0, 0.04),
)
def test_a_higher_quantile_never_gives_a_lower_factor(ratios, low, more):
    groups = tuple(str(row % 7) for row in range(len(ratios)))
    values = np.array(ratios)
    assert upper_factor(values, groups, low) <= upper_factor(values, groups, low + more)


def test_new_groups_stay_below_the_bound_as_often_as_stated():
    """Ratios with a share of their own for each group, as models err; 400 trials of 40 groups and a new one."""
    rng = np.random.default_rng(7)
    kept = 0
    for _ in range(400):
        own = np.repeat(0.3 * rng.standard_normal(41), 5)
        ratios = np.exp(own + 0.1 * rng.standard_normal(205))
        groups = tuple(str(row // 5) for row in range(200))
        kept += bool(ratios[200] <= upper_factor(ratios[:200], groups, 0.9))
    assert 0.9 - 3 * np.sqrt(0.9 * 0.1 / 400) <= kept / 400 <= 0.9 + 1 / 41 + 3 * np.sqrt(0.9 * 0.1 / 400)


def test_draws_of_gangs_held_out_stay_below_their_bounds(samples):
    """Bounds learned on 13 gangs, judged on the 7 others: at least as often as stated, within sampling error."""
    names = sorted(set(samples.groups))
    seen = np.array([names.index(group) < 13 for group in samples.groups])
    unseen = np.flatnonzero(~seen)
    power_w = np.where(seen, samples.power_w, np.nan)
    answer = forecast_power(
        replace(samples, power_w=power_w), None, np.random.default_rng(0), taken_at="", why_untrained="-", quantile=0.8
    )
    assert (answer.high_w[unseen] >= answer.watts[unseen]).all()
    assert (answer.high_w[unseen] <= samples.max_w[unseen]).all()
    assert np.isnan(answer.high_w[seen]).all()
    covered = np.mean(samples.power_w[unseen] <= answer.high_w[unseen])
    assert covered >= 0.8 - 2 * np.sqrt(0.8 * 0.2 / 7)
    assert (answer.high_w[unseen] < samples.max_w[unseen]).any()


@pytest.mark.slow
def test_draws_of_models_never_seen_stay_below_their_bounds(energy):
    """Bounds learned on two thirds of the ML.ENERGY models, judged on the rest, each model weighing the same."""
    groups = np.array(energy.groups)
    unseen = np.isin(groups, sorted(set(energy.groups))[::3])
    rows = np.flatnonzero(unseen | (np.arange(len(groups)) % 2 == 0))  # half of what is learned from, for speed
    part = energy.take(rows)
    asked = replace(part, power_w=np.where(unseen[rows], np.nan, part.power_w))
    answer = forecast_power(asked, None, np.random.default_rng(0), taken_at="", why_untrained="-", quantile=0.9)
    covered = [np.mean((part.power_w <= answer.high_w)[groups[rows] == model]) for model in sorted(set(groups[unseen]))]
    assert np.mean(covered) >= 0.9 - 2 * np.std(covered) / np.sqrt(len(covered))
    # a bound that is always the highest draw would say nothing
    assert np.mean(answer.high_w[unseen[rows]] < part.max_w[unseen[rows]]) > 0.5


def test_where_nothing_can_be_held_out_the_highest_draw_bounds(samples):
    alone = replace(samples, groups=("gang",) * 90, power_w=np.where(np.arange(90) < 5, np.nan, samples.power_w))
    answer = forecast_power(alone, None, np.random.default_rng(0), taken_at="", why_untrained="-", rules=PowerRules())
    assert HIGHEST not in answer.sources
    assert np.array_equal(answer.high_w[:5], samples.max_w[:5])


def test_a_method_that_was_not_judged_has_no_errors(samples):
    residuals = judge(samples, np.random.default_rng(0), None, folds=3).residuals
    assert np.isnan(residuals.graph).all()
    assert np.isfinite(residuals.boosting).all()


@pytest.mark.parametrize("quantile", [0.0, 1.0, float("nan")])
def test_a_quantile_that_is_no_share_is_refused(quantile):
    with pytest.raises(ValueError, match="quantile"):
        upper_factor(np.ones(3), ("a", "b", "c"), quantile)


def test_ratios_of_other_length_are_refused():
    with pytest.raises(ValueError, match=r"expected shape \(2,\), got \(3,\)"):
        Residuals(("a", "b"), np.ones(2), np.ones(3), np.ones(2), np.ones(2))
