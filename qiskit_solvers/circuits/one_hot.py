"""Which circuits stay on the one-hot strings of a model's groups?

Quantum alternating operators (Hadfield et al. 2019, doi 10.3390/a12020034) with the XY mixers of Wang, Rubin,
Dominy and Rieffel 2020, doi 10.1103/PhysRevA.101.012320. Each group starts in its W state and is mixed without
ever leaving its one-hot states; spins in no group start in |+> and are mixed by ``exp(i beta X)``. Angles mean
the same for groups of every size k: the mixer of a group is ``exp(i (2 beta / k) (J - I))``, J all ones.

Cost of one group of k, beside the cost layer:

======== =================== ==================== ========================================
mixer    cx per layer        depth in cx          what it is
======== =================== ==================== ========================================
complete 4 (k - 1)           4 ceil(log2 k)       exact; with a ``line`` cascade 4 (k - 1)
ring     2 k (k = 2: 2)      4, odd k: 6          one Trotter step of the ring's k edges
======== =================== ==================== ========================================

The W state takes 2 (k - 1) cx.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy.typing as npt
from qiskit import QuantumCircuit

from qiskit_solvers.circuits.ansatz import Angles, Ansatz, checked, parametrised
from qiskit_solvers.circuits.choices import Cascade, choose, hop, mix
from qiskit_solvers.circuits.cost import add_cost, cost_terms
from qiskit_solvers.ising import Ising


def complete_circuit(
    ising: Ising, gammas: npt.ArrayLike, betas: npt.ArrayLike, *, cascade: Cascade = "tree"
) -> QuantumCircuit:
    """Return the circuit with the complete-graph mixer at these angles, ``(layers,)`` each.

    Args:
        ising: the model with its groups.
        gammas: cost angles, ``(layers,)``.
        betas: mixer angles, ``(layers,)``.
        cascade: ``tree`` is shallow, ``line`` couples only neighbours within a group.

    Raises:
        ValueError: the shapes differ or an angle is not finite.
    """
    return _complete(ising, cascade, *checked(gammas, betas))


def complete_ansatz(ising: Ising, layers: int, *, cascade: Cascade = "tree") -> Ansatz:
    """Return the circuit of :func:`complete_circuit` with open angles, one gamma and one beta per layer."""
    return parametrised(partial(_complete, ising, cascade), layers, layers)


def ring_circuit(ising: Ising, gammas: npt.ArrayLike, betas: npt.ArrayLike) -> QuantumCircuit:
    """Return the circuit with the ring mixer at these angles, ``(layers,)`` each.

    Every edge of the ring hops by ``2 beta / k``, in three sets of disjoint edges one after the other: even,
    odd, and for odd k the closing edge. A group of two is one edge, and exact. A ring of three has the edges
    of the complete graph, and differs from it by the Trotter error, of order beta squared. Beyond three it
    is another mixer, which lacks the long edges: amplitude takes k / 4 layers and more to cross a group,
    and the complete mixer's angles are a starting point only.

    Raises:
        ValueError: the shapes differ or an angle is not finite.
    """
    return _ring(ising, *checked(gammas, betas))


def ring_ansatz(ising: Ising, layers: int) -> Ansatz:
    """Return the circuit of :func:`ring_circuit` with open angles, one gamma and one beta per layer."""
    return parametrised(partial(_ring, ising), layers, layers)


def free_spins(ising: Ising) -> list[int]:
    """Return the spins that are in no group, ascending."""
    grouped = {spin for group in ising.groups for spin in group}
    return [spin for spin in range(ising.spins) if spin not in grouped]


def start(ising: Ising, cascade: Cascade, name: str) -> QuantumCircuit:
    """Return the circuit that prepares the uniform superposition of all feasible strings."""
    circuit = QuantumCircuit(ising.spins, name=name)
    for group in ising.groups:
        choose(circuit, group, [1.0] * len(group), cascade)
    for spin in free_spins(ising):
        circuit.h(spin)
    return circuit


def _complete(ising: Ising, cascade: Cascade, gammas: Angles, betas: Angles) -> QuantumCircuit:
    circuit, terms, free = start(ising, cascade, "complete"), cost_terms(ising), free_spins(ising)
    for gamma, beta in zip(gammas, betas, strict=True):
        add_cost(circuit, terms, gamma)
        for group in ising.groups:
            if len(group) > 1:
                mix(circuit, group, [1.0] * len(group), cascade, beta)
        for spin in free:
            circuit.rx(beta * -2.0, spin)
    return circuit


def _ring(ising: Ising, gammas: Angles, betas: Angles) -> QuantumCircuit:
    circuit, terms, free = start(ising, "tree", "ring"), cost_terms(ising), free_spins(ising)
    for gamma, beta in zip(gammas, betas, strict=True):
        add_cost(circuit, terms, gamma)
        for group in ising.groups:
            _mix_ring(circuit, group, beta)
        for spin in free:
            circuit.rx(beta * -2.0, spin)
    return circuit


def _mix_ring(circuit: QuantumCircuit, group: Sequence[int], beta: Any) -> None:
    for first, second in _edges(len(group)):
        hop(circuit, group[first], group[second], beta * (2.0 / len(group)))


def _edges(size: int) -> Iterator[tuple[int, int]]:
    """Yield the edges of a ring: even ones, odd ones, and the closing one."""
    for parity in (0, 1):
        yield from ((low, low + 1) for low in range(parity, size - 1, 2))
    if size > 2:
        yield size - 1, 0
