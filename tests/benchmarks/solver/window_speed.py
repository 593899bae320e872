"""How long does a window of 16 moves take, from the model to the best of 1,000 samples?

Wall time, since the sandbox is another process. Up to five layers the angles are the shipped ones, beyond a ramp.
"""

import time
from dataclasses import dataclass
from statistics import median

import numpy as np

from qiskit_solvers import sandbox
from qiskit_solvers.exact import Exact
from qiskit_solvers.ising import Ising, energies
from qiskit_solvers.qaoa import Qaoa
from qiskit_solvers.solver import Solver
from tests.benchmarks.solver.families import move_window
from tests.benchmarks.solver.printing import brief, show

SPINS, SHOTS = 16, 1000


@dataclass(frozen=True, slots=True)
class Row:
    """One way to solve a window.

    Args:
        method: its name.
        ms: median wall time.
        found: share of the windows whose optimum was the best string returned.
    """

    method: str
    ms: float
    found: float


def window_rows(*, windows: int, deep: bool) -> list[Row]:
    """Measure and print.

    Args:
        windows: how many.
        deep: also 20 layers on Aer, which take seconds.
    """
    sandbox.prepare()
    models = [move_window(SPINS, np.random.default_rng(seed)) for seed in range(windows)]
    depths = (3, 5, 8, 20) if deep else (3, 5, 8)
    solvers: dict[str, Solver] = {
        **{f"simulator, p={p}": Qaoa(layers=p, on="simulator", shots=SHOTS) for p in (3, 5, 20, 30)},
        **{f"Aer in the sandbox, p={p}": Qaoa(layers=p, on="aer", shots=SHOTS) for p in depths},
        "exact": Exact(),
    }
    lowest = [energies(model, Exact()(model, np.random.default_rng(0))[:1])[0] for model in models]
    times: dict[str, list[float]] = {name: [] for name in solvers}
    found: dict[str, int] = dict.fromkeys(solvers, 0)
    for solver in solvers.values():
        _timed(solver, models[0], 0)  # compiled, and the sandbox's child is up
    for number, model in enumerate(models):
        for name, solver in solvers.items():
            ms, energy = _timed(solver, model, number)
            times[name].append(ms)
            found[name] += energy <= lowest[number] + 1e-9 * abs(lowest[number])
    rows = [Row(name, median(times[name]), found[name] / windows) for name in solvers]
    show(
        f"a window of {SPINS} moves, angles and {SHOTS} samples: medians of {windows}",
        ("", "ms", "optimum found"),
        [(row.method, brief(row.ms), f"{row.found:.0%}") for row in rows],
    )
    return rows


def _timed(solver: Solver, model: Ising, seed: int) -> tuple[float, float]:
    began = time.perf_counter()
    strings = solver(model, np.random.default_rng(seed))
    return 1e3 * (time.perf_counter() - began), float(energies(model, strings[:1])[0])
