import numpy as np
import pytest

from data.schemas.power import PowerSamples
from tasks.forecasters.power_features import NAMES, with_roofline


def served(gpus: float, parameters_b: float, active_b: float, batch: float, gpu_model: str = "H100") -> dict:
    """Return the roofline features of one language model by name."""
    names = ("log2_gpus", "log2_parameters", "log2_active_parameters", "log2_batch", "weight_precision=bfloat16")
    row = [*np.log2([gpus, parameters_b, active_b, batch]), 1.0]
    samples = PowerSamples(
        feature_set="one",
        names=names,
        after_start=(False,) * 5,
        ids=("a",),
        features=np.array([row]),
        gpu_models=(gpu_model,),
        workloads=("",),
        groups=("a",),
        idle_w=np.array([70.0]),
        max_w=np.array([700.0]),
        power_w=np.array([500.0]),
    )
    made = with_roofline(samples)
    assert made.names == (*names, *NAMES)
    return dict(zip(NAMES, made.features[0, 5:], strict=True))


def test_arithmetic_of_a_dense_model_is_two_operations_per_parameter_and_token():
    found = served(gpus=2, parameters_b=8, active_b=8, batch=16)
    assert 2 ** found["log2_flops"] == pytest.approx(2 * 8e9 * 16 / 2)
    assert 2 ** found["log2_arithmetic_s"] == pytest.approx(2 * 8e9 * 16 / 2 / 989e12)


def test_a_dense_model_reads_its_weights_once_a_step():
    """16 GB over 3.35 TB/s, with no context stated."""
    assert 2 ** served(1, 8, 8, 1)["log2_memory_s"] == pytest.approx(16e9 / 3.35e12)
    assert 2 ** served(1, 8, 8, 64)["log2_memory_s"] == pytest.approx(16e9 / 3.35e12)


def test_a_mixture_of_experts_reads_more_of_them_with_more_requests():
    few, many = (2 ** served(1, 30, 3, batch)["log2_memory_s"] for batch in (1, 256))
    assert few == pytest.approx(2 * 3e9 / 3.35e12)
    assert many == pytest.approx(2 * 30e9 / 3.35e12, rel=1e-6)


def test_one_gpu_sends_nothing():
    assert served(1, 8, 8, 8)["link_share"] == 0.0
    assert served(2, 8, 8, 8)["link_share"] > 0.0


def test_a_gpu_without_a_data_sheet_here_has_no_times():
    found = served(1, 8, 8, 8, gpu_model="T4")
    assert np.isnan(found["log2_arithmetic_s"])
    assert np.isfinite(found["log2_flops"])


def test_jobs_of_a_snapshot_do_not_state_a_batch(samples):
    with pytest.raises(ValueError, match="log2_batch"):
        with_roofline(samples)


def test_every_row_of_the_leaderboard_gets_every_feature(energy):
    made = with_roofline(energy)
    assert np.isfinite(made.features[:, len(energy.names) :]).all()
    assert made.feature_set == f"{energy.feature_set}+roofline-1"
    assert np.array_equal(made.features[:, : len(energy.names)], energy.features, equal_nan=True)
