"""Which models are the solvers tried on? Seeded families, each instance the same in every run.

Energies are in no unit. Families of one-hot groups carry their groups, and their energies count only for strings
that keep them.
"""

import math
from collections.abc import Callable, Mapping

import networkx as nx
import numpy as np

from qiskit_solvers.ising import Ising
from tests.benchmarks.solver.intervals import Floats

Family = Callable[[np.random.Generator], Ising]


def regular_maxcut(spins: int, rng: np.random.Generator, *, weighted: bool = False) -> Ising:
    """Return MaxCut on a random 3-regular graph, ``E = sum w s s``, weights 1 or uniform in 0 to 1."""
    graph = nx.random_regular_graph(3, spins, seed=int(rng.integers(2**31)))
    J = np.zeros((spins, spins))
    for a, b in sorted(tuple(sorted(edge)) for edge in graph.edges):
        J[a, b] = rng.random() if weighted else 1.0
    return Ising(np.zeros(spins), J)


def sherrington_kirkpatrick(spins: int, rng: np.random.Generator) -> Ising:
    """Return normal couplings between all pairs, no fields (1975, doi 10.1103/PhysRevLett.35.1792)."""
    J = np.triu(rng.normal(size=(spins, spins)) / math.sqrt(spins), 1)
    return Ising(np.zeros(spins), J)


def dense_qubo(spins: int, rng: np.random.Generator) -> Ising:
    """Return fields and couplings of the normal distribution."""
    return Ising(rng.normal(size=spins), np.triu(rng.normal(size=(spins, spins)) / math.sqrt(spins), 1))


def move_window(spins: int, rng: np.random.Generator, *, conflicts: float = 0.1) -> Ising:
    """Return moves with random gains and couplings, a share of the pairs in conflict."""
    d = np.abs(rng.normal(size=spins)) - 0.3
    W = rng.normal(size=(spins, spins)) / math.sqrt(spins)
    excluded = rng.random((spins, spins)) < conflicts
    W = np.triu(np.where(excluded, 4.0 + 8.0 * np.abs(rng.normal(size=W.shape)), W), 1)
    return from_qubo(d, W, ())


def assignment(items: int, bins: int, rng: np.random.Generator) -> Ising:
    """Return items to put into bins: traffic between bins, squared loads, and what each item costs in each bin.

    All three are drawn from gamma distributions, loads of mean 1. Spin ``item * bins + bin`` is -1 where the item
    goes there.
    """
    load, traffic = rng.gamma(4.0, 0.25, items), rng.gamma(1.0, 1.0, (items, items))
    own = rng.gamma(1.0, 1.0, (items, bins))
    # a pair in one bin adds to its squared load, and saves the traffic that it has apart
    together = np.triu(2.0 * np.outer(load, load) - traffic, 1)
    return from_qubo(own.ravel(), np.kron(together, np.eye(bins)), _groups(items, bins))


def power_schedule(jobs: int, starts: int, rng: np.random.Generator) -> Ising:
    """Return jobs to start in one of the slots: weighted delay, and the squared power above none in each slot.

    A job of ``length`` slots draws ``power`` in each. The sum over slots of the squared power is least where the
    draw is even, which is what a cap asks for; weighted by the cap it is an exact quadratic function of the starts.
    """
    length = rng.integers(1, 4, jobs)
    power = rng.gamma(4.0, 0.25, jobs)
    weight = rng.choice([1.0, 2.0, 5.0], jobs)
    slots = starts + int(length.max()) - 1
    on = np.zeros((jobs, starts, slots))
    for job in range(jobs):
        for start in range(starts):
            on[job, start, start : start + length[job]] = power[job]
    cap = 0.6 * power.sum()
    flat = on.reshape(jobs * starts, slots)
    overlap = 4.0 * flat @ flat.T / cap**2 * weight.mean()
    d = (weight[:, None] * np.arange(starts) / starts).reshape(-1) + np.diag(overlap)
    same = np.repeat(np.arange(jobs), starts)
    W = np.triu(np.where(same[:, None] == same, 0.0, 2.0 * overlap), 1)
    return from_qubo(d, W, _groups(jobs, starts))


def from_qubo(d: Floats, W: Floats, groups: tuple[tuple[int, ...], ...]) -> Ising:
    """Return ``sum d_i x_i + sum_{i<j} W_ij x_i x_j`` with ``x = (1 - s) / 2``; ``W`` strictly upper triangular."""
    h = -d / 2.0 - (W + W.T).sum(axis=1) / 4.0
    return Ising(h, W / 4.0, float(d.sum() / 2.0 + W.sum() / 4.0), groups)


def _groups(items: int, choices: int) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(range(item * choices, (item + 1) * choices)) for item in range(items))


FAMILIES: Mapping[str, Family] = {
    "3-regular MaxCut, n 14": lambda rng: regular_maxcut(14, rng, weighted=True),
    "SK, n 14": lambda rng: sherrington_kirkpatrick(14, rng),
    "assignment, 6 x 3": lambda rng: assignment(6, 3, rng),
    "power schedule, 6 x 3": lambda rng: power_schedule(6, 3, rng),
}
