"""Which windows do real refine runs cut? The problems of the sample clusters, and what their solvers were asked."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from data.readers.snapshot import read_snapshot
from qiskit_solvers.exact import Exact
from qiskit_solvers.ising import Ising
from qiskit_solvers.solver import Spins
from tasks.problems.placement import Placement
from tasks.problems.power import Power
from tasks.problems.protocol import Problem
from tasks.problems.routing import Routing
from tasks.refine import Effort, refine

_SAMPLES = Path(__file__).resolve().parents[3] / "data" / "samples"
_NOUNS = ("small placement", "small power", "small routing:moe-1", "fragmented placement", "over-cap power")
"""Those with moves; the power of the fragmented sample is not capped, so nothing is left to move there."""


@dataclass(frozen=True, slots=True, eq=False)
class Recorder:
    """Answers windows by enumeration and keeps what it was asked.

    Args:
        asked: the models, in order.
        kind: name in reports.
    """

    asked: list[Ising] = field(default_factory=list)
    kind: Literal["recorder"] = "recorder"

    def __call__(self, ising: Ising, rng: np.random.Generator) -> Spins:
        """Return the lowest strings."""
        self.asked.append(ising)
        return Exact()(ising, rng)


def problems() -> dict[str, Problem[Any]]:
    """Return the problems of the sample clusters by name."""
    found: dict[str, Problem[Any]] = {}
    for folder in sorted(path for path in _SAMPLES.iterdir() if path.is_dir()):
        snapshot = read_snapshot(folder / "cluster.json").snapshot
        posed: list[Problem[Any]] = [Placement.from_snapshot(snapshot), Power.from_snapshot(snapshot)]
        posed += [Routing.from_snapshot(snapshot, deployment.id) for deployment in snapshot.deployments]
        found |= {f"{folder.name} {problem.name}": problem for problem in posed}
    return {name: found[name] for name in _NOUNS if name in found}


def windows(posed: Sequence[Problem[Any]], wanted: int, *, spins: int, evaluations: int) -> list[Ising]:
    """Return ``wanted`` windows of ``spins`` moves, taken in turn from refine runs of the problems.

    Args:
        posed: the problems.
        wanted: how many windows.
        spins: moves in each; smaller ones are left out.
        evaluations: of the classical search before the windows.
    """
    runs: list[list[Ising]] = []
    share = -(-wanted // len(posed))
    effort = Effort(evaluations=evaluations, rounds=2 * share, window=spins, patience=2 * share)
    for number, problem in enumerate(posed):
        recorder = Recorder()
        refine(problem, recorder, np.random.default_rng(number), effort=effort)
        runs.append([ising for ising in recorder.asked if ising.spins == spins and not _flat(ising)])
    turns = [run[at] for at in range(2 * share) for run in runs if at < len(run)]
    return turns[:wanted]


def _flat(ising: Ising) -> bool:
    return not (ising.h.any() or ising.couplings.any())
