"""Which published figures must our fits give, and do they?"""

import csv
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from data.readers.scaling.epoch import read_epoch
from data.readers.scaling.gadre import read_gadre
from data.readers.scaling.mlperf import distinct
from data.readers.scaling.porian import read_porian, read_published
from data.readers.scaling.usl import read_usl
from tasks.scaling.chinchilla import fit_loss_law, likeliest, objective
from tasks.scaling.choose import choose, forms
from tasks.scaling.fit import fit_law
from tasks.scaling.loss import LogHuber, PlainSquares
from tasks.scaling.mlperf_score import score, scored
from tasks.scaling.speedup_laws import serial_share
from tasks.scaling.weighted_slope import weighted_slope
from tests.benchmarks.fleet.scaling_claims import mlperf

SHAPES = ("d=96_l=8_h=4", "d=512_l=8_h=4", "d=576_l=24_h=8", "d=1024_l=24_h=8")
"""Gadre's models at 20 tokens per parameter; the first at 320 too."""


@dataclass(frozen=True, slots=True)
class Target:
    """A published figure beside ours.

    Args:
        name: what it is.
        published: figure.
        ours: figure.
        allowed: difference, relative to the published figure; that of its digits, or of the publication's own check.
    """

    name: str
    published: float
    ours: float
    allowed: float
    off: float = field(init=False)
    met: bool = field(init=False)

    def __post_init__(self) -> None:
        off = abs(self.ours - self.published) / abs(self.published)
        object.__setattr__(self, "off", off)
        object.__setattr__(self, "met", bool(off <= self.allowed))


def targets(folder: Path) -> list[Target]:
    """Return all, from the public data in ``folder``."""
    return [*_chinchilla(folder), *_gadre(folder), *_porian(folder), *_router(folder), *_mlperf(folder)]


def _chinchilla(folder: Path) -> list[Target]:
    runs = read_epoch(folder / "chinchilla_epoch" / "svg_extracted_data.csv").runs
    kept = runs.take(np.argsort(runs.loss)[:240])
    refit = fit_loss_law(kept)
    law, likely = refit.law, likeliest(kept, refit.law)
    small = kept.compute < 1e21
    unseen = kept.take(~small)
    errors = fit_loss_law(kept.take(small)).law(unseen.parameters, unseen.tokens) / unseen.loss - 1.0
    every = fit_loss_law(runs)
    return [
        Target("Epoch, A", 477.84, law.A, 5e-3),
        Target("Epoch, B", 2143.9, law.B, 5e-3),
        Target("Epoch, E", 1.81724, law.E, 2e-4),
        Target("Epoch, alpha", 0.34731, law.alpha, 1e-3),
        Target("Epoch, beta", 0.36718, law.beta, 1e-3),
        Target("Epoch, objective", 0.00101827, refit.objective, 1e-5),
        Target("Epoch, scale-adjusted, A", 482.01, likely.law.A, 2e-5),
        Target("Epoch, scale-adjusted, B", 2085.43, likely.law.B, 1e-5),
        Target("Epoch, scale-adjusted, exponent a", 0.5126, likely.law.exponent, 1e-4),
        Target("Epoch, scale-adjusted, log likelihood", 879.7731, likely.log_likelihood, 1e-7),
        Target("Epoch, tokens per parameter at 5.88e23", 18.3, likely.law.tokens_per_parameter(5.88e23), 3e-3),
        Target("Epoch, exponent a with the five worst points", 0.565, every.law.exponent, 1e-3),
        Target("Epoch, objective of the refit on all 245", 0.0019273, objective(law, runs), 3e-5),
        Target("Epoch, mean error beyond 1e21 FLOP, %", 1.05, 100.0 * float(np.abs(errors).mean()), 5e-3),
    ]


