"""Knees and breaks are found where they are, and none where there is none; influence finds the point that was bent."""

import numpy as np
import pytest

from data.schemas.scaling import Series
from tasks.scaling.bootstrap import bootstrapped
from tasks.scaling.choose import choose, forms
from tasks.scaling.fit import fit_law
from tasks.scaling.influence import leave_out
from tasks.scaling.loss import LogHuber
from tasks.scaling.regimes import knee, regime_changes

SCALES = np.geomspace(1.0, 4096.0, 32)


def made(performance: np.ndarray, scale: np.ndarray = SCALES) -> Series:
    return Series("made", "compute", scale, performance)


def exponent(theta: np.ndarray) -> float:
    return float(theta[1])


def test_amdahls_knee_is_where_half_of_the_work_waits() -> None:
    series = made(7.0 * SCALES / (1.0 + 0.01 * (SCALES - 1.0)))
    form = next(each for each in forms(series) if each.kind == "amdahl")
    fit = bootstrapped(series, fit_law(series, form), np.random.default_rng(0), draws=10)
    found = knee(fit)
    assert found is not None
    # elasticity 0.99 / (1 + 0.01 (n - 1)) is half of that at 1 where n = 101
    assert found.estimate == pytest.approx(101.0, rel=1e-4)
    assert found.low <= found.estimate * 1.0001
    assert found.high >= found.estimate * 0.9999


def test_a_power_law_has_no_knee() -> None:
    series = made(SCALES**0.7)
    assert knee(fit_law(series, forms(series)[0])) is None


def test_a_break_is_found_with_its_interval(rng: np.random.Generator) -> None:
    bend = np.where(SCALES < 100.0, SCALES**0.9, 100.0**0.9 * (SCALES / 100.0) ** 0.2)
    series = made(bend * np.exp(0.01 * rng.standard_normal(len(SCALES))))
    (change,) = regime_changes(choose(series), rng=rng, draws=30)
    assert change.scale == pytest.approx(100.0, rel=0.1)
    assert (change.before, change.after) == (pytest.approx(0.9, abs=0.02), pytest.approx(0.2, abs=0.02))
    assert change.low is not None
    assert change.high is not None
    assert change.low < change.scale < change.high


@pytest.mark.parametrize("law", ["power", "amdahl"])
def test_no_break_is_seen_where_there_is_none(law: str, rng: np.random.Generator) -> None:
    truth = SCALES**0.7 if law == "power" else SCALES / (1.0 + 0.01 * (SCALES - 1.0))
    series = made(truth * np.exp(0.02 * rng.standard_normal(len(SCALES))))
    assert regime_changes(choose(series), rng=rng, draws=10) == ()


def test_few_or_constant_points_have_no_regimes(rng: np.random.Generator) -> None:
    assert regime_changes(choose(made(SCALES[:6], SCALES[:6])), rng=rng) == ()
    assert regime_changes(choose(made(np.full(32, 3.0))), rng=rng) == ()


def test_the_bent_point_has_the_largest_influence(rng: np.random.Generator) -> None:
    scale = np.geomspace(1.0, 64.0, 9)
    performance = 3.0 * scale**0.8 * np.exp(0.01 * rng.standard_normal(9))
    performance[-1] *= 2.0
    series = made(performance, scale)
    fit = fit_law(series, forms(series)[0])
    found = leave_out(series, fit, exponent)
    assert len(found) == 9
    assert found[0].points == (8,)
    assert found[0].shift > 0.0
    assert abs(found[0].without - 0.8) < abs(found[0].figure - 0.8)
    shifts = [abs(each.shift) for each in found]
    assert shifts == sorted(shifts, reverse=True)


def test_many_points_are_left_out_one_after_another(rng: np.random.Generator) -> None:
    performance = 3.0 * SCALES**0.8 * np.exp(0.01 * rng.standard_normal(32))
    performance[[30, 31]] *= 3.0
    series = made(performance)
    squares = LogHuber(100.0)  # the robust loss would not follow them
    (found,) = leave_out(series, fit_law(series, forms(series)[0], squares), exponent, count=2, loss=squares)
    assert found.points == (30, 31)
    assert found.without == pytest.approx(0.8, abs=0.01)


@pytest.mark.parametrize("count", [0, 31])
def test_leaving_out_nothing_or_all_is_refused(count: int) -> None:
    series = made(SCALES**0.8)
    with pytest.raises(ValueError, match="leave out 1 to 30 points"):
        leave_out(series, fit_law(series, forms(series)[0]), exponent, count=count)
