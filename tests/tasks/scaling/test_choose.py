"""The law that made the data is chosen where the largest scales can tell, and what decided is said."""

import numpy as np
import pytest

from data.schemas.scaling import Series
from tasks.scaling.choose import choose, largest_scales
from tasks.scaling.fit import FitFailed

SCALES = np.geomspace(1.0, 512.0, 12)
TRUTHS = {
    "power": 3.0 * SCALES**0.7,
    "amdahl": 5.0 * SCALES / (1.0 + 0.02 * (SCALES - 1.0)),
    "usl": 5.0 * SCALES / (1.0 + 0.02 * (SCALES - 1.0) + 1e-4 * SCALES * (SCALES - 1.0)),
    "logarithmic": 4.0 + 3.0 * np.log(SCALES),
}


def made(performance: np.ndarray, scale: np.ndarray = SCALES, better: str = "higher") -> Series:
    return Series("made", "compute", scale, performance, better=better)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", TRUTHS)
def test_the_law_that_made_the_data_foretells_the_largest_scales(kind: str) -> None:
    choice = choose(made(TRUTHS[kind]))
    own = choice.fit(kind).held_out
    assert own is not None
    assert own < 1e-3
    assert choice.best.held_out is not None
    assert choice.best.held_out <= own
    assert "error on the largest scales" in choice.why


def test_laws_are_ranked_by_what_they_foretell(rng: np.random.Generator) -> None:
    choice = choose(made(TRUTHS["usl"] * np.exp(0.01 * rng.standard_normal(len(SCALES)))))
    errors = [fit.held_out for fit in choice.fits]
    assert choice.best.form.kind == "usl"
    assert choice.fit("power").held_out == max(error for error in errors if error is not None)


def test_the_largest_fifth_of_the_scales_judges() -> None:
    scale = np.repeat(np.arange(1.0, 11.0), 2)
    assert largest_scales(made(scale, scale)).tolist() == [False] * 16 + [True] * 4
    assert not largest_scales(made(SCALES[:3], SCALES[:3])).any()


def test_too_few_scales_to_hold_out_are_said() -> None:
    choice = choose(made(np.array([1.0, 1.9, 3.5]), np.array([1.0, 2.0, 4.0])))
    assert choice.best.held_out is None
    assert "too few" in choice.why
    assert {left.kind for left in choice.left_out} == {"power-floor", "usl", "saturating", "broken"}


def test_two_points_make_a_power_law() -> None:
    choice = choose(made(np.array([1.0, 2.0]), np.array([1.0, 4.0])))
    assert [fit.form.kind for fit in choice.fits] == ["power"]
    np.testing.assert_allclose(choice.best.parameters, [1.0, 0.5], rtol=1e-7)
    assert choice.best.sigma is None


def test_a_constant_series_is_level() -> None:
    choice = choose(made(np.full(12, 7.0)))
    assert [fit.form.kind for fit in choice.fits] == ["power"]
    np.testing.assert_allclose(choice.best(np.array([1.0, 300.0])), 7.0)
    assert choice.best.r2 is None
    assert {left.why for left in choice.left_out} == {"performance is the same everywhere"}


def test_scales_below_one_are_no_workers() -> None:
    choice = choose(made(TRUTHS["power"], SCALES / 100.0))
    assert {"amdahl", "usl"} <= {left.kind for left in choice.left_out}


def test_one_point_is_refused() -> None:
    with pytest.raises(FitFailed, match=r"found 1 point\(s\) at one scale"):
        choose(made(np.array([2.0]), np.array([1.0])))
