"""Solvers of Ising models, quantum and classical, under one contract: ``(Ising, rng) -> Spins``."""

from qiskit_solvers.anneal import Anneal
from qiskit_solvers.conflicts import ease_conflicts
from qiskit_solvers.errors import SolverFailed, TooLarge
from qiskit_solvers.exact import Exact
from qiskit_solvers.ising import Ising, Pairs, diagonal, energies, strings_of
from qiskit_solvers.qaoa import Qaoa
from qiskit_solvers.solver import Solver, Spins, best_first

__all__ = [
    "Anneal",
    "Exact",
    "Ising",
    "Pairs",
    "Qaoa",
    "Solver",
    "SolverFailed",
    "Spins",
    "TooLarge",
    "best_first",
    "diagonal",
    "ease_conflicts",
    "energies",
    "strings_of",
]
