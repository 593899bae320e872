"""How many seconds does each solver take on this machine? Fits the cost models of :mod:`.recommend`.

Each solver is timed on small and large random models, taking turns; the start is the time of a model with next to
no work, the unit the slope that the largest ones add (median of the repeats).
"""

import json
import os
import platform
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import numpy as np

from qiskit_solvers.anneal import Anneal
from qiskit_solvers.exact import Exact
from qiskit_solvers.ising import Ising
from qiskit_solvers.qaoa import Qaoa
from qiskit_solvers.recommend import units, work_of
from qiskit_solvers.rqaoa import Rqaoa
from qiskit_solvers.solver import Solver

_CASES: tuple[tuple[Solver, Sequence[int]], ...] = (
    (Exact(max_spins=22), (2, 14, 18, 20)),
    (Qaoa(on="simulator"), (2, 12, 16, 18)),
    (Qaoa(on="aer", layers=5), (2, 10, 14, 16)),
    (Anneal(), (2, 16, 64, 128)),
    (Rqaoa(), (2, 16, 32, 64)),
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
                start_s = time.perf_counter()
                solver(ising, rng)
                if repeat:  # the first round loads and compiles
                    seconds[spins].append(time.perf_counter() - start_s)
        smallest, *larger = sizes
        start = median(seconds[smallest])
        unit = max(max(0.0, median(seconds[spins]) - start) / amounts[spins] for spins in larger)
        models[kind] = {"start_s": float(f"{start:.3g}"), "unit_s": float(f"{unit:.3g}")}
    return {
        "command": f"python -m qiskit_solvers measure --repeats {repeats} --seed {seed}",
        "machine": {"processor": _processor(), "cores": os.cpu_count(), "python": platform.python_version()},
        "models": models,
    }


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
