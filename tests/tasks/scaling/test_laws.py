"""Each law: slopes equal differences, coordinates and parameters undo one another, the inverse finds the scale."""

import numpy as np
import pytest

from tasks.scaling.laws import Form, Span, marginal
from tasks.scaling.power_laws import Broken, Power, PowerFloor
from tasks.scaling.saturating_laws import Logarithmic, Saturating
from tasks.scaling.speedup_laws import Amdahl, Usl

SPAN = Span(np.log(2.0), np.log(512.0))
LAWS: list[tuple[Form, list[float]]] = [
    (Power(SPAN), [3.0, 0.8]),
    (Power(SPAN), [3.0, -0.4]),
    (PowerFloor(SPAN), [1.7, 40.0, -0.35]),
    (PowerFloor(SPAN), [5.0, 0.4, 0.6]),
    (Broken(SPAN), [2.0, 0.9, 0.2, 64.0, 0.3]),
    (Saturating(SPAN), [90.0, 33.0, 1.3]),
    (Logarithmic(SPAN), [4.0, 2.5]),
    (Logarithmic(SPAN), [30.0, -2.5]),
    (Amdahl(SPAN), [7.0, 0.013]),
    (Amdahl(SPAN, "lower"), [7.0, 0.013]),
    (Usl(SPAN), [995.0, 0.027, 7e-6]),
    (Usl(SPAN, "lower"), [995.0, 0.027, 7e-6]),
]
SCALES = np.array([2.0, 5.0, 33.0, 70.0, 512.0])
each_law = pytest.mark.parametrize(("form", "theta"), LAWS, ids=lambda value: getattr(value, "kind", ""))


@each_law
def test_coordinates_and_parameters_undo_one_another(form: Form, theta: list[float]) -> None:
    np.testing.assert_allclose(form.natural(form.coordinates(np.array(theta))), theta, rtol=1e-9)


@each_law
def test_the_fitted_and_the_natural_form_are_one_law(form: Form, theta: list[float]) -> None:
    logs = form.log_value(form.coordinates(np.array(theta)), np.log(SCALES))
    np.testing.assert_allclose(np.exp(logs), form.value(np.array(theta), SCALES), rtol=1e-10)


@each_law
def test_the_gradient_equals_differences(form: Form, theta: list[float], rng: np.random.Generator) -> None:
    u = np.log(SCALES)
    for _ in range(5):
        z = form.coordinates(np.array(theta)) + 0.3 * rng.standard_normal(len(theta))
        step = 1e-6
        moved = [form.log_value(z + way, u) - form.log_value(z - way, u) for way in step * np.eye(len(z))]
        np.testing.assert_allclose(form.log_gradient(z, u), np.stack(moved, axis=1) / (2 * step), atol=2e-7, rtol=1e-6)


@each_law
def test_the_marginal_equals_differences(form: Form, theta: list[float]) -> None:
    parameters = np.array(theta)
    step = 1e-5 * SCALES
    moved = form.value(parameters, SCALES + step) - form.value(parameters, SCALES - step)
    np.testing.assert_allclose(marginal(form, parameters, SCALES), moved / (2 * step), rtol=1e-6, atol=1e-8)


@each_law
def test_the_inverse_finds_the_scale(form: Form, theta: list[float]) -> None:
    parameters = np.array(theta)
    for scale in (2.0, 33.0, 150.0):
        value = float(form.value(parameters, np.array([scale]))[0])
        assert form.inverse(parameters, value) == pytest.approx(scale, rel=1e-8)


@each_law
def test_draws_are_evaluated_at_once(form: Form, theta: list[float]) -> None:
    draws = np.array(theta) * np.array([[1.0], [1.01], [0.98]])
    together = form.value(draws, SCALES)
    assert together.shape == (3, len(SCALES))
    np.testing.assert_allclose(together, [form.value(draw, SCALES) for draw in draws])
    slopes = form.elasticity(draws, SCALES)
    np.testing.assert_allclose(slopes, [form.elasticity(draw, SCALES) for draw in draws])


@each_law
def test_every_parameter_has_a_name_and_a_unit(form: Form, theta: list[float]) -> None:
    assert len(form.names) == len(form.units("GPU", "samples/s")) == len(theta) <= form.fewest


@pytest.mark.parametrize(
    ("form", "theta", "performance"),
    [
        (Power(SPAN), [3.0, 0.8], -1.0),
        (Power(SPAN), [3.0, 0.0], 3.0),
        (PowerFloor(SPAN), [1.7, 40.0, -0.35], 1.6),
        (Saturating(SPAN), [90.0, 33.0, 1.3], 90.0),
        (Amdahl(SPAN), [7.0, 0.01], 700.0),
        (Usl(SPAN), [995.0, 0.027, 7e-4], 50_000.0),
        (Broken(SPAN), [2.0, 0.9, -0.2, 64.0, 0.3], 20.0),
    ],
)
def test_a_performance_that_no_scale_gives_is_refused(form: Form, theta: list[float], performance: float) -> None:
    with pytest.raises(ValueError, match=f"{form.kind}: no scale gives"):
        form.inverse(np.array(theta), performance)


def test_the_universal_law_falls_beyond_its_peak() -> None:
    law, theta = Usl(SPAN), np.array([995.6486, 0.02671591, 7.690945e-4])
    peak = law.peak(theta)
    assert peak == pytest.approx(35.57, abs=0.01)
    assert law.value(theta, np.array([peak])) > law.value(theta, np.array([peak * 1.1]))
    assert abs(law.elasticity(theta, np.array([peak]))[0]) < 1e-9


def test_one_scale_is_no_span() -> None:
    with pytest.raises(ValueError, match="at least two distinct scales"):
        Span(1.0, 1.0)
