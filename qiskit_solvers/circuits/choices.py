"""Which gates put one choice among k into superposition, and turn amplitude between the choices?

A choice among k is one-hot: k qubits, exactly one in |1>. Everything here is built from rotations between two
of the k states, two cx each, so the number of qubits in |1> never changes. The weighted states generalise
the W state: Diker 2016, arXiv:1606.09290; the tree is that of Cruz et al. 2019, doi 10.1002/qute.201900015.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any, Literal

from qiskit import QuantumCircuit

Cascade = Literal["tree", "line"]
"""Order in which amplitude spreads: ``tree`` in ceil(log2 k) steps, ``line`` in k - 1 between neighbours only."""


def rotate(circuit: QuantumCircuit, first: int, second: int, angle: float) -> None:
    """Append ``|10> -> cos|10> + sin|01>``, ``|01> -> cos|01> - sin|10>``; |00> and |11> stay. Two cx.

    ``|10>`` is ``first`` in |1>. A Givens rotation; ``angle`` in radians.
    """
    circuit.h(first)
    circuit.cx(first, second)
    circuit.ry(angle, first)
    circuit.ry(angle, second)
    circuit.cx(first, second)
    circuit.h(first)


def hop(circuit: QuantumCircuit, first: int, second: int, angle: Any) -> None:
    """Append ``exp(i angle (XX + YY) / 2)``: ``|10> -> cos|10> + i sin|01>`` and back. Two cx.

    ``angle`` is a float or a parameter.
    """
    circuit.sdg(second)
    rotate(circuit, first, second, angle)
    circuit.s(second)


def spread(circuit: QuantumCircuit, qubits: Sequence[int], weights: Sequence[float], cascade: Cascade) -> None:
    """Append the unitary G that takes "the first qubit is chosen" to the weighted superposition of all choices.

    Args:
        circuit: to append to.
        qubits: the k qubits of the choice.
        weights: probability of each choice, up to a common factor; k numbers of zero or more.
        cascade: order in which amplitude spreads; k - 1 rotations, 2 (k - 1) cx either way.
    """
    for first, second, angle in _rotations(weights, cascade):
        rotate(circuit, qubits[first], qubits[second], angle)


def gather(circuit: QuantumCircuit, qubits: Sequence[int], weights: Sequence[float], cascade: Cascade) -> None:
    """Append the inverse of :func:`spread`."""
    for first, second, angle in reversed(list(_rotations(weights, cascade))):
        rotate(circuit, qubits[first], qubits[second], -angle)


def choose(circuit: QuantumCircuit, qubits: Sequence[int], weights: Sequence[float], cascade: Cascade) -> None:
    """Append the preparation of the weighted superposition of all choices from |0...0>."""
    circuit.x(qubits[0])
    spread(circuit, qubits, weights, cascade)


def mix(circuit: QuantumCircuit, qubits: Sequence[int], weights: Sequence[float], cascade: Cascade, beta: Any) -> None:
    """Append ``exp(2 i beta |w><w|)`` on the one-hot states, w being what :func:`choose` prepares. 4 (k - 1) cx.

    Exact: ``|w> = G |first chosen>``, so the mixer is ``G exp(2 i beta |first><first|) G^-1``, and "the first is
    chosen" is one qubit. With equal weights ``k |w><w|`` is the all-ones matrix J, and this is the complete-graph
    mixer ``exp(i (2 beta / k) (J - I))`` up to global phase.

    Args:
        circuit: to append to.
        qubits: the k qubits of the choice.
        weights: as for :func:`spread`.
        cascade: as for :func:`spread`.
        beta: mixer angle, a float or a parameter.
    """
    gather(circuit, qubits, weights, cascade)
    circuit.p(beta * 2.0, qubits[0])
    spread(circuit, qubits, weights, cascade)


def _rotations(weights: Sequence[float], cascade: Cascade) -> Iterator[tuple[int, int, float]]:
    """Yield source, target and angle of each rotation; a source that holds nothing turns by zero."""
    spans = [(0, len(weights))]
    for low, high in spans:  # grows while it is walked: a breadth-first tree
        if high - low < 2:
            continue
        middle = (low + high) // 2 if cascade == "tree" else low + 1
        kept, sent = math.sqrt(sum(weights[low:middle])), math.sqrt(sum(weights[middle:high]))
        yield low, middle, math.atan2(sent, kept)
        spans += [(low, middle), (middle, high)]
