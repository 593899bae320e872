"""Which circuit prepares the QAOA state with the transverse mixer?

Farhi, Goldstone and Gutmann 2014, arXiv:1411.4028: all spins in |+>, then layers of ``exp(-i gamma (E - offset))``
and ``exp(i beta X)`` on every spin. Only h, rz, rzz and rx, native or one step from native on every gate-based
machine: as many rzz in a layer as the model has couplings.
"""

from functools import partial

import numpy.typing as npt
from qiskit import QuantumCircuit

from qiskit_solvers.circuits.ansatz import Angles, Ansatz, checked, parametrised
from qiskit_solvers.circuits.cost import add_cost, cost_terms
from qiskit_solvers.ising import Ising


def transverse_circuit(ising: Ising, gammas: npt.ArrayLike, betas: npt.ArrayLike) -> QuantumCircuit:
    """Return the circuit at these angles, ``(layers,)`` each; the model's groups do not bind here.

    Raises:
        ValueError: the shapes differ or an angle is not finite.
    """
    return _build(ising, *checked(gammas, betas))


def transverse_ansatz(ising: Ising, layers: int) -> Ansatz:
    """Return the circuit with open angles, one gamma and one beta per layer; the model's groups do not bind here."""
    return parametrised(partial(_build, ising), layers, layers)


def _build(ising: Ising, gammas: Angles, betas: Angles) -> QuantumCircuit:
    circuit = QuantumCircuit(ising.spins, name="transverse")
    for spin in range(ising.spins):
        circuit.h(spin)
    terms = cost_terms(ising)
    for gamma, beta in zip(gammas, betas, strict=True):
        add_cost(circuit, terms, gamma)
        for spin in range(ising.spins):
            circuit.rx(beta * -2.0, spin)
    return circuit
