"""Other published fits, to their digits: Porian's exponents, the Cisco router, MLPerf's scores and exponents."""

import csv
from pathlib import Path

import numpy as np
import pytest

from data.readers.scaling.mlperf import MlperfReading, distinct, read_mlperf
from data.readers.scaling.mpt import read_mpt
from data.readers.scaling.porian import read_porian, read_published
from data.readers.scaling.usl import read_usl
from data.schemas.scaling import Series
from tasks.scaling.choose import choose, forms
from tasks.scaling.fit import fit_law
from tasks.scaling.laws import Form
from tasks.scaling.loss import LogHuber, PlainSquares
from tasks.scaling.mlperf_score import olympic_mean, score, scored
from tasks.scaling.speedup_laws import Usl, serial_share
from tasks.scaling.weighted_slope import weighted_slope

SQUARES = LogHuber(100.0)
"""Wider than any residual: least squares of logarithms."""


def folder(real_data: Path, name: str) -> Path:
    path = real_data / name
    if not path.is_dir():
        pytest.skip(f"no real data: {path} is missing")
    return path


def form_of(series: Series, kind: str) -> Form:
    return next(form for form in forms(series) if form.kind == kind)


def test_porians_exponents(real_data: Path) -> None:
    reading = read_porian(folder(real_data, "porian") / "porian_optimal_pairs.csv")
    published = read_published(folder(real_data, "porian") / "porian_target_exponents.csv")
    named = {
        "rw|base|long|kaplan|kaplan|train": 0.8353,
        "rw|base|short|kaplan|standard|val": 0.602,
        "rw|base|short|chinchilla|standard|val": 0.5715,
        "rw|tuned|short|const|standard|val": 0.4969,
        "owt2|base|long|kaplan|kaplan|train": 0.8635,
        "owt2|base|short|kaplan|standard|val": 0.6032,
        "owt2|base|short|chinchilla|standard|val": 0.5743,
        "owt2|tuned|short|const|standard|val": 0.5185,
    }
    assert len(published) == len(reading.experiments) == 15
    assert len({str(each).split(":")[1].split(".")[0] for each in reading.set_aside}) == 4
    for name, optima in reading.experiments.items():
        found = weighted_slope(optima.compute, optima.parameters, optima.deviation).exponent
        assert found == pytest.approx(published[name].exponent, abs=1e-10)
        assert published[name].low < found < published[name].high
        if name in named:
            assert found == pytest.approx(named[name], abs=1e-4)


