"""The budget flow on a real Prefect server: what to buy, checked against a list of all choices, and refusals."""

import json
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from data.errors import BadRecord, BadSource, SourceUnavailable
from data.readers.scaling.prices_csv import read_prices
from data.readers.scaling.series_csv import read_series
from flows.budget import SAMPLES, BudgetParams, spend_budget
from flows.commands import app
from tasks.priced_dimensions import matched

COMPUTE, MEMORY = [1, 2, 4, 8, 16], [10, 20, 40, 80, 160]
PRICES = "dimension,usd_per_unit,levels\ncompute,100,1;2;4;8;16\nmemory,3,10;20;40;80;160\n"


def tables(folder: Path, prices: str = PRICES, more: str = "") -> dict[str, object]:
    """Write power laws without noise, ``5 n^0.8`` samples/s and ``9 / n^0.4`` seconds, and prices."""
    lines = [f"compute,{n},{5.0 * n**0.8:.8f},higher" for n in COMPUTE]
    lines += [f"memory,{n},{9.0 / n**0.4:.8f},lower" for n in MEMORY]
    (folder / "laws.csv").write_text("dimension,scale,performance,better\n" + "\n".join(lines) + f"\n{more}")
    (folder / "prices.csv").write_text(prices)
    return {"scaling": folder / "laws.csv", "prices": folder / "prices.csv", "output": folder / "runs"}


def asked(fields: dict[str, object], budget: float = 900.0, **form: object) -> BudgetParams:
    plain = {"budget_usd": budget, "draws": 20, "effort": "quick", "solver": {"kind": "exact"}}
    return BudgetParams.model_validate({**plain, **fields, **form})


def answer(params: BudgetParams) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((Path(spend_budget(params)) / "budget.json").read_text())
    return found


def test_what_is_bought_is_the_best_of_all_choices(tmp_path: Path) -> None:
    found = answer(asked(tables(tmp_path)))
    best = max((5.0 * n**0.8 * m**0.4 / 9.0, n, m) for n, m in product(COMPUTE, MEMORY) if 100.0 * n + 3.0 * m <= 900.0)
    compute, memory = found["dimensions"]
    assert (compute["scale"], memory["scale"]) == best[1:]
    assert found["log_performance"] == pytest.approx(np.log(best[0]), abs=1e-4)
    assert found["spent_usd"] == pytest.approx(100.0 * best[1] + 3.0 * best[2])
    assert compute["share"] == pytest.approx(100.0 * best[1] / 900.0)
    assert (memory["law"], memory["better"]) == ("power", "lower")
    assert memory["performance"] == pytest.approx(9.0 / best[2] ** 0.4, rel=1e-4)
    assert found["uncertainty"]["stays_best"] == 1.0  # the laws have no noise
    assert compute["wins"] == [{"scale": float(best[1]), "share": 1.0}]
    assert all(row["log_performance"] <= found["bound"] + 1e-9 for row in found["methods"])
    assert {"exact", "greedy", "random"} <= {row["method"] for row in found["methods"]}
    assert "No advantage is claimed" in found["claim"]


def test_where_every_scale_may_be_bought_power_laws_share_by_their_exponents(tmp_path: Path) -> None:
    prices = "dimension,usd_per_unit\ncompute,100\nmemory,3\n"
    found = answer(asked(tables(tmp_path, prices), 600.0))
    assert found["method"] == "closed form"
    assert [each["share"] for each in found["dimensions"]] == pytest.approx([2 / 3, 1 / 3], abs=1e-3)
    assert all(each["wins"] == [] for each in found["dimensions"])
    page = next(tmp_path.glob("runs/2*/budget.html")).read_text()
    assert "in 95 %" in page
    assert any("among 4 scales" in note for note in found["notes"])


