"""Do our fits give the published figures, and does the chosen law foretell larger scales than others do?

Four tables: published figures beside ours; the error of each way to choose a law at the largest scale of every public
series, which it had not seen; how often the stated intervals hold that point; and the exponents that the project's seed
document claims beside those of public series, where there are any.

Run: ``python -m tests.benchmarks.fleet.scaling [--draws 200] [--output runs/bench-fleet]``.
"""

import argparse
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from data.readers.scaling.mlperf import ResultSet, distinct
from data.readers.scaling.mpt import read_mpt
from data.schemas.scaling import Series
from tasks.scaling.bootstrap import bootstrapped
from tasks.scaling.choose import Choice, choose
from tasks.scaling.extrapolate import predict
from tasks.scaling.fitted import Fit
from tasks.scaling.mlperf_score import scored
from tests.benchmarks.columns import interval
from tests.benchmarks.fleet.scaling_claims import claim_table, claimed, mlperf
from tests.benchmarks.fleet.scaling_targets import Target, targets

ROOT = Path(__file__).resolve().parents[3]
FEWEST = 4
"""Distinct scales of a series in the second table: three to fit, one to foretell."""


@dataclass(frozen=True, slots=True)
class Foretold:
    """What each way to choose said of the largest scale of a series.

    Args:
        series: name.
        octaves: from the largest scale that was fitted to the one that was foretold.
        chosen: law that was chosen.
        errors: absolute log error by way of choosing.
        held: whether the interval held the point; None where there was none.
        widest: high over low of that interval.
    """

    series: str
    octaves: float
    chosen: str
    errors: dict[str, float]
    held: bool | None
    widest: float | None


def main(argv: list[str] | None = None) -> None:
    """Print the tables, and write them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=200, help="of each bootstrap")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path("runs/bench-fleet"))
    asked = parser.parse_args(argv)
    folder = Path(os.environ.get("QUANTUMFLOW_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "mlperf").is_dir():
        print(f"skipped: {folder} has no public series (set QUANTUMFLOW_DATA)")
        return
    reached = targets(folder)
    print(target_table(reached), flush=True)
    foretold = [foretell(series, asked.draws, asked.seed) for series in public_series(folder)]
    print(foretold_table(foretold), flush=True)
    claims = claimed(folder, asked.draws, asked.seed)
    print(claim_table(claims), flush=True)
    asked.output.mkdir(parents=True, exist_ok=True)
    told = {
        "draws": asked.draws,
        "seed": asked.seed,
        "targets": [asdict(each) for each in reached],
        "foretold": [asdict(each) for each in foretold],
        "claims": [asdict(each) for each in claims],
    }
    (asked.output / "scaling.json").write_text(json.dumps(told, indent=1) + "\n")


def target_table(reached: Sequence[Target]) -> str:
    """Return published figures beside ours."""
    lines = [f"\n{'published figure':58}{'published':>14}{'ours':>14}{'off by':>11}{'allowed':>10}"]
    for each in reached:
        mark = "" if each.met else "  MISSED"
        lines.append(f"{each.name:58}{each.published:14.7g}{each.ours:14.7g}{each.off:11.1e}{each.allowed:10.0e}{mark}")
    lines.append(f"{sum(each.met for each in reached)} of {len(reached)} within what is allowed")
    return "\n".join(lines)


def public_series(folder: Path) -> list[Series]:
    """Return every series of MLPerf and llm-foundry with four distinct scales or more."""
    sets: dict[tuple[str, ...], list[ResultSet]] = {}
    for each in distinct(mlperf(folder).sets):
        round_, submitter, _, benchmark = each.key
        sets.setdefault((round_, submitter, benchmark, each.accelerator), []).append(each)
    found = [scored(own, " ".join(key)) for key, own in sets.items() if len({each.accelerators for each in own}) > 3]
    found += read_mpt(folder / "llm_foundry" / "mpt_training_throughput.csv").series
    return [series for series in found if series.distinct_scales >= FEWEST]


WAYS: dict[str, Callable[[Choice], Fit]] = {
    "largest scales, then AICc (ours)": lambda choice: choice.best,
    "power law always": lambda choice: choice.fit("power"),
    "Amdahl always": lambda choice: choice.fit("amdahl"),
    "AICc; power law where undefined": lambda choice: min(
        (fit for fit in choice.fits if fit.aicc is not None),
        key=lambda fit: fit.aicc or 0.0,
        default=choice.fit("power"),
    ),
    "best R2": lambda choice: max(choice.fits, key=lambda fit: fit.r2 or 0.0),
}
"""Ways to choose a law."""


def foretell(series: Series, draws: int, seed: int) -> Foretold:
    """Return how far each way is off at the largest scale, from the others."""
    top = series.scale == series.scale.max()
    seen, scale = series.take(~top), float(series.scale.max())
    truth = np.log(series.performance[top])
    choice = choose(seen)
    errors = {}
    for name, way in WAYS.items():
        said = float(way(choice)(scale))
        # a law that says nothing above 0 is counted with what was last seen
        kept = said if said > 0.0 else float(seen.performance[seen.scale.argmax()])
        errors[name] = float(np.mean(np.abs(np.log(kept) - truth)))
    drawn = bootstrapped(seen, choice.best, np.random.default_rng(seed), draws=draws)
    held, widest = None, None
    if len(drawn.draws):
        forecast = predict(drawn, scale)
        if forecast.low is not None and forecast.high is not None:
            held = bool(np.log(forecast.low) <= truth.mean() <= np.log(forecast.high))
            widest = forecast.high / forecast.low
    octaves = float(np.log2(scale / seen.scale.max()))
    return Foretold(series.name, octaves, choice.best.form.kind, errors, held, widest)


def foretold_table(rows: Sequence[Foretold]) -> str:
    """Return the error of each way, and how often intervals held."""
    ours = next(iter(WAYS))
    lines = [
        "\nerror at the largest scale, % (log), from the smaller ones: "
        f"{len(rows)} public series of {FEWEST} scales or more",
        f"{'law chosen by':36}{'mean, 95 % bootstrap interval':>32}{'median':>9}{'better/tied/worse than ours':>30}",
    ]
    for name in WAYS:
        errors = 100.0 * np.array([row.errors[name] for row in rows])
        mine = 100.0 * np.array([row.errors[ours] for row in rows])
        tied = np.abs(errors - mine) < 1e-3
        beside = (
            "" if name == ours else f"{(errors < mine)[~tied].sum()} / {tied.sum()} / {(errors > mine)[~tied].sum()}"
        )
        lines.append(f"{name:36}{interval(errors)!s:>32}{np.median(errors):9.2f}{beside:>30}")
    held = [row.held for row in rows if row.held is not None]
    widths = [row.widest for row in rows if row.widest is not None]
    lines.append(
        f"nominal 95 % intervals held {sum(held)} of {len(held)} points ({len(rows) - len(held)} series had too few "
        f"points for one); high over low, median {np.median(widths):.2f}"
    )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
