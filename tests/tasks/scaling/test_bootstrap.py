"""Intervals hold what made the data about as often as they say, and are wider where points share a run's luck."""

import numpy as np
import pytest

from data.schemas.scaling import Series
from tasks.scaling.bootstrap import bootstrapped, resampled
from tasks.scaling.choose import forms
from tasks.scaling.fit import fit_law

SCALES = np.geomspace(1.0, 256.0, 24)


def power(series: Series, draws: int, seed: int = 0, **options: object):  # type: ignore[no-untyped-def]
    fit = fit_law(series, forms(series)[0])
    return bootstrapped(series, fit, np.random.default_rng(seed), draws=draws, **options)  # type: ignore[arg-type]


def test_intervals_cover_the_truth(rng: np.random.Generator) -> None:
    held = 0
    for _ in range(14):
        series = Series("made", "compute", SCALES, 2.0 * SCALES**0.7 * np.exp(0.05 * rng.standard_normal(24)))
        interval = power(series, 30).interval("b")
        held += interval.low <= 0.7 <= interval.high
    assert held >= 11


def test_runs_that_share_their_luck_widen_the_interval(rng: np.random.Generator) -> None:
    scale = np.tile(np.geomspace(1.0, 256.0, 4), 6)
    luck = np.repeat(0.1 * rng.standard_normal(6), 4)
    runs = tuple(f"run {number}" for number in range(6) for _ in range(4))
    performance = 2.0 * scale**0.7 * np.exp(luck + 0.001 * rng.standard_normal(24))
    middle = {"middle": lambda theta: float(theta[0] * 16.0 ** theta[1])}
    alone = power(Series("made", "compute", scale, performance), 120, derived=middle).interval("middle")
    shared = Series("made", "compute", scale, performance, runs=runs)
    together = power(shared, 120, derived=middle).interval("middle")
    assert together.high - together.low > 1.2 * (alone.high - alone.low)


def test_points_of_a_run_are_drawn_together(rng: np.random.Generator) -> None:
    clusters = np.array([0, 0, 1, 1, 1, 2])
    for _ in range(14):
        weights = resampled(clusters, 3, rng)
        assert weights[0] == weights[1]
        assert len(set(weights[2:5])) == 1
        assert weights[0] + weights[2] + weights[5] == 3


def test_the_same_seed_gives_the_same_draws() -> None:
    series = Series("made", "compute", SCALES, 2.0 * SCALES**0.7 * (1.0 + 0.01 * np.sin(SCALES)))
    np.testing.assert_array_equal(power(series, 20).draws, power(series, 20).draws)
    assert (power(series, 20).draws != power(series, 20, seed=1).draws).any()


def test_derived_figures_have_intervals_too() -> None:
    series = Series("made", "compute", SCALES, 2.0 * SCALES**0.7 * (1.0 + 0.01 * np.sin(SCALES)))
    fit = power(series, 40, derived={"doubling": lambda theta: float(2.0 ** theta[1])})
    doubling, exponent = fit.interval("doubling"), fit.interval("b")
    assert doubling.low == pytest.approx(2.0**exponent.low, rel=1e-4)
    assert doubling.estimate == pytest.approx(2.0**0.7, rel=0.01)
    assert fit.samples(10).shape == (10, 2)
    assert fit.spread(10, SCALES).shape == (10, 24)
    with pytest.raises(ValueError, match="at most 40 draws"):
        fit.samples(41)
    with pytest.raises(ValueError, match="expected one of"):
        fit.interval("c")


def test_two_runs_leave_no_interval() -> None:
    series = Series("made", "compute", SCALES[:4], SCALES[:4], runs=("a", "a", "b", "b"))
    fit = power(series, 10)
    assert fit.intervals == ()
    assert fit.notes[-1] == "no intervals: 2 run(s), 3 are needed"


@pytest.mark.parametrize(("draws", "level"), [(0, 0.95), (10, 1.0)])
def test_nonsense_is_refused(draws: int, level: float) -> None:
    series = Series("made", "compute", SCALES, SCALES)
    with pytest.raises(ValueError, match="draws >= 1"):
        power(series, draws, level=level)
