"""How many seconds does each solver take on this machine? Fits the cost models of :mod:`.recommend`.

Each solver is timed on small and large random models, taking turns, and gets the line through its medians that errs
least, in proportion: a model ten times as large may be as far off as a small one.
"""

import json
import os
import platform
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import numpy as np
from scipy.optimize import nnls

from qiskit_solvers.anneal import Anneal
from qiskit_solvers.exact import Exact
from qiskit_solvers.ising import Floats, Ising
from qiskit_solvers.qaoa import Qaoa
from qiskit_solvers.recommend import units, work_of
from qiskit_solvers.rqaoa import Rqaoa
from qiskit_solvers.solver import Solver

_CASES: tuple[tuple[Solver, Sequence[int]], ...] = (
    (Exact(max_spins=22), (2, 14, 18, 20)),
    (Qaoa(on="simulator"), (2, 12, 16, 18)),
    (Qaoa(on="aer", layers=5), (2, 10, 14, 16)),
    (Anneal(), (2, 16, 64, 128)),
    (Rqaoa(runs=1), (12, 32, 64, 96)),
)


def measured(repeats: int, seed: int) -> dict[str, object]:
    """Return the cost models of this machine, as ``costs.json`` holds them."""
    rng = np.random.default_rng(seed)
    models = {}
    for solver, sizes in _CASES:
        seconds: dict[int, list[float]] = {spins: [] for spins in sizes}
        amounts = {}
        for repeat in range(repeats + 1):
            for spins in sizes:
                ising = Ising(rng.normal(size=spins), np.triu(rng.normal(size=(spins, spins)), 1))
                kind, amounts[spins] = units(solver, work_of(ising))
                began = time.perf_counter()
                solver(ising, rng)
                if repeat:  # the first round loads and compiles
                    seconds[spins].append(time.perf_counter() - began)
        work = np.array([amounts[spins] for spins in sizes])
        start_s, unit_s = fitted(work, np.array([median(seconds[spins]) for spins in sizes]))
        models[kind] = {"start_s": float(f"{start_s:.3g}"), "unit_s": float(f"{unit_s:.3g}")}
    return {
        "command": f"python -m qiskit_solvers measure --repeats {repeats} --seed {seed}",
        "machine": {"processor": _processor(), "cores": os.cpu_count(), "python": platform.python_version()},
        "models": models,
    }


def fitted(amounts: Floats, seconds: Floats) -> tuple[float, float]:
    """Return start and unit of ``seconds = start + unit * amount``, neither below zero, with least relative errors.

    Args:
        amounts: of work, ``(sizes,)``.
        seconds: that they took, ``(sizes,)``.
    """
    design = np.stack([np.ones(amounts.size), amounts], axis=1) / seconds[:, None]
    scale = np.maximum(np.abs(design).max(axis=0), np.finfo(float).tiny)
    found, _ = nnls(design / scale, np.ones(amounts.size))
    start_s, unit_s = (found / scale).tolist()
    return start_s, unit_s


def write(path: Path, *, repeats: int, seed: int) -> None:
    """Measure and write the file whole."""
    text = json.dumps(measured(repeats, seed), indent=2) + "\n"
    path.write_text(text, encoding="utf-8")


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
