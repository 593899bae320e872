from pathlib import Path

import numpy as np
import pytest

from data.readers.power.ml_energy import read_energy
from data.schemas.power import PowerSamples


def made_up_samples(count: int, seed: int = 0, gpu_models: tuple[str, ...] = ("H100", "GB200")) -> PowerSamples:
    """Return measured jobs whose draw follows from two features; the third gives it away, but only once they run."""
    rng = np.random.default_rng(seed)
    model = rng.integers(len(gpu_models), size=count)
    max_w = np.where(model == 0, 700.0, 1200.0)
    features = rng.standard_normal((count, 3))
    share = 0.2 + 0.7 / (1.0 + np.exp(-1.5 * features[:, 0] - features[:, 1] + 0.1 * rng.standard_normal(count)))
    features[:, 2] = share
    return PowerSamples(
        feature_set="made-up-1",
        names=("size", "batch", "utilisation"),
        after_start=(False, False, True),
        ids=tuple(f"job-{row}" for row in range(count)),
        features=features,
        gpu_models=tuple(gpu_models[one] for one in model),
        workloads=tuple(f"work-{row % 5}" for row in range(count)),
        groups=tuple(f"gang-{row % 20}" for row in range(count)),
        idle_w=np.full(count, 70.0),
        max_w=max_w,
        power_w=70.0 + share * (max_w - 70.0),
    )


@pytest.fixture(scope="session")
def samples() -> PowerSamples:
    return made_up_samples(90)


@pytest.fixture(scope="session")
def energy(real_data: Path) -> PowerSamples:
    """Rows of the ML.ENERGY leaderboard."""
    path = real_data / "mlenergy_v3" / "configurations.csv"
    if not path.exists():
        pytest.skip(f"the ML.ENERGY table is not at {path}")
    return read_energy(path).samples
