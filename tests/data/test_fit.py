"""The figures carried over: they still fit the traces they came from, wherever these are at hand."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import ks_2samp

from data.generators import fitted
from data.generators.cluster import cluster_of
from data.generators.fit import all_fits
from data.generators.fit_marginals import PHILLY, column, folder_of_traces, normal_parts, report, waiting_times
from data.generators.fit_relations import cap_losses, recordings, top_shares, volume_variation
from data.generators.jobs import arrival_times
from data.generators.marginals import ExpertSkew, NormalMixture, SizeMix
from data.generators.routing import relative_loads, token_flow

DRAWS = 100_000


@pytest.fixture(scope="module")
def traces() -> Path:
    folder = folder_of_traces()
    if not (folder / PHILLY).exists():
        pytest.skip(f"no traces in {folder}: set QUANTUMFLOW_DATA")
    return folder


def distance(real: np.ndarray, drawn: np.ndarray) -> float:
    return float(ks_2samp(real, drawn).statistic)


DISTRIBUTIONS: dict[str, Callable[[Path], np.ndarray]] = {
    "ARRIVALS": lambda traces: waiting_times(traces / PHILLY),
    "DURATION_SINGLE_S": lambda traces: column(traces / PHILLY, "duration")[column(traces / PHILLY, "num_gpus") == 1],
    "DURATION_SEVERAL_S": lambda traces: column(traces / PHILLY, "duration")[column(traces / PHILLY, "num_gpus") > 1],
    "PHILLY_SIZES": lambda traces: column(traces / PHILLY, "num_gpus"),
    "GPU_POWER_W": lambda traces: column(traces / "acme_cdf/gpu_power_kalos.csv", "gpu_power_W"),
    "THROUGHPUT_SHARE": lambda traces: column(traces / "acme_cdf/ib_seren.csv", "ib_send") / 25_000.0,
    "CAP_LOSS": cap_losses,
}


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_what_is_drawn_is_as_near_to_the_trace_as_stated(name: str, traces: Path):
    figure = getattr(fitted, name)
    drawn = figure(DRAWS, np.random.default_rng(11))
    assert distance(DISTRIBUTIONS[name](traces), drawn) <= figure.ks


def test_utilisation_counted_in_percents_is_as_near_as_stated(traces: Path):
    real = column(traces / "acme_cdf/util_gpu_kalos.csv", "gpu_util_pct") / 100.0
    drawn = fitted.UTILISATION(DRAWS, np.random.default_rng(11)).round(2)
    assert distance(real.round(2), drawn) <= fitted.UTILISATION.ks


def test_temperature_from_power_is_as_near_as_stated(traces: Path):
    rng = np.random.default_rng(11)
    line = fitted.TEMPERATURE_C
    drawn = line.offset + line.slope * fitted.GPU_POWER_W(DRAWS, rng) + line.sigma * rng.standard_normal(DRAWS)
    assert distance(column(traces / "acme_cdf/gpu_temp_kalos.csv", "gpu_temp_C"), drawn) <= line.ks


def test_expert_loads_are_as_near_to_deepseeks_as_stated(traces: Path):
    drawn = relative_loads(1, 400, 256, fitted.EXPERT_SKEW, np.random.default_rng(11))
    assert distance(recordings(traces).ravel(), drawn.ravel()) <= fitted.EXPERT_SKEW.ks


def test_tokens_of_a_request_are_as_near_to_azures_as_stated(traces: Path):
    path = traces / "azure_llm_2023/AzureLLMInferenceTrace_code.csv"
    real = column(path, "ContextTokens") + column(path, "GeneratedTokens")
    figure = fitted.TOKENS_PER_REQUEST
    assert distance(real, figure(DRAWS, np.random.default_rng(11))) <= figure.ks
    assert volume_variation(traces) == pytest.approx(fitted.VOLUME_VARIATION, abs=0.005)


def test_arrivals_keep_their_distance_when_day_and_night_are_added(traces: Path):
    drawn = np.diff(arrival_times(DRAWS, np.random.default_rng(11)))
    assert distance(waiting_times(traces / PHILLY), drawn) <= fitted.ARRIVALS.ks + 0.02


@pytest.mark.slow
def test_fitting_anew_gives_the_committed_figures(traces: Path):
    fits = all_fits(traces)
    for fit in fits:
        committed = getattr(fitted, fit.name)
        stated = getattr(committed, "ks", 0.13)
        assert fit.ks <= stated, fit.name
    assert {"ARRIVALS", "EXPERT_SKEW", "AFFINITY_SIGMA"} <= {fit.name for fit in fits}
    assert "KS 0.0" in report(fits)
    affinity = next(fit for fit in fits if fit.name == "AFFINITY_SIGMA")
    assert affinity.value == fitted.AFFINITY_SIGMA


def test_the_command_says_which_trace_is_missing(tmp_path: Path):
    command = [sys.executable, "-m", "data.generators.fit", "--data", str(tmp_path)]
    # our own module and folder
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    assert done.returncode == 1
    assert PHILLY in done.stderr
    assert "Traceback" not in done.stderr


def test_mixtures_are_found_again_in_their_own_draws():
    rng = np.random.default_rng(0)
    truth = NormalMixture((0.3, 0.7), (0.0, 10.0), (1.0, 2.0), -99.0, 99.0, 0.0)
    weights, means, sigmas = normal_parts(truth(10_000, rng), 2, 0.01, steps=100)
    assert weights == pytest.approx([0.3, 0.7], abs=0.02)
    assert means == pytest.approx([0.0, 10.0], abs=0.1)
    assert sigmas == pytest.approx([1.0, 2.0], abs=0.1)


def test_sizes_are_one_or_powers_of_two_up_to_the_largest():
    mix = SizeMix(0.6, 0.5, 8, 0.0)
    drawn = mix(DRAWS, np.random.default_rng(0))
    assert sorted(set(drawn.tolist())) == [1, 2, 4, 8]
    assert (drawn == 1).mean() == pytest.approx(0.6, abs=0.01)
    assert (drawn == 2).sum() / (drawn == 4).sum() == pytest.approx(2.0, rel=0.05)


def test_stronger_affinity_sends_tokens_to_fewer_experts():
    rng = np.random.default_rng(0)
    load = relative_loads(2, 1, 32, ExpertSkew(0.7, 0.0, 0.0, 0.0), rng)[:, 0]
    shares = [
        top_shares(token_flow(load[0], load[1], sigma, np.random.default_rng(1))).mean() for sigma in (0.0, 1.0, 2.0)
    ]
    assert shares == sorted(shares)
    assert shares[2] > 2 * shares[0]


def test_generated_jobs_last_as_long_as_phillys_do(traces: Path):
    """Jobs that wait are not seen longer for lasting longer, so their durations must be the trace's."""
    snapshot = cluster_of(gpus=400, jobs=4000, rng=np.random.default_rng(0))
    waiting = np.array([job.remaining_s for job in snapshot.jobs if job.state == "pending" and job.gpus == 1])
    real = DISTRIBUTIONS["DURATION_SINGLE_S"](traces)
    assert len(waiting) > 2000
    assert distance(real, waiting) < 0.06