def test_a_law_without_draws_is_told_and_not_followed_far(tmp_path: Path) -> None:
    prices = "dimension,usd_per_unit,most\ncompute,100,16\nmemory,3,\nenergy,1,{}\n"
    two = "energy,1,2,higher\nenergy,2,3,higher\n"
    found = answer(asked(tables(tmp_path, prices.format(4), two)))
    assert found["uncertainty"] is None
    assert any("energy: no intervals" in note for note in found["notes"])
    assert "no draws" in next(tmp_path.glob("runs/2*/budget.html")).read_text()
    with pytest.raises(BadSource, match=r"line 4: .*expected scales up to 4, twice the largest measured, got 5"):
        spend_budget(asked(tables(tmp_path, prices.format(5), two)))


def test_laws_that_are_unsure_share_the_wins_among_levels(tmp_path: Path) -> None:
    fields = tables(tmp_path, "dimension,usd_per_unit,levels\ncompute,100,33\nmemory,3,33\n")
    rng, noisy = np.random.default_rng(4), ["dimension,scale,performance"]
    for name, scales, exponent in (("compute", COMPUTE, 0.8), ("memory", MEMORY, 0.4)):
        noisy += [f"{name},{n},{n**exponent * np.exp(0.2 * rng.standard_normal()):.6f}" for n in scales]
    (tmp_path / "laws.csv").write_text("\n".join(noisy) + "\n")
    found = answer(asked(fields))
    assert found["uncertainty"]["stays_best"] < 1.0
    assert found["uncertainty"]["regret_mean"] > 0.0
    assert found["uncertainty"]["hedged_regret_mean"] < 1.0
    for each in found["dimensions"]:
        assert sum(win["share"] for win in each["wins"]) == pytest.approx(1.0)
    assert max(len(each["wins"]) for each in found["dimensions"]) > 1


@pytest.mark.slow
def test_the_same_seed_gives_the_same_answer(tmp_path: Path) -> None:
    params = asked(tables(tmp_path), solver={"kind": "qaoa", "on": "simulator", "layers": 4, "shots": 64})
    one, other = (Path(spend_budget(params)) for _ in range(2))
    for name in ("budget.json", "budget.html"):
        assert (one / name).read_bytes() == (other / name).read_bytes()


def test_names_from_outside_are_escaped_and_rows_left_out_are_named(tmp_path: Path) -> None:
    prices = f"{PRICES}<b>$x|y,5,4\n"
    more = "".join(f"energy,{n},{2 * n},higher,<b>$x|y\n" for n in (1, 2, 4, 8)) + "energy,0,1,higher,<b>$x|y\n"
    fields = tables(tmp_path, prices)
    lines = (tmp_path / "laws.csv").read_text().splitlines()
    head, body = f"{lines[0]},series", [f"{line}," for line in lines[1:]]
    (tmp_path / "laws.csv").write_text("\n".join([head, *body]) + "\n" + more)
    found = answer(asked(fields))
    page = next(tmp_path.glob("runs/2*/budget.html")).read_text()
    assert "<b>$x" not in page
    assert "&lt;b&gt;$x|y" in page
    assert "data:image/png;base64," in page
    assert any("left out" in note and "scale" in note for note in found["notes"])
    assert "line 16.scale" in page


@pytest.mark.parametrize(
    ("prices", "form", "named"),
    [
        ("dimension,usd_per_unit\ncompute,100\n", {}, "price of memory: expected a row, since laws.csv measures it"),
        (f"{PRICES}network,3,\n", {}, r"line 4\.dimension: expected one that laws.csv measures: .*, found network"),
        (PRICES.replace("compute,100", "compute,-100"), {}, r"line 2\.usd_per_unit: expected .* above 0, found -100"),
        (PRICES.replace("compute,100", "compute,0"), {}, r"line 2\.usd_per_unit: expected .* above 0, found 0"),
        (PRICES, {"budget_usd": 100.0}, r"budget_usd: expected at least 130\.00 USD .*memory 30\.00.*30\.00 short"),
        ("dimension,usd_per_unit,least,most\ncompute,1,50,\nmemory,1,,\n", {}, "least 50 is above most 16"),
        (
            "dimension,usd_per_unit,growth\ncompute,1e308,4\nmemory,1,1\n",
            {},
            "compute.*: expected a spend of at",
        ),
        ("dimension,usd_per_unit\ncompute,1e300\nmemory,1\n", {}, r"at least 1e\+300 USD"),
        ("", {}, "line 1: expected columns dimension, usd_per_unit"),
    ],
)
def test_what_cannot_be_answered_is_named_and_leaves_no_run(
    tmp_path: Path, prices: str, form: dict[str, object], named: str
) -> None:
    with pytest.raises((BadSource, BadRecord), match=named):
        spend_budget(asked({**tables(tmp_path, prices), **form}))
    assert list((tmp_path / "runs").iterdir()) == []


