"""How wrong are the forecasters, beside their yardsticks?

Run ``python tests/benchmarks/bench_forecasters.py``. Power is judged on the ML.ENERGY leaderboard (in
``$QUANTUMFLOW_DATA``, else ``../shared/data`` beside the repository) with whole models held out, and on generated
clusters with whole gangs held out; congestion on simulated networks, whole networks held out; expert loads on made-up
series and on the DeepSeek recordings, each window from those before it. Nothing is judged on what it learned from.
"""

import json
import os
import sys
import time
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.model_selection import GroupKFold, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

sys.path.insert(0, str(Path(__file__).parents[2]))

from data.generators.cluster import cluster_of
from data.generators.congestion import link_history
from data.readers.energy import read_energy
from data.schemas.power import PowerSamples
from tasks.forecasters.boosting import Boosting
from tasks.forecasters.gnn import GraphSage
from tasks.forecasters.jobs import job_samples
from tasks.forecasters.load import Ewma, Floats
from tasks.forecasters.median import Median
from tasks.forecasters.power import judge
from tasks.forecasters.protocol import PowerForecaster
from tasks.forecasters.svm import NAMES, Svm, labelled

ROOT = Path(__file__).parents[2]
FOLDS = 5
SEEDS = 3


def main() -> None:
    """Print one table per forecaster."""
    data = Path(os.environ.get("QUANTUMFLOW_DATA", ROOT.parent / "shared" / "data"))
    energy = data / "mlenergy_v3" / "configurations.csv"
    if energy.exists():
        leaderboard(read_energy(energy).samples)
    else:
        print(f"skipped, no ML.ENERGY table at {energy}")
    clusters()
    congestion()
    loads(data / "sglang_deepseek_expert_counts")


def leaderboard(samples: PowerSamples) -> None:
    """Print mean absolute percentage errors on the leaderboard, mean and range over seeds."""
    print(f"\npower of one GPU, ML.ENERGY, {len(samples.ids)} configurations, {FOLDS} folds")
    print(f"{'method':34}{'models held out':>24}{'rows held out':>16}{'s to train':>12}")
    grouped = list(GroupKFold(FOLDS).split(samples.features, groups=samples.groups))
    mixed = list(KFold(FOLDS, shuffle=True, random_state=0).split(samples.features))
    everything = float(np.mean(np.abs(samples.max_w - samples.power_w) / samples.power_w))
    print(f"{'highest draw':34}{everything:>24.1%}{everything:>16.1%}")
    methods: dict[str, PowerForecaster] = {
        "median by GPU model": Median(),
        "median by GPU model and task": Median(by_workload=True),
        "HistGradientBoosting": Boosting(),
        "GraphSAGE, 512 rows kept (default)": GraphSage(),
        "GraphSAGE, all rows kept": GraphSage(most=2_000),
    }
    for name, method in methods.items():
        started = time.process_time()
        errors = [split_error(samples, method, grouped, seed) for seed in range(SEEDS)]
        seconds = (time.process_time() - started) / SEEDS / FOLDS
        spread = f"{np.mean(errors):.1%} ({min(errors):.1%}-{max(errors):.1%})"
        print(f"{name:34}{spread:>24}{split_error(samples, method, mixed, 0):>16.1%}{seconds:>12.2f}")


def split_error(
    samples: PowerSamples, method: PowerForecaster, folds: list[tuple[np.ndarray, np.ndarray]], seed: int
) -> float:
    """Return the mean absolute percentage error over the held-out parts; what is not answered counts as the median."""
    watts = np.empty(len(samples.ids))
    for seen, unseen in folds:
        part = samples.take(seen)
        answer = method.train(part, np.random.default_rng(seed)).forecast(samples.take(unseen))
        watts[unseen] = np.where(np.isnan(answer), np.median(part.power_w), answer)
    return float(np.mean(np.abs(watts - samples.power_w) / samples.power_w))


