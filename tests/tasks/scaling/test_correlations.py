"""Series that share runs are correlated as they were made; what scale alone explains is told apart."""

import numpy as np
import pytest

from data.schemas.scaling import Series
from tasks.scaling.choose import forms
from tasks.scaling.correlations import correlations
from tasks.scaling.fit import fit_law


def two(rng: np.random.Generator, shared: float, runs: int = 40) -> tuple[Series, Series]:
    """Return two power laws of one scale whose noise has correlation ``shared``."""
    scale = np.geomspace(1.0, 100.0, runs)
    names = tuple(f"r{number}" for number in range(runs))
    luck, one, other = rng.standard_normal((3, runs))
    noises = [np.sqrt(abs(shared)) * luck + np.sqrt(1 - abs(shared)) * own for own in (one, other)]
    if shared < 0:
        noises[1] = -np.sqrt(abs(shared)) * luck + np.sqrt(1 - abs(shared)) * other
    first, second = (scale**0.8 * np.exp(0.1 * noise) for noise in noises)
    return Series("a", "compute", scale, first, runs=names), Series("b", "energy", scale, second, runs=names)


def laws(*series: Series):  # type: ignore[no-untyped-def]
    return {each.name: fit_law(each, forms(each)[0]) for each in series}


@pytest.mark.parametrize("shared", [0.8, -0.8, 0.0])
def test_what_laws_leave_is_correlated_as_it_was_made(rng: np.random.Generator, shared: float) -> None:
    pair = two(rng, shared)
    (found,) = correlations(pair, laws(*pair), rng, draws=300)
    assert (found.one, found.other, found.runs) == ("a", "b", 40)
    assert found.performance.value is not None
    assert found.performance.value > 0.9  # both grow with scale
    left = found.residuals
    assert left is not None
    assert left.low is not None
    assert left.high is not None
    assert left.low - 0.1 <= shared <= left.high + 0.1
    if shared == 0.0:
        assert left.low < 0.0 < left.high
    else:
        assert left.low * left.high > 0.0


def test_the_coefficient_is_that_of_numpy(rng: np.random.Generator) -> None:
    pair = two(rng, 0.5)
    (found,) = correlations(pair, {}, rng, draws=50)
    expected = np.corrcoef(np.log(pair[0].performance), np.log(pair[1].performance))[0, 1]
    assert found.performance.value == pytest.approx(expected)
    assert found.residuals is None


def test_series_without_shared_runs_are_passed_over(rng: np.random.Generator) -> None:
    one, other = two(rng, 0.5, runs=6)
    apart = Series("c", "cost", one.scale, one.performance)
    few = other.take(np.arange(4))
    assert correlations((one, apart, few), {}, rng) == ()


def test_a_series_that_does_not_vary_has_no_correlation(rng: np.random.Generator) -> None:
    one, other = two(rng, 0.5)
    level = Series("level", "cost", other.scale, np.full(40, 2.0), runs=other.runs)
    (found,) = correlations((one, level), {}, rng, draws=50)
    assert found.performance.value is None
