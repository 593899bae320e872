"""The scaling flow on a real Prefect server: laws with intervals in files, and refusals that name what is wrong."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from data.errors import BadSource
from flows.commands import app
from flows.scaling import ScalingParams, fit_scaling

SAMPLE = Path(__file__).resolve().parents[2] / "data" / "samples" / "fleet" / "scaling.csv"


def asked(folder: Path, path: Path = SAMPLE, **form: object) -> ScalingParams:
    return ScalingParams.model_validate({"path": path, "output": folder / "runs", "draws": 20, **form})


def test_each_dimension_gets_a_law(tmp_path: Path) -> None:
    folder = Path(fit_scaling(asked(tmp_path, dimensions=("cost", "reliability"))))
    found = json.loads((folder / "scaling.json").read_text())
    cost, reliability = found["series"]
    assert (cost["law"]["law"], reliability["law"]["law"]) == ("power", "usl")
    exponent = cost["law"]["parameters"][1]
    assert exponent["low"] <= exponent["estimate"] <= exponent["high"]
    assert exponent["estimate"] == pytest.approx(0.93, abs=0.02)  # as it was made
    assert [ahead["octaves"] for ahead in cost["ahead"]] == pytest.approx([1.0, 2.0, 3.0])
    assert found["correlations"][0]["runs"] == 16
    page = (folder / "scaling.html").read_text()
    assert "reliability" in page
    assert "data:image/png;base64," in page
    assert (folder / "scaling.png").read_bytes()[:4] == b"\x89PNG"
    assert [each.name for each in (tmp_path / "runs").iterdir()] == [folder.name], "latest is for plans"


@pytest.mark.slow
def test_the_same_seed_gives_the_same_laws(tmp_path: Path) -> None:
    one, other = (Path(fit_scaling(asked(tmp_path, dimensions=("cost",)))) for _ in range(2))
    assert (one / "scaling.json").read_bytes() == (other / "scaling.json").read_bytes()


def test_names_from_outside_are_escaped(tmp_path: Path) -> None:
    path = tmp_path / "odd.csv"
    rows = "".join(f"cost,<b>$x|y,{scale},{3 * scale}\n" for scale in (1, 2, 4, 8))
    path.write_text(f"dimension,series,scale,performance\n{rows}cost,<i>,1,-1\n")
    folder = Path(fit_scaling(asked(tmp_path, path)))
    page = (folder / "scaling.html").read_text()
    assert "<b>$x" not in page
    assert "&lt;b&gt;$x|y" in page
    assert "line 6.performance" in page


def test_a_series_without_a_law_is_named(tmp_path: Path) -> None:
    path = tmp_path / "two.csv"
    path.write_text("dimension,scale,performance\ncost,1,2\ncost,2,4\nenergy,5,1\n")
    found = json.loads((Path(fit_scaling(asked(tmp_path, path))) / "scaling.json").read_text())
    assert [each["name"] for each in found["series"]] == ["cost"]
    assert found["unfitted"][0]["series"] == "energy"
    assert "1 point(s) at one scale" in found["unfitted"][0]["why"]


@pytest.mark.parametrize(
    ("text", "form", "named"),
    [
        ("dimension,scale,performance\ncost,1,2\n", {}, "1 point"),
        ("dimension,scale,performance\ncost,1,2\n", {"dimensions": ("energy",)}, "a row of energy, found cost"),
        ("dimension,scale\ncost,1\n", {}, "no performance"),
    ],
)
def test_what_cannot_be_fitted_leaves_no_run(tmp_path: Path, text: str, form: dict[str, object], named: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(BadSource, match=named):
        fit_scaling(asked(tmp_path, path, **form))
    assert list((tmp_path / "runs").iterdir()) == []


def test_the_command_says_laws_and_what_was_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    rows = "".join(f"compute,{2**power},{10 * 2**power}\n" for power in range(6))
    path.write_text(f"dimension,scale,performance\n{rows}compute,1,10\ncompute,0,1\n")
    done = CliRunner().invoke(app, ["scaling", str(path), "--draws", "20", "--output", str(tmp_path / "runs")])
    assert done.exit_code == 0, done.output
    assert "compute: " in done.output
    assert "line 9.scale: expected a number above 0" in done.output
    assert "line 8: expected a measurement of its own" in done.output.replace("m.csv: ", "")
    assert "scaling.json" in done.output


def test_a_scale_that_is_asked_for_is_foretold_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    many = "".join(f"compute,{2**power},{10 * 2**power}\n" for power in range(6))
    path.write_text(f"dimension,scale,performance\n{many}cost,1,10\ncost,2,15\n")
    options = ("--draws", "20", "--output", str(tmp_path / "runs"), "--at", "compute=256", "--at", "cost=64")
    done = CliRunner().invoke(app, ["scaling", str(path), *options])
    assert done.exit_code == 0, done.output
    assert "at 256, 3.0 octaves beyond the data: 2560 [" in done.output
    assert "refused: cost: 64 lies 5.0 octaves beyond the data (1 to 2)" in done.output
    page = next(tmp_path.glob("runs/2*/scaling.html")).read_text()
    assert "refused: cost" in page
    with pytest.raises(BadSource, match=r"at\.speed: expected one of compute, cost"):
        fit_scaling(asked(tmp_path, path, at={"speed": 3.0}))


def test_a_scale_that_is_none_is_wrong_usage() -> None:
    for text in ("compute", "compute=-1", "compute=x"):
        done = CliRunner().invoke(app, ["scaling", str(SAMPLE), "--at", text])
        assert done.exit_code == 2


def test_an_unknown_dimension_is_wrong_usage(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["scaling", str(SAMPLE), "--dimensions", "speed"])
    assert done.exit_code == 2
    assert "dimensions.0" in done.output
