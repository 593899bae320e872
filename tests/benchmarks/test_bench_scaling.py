"""The benchmark of scaling laws: published figures are met, ways to choose are compared on the same points."""

from pathlib import Path

import numpy as np
import pytest

from data.schemas.scaling import Series
from tests.benchmarks.fleet.scaling import WAYS, foretell, foretold_table, target_table
from tests.benchmarks.fleet.scaling_claims import Claim, claim, claim_table
from tests.benchmarks.fleet.scaling_targets import Target, targets

SCALES = np.geomspace(1.0, 64.0, 7)


def test_every_published_figure_is_met(real_data: Path) -> None:
    if not (real_data / "mlperf").is_dir():
        pytest.skip(f"no real data: {real_data / 'mlperf'} is missing")
    missed = [each for each in targets(real_data) if not each.met]
    assert missed == []


def test_a_missed_figure_is_marked() -> None:
    text = target_table([Target("good", 1.0, 1.0001, 1e-3), Target("bad", 1.0, 1.1, 1e-3)])
    assert [line.endswith("MISSED") for line in text.splitlines()[2:4]] == [False, True]
    assert "1 of 2 within" in text


def test_the_largest_scale_is_foretold_unseen() -> None:
    truth = 5.0 * SCALES / (1.0 + 0.02 * (SCALES - 1.0))
    row = foretell(Series("amdahl", "compute", SCALES, truth), draws=20, seed=0)
    assert row.errors["Amdahl always"] < 1e-6
    assert row.errors["power law always"] > 0.05
    assert row.octaves == pytest.approx(1.0)
    spoilt = truth.copy()
    spoilt[-1] *= 3.0
    other = foretell(Series("amdahl", "compute", SCALES, spoilt), draws=20, seed=0)
    assert other.chosen == row.chosen
    assert other.errors["Amdahl always"] == pytest.approx(np.log(3.0), abs=1e-6)
    text = foretold_table([row, other])
    assert all(name in text for name in WAYS)


def test_claims_stand_beside_what_was_measured() -> None:
    noise = np.exp(0.01 * np.sin(7.0 * SCALES))
    row = claim("compute", 0.92, Series("time", "compute", SCALES, noise / SCALES**0.7, better="lower"), 40, 0)
    assert row.measured == pytest.approx(0.7, abs=0.02)
    assert row.low is not None
    assert row.high is not None
    assert row.low <= row.measured <= row.high
    text = claim_table([row, Claim("memory", 0.78, "none at hand")])
    assert "none at hand" in text
    assert "0.92" in text
