"""How wrong are the forecasters, beside their yardsticks?

Run ``python -m tests.benchmarks.bench_forecasters``. Power is judged on the ML.ENERGY leaderboard (in
``$QUANTUMFLOW_DATA``, else ``../shared/data`` beside the repository) with whole models held out, and on generated
clusters with whole gangs held out; the meta controller on a replay of the Philly trace; expert loads on made-up series
and on the DeepSeek recordings, each window from those before it. Nothing is judged on what it learned from. Links have
a benchmark of their own, ``bench_congestion``. JSON and plot go to ``runs/bench-forecasters``, where the replay is kept
too: delete ``meta-windows-1.json`` there to measure it again.
"""

import argparse
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from data.generators.cluster import cluster_of
from data.readers.expert_formats import read_expert_counts
from data.readers.power.ml_energy import read_energy
from tasks.forecasters.gnn import GraphSage
from tasks.forecasters.jobs import job_samples
from tasks.forecasters.load import Ewma, Floats
from tasks.forecasters.load_lstm import Lstm
from tasks.forecasters.power import judge
from tests.benchmarks.forecasters.meta_table import QUESTIONS, MetaTable, meta_table
from tests.benchmarks.forecasters.power_table import PowerTable, power_table
from tests.benchmarks.forecasters.windows import windows

ROOT = Path(__file__).resolve().parents[2]
PHILLY = "philly_sorted_rows20000_40000.csv"


def main() -> None:
    """Print one table per forecaster, and write what the tables of power and of choices hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=ROOT / "runs" / "bench-forecasters")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    folder: Path = options.output
    folder.mkdir(parents=True, exist_ok=True)
    data = Path(os.environ.get("QUANTUMFLOW_DATA", ROOT.parent / "shared" / "data"))
    energy, philly = data / "mlenergy_v3" / "configurations.csv", data / "philly_sia" / PHILLY
    told: dict[str, Any] = {"seed": options.seed}
    if energy.exists():
        samples = read_energy(energy).samples
        power = power_table(samples, options.seed)
        power.show()
        told["power"] = power.told()
        choices = None
        if philly.exists():
            choices = meta_table(windows(samples, philly, folder, options.seed), options.seed)
            choices.show()
            told["meta controller"] = choices.told()
        else:
            print(f"skipped, no Philly trace at {philly}")
        plot(folder / "forecasters.png", power, choices)
    else:
        print(f"skipped, no ML.ENERGY table at {energy}")
    clusters()
    loads(data / "sglang_deepseek_expert_counts")
    (folder / "forecasters.json").write_text(json.dumps(told, indent=1) + "\n")
    print(f"\nwritten to {folder}")


def plot(path: Path, power: PowerTable, choices: MetaTable | None) -> None:
    """Draw errors with their intervals, stated against reached shares of bounds, and losses of the ways to choose."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(15, 4.5), layout="constrained")
    for offset, number, label in ((-0.15, 0, "five folds"), (0.15, 1, "12 reserved models")):
        intervals = [both[number] for both in power.errors().values()]
        means = np.array([one.mean for one in intervals])
        ends = np.array([[one.mean - one.low, one.high - one.mean] for one in intervals]).T
        left.errorbar(100 * means, np.arange(len(means)) + offset, xerr=100 * ends, fmt="o", label=label)
    left.set_yticks(range(len(power.folds)), list(power.folds))
    left.invert_yaxis()
    left.set_xlabel("mean absolute percentage error, models never seen")
    left.legend(loc="center right")
    for name, rows in power.told()["coverage"].items():
        stated, reached = [row["stated"] for row in rows], [row["of models"] for row in rows]
        middle.errorbar(stated, reached, yerr=[2 * row["sampling error"] for row in rows], fmt="o-", label=name)
    middle.plot((0.75, 1.0), (0.75, 1.0), color="grey", linewidth=0.8)
    middle.set_xlabel("stated share of draws below the bound")
    middle.set_ylabel("share of draws below the bound")
    middle.legend(fontsize="x-small")
    if choices is not None:
        bars(right, choices.told()["sequences never seen"]["mean loss"])
    figure.savefig(path, dpi=120)
    plt.close(figure)


def bars(axes: Any, losses: Mapping[str, Mapping[str, float]]) -> None:
    """Draw the error of the chosen forecaster for each way to choose."""
    axes.barh(list(losses), [100 * one[QUESTIONS[0]] for one in losses.values()])
    axes.invert_yaxis()
    axes.set_xlabel("error of the chosen forecaster, %, sequences never seen")


def clusters() -> None:
    """Print errors on generated clusters, jobs held out by gang and asked about as if they still waited."""
    print("\npower of one GPU, generated clusters, gangs held out")
    head = f"{'GPUs':>6}{'measured jobs':>16}{'GraphSAGE':>12}{'boosting':>10}{'together':>10}{'median':>9}"
    print(f"{head}{'s to train':>12}")
    for gpus, jobs in ((256, 80), (1_024, 500)):
        samples = job_samples(cluster_of(gpus=gpus, jobs=jobs, rng=np.random.default_rng(0)))
        measured = samples.take(np.flatnonzero(samples.measured))
        started = time.process_time()
        GraphSage().train(measured, np.random.default_rng(0))
        seconds = time.process_time() - started
        errors = judge(measured, np.random.default_rng(0), GraphSage(), folds=3).errors
        print(
            f"{gpus:>6}{len(measured.ids):>16}{errors.graph:>12.1%}{errors.boosting:>10.1%}{errors.blend:>10.1%}"
            f"{errors.median:>9.1%}"
            f"{seconds:>12.2f}"
        )


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
        every = read_expert_counts(sorted(folder.glob("*.json"))).loads
        rows["DeepSeek, every recording, by name"] = every / every.sum(axis=2, keepdims=True)
    else:
        print(f"skipped, no DeepSeek recordings at {folder}")
    for name, series in rows.items():
        later = range(2, len(series))
        total = sum(float(series[window].sum()) for window in later)
        ours = sum(float(np.abs(Ewma()(series[:window]).tokens - series[window]).sum()) for window in later)
        last = sum(float(np.abs(series[window - 1] - series[window]).sum()) for window in later)
        print(f"{name:44}{ours / total:>8.1%}{last / total:>13.1%}")
    network = Lstm(least_windows=6)  # fewer than a run asks for: there are six recordings
    print(
        "\na recurrent network beside them, trained on all but the newest windows (recordings are no series in time):"
    )
    for name, series in rows.items():
        if len(series) >= network.least_windows:
            print(f"{name}: {network(series, np.random.default_rng(0)).method}")


if __name__ == "__main__":
    main()
