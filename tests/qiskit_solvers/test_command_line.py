"""The demo solves a QuadraticProgram and says how good the answer is."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import qiskit_solvers
from qiskit_solvers import Ising
from qiskit_solvers.__main__ import main
from qiskit_solvers.recommend import measured_costs
from qiskit_solvers.simulation import kernels
from qiskit_solvers.simulation.full import FullSpace


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


def test_the_snippet_of_the_page_runs(tmp_path: Path):
    page = (Path(qiskit_solvers.__file__).parent / "README.md").read_text(encoding="utf-8")
    (snippet,) = re.findall(r"```python\n(.*?)```", page, re.S)
    script = tmp_path / "snippet.py"
    script.write_text(
        "from qiskit_optimization import QuadraticProgram\n"
        "program = QuadraticProgram()\n"
        "for name in 'abcd': program.binary_var(name)\n"
        "program.linear_constraint({'a': 1, 'b': 1}, '==', 1)\n"
        "program.minimize(linear={'a': 1, 'c': -2}, quadratic={('a', 'c'): 3, ('b', 'd'): -1})\n" + snippet
    )
    root = str(Path(qiskit_solvers.__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": root}
    run = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True, env=environment)
    assert "energy -3; -3 is the optimum, by enumeration" in run.stdout


def test_compiling_leaves_nothing_to_compile_in_a_run():
    assert main(["compile"]) == 0
    compiled = {name: len(kernel.signatures) for name, kernel in vars(kernels).items() if hasattr(kernel, "signatures")}
    angles = np.full(3, 0.2)
    for precision in ("double", "single"):
        space = FullSpace(Ising(np.ones(13), np.triu(np.ones((13, 13)), 1)), precision=precision)
        for read in (space.state, space.probabilities, space.energy, space.slope):
            read(angles, angles)
    assert compiled["mix"] >= 2
    for name, count in compiled.items():
        assert len(getattr(kernels, name).signatures) == count, name
