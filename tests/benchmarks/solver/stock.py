"""What do the solvers of others do with one model? The stock QAOA as its documentation uses it, and CP-SAT."""

import time
import warnings
from dataclasses import dataclass

import numpy as np

from qiskit_solvers.errors import SolverFailed
from qiskit_solvers.ising import Ising, strings_of
from qiskit_solvers.solver import Spins
from tests.benchmarks.solver.aer_peers import STOCK_SHOTS, aer_sampler, operator_of


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """What the stock QAOA sampled at the angles that it found.

    Args:
        samples: ``(samples, spins)``.
        once_ms: its search for angles.
        sample_ms: each sample.
    """

    samples: Spins
    once_ms: float
    sample_ms: float


def stock_qaoa(ising: Ising, *, evaluations: int, seed: int) -> Answer:
    """Return what qiskit-optimization's QAOA does with three layers, COBYLA and its random initial angles on Aer."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it uses classes that Qiskit has deprecated
        from qiskit.transpiler import generate_preset_pass_manager
        from qiskit_aer import AerSimulator
        from qiskit_optimization.minimum_eigensolvers import QAOA
        from qiskit_optimization.optimizers import COBYLA
        from qiskit_optimization.utils import algorithm_globals

        algorithm_globals.random_seed = seed
        passes = generate_preset_pass_manager(1, backend=AerSimulator())
        solver = QAOA(aer_sampler(seed), COBYLA(maxiter=evaluations), reps=3, pass_manager=passes)
        began = time.process_time()
        result = solver.compute_minimum_eigenvalue(operator_of(ising))
        ms = 1e3 * (time.process_time() - began)
    shares = {int(key, 2) if isinstance(key, str) else key: share for key, share in result.eigenstate.items()}
    counts = np.round(np.array(list(shares.values())) * STOCK_SHOTS).astype(int)
    indices = np.repeat(np.array(list(shares), dtype=np.int64), counts)
    # its search has one sampler run for each evaluation
    return Answer(strings_of(indices, ising.spins), ms, ms / evaluations / STOCK_SHOTS)


def cp_sat(ising: Ising, *, seed: int, limit_s: float = 20.0) -> Spins:
    """Return the string, ``(spins,)``, that CP-SAT proves to be the optimum, on one thread.

    Raises:
        SolverFailed: no proof within the limit.
    """
    from ortools.sat.python import cp_model

    model = cp_model.CpModel()
    chosen = [model.new_bool_var(f"x{i}") for i in range(ising.spins)]
    for group in ising.groups:
        model.add_exactly_one(chosen[i] for i in group)
    J = ising.couplings
    linear = -2.0 * ising.h - 2.0 * (J + J.T).sum(axis=1)
    terms = [float(value) * x for value, x in zip(linear, chosen, strict=True)]
    pairs = ising.pairs
    for i, j, value in zip(pairs.rows.tolist(), pairs.columns.tolist(), pairs.values.tolist(), strict=True):
        both = model.new_bool_var(f"x{i}x{j}")
        model.add_implication(both, chosen[i])
        model.add_implication(both, chosen[j])
        model.add_bool_or(both, chosen[i].negated(), chosen[j].negated())
        terms.append(4.0 * value * both)
    model.minimize(sum(terms))
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    solver.parameters.random_seed = seed % 2**31
    solver.parameters.max_time_in_seconds = limit_s
    if solver.solve(model) != cp_model.OPTIMAL:
        raise SolverFailed(f"CP-SAT: no proof within {limit_s:g} s")
    return np.array([-1 if solver.value(x) else 1 for x in chosen], dtype=np.int8)
