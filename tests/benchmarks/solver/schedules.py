"""Which space and which angles does a model get, and which of its strings are optimal?"""

import numpy as np

from qiskit_solvers.angles.schedule import Family, Schedule, rescaled
from qiskit_solvers.ising import Ising
from qiskit_solvers.simulation.space import StateSpace
from tests.benchmarks.solver.intervals import Floats

TIE = 1e-9
"""Energies that differ by less, in standard deviations, count as equal."""


def family_of(ising: Ising) -> Family:
    """Return the mixer that a model gets."""
    return "one_hot" if ising.groups else "transverse"


def on(space: StateSpace, schedule: Schedule) -> Schedule:
    """Return the schedule in the units of this model."""
    deviation = float(space.costs.std())
    return rescaled(schedule, deviation) if deviation > 0.0 else schedule


def optimal(costs: Floats) -> Floats:
    """Return 1 for each string that has the lowest energy, ties included, and 0 for the others."""
    return (costs <= costs.min() + TIE * max(float(costs.std()), 1e-300)).astype(np.float64)