@pytest.mark.parametrize(
    ("x", "y", "deviation", "named"),
    [
        ([1.0, 1.0], [1.0, 2.0], [1.0, 1.0], "two distinct"),
        ([1.0, 2.0], [1.0], [1.0, 1.0], "y: expected shape"),
        ([1.0, 2.0], [1.0, np.nan], [1.0, 1.0], "y: expected finite"),
        ([1.0, 2.0], [1.0, 2.0], [1.0, 0.0], "deviation: expected finite numbers above 0"),
    ],
)
def test_a_line_needs_two_points(x: list[float], y: list[float], deviation: list[float], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        weighted_slope(np.array(x), np.array(y), np.array(deviation))


@pytest.fixture(scope="module")
def cisco(real_data: Path) -> Series:
    return read_usl(folder(real_data, "usl") / "cisco_32.csv").series[0]


def test_the_book_s_figures_of_the_universal_law(cisco: Series) -> None:
    form = form_of(cisco, "usl")
    assert isinstance(form, Usl)
    fit = fit_law(cisco, form, PlainSquares())
    np.testing.assert_allclose(fit.parameters, [995.6486, 0.02671591, 7.690945e-4], rtol=2e-4)
    peak = form.peak(fit.parameters)
    assert int(peak) == 35
    assert float(fit(35.0)) == pytest.approx(12341.0, rel=2e-4)


def test_a_power_law_explains_the_router_and_misses_its_end(cisco: Series) -> None:
    whole = fit_law(cisco, form_of(cisco, "power"), SQUARES)
    assert whole.r2 == pytest.approx(0.959, abs=1e-3)
    half = cisco.take(cisco.scale <= 16)
    power = fit_law(half, form_of(half, "power"), PlainSquares())
    assert float(power(32.0)) / cisco.performance[-1] - 1.0 == pytest.approx(0.45, abs=0.02)


def test_the_universal_law_is_chosen_for_the_router(cisco: Series) -> None:
    choice = choose(cisco)
    assert choice.best.form.kind == "usl"
    assert choice.best.held_out is not None
    assert choice.best.held_out < 0.02
    assert choice.fit("power").held_out == max(fit.held_out or 0.0 for fit in choice.fits)


@pytest.fixture(scope="module")
def mlperf(real_data: Path) -> MlperfReading:
    place = folder(real_data, "mlperf")
    return read_mlperf(place / "mlperf_training_runs_v40_v51.csv", place / "mlperf_training_scores_derived.csv")


def test_repeated_runs_are_found(mlperf: MlperfReading) -> None:
    assert (mlperf.seeded, len(mlperf.repeated)) == (6_924, 525)
    assert len(mlperf.set_aside) == 9
    family = [
        each
        for each in mlperf.chosen(round="v4.0", benchmark="llama2_70b_lora")
        if each.accelerators == 8 and "H100" in each.accelerator
    ]
    assert (len(family), len(distinct(family))) == (14, 12)


def test_scores_are_the_official_ones(mlperf: MlperfReading, real_data: Path) -> None:
    path = folder(real_data, "mlperf") / "mlperf_official_summary_json_rows.csv"
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 13
    for row in rows:
        asked = {"round": row["round"], "submitter": row["submitter"], "benchmark": row["benchmark"]}
        (found,) = mlperf.chosen(**asked, system=row["details"])
        assert score(found.minutes, found.factor) == pytest.approx(float(row["official_minutes"]), abs=1e-5)


@pytest.mark.parametrize(
    ("round_", "submitter", "benchmark", "model", "scales", "exponent", "r2", "efficiency"),
    [
        ("v5.0", "NVIDIA", "llama31_405b", "H100", (512, 8192), -0.9252, 0.9988, 0.808),
        ("v5.0", "IBM+CoreWeave+NVIDIA", "llama31_405b", "GB200", (512, 2496), -0.9406, 0.9998, 0.909),
        ("v4.0", "NVIDIA", "gpt3", "H100", (512, 11616), -0.8605, 0.99999, 0.649),
        ("v4.0", "Google", "gpt3", "v5p", (512, 6144), -0.8845, 0.9976, 0.767),
        ("v4.1", "Google", "gpt3", "trillium", (512, 3072), -0.8955, 0.9952, 0.819),
        ("v4.0", "NVIDIA", "resnet", "H100", (8, 3584), -0.69, None, None),
        ("v5.1", "NVIDIA", "flux1", "GB200", (16, 1152), -0.590, None, 0.178),
    ],
)
def test_exponents_of_time_against_accelerators(
    mlperf: MlperfReading,
    round_: str,
    submitter: str,
    benchmark: str,
    model: str,
    scales: tuple[int, int],
    exponent: float,
    r2: float | None,
    efficiency: float | None,
) -> None:
    sets = mlperf.chosen(round=round_, submitter=submitter, benchmark=benchmark)
    series = scored([each for each in sets if model in each.accelerator], benchmark)
    assert (series.scale[0], series.scale[-1]) == scales
    fit = fit_law(series, form_of(series, "power"), SQUARES)
    digits = 5e-3 if benchmark == "resnet" else 5e-4 if benchmark == "flux1" else 5e-5
    assert fit.parameters[1] == pytest.approx(exponent, abs=1.1 * digits)
    if r2 is not None:
        assert fit.r2 == pytest.approx(r2, abs=5.5e-5)
    if efficiency is not None:
        speedup = series.performance[0] / series.performance[-1]
        assert speedup * scales[0] / scales[1] == pytest.approx(efficiency, abs=5.5e-4)


@pytest.mark.parametrize(
    ("submitter", "model", "serial", "amdahl", "power"),
    [("IBM+CoreWeave+NVIDIA", "GB200", 0.0260, 0.0001, 0.0163), ("NVIDIA", "H100", 0.0157, 0.024, 0.096)],
)
def test_amdahl_foretells_the_largest_runs_better(
    mlperf: MlperfReading, submitter: str, model: str, serial: float, amdahl: float, power: float
) -> None:
    sets = mlperf.chosen(round="v5.0", submitter=submitter, benchmark="llama31_405b")
    choice = choose(scored([each for each in sets if model in each.accelerator], model), SQUARES)
    assert choice.best.form.kind == "amdahl"
    assert serial_share(float(choice.best.parameters[1]), 512.0) == pytest.approx(serial, abs=6e-5)
    assert choice.best.held_out == pytest.approx(amdahl, rel=0.02)
    assert choice.fit("power").held_out == pytest.approx(power, rel=0.02)


def test_the_mean_drops_the_fastest_and_the_slowest() -> None:
    assert olympic_mean(np.array([1.0, 2.0, 3.0, 100.0])) == pytest.approx(2.5)
    assert olympic_mean(np.array([2.0, 1.0, np.inf])) == 2.0
    assert olympic_mean(np.arange(1.0, 41.0)) == pytest.approx(20.5)
    assert olympic_mean(np.array([*[5.0] * 32, *[1.0] * 4, *[np.inf] * 4])) == 5.0


@pytest.mark.parametrize(
    ("minutes", "named"),
    [([1.0, 2.0], "at least 3"), ([1.0, 2.0, -1.0], "above 0"), ([1.0, np.inf, np.inf], "at most 1 failed")],
)
def test_a_set_without_a_score_is_refused(minutes: list[float], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        score(np.array(minutes))


def test_a_factor_of_nought_is_refused() -> None:
    with pytest.raises(ValueError, match="factor"):
        score(np.array([1.0, 2.0, 3.0]), 0.0)


def test_tables_of_mpt_give_series_over_gpus(real_data: Path) -> None:
    reading = read_mpt(folder(real_data, "llm_foundry") / "mpt_training_throughput.csv")
    assert len(reading.series) == 17
    assert not reading.set_aside
    large = next(series for series in reading.series if series.name.startswith("MPT-13b, 2048 tokens, h100"))
    assert large.scale.tolist() == [8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0]
    assert fit_law(large, form_of(large, "power")).parameters[1] == pytest.approx(1.0, abs=0.03)
