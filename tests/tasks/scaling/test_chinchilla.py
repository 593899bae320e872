"""The loss law gives Epoch's published digits on Hoffmann's points, and Gadre's two predictions."""

from pathlib import Path

import numpy as np
import pytest

from data.readers.scaling.gadre import GadreReading, read_gadre
from data.schemas.scaling import TrainingRuns
from tasks.scaling.chinchilla import (
    LossFit,
    LossLaw,
    fit_loss_law,
    intervals,
    likeliest,
    log_likelihood,
    objective,
)
from tasks.scaling.fit import FitFailed
from tasks.scaling.loss import LogHuber, PlainSquares

HOFFMANN = LossLaw(np.exp(6.0073404), np.exp(6.0179186), np.exp(0.5267228), 0.33917084, 0.2849083)
"""Unrounded, from the paper's source."""


def test_the_refit_has_the_published_digits(refit: LossFit) -> None:
    law = refit.law
    np.testing.assert_allclose([law.A, law.B], [477.84, 2143.9], rtol=5e-3)
    np.testing.assert_allclose([law.E, law.alpha, law.beta], [1.81724, 0.34731, 0.36718], atol=3e-4)
    assert refit.objective == pytest.approx(0.00101827, rel=1e-5)


def test_the_likeliest_law_has_the_published_digits(chinchilla: TrainingRuns, refit: LossFit) -> None:
    found = likeliest(chinchilla, refit.law)
    law = found.law
    np.testing.assert_allclose([law.A, law.B], [482.01, 2085.43], rtol=2e-4)
    np.testing.assert_allclose([law.E, law.alpha, law.beta], [1.8169, 0.34781, 0.36585], atol=5e-5)
    assert law.exponent == pytest.approx(0.5126, abs=1e-4)
    assert law.tokens_per_parameter(5.88e23) == pytest.approx(18.3, abs=0.05)
    assert found.log_likelihood == pytest.approx(879.7731, abs=1e-4)


def test_hoffmanns_law_is_less_likely_by_the_published_ratio(chinchilla: TrainingRuns, refit: LossFit) -> None:
    best = likeliest(chinchilla, refit.law).log_likelihood
    noises = np.geomspace(4e-6, 8e-6, 400)
    theirs = max(log_likelihood(HOFFMANN, chinchilla, float(sigma)) for sigma in noises)
    assert 2.0 * (best - theirs) == pytest.approx(84.00, abs=0.02)
    assert objective(HOFFMANN, chinchilla) == pytest.approx(0.0012312, abs=1e-7)
    assert HOFFMANN.tokens_per_parameter(5.88e23) == pytest.approx(59.0, abs=0.1)


def test_intervals_are_those_published(chinchilla: TrainingRuns, refit: LossFit) -> None:
    """Loosely: 60 draws beside their 4,000."""
    found = intervals(chinchilla, refit, np.random.default_rng(42), draws=60)
    for name, low, high in (("alpha", 0.317, 0.373), ("beta", 0.331, 0.415), ("E", 1.769, 1.871)):
        width = high - low
        assert found[name].low == pytest.approx(low, abs=0.35 * width)
        assert found[name].high == pytest.approx(high, abs=0.35 * width)
        assert 0.5 * width < found[name].high - found[name].low < 1.5 * width
    assert found["exponent"].low < 0.5126 < found["exponent"].high


def test_the_largest_budgets_are_foretold(chinchilla: TrainingRuns) -> None:
    small = chinchilla.compute < 1e21
    seen, unseen = chinchilla.take(small), chinchilla.take(~small)
    assert (len(seen.names), len(unseen.names)) == (217, 23)
    errors = np.abs(fit_loss_law(seen).law(unseen.parameters, unseen.tokens) / unseen.loss - 1.0)
    assert errors.mean() == pytest.approx(0.0105, abs=2e-4)
    assert errors.max() == pytest.approx(0.028, abs=5e-4)


def test_five_points_move_the_exponents(all_runs: TrainingRuns, refit: LossFit) -> None:
    kept = fit_loss_law(all_runs)
    assert kept.law.beta == pytest.approx(0.453, abs=1e-3)
    assert kept.law.exponent == pytest.approx(0.565, abs=1e-3)
    assert refit.law.exponent == pytest.approx(0.514, abs=1e-3)
    assert kept.objective == pytest.approx(0.0018260, abs=1e-7)
    assert objective(refit.law, all_runs) == pytest.approx(0.0019273, abs=1e-7)


@pytest.mark.parametrize(("delta", "exponent"), [(1e-2, 0.518), (0.1, 0.530), (1.0, 0.530)])
def test_the_exponent_depends_on_delta(chinchilla: TrainingRuns, delta: float, exponent: float) -> None:
    assert fit_loss_law(chinchilla, LogHuber(delta)).law.exponent == pytest.approx(exponent, abs=1e-3)


@pytest.fixture(scope="module")
def gadre(real_data: Path) -> GadreReading:
    path = real_data / "gadre" / "gadre_104_models.csv"
    if not path.exists():
        pytest.skip(f"no real data: {path} is missing")
    return read_gadre(path)


def test_gadres_predictions_from_five_small_models(gadre: GadreReading) -> None:
    shapes = ("d=96_l=8_h=4", "d=512_l=8_h=4", "d=576_l=24_h=8", "d=1024_l=24_h=8")
    chosen = gadre.rows("rpj", shapes[0], 320.0)
    for shape in shapes:
        chosen |= gadre.rows("rpj", shape, 20.0)
    assert chosen.sum() == 5
    law = fit_loss_law(gadre.runs.take(chosen), PlainSquares(), one_exponent=True).law
    assert law.alpha == law.beta == pytest.approx(0.272850704, abs=1e-7)
    assert pytest.approx(166.210987, rel=1e-6) == law.A
    # the paper's second weight belongs to compute, 6 N D, not to tokens
    assert law.B * 6.0 ** (law.beta / 2.0) == pytest.approx(366.687183, rel=1e-6)
    assert pytest.approx(1.83664839, abs=1e-7) == law.E
    for shape, ratio, published in (("open_lm_1b", 640.0, 0.7103), ("open_lm_7b", 20.0, 0.7320)):
        large = gadre.runs.take(gadre.rows("rpj", shape, ratio))
        error = 100.0 * abs(float(law(large.parameters, large.tokens)[0] / large.loss[0]) - 1.0)
        assert error == pytest.approx(published, abs=6e-5)


def test_the_table_of_models_is_whole(gadre: GadreReading) -> None:
    assert len(gadre.models) == 104
    assert not gadre.set_aside


def test_the_best_model_is_the_best(refit: LossFit) -> None:
    for compute in (1e19, 1e22, 5.88e23):
        best = refit.law.best_parameters(compute)
        at = refit.law(best, compute / 6.0 / best)
        for other in (0.9 * best, 1.1 * best):
            assert refit.law(other, compute / 6.0 / other) > at


def test_four_runs_are_too_few() -> None:
    four = np.arange(1.0, 5.0)
    with pytest.raises(FitFailed, match="at least 5 runs for 5 parameters, found 4"):
        fit_loss_law(TrainingRuns(("a", "b", "c", "d"), 1e6 * four, 1e8 * four, 5.0 / four))
