"""Which solver does a model want, in the seconds that there are?

The seconds of each solver are predicted by a model with one or two numbers per solver, which
``python -m qiskit_solvers measure`` fitted on one core and wrote to ``costs.json``; another machine is measured the
same way, with ``--out``. The choice among those that fit is by what was seen in the quality tables
(``python -m tests.benchmarks.bench_solver --quality``): enumeration is exact and, as far as it reaches, fastest of
all; beyond it annealing wins. A quantum method is chosen where one is asked for.
"""

import functools
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Literal, get_args

from qiskit_solvers.anneal import Anneal
from qiskit_solvers.errors import TooLarge
from qiskit_solvers.exact import Exact
from qiskit_solvers.ising import Ising
from qiskit_solvers.one_hot import factors
from qiskit_solvers.qaoa import Qaoa
from qiskit_solvers.rqaoa import Rqaoa
from qiskit_solvers.solver import Solver

FILE = "costs.json"

Among = Literal["all", "quantum"]

_LARGEST_SPACE = 24.0  # log2 of the strings that are enumerated or simulated: 400 MB
_RAMPS = (100, 60, 30, 20, 10, 5, 3, 1)
_SWEEPS = (1000, 300, 100, 30, 10)
_READS = 64


@dataclass(frozen=True, slots=True)
class Work:
    """What a solver has to do for a model, in the units that the cost models count.

    Args:
        spins: of the model.
        pairs: couplings that are not zero.
        states: log2 of the strings that count.
    """

    spins: int
    pairs: int
    states: float


def work_of(ising: Ising) -> Work:
    """Return what the cost models know of a model."""
    states = sum(math.log2(factor.levels) for factor in factors(ising))
    return Work(ising.spins, ising.pairs.values.size, states)


def units(solver: Solver, work: Work) -> tuple[str, float]:
    """Return which cost model predicts a solver, and how much it has to do.

    Raises:
        ValueError: no cost model knows the solver.
    """
    strings = 2.0 ** min(work.states, 60.0)
    if isinstance(solver, Exact):
        return "exact", strings
    if isinstance(solver, Qaoa) and solver.angles == "shipped":
        if solver.on == "simulator":
            return "qaoa-simulator", solver.layers * strings * max(1.0, work.states)
        return "qaoa-aer", solver.layers * 2.0 ** min(work.spins, 60) * max(1, work.spins)
    if isinstance(solver, Anneal):
        return "anneal", solver.reads * solver.sweeps * (work.spins + 2.0 * work.pairs)
    if isinstance(solver, Rqaoa):
        return "rqaoa", solver.runs * (10.0 * work.spins + work.pairs)
    raise ValueError(f"solver: no cost model knows {solver}")


def predicted_s(solver: Solver, ising: Ising, costs: Path | None = None) -> float:
    """Return the seconds that a call will take on one core like the measured one, without its imports.

    Args:
        solver: one that :func:`recommend` may choose.
        ising: the model.
        costs: a file of measured costs; None is the shipped one.

    Raises:
        ValueError: no cost model knows the solver, or the file is damaged.
    """
    kind, amount = units(solver, work_of(ising))
    start_s, unit_s = measured_costs(costs)[kind]
    return start_s + unit_s * amount


def recommend(ising: Ising, budget_s: float, *, among: Among = "all", costs: Path | None = None) -> Solver:
    """Return the solver that is expected to answer best within the budget.

    Args:
        ising: the model.
        budget_s: seconds for one call.
        among: ``quantum`` leaves out enumeration and annealing.
        costs: a file of measured costs; None is the shipped one.

    Raises:
        ValueError: the budget is not positive, or ``among`` is neither.
        TooLarge: no solver is expected to answer in time; says which would come closest.
    """
    if not budget_s > 0:
        raise ValueError(f"budget_s: expected a positive number of seconds, got {budget_s}")
    if among not in get_args(Among):
        raise ValueError(f"among: expected one of {get_args(Among)}, got {among!r}")
    candidates = _candidates(ising, among)
    expected_s = [predicted_s(solver, ising, costs) for solver in candidates]
    for solver, seconds in zip(candidates, expected_s, strict=True):
        if seconds <= budget_s:
            return solver
    if not candidates:
        raise TooLarge(f"{ising.spins} spins: expected fewer for a quantum method on a simulator")
    closest = min(range(len(candidates)), key=expected_s.__getitem__)
    raise TooLarge(
        f"{ising.spins} spins in {budget_s:g} s: no solver is expected to answer in time; {candidates[closest].kind} "
        f"comes closest, with {expected_s[closest]:.3g} s"
    )


def _candidates(ising: Ising, among: Among) -> list[Solver]:
    """Return what may be chosen, the best first; Exact only where it fits into memory."""
    work = work_of(ising)
    held = math.ceil(work.states)
    exact: list[Solver] = [Exact(max_spins=max(1, held))] if held <= _LARGEST_SPACE else []
    simulated: list[Solver] = [
        Qaoa(layers=layers, on="simulator", max_spins=max(1, held), memory_mb=2048)
        for layers in _RAMPS
        if held <= _LARGEST_SPACE
    ]
    annealed: list[Solver] = [*(Anneal(sweeps=sweeps, reads=_READS) for sweeps in _SWEEPS), Anneal(sweeps=1, reads=1)]
    recursive: list[Solver] = [Rqaoa(), Rqaoa(runs=1)] if ising.spins <= Rqaoa().max_spins else []
    return [*simulated, *recursive] if among == "quantum" else [*exact, *annealed]


def measured_costs(path: Path | None = None) -> Mapping[str, tuple[float, float]]:
    """Return for each cost model the seconds of a call and those of a unit of work.

    Raises:
        ValueError: the file does not hold them.
    """
    if path is None:
        return _shipped()
    return _parsed(path.read_text(encoding="utf-8"), str(path))


@functools.cache
def _shipped() -> Mapping[str, tuple[float, float]]:
    return _parsed(resources.files("qiskit_solvers").joinpath(FILE).read_text(encoding="utf-8"), FILE)


def _parsed(text: str, name: str) -> Mapping[str, tuple[float, float]]:
    try:
        models = json.loads(text)["models"]
        return {kind: (float(model["start_s"]), float(model["unit_s"])) for kind, model in models.items()}
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{name}: expected start_s and unit_s of each cost model, got {error!r}") from error
