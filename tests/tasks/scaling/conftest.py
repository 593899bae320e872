"""Published data that several tests fit."""

from pathlib import Path

import numpy as np
import pytest

from data.readers.scaling.epoch import read_epoch
from data.schemas.scaling import TrainingRuns
from tasks.scaling.chinchilla import LossFit, fit_loss_law


def needed(folder: Path, name: str) -> Path:
    path = folder / name
    if not path.exists():
        pytest.skip(f"no real data: {path} is missing")
    return path


@pytest.fixture(scope="session")
def all_runs(real_data: Path) -> TrainingRuns:
    """Hoffmann's 245 points, as Epoch read them off."""
    return read_epoch(needed(real_data, "chinchilla_epoch/svg_extracted_data.csv")).runs


@pytest.fixture(scope="session")
def chinchilla(all_runs: TrainingRuns) -> TrainingRuns:
    """Without the five highest losses, as Epoch fitted them."""
    return all_runs.take(np.argsort(all_runs.loss)[:240])


@pytest.fixture(scope="session")
def refit(chinchilla: TrainingRuns) -> LossFit:
    """The law of the 240 points."""
    return fit_loss_law(chinchilla)
