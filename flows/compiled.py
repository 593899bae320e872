"""How is compiled arithmetic made ready before anybody waits for it? Each noun does a little of everything once.

A noun is compiled by a process of its own (``python -m flows.compiled power``), so that all processors are at work.
"""

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from data.generators.fleet import sample_fleet
from data.generators.tokens import domains_of_experts, token_stream
from data.readers.sources import Sample
from data.schemas.transfers import Transfer
from tasks.codecs.coded_planes import CodedPlanes
from tasks.codecs.delta import Delta
from tasks.codecs.keeping import Packing
from tasks.codecs.lossless import Lossless
from tasks.codecs.protocol import Around
from tasks.codecs.qfz import load, save
from tasks.communication.birkhoff import decompose
from tasks.fleet.model import fleet_model
from tasks.problems.fleet import FleetProblem
from tasks.problems.links import Links
from tasks.problems.placement import Placement
from tasks.problems.power import Power
from tasks.problems.protocol import Problem
from tasks.problems.routing import Routing, RoutingWeights
from tasks.problems.tokens import TokenWindow
from tasks.token_routing.routers import BoundedHash

EVALUATIONS = 2_000


def compile_kernels() -> None:
    """Let numba compile, and keep, what the nouns, the codecs and the simulators use.

    Raises:
        RuntimeError: a part cannot be compiled; why stands on standard error.
    """
    commands = {noun: ["flows.compiled", noun] for noun in NOUNS} | {"simulators": ["qiskit_solvers", "compile"]}
    running = {
        part: subprocess.Popen([sys.executable, "-m", *command])  # noqa: S603 - this interpreter, our modules
        for part, command in commands.items()
    }
    failed = [part for part, process in running.items() if process.wait()]
    if failed:
        raise RuntimeError(f"expected every part to compile, found errors in {', '.join(failed)}")


def _placement() -> None:
    _use(Placement.from_snapshot(Sample()().snapshot))


def _power() -> None:
    _use(Power.from_snapshot(Sample()().snapshot))


def _routing() -> None:
    snapshot = Sample()().snapshot
    for deployment in snapshot.deployments:
        _use(Routing.from_snapshot(snapshot, deployment.id))
        _use(Routing.from_snapshot(snapshot, deployment.id, weights=RoutingWeights(uneven=True)))


def _tokens() -> None:
    rng = np.random.default_rng(0)
    graph = domains_of_experts(2, 2, 2)
    tokens = token_stream(50, graph, rng)
    _use(TokenWindow(tokens, graph, BoundedHash()(tokens, graph)))


def _links() -> None:
    pairs = [(a, b) for a in range(4) for b in range(4) if a != b]
    messages = [Transfer(f"gpu{a}", f"gpu{b}", 1.0 + a, 50.0, uses=(f"rail{b % 2}",)) for a, b in pairs]
    _use(Links.from_transfers(messages))
    decompose(np.random.default_rng(0).integers(1, 9, (4, 4)))


def _fleet() -> None:
    _use(FleetProblem.from_model(fleet_model(sample_fleet(np.random.default_rng(0)))))


def _codecs() -> None:
    raw = np.arange(4_096, dtype="<u4").tobytes()
    for codec in (CodedPlanes(), Delta()):
        codec.decode(codec.encode(raw, Around("F32", raw)), Around("F32", raw), len(raw))
    Lossless().pack(bytes(2**15), Around("F32"))
    values = {f"values{bits}": np.ones((8, 512), f"<f{bits // 8}") / 3 for bits in (16, 32, 64)}
    for keep in ("rms:0.2", "abs:1e-3", "int8", "int4"):
        load(save(values, packing=Packing(keep=keep)))


def _use(problem: Problem[Any]) -> None:
    rng = np.random.default_rng(0)
    decision = problem.search(problem.incumbent(), EVALUATIONS, rng).decision
    window = problem.window(decision, 6, rng)
    sewn = window.sew(-np.ones(window.ising.spins, np.int8))
    problem.cost(sewn)
    problem.bound()
    problem.actions(sewn)
    problem.figures(sewn)


NOUNS: dict[str, Callable[[], None]] = {
    "placement": _placement,
    "power": _power,
    "routing": _routing,
    "tokens": _tokens,
    "links": _links,
    "fleet": _fleet,
    "codecs": _codecs,
}

if __name__ == "__main__":
    NOUNS[sys.argv[1]]()
