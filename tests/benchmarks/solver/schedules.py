"""Which angles does each contestant of the benchmark use? Shipped or ramped, on the standardised cost."""

import numpy as np

from qiskit_solvers.angles.ramp import tuned_ramp
from qiskit_solvers.angles.schedule import Family, Schedule, rescaled
from qiskit_solvers.ising import Ising
from qiskit_solvers.simulation.full import FullSpace
from qiskit_solvers.simulation.space import StateSpace
from qiskit_solvers.simulation.subspace import Subspace
from tests.benchmarks.solver.intervals import Floats

TIE = 1e-9
"""Energies that differ by less, in standard deviations, count as equal."""


def space_of(ising: Ising) -> StateSpace:
    """Return the simulator that a model belongs in: that of its groups where it has some."""
    return Subspace(ising) if ising.groups else FullSpace(ising)


def family_of(ising: Ising) -> Family:
    """Return the mixer that a model gets."""
    return "one_hot" if ising.groups else "transverse"


def fixed_schedule(layers: int, family: Family) -> Schedule:
    """Return the shipped schedule of 1 to 5 layers."""
    from qiskit_solvers.angles.fixed import fixed

    return fixed(layers, family)


def ramp_schedule(layers: int, family: Family) -> Schedule:
    """Return the ramp of 10 layers and more."""
    return tuned_ramp(layers, family)


def on(space: StateSpace, schedule: Schedule) -> Schedule:
    """Return the schedule in the units of this model."""
    deviation = float(space.costs.std())
    return rescaled(schedule, deviation) if deviation > 0.0 else schedule


def optimal(costs: Floats) -> Floats:
    """Return 1 for each string that has the lowest energy, ties included, and 0 for the others."""
    return (costs <= costs.min() + TIE * max(float(costs.std()), 1e-300)).astype(np.float64)
