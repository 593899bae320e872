"""Which search finds the best order of modes with the fewest evaluations, and what does noise do to the quantum one?

All methods price orders by the same spectra, begin with the tensor's own order, and get the same number of evaluations:
different orders that are priced, those inside windows and surrogates included.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data.generators import fields
from qiskit_solvers.anneal import Anneal
from qiskit_solvers.exact import Exact
from qiskit_solvers.ising import diagonal
from qiskit_solvers.qaoa import Qaoa
from qiskit_solvers.quantum_anneal import LinearAnnealing, QuantumAnneal
from qiskit_solvers.solver import Solver
from tasks.codecs.network_search.chain import Trains
from tasks.codecs.network_search.choose import interleaved, prime_factors
from tasks.codecs.network_search.ledger import Ledger, Order
from tasks.codecs.network_search.noisy import NoisyQaoa, mean_energy
from tasks.codecs.network_search.quantum_search import LearntIsing
from tasks.codecs.network_search.searches import (
    Alternating,
    AnnealOrders,
    Exhaustive,
    GreedySwaps,
    Random,
    Search,
)
from tasks.codecs.network_search.spectra import Spectra, compressed
from tasks.problems.networks import Networks
from tasks.refine import Effort, refine
from tests.benchmarks.columns import interval

EVALUATIONS = 160
MARKS = (20, 40, 80, 160)
WINDOW = 6
ONE_HOT_MODES = 6
"""The simulator holds every choice of a mode for each place: 6 ** 6 amplitudes, as many as 15.5 qubits; 7 take 18 x."""

ALL_ORDERS = 7
"""Up to so many modes every order is priced, for the optimum."""

LAYERS = 8


@dataclass(frozen=True, slots=True)
class Windows:
    """The shared loop from the tensor's own order: windows of moves, no classical search before."""

    solver: Solver

    @property
    def kind(self) -> str:
        """Name in reports."""
        return f"windows, {self.solver.kind}"

    def __call__(self, ledger: Ledger, start: Order, rng: np.random.Generator) -> None:
        """Take windows until the evaluations are used up."""
        problem = Networks(ledger, len(start), 1 << 62)
        effort = Effort(evaluations=0, window=WINDOW, rounds=10_000, patience=10_000, tries=4)
        refine(problem, self.solver, rng, effort=effort, expired=lambda: ledger.spent)


def searches(modes: int) -> list[Search]:
    """Return every method that fits so many modes."""
    found: list[Search] = [Random(), GreedySwaps(), AnnealOrders(), Alternating()]
    found += [Windows(Anneal()), Windows(Qaoa(layers=LAYERS, on="simulator"))]
    if modes <= ONE_HOT_MODES:
        quantum = QuantumAnneal(pace=LinearAnnealing(LAYERS, 3.0 * LAYERS))
        solvers: list[Solver] = [Anneal(), Qaoa(layers=LAYERS, on="simulator", max_spins=24), quantum]
        found += [LearntIsing(solver, batch=16) for solver in solvers]
    return found


def landscapes() -> dict[str, Trains]:
    """Return what orders are searched on."""
    rng = np.random.default_rng(5)
    tensors = {
        "Vlasov, 6 modes": (fields.vlasov(8), 1e-2, False),
        "hidden order, 6 modes": (fields.hidden_order(rng, 6, 5, 3), 1e-2, False),
        "hidden order, 7 modes": (fields.hidden_order(rng, 7, 3, 2), 1e-2, False),
        "heat, 15 split modes": (fields.heat(rng, (32, 32, 32)), 1e-2, True),
        "Coulomb, 15 split modes": (fields.coulomb((32, 32, 32)), 1e-3, True),
    }
    found = {}
    for name, (tensor, error, split) in tensors.items():
        splits = tuple(prime_factors(n) if split else (n,) for n in tensor.shape)
        found[name] = Trains(Spectra(compressed(tensor, 0.01 * error), splits, 0.01 * error), error)
    return found


def orders(seeds: int, folder: Path) -> list[dict[str, object]]:
    """Print and return what every search finds, over the best that any found; plot the curves."""
    told: list[dict[str, object]] = []
    plots: dict[str, dict[str, np.ndarray]] = {}
    for name, trains in landscapes().items():
        count = len(trains.modes)
        known: dict[Order, float] = {}

        def price(order: Order, trains: Trains = trains, known: dict[Order, float] = known) -> float:
            if order not in known:
                known[order] = trains.price(order).bits
            return known[order]

        start = tuple(range(count))
        optimum = math.inf
        if count <= ALL_ORDERS:
            everything = Ledger(price, math.factorial(count))
            Exhaustive()(everything, start, np.random.default_rng(0))
            optimum = everything.bits
        curves: dict[str, np.ndarray] = {}
        for search in searches(count):
            runs = []
            for seed in range(seeds):
                ledger = Ledger(price, EVALUATIONS)
                search(ledger, start, np.random.default_rng(seed))
                runs.append(ledger.curve())
            curves[search.kind] = np.array(runs)
        if count > ALL_ORDERS:
            ledger = Ledger(price, 10 * EVALUATIONS)
            Alternating()(ledger, interleaved(trains.spectra.splits), np.random.default_rng(0))
            optimum = min(ledger.bits, *(float(runs.min()) for runs in curves.values()))
        plots[name] = {kind: runs / optimum for kind, runs in curves.items()}
        told += _show(name, curves, optimum, price(start), count <= ALL_ORDERS)
    _plot(plots, folder / "network-orders.png")
    return told


