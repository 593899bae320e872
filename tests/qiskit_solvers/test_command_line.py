"""The demo solves a QuadraticProgram and says how good the answer is."""

import json
import re
from pathlib import Path

import pytest

from qiskit_solvers.__main__ import main
from qiskit_solvers.recommend import measured_costs


def test_the_demo_finds_the_optimum(capsys: pytest.CaptureFixture[str]):
    assert main(["demo", "--items", "4"]) == 0
    printed = capsys.readouterr().out
    energy, optimum = re.search(r"energy (\S+); (\S+) is the optimum, by enumeration", printed).groups()
    assert energy == optimum
    assert re.search(r"best: item0_at\d item1_at\d item2_at\d item3_at\d", printed)


def test_a_demo_of_nothing_is_refused(capsys: pytest.CaptureFixture[str]):
    assert main(["demo", "--items", "0"]) == 2
    assert "expected at least 1" in capsys.readouterr().err


def test_measuring_writes_what_recommend_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from qiskit_solvers import Exact, measure

    monkeypatch.setattr(measure, "_CASES", ((Exact(), (2, 10, 14)),))
    path = tmp_path / "costs.json"
    assert main(["measure", "--out", str(path), "--repeats", "1"]) == 0
    start_s, unit_s = measured_costs(path)["exact"]
    assert start_s > 0
    assert unit_s > 0
    assert json.loads(path.read_text())["machine"]["cores"] >= 1
