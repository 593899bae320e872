"""Facts about turning scraped samples into equally spaced series."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.readers.prometheus.sample_grid import carried, mean_known, on_grid, rates

NAN = math.nan
gappy = st.lists(st.one_of(st.just(NAN), st.floats(0.0, 1e6)), min_size=1, max_size=30).map(np.array)


def test_samples_land_on_their_step_and_strays_nowhere() -> None:
    times = np.array([90.0, 100.0, 112.0, 125.0, 130.0, 140.0])
    values = np.array([9.0, 1.0, 2.0, 3.0, NAN, 4.0])
    grid, without = on_grid(times, values, start_s=100.0, step_s=10.0, count=4, blank=math.inf)
    assert grid.tolist() == pytest.approx([1.0, 2.0, NAN, NAN], nan_ok=True)
    assert without == 1  # 90 and 140 lie outside, 125 between two steps


def test_values_from_the_blank_on_are_none() -> None:
    grid, without = on_grid(
        np.array([0.0, 1.0, 2.0]), np.array([1.0, 9.3e18, math.inf]), start_s=0.0, step_s=1.0, count=3, blank=9.2e18
    )
    assert grid.tolist() == pytest.approx([1.0, NAN, NAN], nan_ok=True)
    assert without == 2


def test_rates_spread_growth_over_short_gaps_and_know_nothing_over_long_ones_and_resets() -> None:
    counter = np.array([0.0, 10.0, NAN, 40.0, 5.0, 6.0, NAN, NAN, NAN, 9.0])
    expected = [5.0, 7.5, 7.5, NAN, 0.5, NAN, NAN, NAN, NAN]
    assert rates(counter, step_s=2.0, most=2).tolist() == pytest.approx(expected, nan_ok=True)


@given(steps=st.lists(st.floats(0.0, 1e3), min_size=1, max_size=20), holes=st.sets(st.integers(1, 19)))
def test_rates_keep_the_whole_growth_of_a_counter_with_gaps(steps: list[float], holes: set[int]) -> None:
    counter = np.concatenate(([0.0], np.cumsum(steps)))
    total = counter[-1]
    counter[[hole for hole in holes if hole < len(steps)]] = NAN
    assert np.sum(rates(counter, step_s=3.0, most=len(steps))) * 3.0 == pytest.approx(total, abs=1e-6)


@given(values=gappy, most=st.integers(0, 5))
def test_carrying_changes_no_known_value_and_fills_all_after_the_first_or_gives_up(
    values: np.ndarray, most: int
) -> None:
    known = np.flatnonzero(np.isfinite(values))
    longest = max(np.diff(known, append=len(values)), default=0) - 1
    filled = carried(values, most=most)
    assert (filled is None) == (len(known) == 0 or longest > most)
    if filled is not None:
        assert filled[known].tolist() == values[known].tolist()
        assert np.isfinite(filled[known[0] :]).all()
        assert np.isnan(filled[: known[0]]).all()


def test_the_mean_is_over_what_is_known() -> None:
    rows = [np.array([1.0, NAN, NAN]), np.array([3.0, 4.0, NAN])]
    assert mean_known(rows).tolist() == pytest.approx([2.0, 4.0, NAN], nan_ok=True)