def _show(
    name: str, curves: dict[str, np.ndarray], optimum: float, start: float, exact: bool
) -> list[dict[str, object]]:
    seeds = len(next(iter(curves.values())))
    best = "the optimum over all orders" if exact else "the best known order"
    print(f"\n{name}: bits over those of {best} ({optimum / 8:.0f} B; own order {start / optimum:.2f}x), {seeds} seeds")
    print(f"{'search':30}" + "".join(f"{f'at {mark}':>10}" for mark in MARKS) + f"{'95 % of the last':>20}{'found':>8}")
    rows: list[dict[str, object]] = []
    for kind, runs in curves.items():
        ratio = runs / optimum
        last = interval(ratio[:, -1])
        found = float((ratio[:, -1] <= 1.0 + 1e-9).mean())
        means = [float(ratio[:, mark - 1].mean()) for mark in MARKS]
        cells = "".join(f"{mean:10.3f}" for mean in means)
        print(f"{kind:30}{cells}{f'{last.low:.3f} .. {last.high:.3f}':>20}{100 * found:7.0f}%", flush=True)
        rows.append(
            {"landscape": name, "search": kind, "means": dict(zip(map(str, MARKS), means, strict=True)),
             "low": last.low, "high": last.high, "found": found, "exact": exact}
        )  # fmt: skip
    return rows


def noise(seeds: int) -> list[dict[str, object]]:
    """Print and return what QAOA measures on windows, without noise, with noise, and with readings corrected.

    Energies are given on a scale where 0 is the mean over all strings and 1 the lowest.
    """
    trains = landscapes()["hidden order, 6 modes"]
    ledger = Ledger(lambda order: trains.price(order).bits, 720)
    problem = Networks(ledger, 6, 1 << 62)
    machines: dict[str, Callable[[int], NoisyQaoa]] = {
        "no noise": lambda layers: NoisyQaoa(noise=None, layers=layers, mitigate=False),
        "noise": lambda layers: NoisyQaoa(layers=layers, mitigate=False),
        "noise, readings corrected": lambda layers: NoisyQaoa(layers=layers),
    }
    print(f"\nQAOA on {seeds} windows of 8 moves on Aer: share of the way from the mean energy to the lowest")
    told: list[dict[str, object]] = []
    for layers in (1, 3, 8):
        for name, make in machines.items():
            shares, hits = [], []
            for seed in range(seeds):
                rng: Any = np.random.default_rng(seed)
                window = problem.window(tuple(rng.permutation(6).tolist()), 8, rng)
                machine = make(layers)
                weights = machine.weights(window.ising, rng)
                energy = diagonal(window.ising)
                low, mean = float(energy.min()), float(energy.mean())
                shares.append((mean - mean_energy(window.ising, weights)) / (mean - low))
                optimal = Exact(strings=1)(window.ising, rng)
                place = int(((1 - optimal[0]) // 2) @ (1 << np.arange(8)))
                hits.append(weights.get(place, 0.0))
            told.append({"layers": layers, "machine": name, "share": interval(shares).mean, "hit": interval(hits).mean})
            print(f"{layers:3} layers  {name:28}{interval(shares)!s:>28}   optimum {np.mean(hits):.3f}", flush=True)
    return told


def _plot(plots: dict[str, dict[str, np.ndarray]], path: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, len(plots), figsize=(4.2 * len(plots), 3.6), layout="constrained", squeeze=False)
    for axis, (name, curves) in zip(axes[0], plots.items(), strict=True):
        for number, (kind, runs) in enumerate(curves.items()):
            steps = np.arange(1, runs.shape[1] + 1)
            axis.plot(steps, runs.mean(axis=0), label=kind, color=f"C{number}")
            axis.fill_between(steps, *np.quantile(runs, [0.25, 0.75], axis=0), alpha=0.15, color=f"C{number}")
        axis.set(title=name, xlabel="orders priced", xscale="log")
    axes[0][0].set_ylabel("bits over those of the best order")
    axes[0][0].legend(fontsize=7)
    figure.savefig(path, dpi=130)
    plt.close(figure)
