"""How is compiled arithmetic made ready before anybody waits for it? Each noun does a little of everything once."""

from typing import Any

import numpy as np

from data.generators.tokens import domains_of_experts, token_stream
from data.readers.sources import Sample
from data.schemas.transfers import Transfer
from tasks.communication.birkhoff import decompose
from tasks.problems.links import Links
from tasks.problems.placement import Placement
from tasks.problems.power import Power
from tasks.problems.protocol import Problem
from tasks.problems.routing import Routing
from tasks.problems.tokens import TokenWindow
from tasks.token_routing.routers import BoundedHash

EVALUATIONS = 2_000


def compile_kernels() -> None:
    """Pose the small sample's problems and take a step of each, so that numba compiles and keeps what they use."""
    snapshot = Sample()().snapshot
    _use(Placement.from_snapshot(snapshot))
    _use(Power.from_snapshot(snapshot))
    for deployment in snapshot.deployments:
        _use(Routing.from_snapshot(snapshot, deployment.id))
    rng = np.random.default_rng(0)
    graph = domains_of_experts(2, 2, 2)
    tokens = token_stream(50, graph, rng)
    _use(TokenWindow(tokens, graph, BoundedHash()(tokens, graph)))
    pairs = [(a, b) for a in range(4) for b in range(4) if a != b]
    messages = [Transfer(f"gpu{a}", f"gpu{b}", 1.0 + a, 50.0, uses=(f"rail{b % 2}",)) for a, b in pairs]
    _use(Links.from_transfers(messages))
    decompose(rng.integers(1, 9, (4, 4)))


def _use(problem: Problem[Any]) -> None:
    rng = np.random.default_rng(0)
    decision = problem.search(problem.incumbent(), EVALUATIONS, rng).decision
    window = problem.window(decision, 6, rng)
    sewn = window.sew(-np.ones(window.ising.spins, np.int8))
    problem.cost(sewn)
    problem.bound()
    problem.actions(sewn)
    problem.figures(sewn)
