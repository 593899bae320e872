"""How is compiled arithmetic made ready before anybody waits for it? Each noun does a little of everything once."""

from typing import Any

import numpy as np

from data.readers.sources import Sample
from tasks.problems.placement import Placement
from tasks.problems.power import Power
from tasks.problems.protocol import Problem
from tasks.problems.routing import Routing

EVALUATIONS = 2_000


def compile_kernels() -> None:
    """Pose the small sample's problems and take a step of each, so that numba compiles and keeps what they use."""
    snapshot = Sample()().snapshot
    _use(Placement.from_snapshot(snapshot))
    _use(Power.from_snapshot(snapshot))
    for deployment in snapshot.deployments:
        _use(Routing.from_snapshot(snapshot, deployment.id))


def _use(problem: Problem[Any]) -> None:
    rng = np.random.default_rng(0)
    decision = problem.search(problem.incumbent(), EVALUATIONS, rng).decision
    window = problem.window(decision, 6, rng)
    sewn = window.sew(-np.ones(window.ising.spins, np.int8))
    problem.cost(sewn)
    problem.bound()
    problem.actions(sewn)
    problem.figures(sewn)
