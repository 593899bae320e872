"""Which angles are best for one model? L-BFGS on the exact derivatives, from a start that it never falls behind.

Ramps and fixed schedules need no evaluation at all and are the default; this is for those who ask.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.optimize import minimize

from qiskit_solvers.angles.schedule import Schedule
from qiskit_solvers.ising import Floats
from qiskit_solvers.simulation.space import Slope, StateSpace


class Objective(Protocol):
    """What the angles are to make small."""

    def on(self, space: StateSpace) -> Callable[[Schedule], Slope]:
        """Return the function that gives the objective and its derivatives at a schedule."""
        ...


@dataclass(frozen=True, slots=True)
class Expectation:
    """The expected energy."""

    def on(self, space: StateSpace) -> Callable[[Schedule], Slope]:
        """Return the expected energy as a function of the schedule."""
        return lambda schedule: space.slope(schedule.gammas, schedule.betas)


@dataclass(frozen=True, slots=True)
class Cvar:
    """The mean energy of the best samples: CVaR (Barkoutsos et al. 2020, doi 10.22331/q-2020-04-20-256).

    Args:
        alpha: which share of the samples counts, above 0 and at most 1 (1: the expectation).

    Raises:
        ValueError: alpha is outside.
    """

    alpha: float = 0.2

    def __post_init__(self) -> None:
        if not 0.0 < self.alpha <= 1.0:
            raise ValueError(f"alpha: expected above 0 and at most 1, got {self.alpha}")

    def on(self, space: StateSpace) -> Callable[[Schedule], Slope]:
        """Return the mean energy of the best share as a function of the schedule."""
        order = np.argsort(space.costs, kind="stable")

        def slope(schedule: Schedule) -> Slope:
            probabilities = space.probabilities(schedule.gammas, schedule.betas)
            tail = tail_observable(space.costs, probabilities, self.alpha, order)
            return space.slope(schedule.gammas, schedule.betas, tail)

        return slope


def tail_observable(costs: Floats, probabilities: Floats, alpha: float, order: np.ndarray | None = None) -> Floats:
    """Return the diagonal observable whose expectation is the CVaR of the costs, and whose slope is the CVaR's.

    ``CVaR = max over q of q - E[(q - C)^+] / alpha``, and the alpha-quantile of the costs is such a q. At the
    maximum a change of q does not count, so the derivatives are those of the observable with q held (where the
    quantile sits on a step of the distribution, they are one-sided).

    Args:
        costs: ``(size,)``.
        probabilities: ``(size,)``, summing to one.
        alpha: share of the samples, above 0 and at most 1.
        order: ``argsort`` of the costs, if it is known.
    """
    order = np.argsort(costs, kind="stable") if order is None else order
    if alpha == 1.0:
        return costs
    reached = np.cumsum(probabilities[order])
    quantile = costs[order[min(int(np.searchsorted(reached, alpha)), costs.size - 1)]]
    return np.asarray(quantile - np.maximum(quantile - costs, 0.0) / alpha)


@dataclass(frozen=True, slots=True, eq=False)
class Optimised:
    """What a search for angles found.

    Args:
        schedule: the best schedule that was evaluated, never worse than the start.
        value: its objective, in the unit of the costs.
        evaluations: how often the objective and its derivatives were computed.
        converged: the derivatives or the gains fell below L-BFGS's tolerances, or no angle matters.
    """

    schedule: Schedule
    value: float
    evaluations: int
    converged: bool


_EXPECTATION = Expectation()


def optimised(
    space: StateSpace, start: Schedule, objective: Objective = _EXPECTATION, *, max_iterations: int = 100
) -> Optimised:
    """Return the angles that L-BFGS-B reaches from ``start`` (Byrd et al. 1995, doi 10.1137/0916069).

    It works in units of the standard deviation of the costs, so that all angles are of one size.

    Args:
        space: simulator of the model.
        start: where to start; without layers there is nothing to search.
        objective: what to make small.
        max_iterations: of L-BFGS; 0 evaluates the start.

    Raises:
        ValueError: ``max_iterations`` is negative.
    """
    if max_iterations < 0:
        raise ValueError(f"max_iterations: expected at least 0, got {max_iterations}")
    unit = float(space.costs.std())
    if unit == 0.0:  # every string costs the same
        return Optimised(start, objective.on(space)(start).value, 1, converged=True)
    return descended(objective.on(space), start, unit=unit, max_iterations=max_iterations)


def descended(slope_at: Callable[[Schedule], Slope], start: Schedule, *, unit: float, max_iterations: int) -> Optimised:
    """Return the angles that L-BFGS-B reaches on any function of a schedule.

    Args:
        slope_at: the function and its derivatives.
        start: where to start.
        unit: of the function's value and, inversely, of the cost angles.
        max_iterations: of L-BFGS; 0 evaluates the start.
    """
    best, value, evaluations = start, slope_at(start).value, 1
    zero = value
    if start.layers == 0 or max_iterations == 0:
        return Optimised(start, value, evaluations, converged=start.layers == 0)

    def scaled(angles: Floats) -> tuple[float, Floats]:
        nonlocal best, value, evaluations
        schedule = Schedule(angles[: start.layers] / unit, angles[start.layers :].copy())
        slope = slope_at(schedule)
        evaluations += 1
        if slope.value < value:
            best, value = schedule, slope.value
        return (slope.value - zero) / unit, np.concatenate([slope.gammas / unit**2, slope.betas / unit])

    found = minimize(
        scaled,
        np.concatenate([start.gammas * unit, start.betas]),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": max_iterations, "ftol": 1e-12, "gtol": 1e-7},
    )
    return Optimised(best, value, evaluations, bool(found.success))
