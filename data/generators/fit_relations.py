"""How do the quantities of the traces hang together: experts and layers, power and speed, power and heat?"""

import csv
import json
from collections import defaultdict
from pathlib import Path

import numpy as np
from scipy.stats import ks_2samp

from data.generators.fit_marginals import AZURE, DEEPSEEK, KALOS, OLMOE, ZEUS, Fit, column, fit_gpu_power, normal_parts
from data.generators.marginals import ExpertSkew, Line, LognormalMixture, Values
from data.generators.routing import relative_loads, token_flow


def recordings(data: Path) -> Values:
    """Return DeepSeek's loads over their layer's mean, ``(recordings, layers, experts)``, without dense layers."""
    counts = [json.loads(path.read_text())["logical_count"] for path in sorted((data / DEEPSEEK).glob("*.json"))]
    loads = np.array(counts)[:, 3:]
    return np.asarray(loads / loads.mean(axis=2, keepdims=True))


def fit_expert_skew(data: Path) -> Fit:
    """Fit the spread of log loads per layer, and the median correlation between any two recordings."""
    real = recordings(data)
    log = np.log(real)
    spread = np.log(log.std(axis=2))
    score = log - log.mean(axis=2, keepdims=True)
    score /= log.std(axis=2, keepdims=True)
    first, second = np.triu_indices(len(real), 1)
    drift = float(np.median((score[first] * score[second]).mean(axis=2).mean(axis=1)))
    value = ExpertSkew(round(float(np.exp(spread.mean())), 3), round(float(spread.std()), 3), round(drift, 3), np.nan)
    drawn = relative_loads(1, 800, real.shape[2], value, np.random.default_rng(0))
    ks = float(ks_2samp(real.ravel(), drawn.ravel()).statistic)
    return Fit("EXPERT_SKEW", DEEPSEEK, value, real.ravel(), drawn.ravel(), ks)


def top_shares(flow: Values, targets: int = 4) -> Values:
    """Return for each source expert with tokens the share of them that its ``targets`` largest targets get."""
    flow = flow[flow.sum(axis=1) > 0.0]
    return np.asarray(np.sort(flow, axis=1)[:, -targets:].sum(axis=1) / flow.sum(axis=1))


def fit_affinity(data: Path) -> Fit:
    """Find the attraction of pairs whose four largest targets get what OLMoE's do (layers 0 to 7 and 7 to 15)."""
    flows: dict[tuple[str, str], Values] = defaultdict(lambda: np.zeros((64, 64)))
    with (data / OLMOE).open(newline="") as file:
        for row in csv.DictReader(file):
            flows[row["domain"], row["layer_i"]][int(row["expert_i"]), int(row["expert_j"])] = float(row["count"])
    real = np.concatenate([top_shares(flow) for flow in flows.values()])
    best: Fit | None = None
    for sigma in np.arange(0.6, 2.6, 0.05).round(2).tolist():
        rng = np.random.default_rng(0)
        skew = ExpertSkew(0.8, 0.0, 0.0, np.nan)
        pairs = [relative_loads(2, 1, 64, skew, rng)[:, 0] for _ in range(40)]
        drawn = np.concatenate([top_shares(token_flow(pair[0], pair[1], sigma, rng)) for pair in pairs])
        ks = float(ks_2samp(real, drawn).statistic)
        if best is None or ks < best.ks:
            best = Fit("AFFINITY_SIGMA", OLMOE, sigma, real, drawn, ks)
    if best is None:
        raise ValueError(f"{data / OLMOE}: expected pairs of experts, found none")
    return best


def cap_losses(data: Path) -> Values:
    """Return for each measured workload ``a`` of ``speed = 1 - a (1 - cap / draw) ** 2``, by least squares."""
    losses = []
    for path in sorted((data / ZEUS).glob("summary_power_*.csv")):
        runs: dict[tuple[str, ...], list[tuple[float, float, float]]] = defaultdict(list)
        with path.open(newline="") as file:
            for row in csv.DictReader(file):
                key = (row["dataset"], row["network"], row["batch_size"], row["optimizer"])
                runs[key].append((float(row["power_limit"]), float(row["time_per_epoch"]), float(row["average_power"])))
        top = max(point[0] for points in runs.values() for point in points)
        for points in runs.values():
            uncapped = [point for point in points if point[0] == top]
            if len(uncapped) != 1:
                continue
            _, fastest_s, draw_w = uncapped[0]
            below = np.array([(1.0 - cap / draw_w, 1.0 - fastest_s / time) for cap, time, _ in points if cap < draw_w])
            if len(below) >= 2:
                square = below[:, 0] ** 2
                losses.append(float(max(square @ below[:, 1] / (square @ square), 0.05)))
    return np.array(losses)


def fit_cap_loss(data: Path) -> Fit:
    """Fit how much speed workloads lose under a cap."""
    real = cap_losses(data)
    log = np.log(real)
    median, sigma = round(float(np.exp(np.median(log))), 3), round(float(log.std()), 3)
    value = LognormalMixture((1.0,), (median,), (sigma,), 0.05, round(float(real.max()), 2), np.nan)
    drawn = value(20_000, np.random.default_rng(0))
    return Fit("CAP_LOSS", ZEUS, value, real, drawn, float(ks_2samp(real, drawn).statistic))


def fit_temperature(data: Path) -> Fit:
    """Fit temperature to power through the quantiles of both: the curves do not say which belong together."""
    real = column(data / KALOS / "gpu_temp_kalos.csv", "gpu_temp_C")
    watts = column(data / KALOS / "gpu_power_kalos.csv", "gpu_power_W")
    slope, offset = np.polyfit(watts, real, 1)
    sigma = float((real - offset - slope * watts).std())
    value = Line(round(float(offset), 2), round(float(slope), 4), round(sigma, 2), np.nan)
    rng = np.random.default_rng(0)
    power_w = rng.choice(fit_gpu_power(data).drawn, 20_000)
    drawn = value.offset + value.slope * power_w + value.sigma * rng.standard_normal(20_000)
    return Fit("TEMPERATURE_C", KALOS, value, real, drawn, float(ks_2samp(real, drawn).statistic))


def fit_tokens(data: Path) -> Fit:
    """Fit how many tokens a request takes in and gives out."""
    real = column(data / AZURE, "ContextTokens") + column(data / AZURE, "GeneratedTokens")
    weights, means, sigmas = normal_parts(np.log(real), 3, 0.05)
    value = LognormalMixture(
        tuple(weights.round(4).tolist()),
        tuple(np.exp(means).round(0).tolist()),
        tuple(sigmas.round(3).tolist()),
        float(real.min()),
        float(real.max()),
        np.nan,
    )
    drawn = value(200_000, np.random.default_rng(0))
    return Fit("TOKENS_PER_REQUEST", AZURE, value, real, drawn, float(ks_2samp(real, drawn).statistic))


def volume_variation(data: Path, window_s: float = 600.0) -> float:
    """Return the standard deviation of the tokens of a window over their mean."""
    with (data / AZURE).open(newline="") as file:
        rows = [
            (np.datetime64(row["TIMESTAMP"][:23]), float(row["ContextTokens"]) + float(row["GeneratedTokens"]))
            for row in csv.DictReader(file)
        ]
    first = min(time for time, _ in rows)
    seconds = np.array([(time - first) / np.timedelta64(1, "s") for time, _ in rows])
    windows = int(seconds.max() // window_s)
    volume, _ = np.histogram(seconds, window_s * np.arange(windows + 1), weights=[tokens for _, tokens in rows])
    return float(volume.std() / volume.mean())
