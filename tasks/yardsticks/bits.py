"""Which steps would somebody choose without our search? The Lagrangian rule, and the integer programme for HiGHS."""

import numpy as np
from scipy import sparse
from scipy.optimize import Bounds, LinearConstraint, milp

from qiskit_solvers.errors import SolverFailed
from tasks.problems.bits import Bits, Chosen

HALVINGS = 60
"""Of the interval in which a multiplier is looked for."""

TOLERANCE = 1e-6
"""By which HiGHS may overstep a constraint; without this margin many of its answers would lose too much."""

ROUNDS = 8
"""Times that each measure's multiplier is set anew, where there are several."""


def lagrangian(problem: Bits) -> Chosen:
    """Return the smallest choice that a multiplier for each measure gives, or what is in force.

    At given multipliers each tensor takes the step that minimises its bytes plus the price of its loss (Everett 1963,
    doi 10.1287/opre.11.3.399; Shoham and Gersho 1988, doi 10.1109/29.90373). The least multiplier that fits is found
    by bisection, one measure after another.
    """
    prices = np.zeros(len(problem.share))
    scale = float(problem.size_bytes[np.isfinite(problem.size_bytes)].sum())
    best = problem.incumbent()
    for _ in range(1 if prices.size == 1 else ROUNDS):
        for measure in range(prices.size):
            low, high = 0.0, 1e6 * scale
            for halving in range(HALVINGS):
                prices[measure] = 0.0 if halving == 0 else np.sqrt(max(low, 1e-6) * high)
                choice = _at(problem, prices)
                fits = problem.used(choice)[measure] <= 1.0
                if problem.feasible(choice) and problem.cost(choice) < problem.cost(best):
                    best = choice
                if fits and halving == 0:
                    high = 0.0
                    break
                low, high = (low, prices[measure]) if fits else (prices[measure], high)
            prices[measure] = high
    return best


def exact(problem: Bits, seconds: float, gap: float = 0.0) -> Chosen:
    """Return the choice that HiGHS finds for the integer programme.

    Args:
        problem: the choice of steps.
        seconds: wall clock after which it stops.
        gap: relative distance to its bound at which it stops.

    Raises:
        SolverFailed: nothing was found.
    """
    tensors, steps = problem.size_bytes.shape
    there = np.isfinite(problem.size_bytes).ravel()
    sizes = np.where(there, problem.size_bytes.ravel(), 0.0)
    one_each = sparse.kron(sparse.eye_array(tensors), np.ones((1, steps)))
    found = milp(
        sizes / (sizes.max() or 1.0),
        integrality=np.ones(sizes.size),
        bounds=Bounds(0.0, there.astype(float)),
        constraints=[
            LinearConstraint(one_each, 1.0, 1.0),
            LinearConstraint(problem.share.reshape(len(problem.share), -1), -np.inf, 1.0 - TOLERANCE),
        ],
        options={"time_limit": seconds, "mip_rel_gap": gap},
    )
    if found.x is None:
        raise SolverFailed(f"HiGHS: {found.message}")
    choice = Chosen(found.x.reshape(tensors, steps).argmax(axis=1))
    if not problem.feasible(choice):
        raise SolverFailed(f"HiGHS: its answer loses {problem.used(choice)} of what is allowed")
    return min(choice, problem.incumbent(), key=problem.cost)  # which may use the margin


def _at(problem: Bits, prices: np.ndarray) -> Chosen:
    return Chosen((problem.size_bytes + np.tensordot(prices, problem.share, axes=1)).argmin(axis=1))
