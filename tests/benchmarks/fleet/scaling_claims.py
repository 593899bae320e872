"""What do public series say of the exponents that the project's seed document claims?"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data.readers.csv_file import read_csv
from data.readers.scaling.mlperf import MlperfReading, read_mlperf
from data.readers.scaling.mpt import read_mpt
from data.readers.scaling.series_csv import positive
from data.readers.scaling.usl import read_usl
from data.schemas.scaling import Series
from tasks.scaling.bootstrap import bootstrapped
from tasks.scaling.choose import choose
from tasks.scaling.mlperf_score import scored


@dataclass(frozen=True, slots=True)
class Claim:
    """A claimed exponent and a measured one.

    Args:
        dimension: of the claim.
        claimed: exponent.
        series: what was measured.
        measured: exponent of performance, higher is better; None where there is no public series.
        low: of its 95 % interval.
        high: likewise.
        r2: of the power law.
        better_law: what the series follows.
    """

    dimension: str
    claimed: float
    series: str
    measured: float | None = None
    low: float | None = None
    high: float | None = None
    r2: float | None = None
    better_law: str = ""


def mlperf(folder: Path) -> MlperfReading:
    """Return MLPerf's runs."""
    place = folder / "mlperf"
    return read_mlperf(place / "mlperf_training_runs_v40_v51.csv", place / "mlperf_training_scores_derived.csv")


def claimed(folder: Path, draws: int, seed: int) -> list[Claim]:
    """Return the seed document's exponents beside measured ones."""
    runs = mlperf(folder)

    def of(name: str, **fields: str) -> Series:
        model = fields.pop("model")
        return scored([each for each in runs.chosen(**fields) if model in each.accelerator], name)

    compute = [
        of("MLPerf v5.0 405B, H100", round="v5.0", submitter="NVIDIA", benchmark="llama31_405b", model="H100"),
        of("MLPerf v4.0 GPT-3, H100", round="v4.0", submitter="NVIDIA", benchmark="gpt3", model="H100"),
        of("MLPerf v4.0 ResNet, H100", round="v4.0", submitter="NVIDIA", benchmark="resnet", model="H100"),
        of("MLPerf v5.1 flux1, GB200", round="v5.1", submitter="NVIDIA", benchmark="flux1", model="GB200"),
    ]
    compute += [
        series
        for series in read_mpt(folder / "llm_foundry" / "mpt_training_throughput.csv").series
        if series.name.startswith(("MPT-70b, 2048 tokens, h100", "MPT-13b, 2048 tokens, h100"))
    ]
    rows = [claim("compute", 0.92, series, draws, seed) for series in compute]
    rows.append(Claim("memory", 0.78, "no public series over bytes is at hand"))
    router = read_usl(folder / "usl" / "cisco_32.csv").series[0]
    rows.append(claim("network", 0.63, router, draws, seed, "Cisco router (concurrency, not bandwidth)"))
    rows.append(claim("geographic", 0.45, sites(folder), draws, seed))
    rows += [claim("energy", 0.71, series, draws, seed) for series in power_limits(folder)]
    return rows


def claim(dimension: str, exponent: float, series: Series, draws: int, seed: int, name: str = "") -> Claim:
    """Return a claim beside the power law of ``series``."""
    choice = choose(series)
    law = bootstrapped(series, choice.fit("power"), np.random.default_rng(seed), draws=draws)
    sign = 1.0 if series.better == "higher" else -1.0
    ends = [None, None]
    if law.intervals:
        found = law.interval("b")
        ends = sorted((sign * found.low, sign * found.high))
    measured = sign * float(law.parameters[1])
    best = choice.best.form.kind
    return Claim(dimension, exponent, name or series.name, measured, ends[0], ends[1], law.r2, best)


def sites(folder: Path) -> Series:
    """Return one over the mean round trip to the nearest of k Azure regions, chosen greedily.

    Round trips are real; equal demand of every region, and greedy choice, are ours. More than a third of the regions
    is not asked for: users would then sit in the very regions that serve them.
    """
    table = read_csv(folder / "azure_rtt" / "azure_cosmos_region_rtt_ms.csv", ("src", "dst", "rtt_ms"))
    names = sorted({row["src"] for _, row in table.rows})
    place = {name: number for number, name in enumerate(names)}
    times = np.full((len(names), len(names)), np.inf)
    for _, row in table.rows:
        if row["dst"] in place:
            times[place[row["src"]], place[row["dst"]]] = float(row["rtt_ms"])
    np.fill_diagonal(times, 0.0)
    worst = float(times[np.isfinite(times)].max())
    times = np.where(np.isfinite(times), times, worst)  # a pair that is not listed is as bad as the worst that is
    nearest = np.full(len(names), np.inf)
    means = []
    for _ in range(len(names) // 3):
        gains = np.minimum(nearest[:, None], times).mean(axis=0)
        nearest = np.minimum(nearest, times[:, int(gains.argmin())])
        means.append(float(nearest.mean()))
    scale = np.arange(1.0, len(means) + 1.0)
    return Series("Azure, 1 / mean RTT to k sites", "geographic", scale, 1.0 / np.array(means), "regions", "1/ms")


def power_limits(folder: Path) -> list[Series]:
    """Return epochs per hour by power limit of one GPU, of the longest sweep on each GPU model (Zeus, NSDI 2023)."""
    found = []
    for gpu in ("v100", "a40"):
        table = read_csv(
            folder / "zeus_nsdi23" / f"summary_power_{gpu}.csv",
            ("dataset", "network", "batch_size", "optimizer", "time_per_epoch", "power_limit"),
        )
        sweeps: dict[str, list[tuple[float, float]]] = {}
        for where, row in table.rows:
            name = f"Zeus {row['dataset']} {row['network']} {row['batch_size']}, {gpu.upper()}"
            name += "" if row["optimizer"] == "adamw" else f", {row['optimizer']}"
            pair = (positive(where, row, "power_limit"), 3600.0 / positive(where, row, "time_per_epoch"))
            sweeps.setdefault(name, []).append(pair)
        name = max(sorted(sweeps), key=lambda each: len(sweeps[each]))
        watts, speed = np.array(sorted(sweeps[name])).T
        found.append(Series(name, "energy", watts, speed, "W", "epochs/h"))
    return found


def claim_table(rows: Sequence[Claim]) -> str:
    """Return claims beside what was measured."""
    lines = [
        "\nexponents claimed by the seed document beside those of public series (power law in logs, robust)",
        f"{'dimension':12}{'claimed':>8}  {'series':48}{'measured, 95 % interval':>26}{'R2':>9}  follows rather",
    ]
    for each in rows:
        if each.measured is None:
            lines.append(f"{each.dimension:12}{each.claimed:8.2f}  {each.series}")
            continue
        ends = "" if each.low is None or each.high is None else f" [{each.low:.2f}, {each.high:.2f}]"
        measured = f"{each.measured:.3f}{ends}"
        lines.append(
            f"{each.dimension:12}{each.claimed:8.2f}  {each.series[:47]:48}{measured:>26}{each.r2 or 0.0:9.4f}  "
            f"{each.better_law}"
        )
    return "\n".join(lines)