def _gadre(folder: Path) -> list[Target]:
    models = read_gadre(folder / "gadre" / "gadre_104_models.csv")
    chosen = models.rows("rpj", SHAPES[0], 320.0)
    for shape in SHAPES:
        chosen |= models.rows("rpj", shape, 20.0)
    law = fit_loss_law(models.runs.take(chosen), PlainSquares(), one_exponent=True).law
    found = [Target("Gadre, exponent", 0.272850704, law.alpha, 1e-7)]
    for shape, ratio, published in (("open_lm_1b", 640.0, 0.7103), ("open_lm_7b", 20.0, 0.7320)):
        large = models.runs.take(models.rows("rpj", shape, ratio))
        error = 100.0 * abs(float(law(large.parameters, large.tokens)[0] / large.loss[0]) - 1.0)
        found.append(Target(f"Gadre, error at {shape}, %", published, error, 1e-4))
    return found


def _porian(folder: Path) -> list[Target]:
    optima = read_porian(folder / "porian" / "porian_optimal_pairs.csv").experiments
    published = read_published(folder / "porian" / "porian_target_exponents.csv")
    return [
        Target(
            f"Porian, {name}",
            published[name].exponent,
            weighted_slope(each.compute, each.parameters, each.deviation).exponent,
            1e-4,
        )
        for name, each in optima.items()
    ]


def _router(folder: Path) -> list[Target]:
    series = read_usl(folder / "usl" / "cisco_32.csv").series[0]
    form = next(each for each in forms(series) if each.kind == "usl")
    fit = fit_law(series, form, PlainSquares())
    names = ("book, Cisco, lambda", "book, Cisco, sigma", "book, Cisco, kappa")
    figures = zip(names, (995.6486, 0.02671591, 7.690945e-4), fit.parameters, strict=True)
    found = [Target(name, published, float(ours), 2e-4) for name, published, ours in figures]
    return [*found, Target("book, Cisco, most throughput", 12341.0, float(fit(35.0)), 2e-4)]


def _mlperf(folder: Path) -> list[Target]:
    runs, found = mlperf(folder), []
    found.append(Target("MLPerf, runs that repeat another", 525.0, float(len(runs.repeated)), 0.0))
    family = [
        each
        for each in runs.chosen(round="v4.0", benchmark="llama2_70b_lora")
        if each.accelerators == 8 and "H100" in each.accelerator
    ]
    found.append(Target("MLPerf, distinct sets of 14, LoRA on 8 H100", 12.0, float(len(distinct(family))), 0.0))
    with (folder / "mlperf" / "mlperf_official_summary_json_rows.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        asked = {"round": row["round"], "submitter": row["submitter"], "benchmark": row["benchmark"]}
        (each,) = runs.chosen(**asked, system=row["details"])
        name = f"MLPerf, official score, {row['details'][:24]} {row['benchmark']}"
        found.append(Target(name[:58], float(row["official_minutes"]), score(each.minutes, each.factor), 2e-6))
    for round_, submitter, benchmark, model, exponent, allowed in (
        ("v5.0", "NVIDIA", "llama31_405b", "H100", -0.9252, 6e-5),
        ("v5.0", "IBM+CoreWeave+NVIDIA", "llama31_405b", "GB200", -0.9406, 6e-5),
        ("v4.0", "NVIDIA", "gpt3", "H100", -0.8605, 6e-5),
        ("v4.0", "Google", "gpt3", "v5p", -0.8845, 6e-5),
        ("v4.1", "Google", "gpt3", "trillium", -0.8955, 6e-5),
        ("v4.0", "NVIDIA", "resnet", "H100", -0.69, 8e-3),
        ("v5.1", "NVIDIA", "flux1", "GB200", -0.590, 1e-3),
    ):
        sets = runs.chosen(round=round_, submitter=submitter, benchmark=benchmark)
        series = scored([each for each in sets if model in each.accelerator], f"{round_} {benchmark} {model}")
        choice = choose(series, LogHuber(100.0))
        found.append(
            Target(f"MLPerf, exponent, {series.name}", exponent, float(choice.fit("power").parameters[1]), allowed)
        )
        if benchmark == "llama31_405b":
            serial = serial_share(float(choice.fit("amdahl").parameters[1]), 512.0)
            published = {"H100": 0.0157, "GB200": 0.0260}[model]
            found.append(Target(f"MLPerf, serial share from 512, {model}", published, serial, 4e-3))
    return found
