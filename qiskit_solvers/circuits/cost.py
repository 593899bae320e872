"""Which gates apply the phases of the cost? One rz for each field, one rzz for each coupling that is not zero."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from qiskit import QuantumCircuit

from qiskit_solvers.ising import Ising

_BLOCK = 3  # neighbouring gates act on two blocks, 6 qubits, which Aer fuses into one pass over the state


@dataclass(frozen=True, slots=True)
class Term:
    """One term of the energy.

    Args:
        number: its place in the model: fields that are not zero by spin, then ``ising.pairs``.
        first: its spin.
        second: its other spin; ``first`` for a field.
        coefficient: its energy at spins +1.
    """

    number: int
    first: int
    second: int
    coefficient: float


def cost_terms(ising: Ising) -> list[Term]:
    """Return the terms that are not zero, those of the same two blocks of qubits together."""
    fields, pairs = np.flatnonzero(ising.h), ising.pairs
    first, second = np.concatenate([fields, pairs.rows]), np.concatenate([fields, pairs.columns])
    coefficients = np.concatenate([ising.h[fields], pairs.values])
    low, high = first // _BLOCK, second // _BLOCK
    # terms within a block go with that block's first partner
    last = max(ising.spins - 1, 0) // _BLOCK
    partnered_low = np.where(low == high, 0, low)
    partnered_high = np.where(low == high, np.where(low == 0, min(1, last), low), high)
    numbers = np.lexsort((second, first, partnered_high, partnered_low))
    columns = (numbers, first[numbers], second[numbers], coefficients[numbers])
    return [Term(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]


def add_cost(circuit: QuantumCircuit, terms: list[Term], gamma: Any) -> None:
    """Append ``exp(-i gamma (E - offset))``; ``gamma`` is a float or a parameter."""
    for term in terms:
        if term.first == term.second:
            circuit.rz(gamma * (2 * term.coefficient), term.first)
        else:
            circuit.rzz(gamma * (2 * term.coefficient), term.first, term.second)
