"""Fits find the law that made the data, from clean points, noisy ones and ones with outliers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.schemas.scaling import Series
from tasks.scaling.choose import forms
from tasks.scaling.fit import FitFailed, fit_law
from tasks.scaling.laws import Floats, Form
from tasks.scaling.loss import LogHuber, PlainSquares, aicc, best_log_likelihood, huber_log_likelihood

SCALES = np.geomspace(1.0, 1000.0, 16)


def series_of(performance: Floats, scale: Floats = SCALES, better: str = "higher") -> Series:
    return Series("made", "compute", scale, performance, better=better)  # type: ignore[arg-type]


def form_of(series: Series, kind: str) -> Form:
    return next(form for form in forms(series) if form.kind == kind)


few = settings(max_examples=15)
exponents = st.floats(-1.5, 1.5).filter(lambda b: abs(b) > 0.05)


@few
@given(a=st.floats(0.01, 1e6), b=exponents)
def test_a_power_law_is_recovered(a: float, b: float) -> None:
    series = series_of(a * SCALES**b)
    found = fit_law(series, form_of(series, "power"))
    np.testing.assert_allclose(found.parameters, [a, b], rtol=1e-6)
    assert found.objective < 1e-12
    assert found.r2 == pytest.approx(1.0)


@few
@given(floor=st.floats(0.5, 5.0), a=st.floats(1.0, 50.0), b=st.floats(-0.9, -0.2))
def test_a_floor_is_recovered(floor: float, a: float, b: float) -> None:
    series = series_of(floor + a * SCALES**b, better="lower")
    found = fit_law(series, form_of(series, "power-floor"))
    np.testing.assert_allclose(found(SCALES), series.performance, rtol=1e-5)
    np.testing.assert_allclose(found.parameters, [floor, a, b], rtol=5e-3)


@few
@given(one=st.floats(0.1, 1e4), serial=st.floats(1e-4, 0.5), better=st.sampled_from(["higher", "lower"]))
def test_a_serial_share_is_recovered(one: float, serial: float, better: str) -> None:
    speedup = SCALES / (1.0 + serial * (SCALES - 1.0))
    series = series_of(one * speedup if better == "higher" else one / speedup, better=better)
    found = fit_law(series, form_of(series, "amdahl"))
    np.testing.assert_allclose(found.parameters, [one, serial], rtol=1e-5)


@few
@given(contention=st.floats(1e-3, 0.2), coherency=st.floats(1e-6, 1e-3))
def test_contention_and_coherency_are_recovered(contention: float, coherency: float) -> None:
    series = series_of(7.0 * SCALES / (1.0 + contention * (SCALES - 1.0) + coherency * SCALES * (SCALES - 1.0)))
    found = fit_law(series, form_of(series, "usl"))
    np.testing.assert_allclose(found.parameters, [7.0, contention, coherency], rtol=1e-3)


@few
@given(top=st.floats(10.0, 1e5), half=st.floats(3.0, 300.0), steepness=st.floats(0.6, 2.5))
def test_saturation_is_recovered(top: float, half: float, steepness: float) -> None:
    series = series_of(top / (1.0 + (half / SCALES) ** steepness))
    found = fit_law(series, form_of(series, "saturating"))
    np.testing.assert_allclose(found.parameters, [top, half, steepness], rtol=1e-3)


@few
@given(place=st.floats(10.0, 100.0), before=st.floats(0.6, 1.0), after=st.floats(0.0, 0.3))
def test_a_break_is_recovered(place: float, before: float, after: float) -> None:
    bend = 0.2 * np.logaddexp(0.0, np.log(SCALES / place) / 0.2)
    series = series_of(3.0 * SCALES**before * np.exp((after - before) * bend))
    found = fit_law(series, form_of(series, "broken"))
    np.testing.assert_allclose(found(SCALES), series.performance, rtol=1e-3)
    assert found.parameters[3] == pytest.approx(place, rel=0.1)


def test_a_logarithm_is_recovered() -> None:
    series = series_of(4.0 + 2.5 * np.log(SCALES))
    np.testing.assert_allclose(fit_law(series, form_of(series, "logarithmic")).parameters, [4.0, 2.5], rtol=1e-6)


def test_outliers_do_not_bend_the_robust_fit(rng: np.random.Generator) -> None:
    performance = 3.0 * SCALES**0.8 * np.exp(0.005 * rng.standard_normal(len(SCALES)))
    performance[-2:] *= 4.0
    series = series_of(performance)
    robust = fit_law(series, form_of(series, "power")).parameters[1]
    squares = np.polyfit(np.log(SCALES), np.log(performance), 1)[0]
    assert abs(robust - 0.8) < 0.01
    assert abs(squares - 0.8) > 0.1


@pytest.mark.parametrize("loss", [LogHuber(1e-3), LogHuber(1e-2), LogHuber(10.0)])
def test_no_step_from_the_minimum_gains(loss: LogHuber, rng: np.random.Generator) -> None:
    series = series_of((2.0 + 30.0 * SCALES**-0.5) * np.exp(0.02 * rng.standard_normal(len(SCALES))), better="lower")
    form = form_of(series, "power-floor")
    found = fit_law(series, form, loss)
    z, u, y = form.coordinates(found.parameters), np.log(SCALES), np.log(series.performance)
    for _ in range(200):
        moved = z + 10.0 ** rng.uniform(-6, -1) * rng.standard_normal(3)
        assert loss(form.log_value(moved, u), y, np.ones(len(u))).total >= found.objective * (1.0 - 1e-9)


def test_wide_huber_is_least_squares(rng: np.random.Generator) -> None:
    performance = 3.0 * SCALES**0.8 * np.exp(0.1 * rng.standard_normal(len(SCALES)))
    series = series_of(performance)
    found = fit_law(series, form_of(series, "power"), LogHuber(100.0)).parameters
    slope, level = np.polyfit(np.log(SCALES), np.log(performance), 1)
    np.testing.assert_allclose(found, [np.exp(level), slope], rtol=1e-7)


@pytest.mark.parametrize("loss", [LogHuber(0.05), PlainSquares()])
def test_slopes_of_losses_equal_differences(loss: LogHuber | PlainSquares, rng: np.random.Generator) -> None:
    predicted, observed, weights = rng.normal(size=6), rng.normal(size=6), rng.uniform(0.5, 2.0, 6)
    slope = loss(predicted, observed, weights).slope
    for row, step in enumerate(1e-6 * np.eye(6)):
        up, down = loss(predicted + step, observed, weights), loss(predicted - step, observed, weights)
        assert (up.total - down.total) / 2e-6 == pytest.approx(slope[row], rel=1e-5, abs=1e-8)


def test_the_likelihood_is_a_density() -> None:
    grid = np.linspace(-60.0, 60.0, 4001)
    for sigma, delta in ((0.5, 1.0), (1.0, 0.3)):
        density = np.exp([huber_log_likelihood(np.array([each]), sigma, delta) for each in grid])
        assert density.sum() * (grid[1] - grid[0]) == pytest.approx(1.0, abs=1e-3)


def test_the_likeliest_noise_is_that_of_the_residuals(rng: np.random.Generator) -> None:
    residuals = 0.1 * rng.standard_normal(4000)
    gaussian = -0.5 * len(residuals) * (1.0 + np.log(2.0 * np.pi * np.mean(residuals**2)))
    assert best_log_likelihood(residuals, 10.0) == pytest.approx(gaussian, rel=1e-6)


@pytest.mark.parametrize(("points", "defined"), [(5, False), (6, True)])
def test_the_criterion_is_undefined_for_few_points(points: int, defined: bool) -> None:
    assert (aicc(np.linspace(-0.01, 0.01, points), 3, 0.01) is not None) is defined


def test_an_undefined_criterion_is_said() -> None:
    scale = np.array([1.0, 2.0, 4.0, 8.0, 16.0])
    series = series_of(scale / (1.0 + 0.02 * (scale - 1.0)), scale)
    found = fit_law(series, form_of(series, "usl"))
    assert found.aicc is None
    assert "AICc is not defined for 5 points and 3 parameters besides the noise" in found.notes


def test_fewer_scales_than_parameters_are_refused() -> None:
    series = series_of(np.array([1.0, 2.0, 2.1, 4.0]), np.array([1.0, 2.0, 2.0, 2.0]))
    with pytest.raises(FitFailed, match=r"usl cannot be told from 2 distinct scale"):
        fit_law(series, form_of(series, "usl"))


def test_one_scale_is_refused() -> None:
    with pytest.raises(FitFailed, match=r"two scales or more, found 3 point\(s\) at one scale"):
        forms(series_of(np.array([1.0, 2.0, 3.0]), np.full(3, 8.0)))


def test_a_delta_of_nought_is_refused() -> None:
    with pytest.raises(ValueError, match="delta: expected more than 0"):
        LogHuber(0.0)