def clusters() -> None:
    """Print errors on generated clusters, jobs held out by gang and asked about as if they still waited."""
    print("\npower of one GPU, generated clusters, gangs held out")
    print(f"{'GPUs':>6}{'measured jobs':>16}{'GraphSAGE':>12}{'boosting':>10}{'median':>9}{'s to train':>12}")
    for gpus, jobs in ((256, 80), (1_024, 500)):
        samples = job_samples(cluster_of(gpus=gpus, jobs=jobs, rng=np.random.default_rng(0)))
        measured = samples.take(np.flatnonzero(samples.measured))
        started = time.process_time()
        GraphSage().train(measured, np.random.default_rng(0))
        seconds = time.process_time() - started
        errors = judge(measured, np.random.default_rng(0), GraphSage(), folds=3).errors
        print(
            f"{gpus:>6}{len(measured.ids):>16}{errors.graph:>12.1%}{errors.boosting:>10.1%}{errors.median:>9.1%}"
            f"{seconds:>12.2f}"
        )


def congestion() -> None:
    """Print areas under the precision-recall curve on simulated networks that were held out."""
    histories = [link_history(np.random.default_rng(1_000 + number)) for number in range(300)]
    scores: dict[str, list[float]] = {}
    for fold in range(3):
        features, labels = labelled([one for number, one in enumerate(histories) if number % 3 != fold])
        unseen, truth = labelled([one for number, one in enumerate(histories) if number % 3 == fold])
        logistic = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1_000)).fit(features, labels)
        model = Svm().train(
            [one for number, one in enumerate(histories) if number % 3 != fold], np.random.default_rng(0)
        )
        answers = {
            "SVM (radial kernel)": model.scores(unseen),
            "logistic regression": logistic.decision_function(unseen),
            "threshold on the newest load": unseen[:, NAMES.index("load_now")],
            "threshold on the mean load": unseen[:, NAMES.index("load_mean")],
            "chance": np.zeros(len(truth)),
        }
        for name, answer in answers.items():
            scores.setdefault(name, []).append(float(average_precision_score(truth, answer)))
    print("\ncongestion, 300 simulated networks, networks held out: area under the precision-recall curve")
    for name, values in scores.items():
        print(f"{name:34}{np.mean(values):>8.3f}  ({min(values):.3f}-{max(values):.3f})")


def loads(folder: Path) -> None:
    """Print errors of one-step-ahead forecasts of expert loads: sum of absolute errors over sum of tokens."""
    print("\nexpert loads, next window from those before it")
    print(f"{'series':44}{'EWMA':>8}{'last window':>13}")
    rng = np.random.default_rng(0)
    level = rng.gamma(0.8, 1_000.0, size=(8, 64))
    scatter = level * np.exp(0.4 * rng.standard_normal((24, 8, 64)))
    drift = level * np.exp(0.3 * np.cumsum(rng.standard_normal((24, 8, 64)), axis=0))
    rows: dict[str, Floats] = {"made up, scatters around a level": scatter, "made up, drifts": drift}
    order = ("prefill_in512", "prefill_in1024", "prefill_in2048", "prefill_in4096")
    paths = [folder / f"{name}.json" for name in order]
    if all(path.exists() for path in paths):
        counts = np.array([json.loads(path.read_text())["logical_count"] for path in paths], dtype=np.float64)[:, 3:]
        # recordings differ in length: compare shares
        rows["DeepSeek, prefill of 512 to 4,096 tokens"] = counts / counts.sum(axis=2, keepdims=True)
    else:
        print(f"skipped, no DeepSeek recordings at {folder}")
    for name, series in rows.items():
        later = range(2, len(series))
        total = sum(float(series[window].sum()) for window in later)
        ours = sum(float(np.abs(Ewma()(series[:window]).tokens - series[window]).sum()) for window in later)
        last = sum(float(np.abs(series[window - 1] - series[window]).sum()) for window in later)
        print(f"{name:44}{ours / total:>8.1%}{last / total:>13.1%}")


if __name__ == "__main__":
    main()
