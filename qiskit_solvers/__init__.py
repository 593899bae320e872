"""QAOA and its companions under one contract, ``(Ising, rng) -> Spins``; README.md says when to use what."""

from qiskit_solvers.anneal import Anneal
from qiskit_solvers.boltzmann import Boltzmann
from qiskit_solvers.conflicts import ease_conflicts
from qiskit_solvers.errors import SolverFailed, TooLarge
from qiskit_solvers.exact import Exact
from qiskit_solvers.explain import Explanation, Result, explain, solved
from qiskit_solvers.goemans_williamson import GoemansWilliamson
from qiskit_solvers.ising import Ising, Pairs, diagonal, energies, strings_of
from qiskit_solvers.one_hot import feasible, penalised, repaired
from qiskit_solvers.path_integral import PathIntegral
from qiskit_solvers.qaoa import Qaoa, QaoaOn
from qiskit_solvers.quantum_anneal import (
    AdaptiveAnnealing,
    ExponentialAnnealing,
    LinearAnnealing,
    LocalAnnealing,
    QuantumAnneal,
)
from qiskit_solvers.qubo import Qubo, ising_of, qubo_of, to_ising, to_qubo
from qiskit_solvers.recommend import predicted_s, recommend
from qiskit_solvers.reduce import fixed, standardised
from qiskit_solvers.rqaoa import Rqaoa
from qiskit_solvers.solver import Solver, Spins, best_first
from qiskit_solvers.warm_start import WarmStart

__all__ = [
    "AdaptiveAnnealing",
    "Anneal",
    "Boltzmann",
    "Exact",
    "Explanation",
    "ExponentialAnnealing",
    "GoemansWilliamson",
    "Ising",
    "LinearAnnealing",
    "LocalAnnealing",
    "Pairs",
    "PathIntegral",
    "Qaoa",
    "QaoaOn",
    "QuantumAnneal",
    "Qubo",
    "Result",
    "Rqaoa",
    "Solver",
    "SolverFailed",
    "Spins",
    "TooLarge",
    "WarmStart",
    "best_first",
    "diagonal",
    "ease_conflicts",
    "energies",
    "explain",
    "feasible",
    "fixed",
    "ising_of",
    "penalised",
    "predicted_s",
    "qubo_of",
    "recommend",
    "repaired",
    "solved",
    "standardised",
    "strings_of",
    "to_ising",
    "to_qubo",
]
