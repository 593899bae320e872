"""Which circuit gives every term and every spin an angle of its own?

Multi-angle QAOA: Herrman, Lotshaw, Ostrowski, Humble and Siopsis 2022, doi 10.1038/s41598-022-10555-8. The gates
are those of the transverse circuit; equal angles within each layer make it that circuit.
"""

from functools import partial

import numpy as np
import numpy.typing as npt
from qiskit import QuantumCircuit

from qiskit_solvers.circuits.ansatz import Angles, Ansatz, parametrised
from qiskit_solvers.circuits.cost import add_cost, cost_terms
from qiskit_solvers.ising import Ising


def term_count(ising: Ising) -> int:
    """Return the number of terms that have an angle: fields that are not zero by spin, then ``ising.pairs``."""
    return int(np.count_nonzero(ising.h)) + ising.pairs.values.size


def multi_angle_circuit(ising: Ising, gammas: npt.ArrayLike, betas: npt.ArrayLike) -> QuantumCircuit:
    """Return the circuit at these angles; the model's groups do not bind here.

    Args:
        ising: the model.
        gammas: cost angles, ``(layers, term_count(ising))``.
        betas: mixer angles, ``(layers, spins)``.

    Raises:
        ValueError: a shape is wrong or an angle is not finite.
    """
    first, second = np.asarray(gammas, dtype=np.float64), np.asarray(betas, dtype=np.float64)
    expected = (term_count(ising), ising.spins)
    if (
        first.ndim != 2
        or second.ndim != 2
        or len(first) != len(second)
        or (first.shape[1], second.shape[1]) != expected
    ):
        shapes = f"(layers, {expected[0]}) and (layers, {expected[1]}), got {first.shape} and {second.shape}"
        raise ValueError(f"gammas, betas: expected {shapes}")
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise ValueError("gammas, betas: expected finite angles, got NaN or infinity")
    return _build(ising, len(first), first.ravel().tolist(), second.ravel().tolist())


def multi_angle_ansatz(ising: Ising, layers: int) -> Ansatz:
    """Return the circuit of :func:`multi_angle_circuit` with open angles, layer after layer in that order."""
    return parametrised(partial(_build, ising, layers), layers * term_count(ising), layers * ising.spins)


def _build(ising: Ising, layers: int, gammas: Angles, betas: Angles) -> QuantumCircuit:
    circuit, terms = QuantumCircuit(ising.spins, name="multi_angle"), cost_terms(ising)
    for spin in range(ising.spins):
        circuit.h(spin)
    for layer in range(layers):
        for term in terms:
            add_cost(circuit, [term], gammas[layer * len(terms) + term.number])
        for spin in range(ising.spins):
            circuit.rx(betas[layer * ising.spins + spin] * -2.0, spin)
    return circuit
