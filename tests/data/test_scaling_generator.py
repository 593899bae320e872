"""The ten series are those that ship, readable without loss, and each obeys the law that made it."""

from pathlib import Path

import numpy as np
import pytest

from data.generators.scaling import SEED, TRUTHS, scaling_series, write_scaling
from data.readers.scaling.series_csv import read_series
from data.schemas.scaling import DIMENSIONS

SHIPPED = Path(__file__).resolve().parents[2] / "data" / "samples" / "fleet" / "scaling.csv"


def test_the_file_that_ships_is_made_again(tmp_path: Path) -> None:
    made = write_scaling(tmp_path / "new" / "scaling.csv", np.random.default_rng(SEED))
    assert made.read_bytes() == SHIPPED.read_bytes()


def test_the_file_that_ships_has_no_bad_row() -> None:
    reading = read_series(SHIPPED)
    assert tuple(series.dimension for series in reading.series) == DIMENSIONS
    assert all(series.distinct_scales == 16 for series in reading.series)
    assert reading.set_aside == reading.repeated == reading.notes == ()


def test_series_without_noise_are_their_laws() -> None:
    for series, truth in zip(scaling_series(np.random.default_rng(0), noise=0.0), TRUTHS, strict=True):
        np.testing.assert_allclose(series.performance, truth.law(series.scale), rtol=1e-12)
        assert (series.scale[0], series.scale[-1]) == (truth.low, truth.high)


def test_compute_and_energy_share_their_luck() -> None:
    series = scaling_series(np.random.default_rng(1), runs=4000)
    luck = {
        each.dimension: np.log(each.performance / truth.law(each.scale))
        for each, truth in zip(series, TRUTHS, strict=True)
    }
    assert np.corrcoef(luck["compute"], luck["energy"])[0, 1] == pytest.approx(0.7, abs=0.03)
    assert abs(np.corrcoef(luck["compute"], luck["cost"])[0, 1]) < 0.05


@pytest.mark.parametrize(("runs", "noise"), [(1, 0.1), (4, -0.1)])
def test_nonsense_is_refused(runs: int, noise: float) -> None:
    with pytest.raises(ValueError, match="runs >= 2"):
        scaling_series(np.random.default_rng(0), runs=runs, noise=noise)
