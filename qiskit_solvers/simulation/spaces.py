"""Which cost does the circuit of a model carry, and which simulator holds its state?"""

from dataclasses import replace

from qiskit_solvers.conflicts import ease_conflicts
from qiskit_solvers.ising import Ising
from qiskit_solvers.reduce import standardised
from qiskit_solvers.simulation.full import FullSpace, Precision
from qiskit_solvers.simulation.space import StateSpace
from qiskit_solvers.simulation.subspace import Subspace


def circuit_cost(ising: Ising) -> Ising:
    """Return the cost that the circuit carries: conflicts eased, standard deviation 1 over the strings that count.

    The offset, which may dwarf all else, is gone: strings are judged by the model itself. With one-hot groups
    nothing is eased, since the circuit never makes two choices of a group. A constant model stays constant, and
    its circuit samples uniformly.
    """
    bare = standardised(replace(ising, offset=0.0)).ising
    if ising.groups:
        return bare
    return standardised(replace(ease_conflicts(bare), offset=0.0)).ising


def space_of(ising: Ising, *, precision: Precision = "double", max_bytes: int = 1 << 31) -> StateSpace:
    """Return the simulator of a model's circuit: over the feasible strings where there are one-hot groups, else all.

    Raises:
        TooLarge: it needs more than ``max_bytes``; nothing has been allocated.
    """
    kind = Subspace if ising.groups else FullSpace
    return kind(ising, precision=precision, max_bytes=max_bytes)