def test_measurements_that_carry_no_law_are_named(tmp_path: Path) -> None:
    fields = tables(tmp_path, f"{PRICES}energy,1,\n", "energy,1,2,higher\n")
    with pytest.raises(BadSource, match=r"series energy: expected a law, found energy: .*1 point"):
        spend_budget(asked(fields))
    (tmp_path / "laws.csv").write_text("")
    with pytest.raises(BadSource, match="expected columns dimension, scale, performance"):
        spend_budget(asked(fields))
    (tmp_path / "laws.csv").unlink()
    with pytest.raises(SourceUnavailable, match=r"laws\.csv"):
        spend_budget(asked(fields))


def test_the_sample_prices_what_the_sample_measures() -> None:
    series, prices = read_series(SAMPLES / "scaling.csv").series, read_prices(SAMPLES / "prices.csv")
    pairs = zip(series, matched(series, prices, "scaling.csv", "prices.csv"), strict=True)
    for each, price in pairs:
        scales = (*price.steps, price.least, price.most)
        assert price.dimension == each.name
        assert all(each.scale.min() <= scale <= each.scale.max() for scale in scales if scale is not None)
        assert (price.levels or len(price.steps)) == 4  # two spins each: 20 in all, one window


@pytest.mark.slow  # ten laws are fitted
def test_the_sample_is_answered_from_a_terminal(tmp_path: Path) -> None:
    options = ("--budget", "1e6", "--draws", "20", "--effort", "quick", "--solver", "anneal")
    done = CliRunner().invoke(app, ["budget", *options, "--output", str(tmp_path)])
    assert done.exit_code == 0, done.output
    for told in ("by exact", "No advantage is claimed", "reliability", "greedy", "budget.html"):
        assert told in done.output
    found = json.loads(next(tmp_path.glob("2*/budget.json")).read_text())
    assert len(found["dimensions"]) == 10
    assert found["spent_usd"] <= 1e6
    assert found["spent_usd"] == pytest.approx(sum(each["spend_usd"] for each in found["dimensions"]))
    assert found["scaling"] == str(SAMPLES / "scaling.csv")
    assert "anneal, the whole choice in 20 spins" in {row["method"] for row in found["methods"]}


def test_a_terminal_says_what_to_buy_or_what_is_wrong(tmp_path: Path) -> None:
    fields = {name: str(path) for name, path in tables(tmp_path).items()}
    options = [word for name, path in fields.items() for word in (f"--{name}", path)]
    done = CliRunner().invoke(app, ["budget", "--budget", "900", "--draws", "20", "--solver", "exact", *options])
    assert done.exit_code == 0, done.output
    for told in ("by exact", "No advantage is claimed", "memory", "greedy", "budget.html"):
        assert told in done.output
    poor = CliRunner().invoke(app, ["budget", "--budget", "100", "--draws", "20", *options])
    assert poor.exit_code == 1
    assert "30.00 short" in poor.output
    assert CliRunner().invoke(app, ["budget"]).exit_code == 2
    for wrong in ("-1", "nan", "inf", "0"):
        assert CliRunner().invoke(app, ["budget", "--budget", wrong]).exit_code == 2
