"""Which circuit mixes by the projector on the start state alone?

The Grover mixer of Baertschi and Eidenbenz 2020, arXiv:2006.00354: ``exp(i beta |s><s|)``, s the
uniform superposition of all feasible strings. Strings of equal energy keep equal amplitudes.
"""

from functools import partial
from typing import Any

import numpy.typing as npt
from qiskit import QuantumCircuit

from qiskit_solvers.circuits.ansatz import Angles, Ansatz, checked, parametrised
from qiskit_solvers.circuits.choices import Cascade, gather, spread
from qiskit_solvers.circuits.cost import add_cost, cost_terms
from qiskit_solvers.circuits.one_hot import free_spins, start
from qiskit_solvers.ising import Ising


def grover_circuit(
    ising: Ising, gammas: npt.ArrayLike, betas: npt.ArrayLike, *, cascade: Cascade = "tree"
) -> QuantumCircuit:
    """Return the circuit at these angles, ``(layers,)`` each, over the one-hot strings of the model's groups.

    A layer mixes with 4 (k - 1) cx for each group of k and one phase gate over m qubits: one per group and all
    free spins. Aer runs that gate as it is; a machine has to synthesise it.

    Args:
        ising: the model; without groups all strings are feasible.
        gammas: cost angles, ``(layers,)``.
        betas: mixer angles, ``(layers,)``; 2 pi is a full turn.
        cascade: order in which amplitude spreads within a group.

    Raises:
        ValueError: the shapes differ or an angle is not finite.
    """
    return _build(ising, cascade, *checked(gammas, betas))


def grover_ansatz(ising: Ising, layers: int, *, cascade: Cascade = "tree") -> Ansatz:
    """Return the circuit of :func:`grover_circuit` with open angles, one gamma and one beta per layer.

    Its phase gate over m qubits is written out as 2 (m - 1) multi-controlled x and rotations of one qubit.
    """
    return parametrised(partial(_build, ising, cascade), layers, layers)


def _build(ising: Ising, cascade: Cascade, gammas: Angles, betas: Angles) -> QuantumCircuit:
    circuit, terms, free = start(ising, cascade, "grover"), cost_terms(ising), free_spins(ising)
    # |s> is U |first of each group chosen, free spins 0>: one phase between U^-1 and U
    marked = [group[0] for group in ising.groups] + free
    for gamma, beta in zip(gammas, betas, strict=True):
        add_cost(circuit, terms, gamma)
        for group in ising.groups:
            gather(circuit, group, [1.0] * len(group), cascade)
        for spin in free:
            circuit.h(spin)
        for spin in free:
            circuit.x(spin)
        _phase(circuit, marked, beta)
        for spin in free:
            circuit.x(spin)
        for spin in free:
            circuit.h(spin)
        for group in ising.groups:
            spread(circuit, group, [1.0] * len(group), cascade)
    return circuit


def _phase(circuit: QuantumCircuit, qubits: list[int], angle: Any) -> None:
    """Append ``exp(i angle |1...1><1...1|)``."""
    if isinstance(angle, float) and len(qubits) > 1:
        circuit.mcp(angle, qubits[:-1], qubits[-1])
        return
    # Aer 0.18 leaves open angles of controlled gates at zero (Qiskit/qiskit-aer issue 2403): none may stand in one.
    # A phase on all is a controlled rz of the last, which two controlled x turn off elsewhere, and half the phase
    # on all others.
    while len(qubits) > 1:
        *controls, target = qubits
        circuit.rz(angle / 2, target)
        circuit.mcx(controls, target)
        circuit.rz(angle / -2, target)
        circuit.mcx(controls, target)
        qubits, angle = controls, angle / 2
    for qubit in qubits:
        circuit.p(angle, qubit)
