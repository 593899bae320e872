"""How good is one window's answer, and what does it cost? Ours beside the classical and the stock quantum solver.

For each size: random windows of moves (gains and couplings from the normal distribution, one pair in
ten in conflict), the solvers interleaved on each, medians over the windows.

- P(opt): chance that one sample is the optimum. For Qaoa from the exact state, for Anneal from 200
  single reads, for the stock QAOA from its last 1024 shots, for random strings ``2**-spins``.
- shots99: samples until the optimum was among them with 99 % probability.
- found: share of windows whose optimum the default call returned first (the stock QAOA: among its last shots).
- ms: wall time of one default call.

Run: ``python -m tests.benchmarks.bench_solvers [--windows 5] [--spins 12 14 16] [--stock-evaluations 100]``.
"""

import argparse
import math
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import numpy as np

from qiskit_solvers import Anneal, Exact, Ising, Qaoa, Spins, best_first, diagonal, energies, strings_of
from qiskit_solvers.convert import to_quadratic_program
from qiskit_solvers.qaoa import circuit_cost
from qiskit_solvers.simulation.full import FullSpace

RANDOM_SHOTS = 512
STOCK_SHOTS = 1024
SINGLE_READS = 200


@dataclass(frozen=True, slots=True)
class Measured:
    """What one solver did with one window."""

    optimum_probability: float
    found: bool
    ms: float


def window(spins: int, rng: np.random.Generator) -> Ising:
    """Return the Ising of ``spins`` moves: ``sum d_i x_i + sum W_ij x_i x_j``, ``x = (1 - s) / 2``."""
    d = np.abs(rng.normal(size=spins)) - 0.3
    W = rng.normal(size=(spins, spins)) / math.sqrt(spins)
    conflicts = rng.random((spins, spins)) < 0.1
    W = np.triu(np.where(conflicts, 4.0 + 8.0 * np.abs(rng.normal(size=W.shape)), W), 1)
    return Ising(-d / 2 - (W + W.T).sum(axis=1) / 4, W / 4, float(d.sum() / 2 + W.sum() / 4))


def exact(ising: Ising, rng: np.random.Generator) -> Measured:
    """Measure enumeration."""
    return _timed(ising, lambda: Exact()(ising, rng), 1.0)


def anneal(ising: Ising, rng: np.random.Generator) -> Measured:
    """Measure simulated annealing."""
    lowest = diagonal(ising).min()
    one = Anneal(reads=1)
    hits = [_is_optimum(ising, one(ising, rng), lowest) for _ in range(SINGLE_READS)]
    return _timed(ising, lambda: Anneal()(ising, rng), sum(hits) / len(hits))


def qaoa(ising: Ising, rng: np.random.Generator) -> Measured:
    """Measure the ramped QAOA on Aer, the sandbox included."""
    solver = Qaoa()
    energy = diagonal(ising)
    chances = FullSpace(circuit_cost(ising)).probabilities(solver.gammas, solver.betas)
    return _timed(ising, lambda: solver(ising, rng), float(chances[energy <= energy.min() + 1e-9].sum()))


def uniform(ising: Ising, rng: np.random.Generator) -> Measured:
    """Measure random strings: what any solver must beat."""
    return _timed(
        ising,
        lambda: best_first(ising, strings_of(rng.integers(0, 2**ising.spins, RANDOM_SHOTS), ising.spins), 32),
        2.0**-ising.spins,
    )


def stock(ising: Ising, rng: np.random.Generator, evaluations: int) -> Measured:
    """Measure qiskit-optimization's QAOA as its documentation uses it: three layers, COBYLA, random angles."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it uses classes that Qiskit has deprecated
        from qiskit.transpiler import generate_preset_pass_manager
        from qiskit_aer import AerSimulator
        from qiskit_aer.primitives import SamplerV2
        from qiskit_optimization.minimum_eigensolvers import QAOA
        from qiskit_optimization.optimizers import COBYLA
        from qiskit_optimization.utils import algorithm_globals

        algorithm_globals.random_seed = int(rng.integers(2**31))
        backend = AerSimulator(method="statevector", max_parallel_threads=1)
        sampler = SamplerV2(default_shots=STOCK_SHOTS, seed=int(rng.integers(2**31)))
        sampler.options.backend_options = {"max_parallel_threads": 1}
        solver = QAOA(
            sampler,
            COBYLA(maxiter=evaluations),
            reps=3,
            pass_manager=generate_preset_pass_manager(optimization_level=1, backend=backend),
        )
        energy = diagonal(ising)
        operator, _offset = to_quadratic_program(ising).to_ising()
        start_s = time.perf_counter()
        state = solver.compute_minimum_eigenvalue(operator).eigenstate
        ms = 1e3 * (time.perf_counter() - start_s)
    indices = np.array([int(key, 2) if isinstance(key, str) else key for key in state])
    optimal = energy[indices] <= energy.min() + 1e-9
    return Measured(float(np.array(list(state.values()))[optimal].sum()), bool(optimal.any()), ms)


def shots99(probability: float) -> float:
    """Return after how many samples an outcome of this probability was seen with 99 % probability."""
    if probability >= 1.0:
        return 1.0
    return math.log(0.01) / math.log1p(-probability) if probability > 0.0 else math.inf


def _timed(ising: Ising, solve: Callable[[], Spins], probability: float) -> Measured:
    start_s = time.perf_counter()
    strings = solve()
    ms = 1e3 * (time.perf_counter() - start_s)
    return Measured(probability, _is_optimum(ising, strings, diagonal(ising).min()), ms)


def _is_optimum(ising: Ising, strings: Spins, lowest: float) -> bool:
    return bool(energies(ising, strings[:1])[0] <= lowest + 1e-9)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--windows", type=int, default=5)
    parser.add_argument("--spins", type=int, nargs="+", default=[12, 14, 16])
    parser.add_argument("--stock-evaluations", type=int, default=100, help="0 leaves the stock QAOA out")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()

    solvers = {"exact": exact, "anneal": anneal, "qaoa": qaoa, "random": uniform}
    if options.stock_evaluations:
        solvers["stock qaoa"] = lambda ising, rng: stock(ising, rng, options.stock_evaluations)
    rng = np.random.default_rng(options.seed)
    for solver in solvers.values():  # imports and warm children are nobody's time
        solver(window(2, rng), rng)
    print(f"{'spins':>5} {'solver':<11} {'P(opt)':>9} {'shots99':>8} {'found':>6} {'ms':>9}")
    for spins in options.spins:
        measured: dict[str, list[Measured]] = {name: [] for name in solvers}
        for _ in range(options.windows):
            ising = window(spins, rng)
            for name, solver in solvers.items():
                measured[name].append(solver(ising, rng))
        for name, results in measured.items():
            probability = median(result.optimum_probability for result in results)
            found = sum(result.found for result in results) / len(results)
            ms = median(result.ms for result in results)
            print(f"{spins:>5} {name:<11} {probability:>9.5f} {shots99(probability):>8.0f} {found:>6.0%} {ms:>9.1f}")


if __name__ == "__main__":
    main()
