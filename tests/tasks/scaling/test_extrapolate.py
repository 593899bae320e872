"""Beyond an octave nothing is said without an interval, and intervals grow with the distance."""

from dataclasses import replace

import numpy as np
import pytest

from data.schemas.scaling import Series
from tasks.scaling.bootstrap import bootstrapped
from tasks.scaling.choose import forms
from tasks.scaling.extrapolate import octaves_beyond, predict
from tasks.scaling.fit import fit_law
from tasks.scaling.fitted import Fit
from tasks.scaling.saturating_laws import Saturating

SCALES = np.geomspace(1.0, 64.0, 14)


@pytest.fixture(scope="module")
def fit() -> Fit:
    noise = np.exp(0.05 * np.random.default_rng(1).standard_normal(len(SCALES)))
    series = Series("made", "compute", SCALES, 3.0 * SCALES**0.8 * noise, "GPUs", "samples/s")
    return bootstrapped(series, fit_law(series, forms(series)[0]), np.random.default_rng(2), draws=60)


def test_inside_the_data_and_an_octave_beyond_a_law_may_be_read_off(fit: Fit) -> None:
    bare = replace(fit, draws=np.empty((0, 2)))
    for scale in (0.5, 8.0, 128.0):
        forecast = predict(bare, scale)
        assert forecast.performance == pytest.approx(float(fit(scale)))
        assert forecast.low is None


def test_more_than_an_octave_needs_an_interval(fit: Fit) -> None:
    bare = replace(fit, draws=np.empty((0, 2)))
    told = r"made: 256 GPUs lies 2\.0 octaves beyond the data \(1 to 64\): expected a fit with bootstrap draws"
    with pytest.raises(ValueError, match=told):
        predict(bare, 256.0)
    with pytest.raises(ValueError, match="octaves beyond"):
        predict(bare, 0.1)
    forecast = predict(fit, 256.0)
    assert forecast.low is not None
    assert forecast.high is not None
    assert forecast.low < forecast.performance < forecast.high
    assert forecast.low < 3.0 * 256.0**0.8 < forecast.high


def test_intervals_grow_with_the_distance(fit: Fit) -> None:
    widths = []
    for scale in (64.0, 512.0, 8192.0):
        forecast = predict(fit, scale)
        assert forecast.low is not None
        assert forecast.high is not None
        widths.append(forecast.high / forecast.low)
    assert widths == sorted(widths)
    assert widths[2] > 1.05 * widths[0]


def test_an_interval_holds_the_noise_of_a_measurement(fit: Fit) -> None:
    forecast = predict(fit, 8.0)
    assert forecast.low is not None
    assert forecast.high is not None
    law = fit.spread(60, np.array([8.0]))
    assert forecast.high / forecast.low > law.max() / law.min()


def test_rivals_say_what_they_say(fit: Fit) -> None:
    other = replace(fit, form=Saturating(fit.form.span), parameters=np.array([90.0, 30.0, 1.0]), draws=np.empty((0, 3)))  # type: ignore[attr-defined]
    forecast = predict(fit, 512.0, rivals=(fit, other))
    assert [rival.performance for rival in forecast.rivals] == [pytest.approx(float(other(512.0)))]
    assert forecast.widest[0] == pytest.approx(float(other(512.0)))


def test_few_points_make_wide_intervals() -> None:
    """Coverage of the next point by nominal 95 % intervals from five points of a noisy power law."""
    rng, held = np.random.default_rng(3), 0
    for _ in range(25):
        scale = np.array([1.0, 2.0, 4.0, 8.0, 16.0, 32.0])
        performance = 3.0 * scale**0.8 * np.exp(0.05 * rng.standard_normal(6))
        seen = Series("few", "compute", scale[:5], performance[:5])
        law = bootstrapped(seen, fit_law(seen, forms(seen)[0]), rng, draws=20)
        forecast = predict(law, 32.0)
        assert forecast.low is not None
        assert forecast.high is not None
        held += forecast.low <= performance[5] <= forecast.high
    assert held >= 21


def test_points_of_one_run_are_no_more_than_one(fit: Fit) -> None:
    scale = np.repeat(np.geomspace(1.0, 32.0, 4), 3)
    performance = 3.0 * scale**0.8 * np.exp(0.02 * np.sin(5.0 * np.arange(12.0)))
    runs = tuple(f"run {number // 3}" for number in range(12))
    apart, together = (
        predict(replace(fit, runs=None, points=12), 64.0),
        predict(replace(fit, runs=4, points=12), 64.0),
    )
    assert apart.high is not None
    assert together.high is not None
    assert together.high > apart.high
    series = Series("runs", "compute", scale, performance, runs=runs)
    assert fit_law(series, forms(series)[0]).spare == 2


def test_octaves_count_from_the_nearest_end(fit: Fit) -> None:
    assert octaves_beyond(fit, 32.0) == 0.0
    assert octaves_beyond(fit, 256.0) == pytest.approx(2.0)
    assert octaves_beyond(fit, 0.25) == pytest.approx(2.0)


@pytest.mark.parametrize("scale", [0.0, -1.0, np.nan, np.inf])
def test_a_scale_that_is_none_is_refused(fit: Fit, scale: float) -> None:
    with pytest.raises(ValueError, match="expected a scale above 0"):
        predict(fit, scale)


def test_a_law_that_says_nothing_there_is_refused() -> None:
    series = Series("falling", "cost", SCALES, 10.0 - 2.3 * np.log(SCALES), better="lower")
    form = next(each for each in forms(series) if each.kind == "logarithmic")
    fit = bootstrapped(series, fit_law(series, form), np.random.default_rng(0), draws=20)
    with pytest.raises(ValueError, match="no performance"):
        predict(fit, 1000.0)
