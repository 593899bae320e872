"""How are circuits written so that Aer's statevector method runs them in the least time?

Aer spends tens of microseconds of Python on every gate, and one pass over the state on every gate that it does
not fuse. So the terms of the cost are multiplied out here, for sets of up to 8 qubits that together hold every
coupling, into one ``diagonal`` instruction each: 16 densely coupled spins take 6 instructions in a layer instead
of 136 gates. Wider diagonals lose again: Aer takes them as Python lists. The mixer of a one-hot group is
multiplied out too; that of free spins is not, as several qubits at once cost Aer no less than rx on each.

Processor time on one thread of a busy 2.5 GHz Xeon, milliseconds, with 1,000 samples, and for the gates with the
better of two fusion settings: 16 dense spins with 5 layers 80 against 154, with 8 layers 118 against 231; 14 dense
spins with 20 layers 76 against 212; 16 spins on a 3-regular graph with 5 layers 60 against 77; 3 layers over 4 groups
of 4 choices 67 against 123.

For the simulator only: a machine is given the circuits of :mod:`~qiskit_solvers.circuits.transverse` and
:mod:`~qiskit_solvers.circuits.one_hot`.
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt
from qiskit import QuantumCircuit
from qiskit.circuit.library import DiagonalGate, UnitaryGate

from qiskit_solvers.circuits.ansatz import checked
from qiskit_solvers.circuits.choices import mix
from qiskit_solvers.circuits.one_hot import start
from qiskit_solvers.ising import Floats, Ising, diagonal

_WIDTH = 8  # qubits of one diagonal
_WIDEST_MIXER = 6  # qubits of one matrix: each doubles its time, a written-out mixer grows by 4 cx


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Some terms of the energy, over all strings of the few spins that they touch.

    Args:
        spins: the spins, ascending.
        energies: their energy, ``(2**len(spins),)``, in the order of :func:`~qiskit_solvers.ising.diagonal`.
    """

    spins: tuple[int, ...]
    energies: Floats


class _Phases(DiagonalGate):  # type: ignore[misc]  # qiskit ships no types
    """A diagonal without Qiskit's checks, entry by entry in Python: they take longer than Aer takes to run it."""

    def __init__(self, phases: list[complex], qubits: int) -> None:
        super(DiagonalGate, self).__init__("diagonal", qubits, [])  # past DiagonalGate's own
        self._params = phases


def transverse_for_aer(ising: Ising, gammas: npt.ArrayLike, betas: npt.ArrayLike) -> QuantumCircuit:
    """Return a circuit with the state of :func:`~qiskit_solvers.circuits.transverse.transverse_circuit`.

    Args:
        ising: the model; its groups do not bind here.
        gammas: cost angles, ``(layers,)``.
        betas: mixer angles, ``(layers,)``.

    Raises:
        ValueError: the shapes differ or an angle is not finite.
    """
    circuit = QuantumCircuit(ising.spins, name="transverse")
    for spin in range(ising.spins):
        circuit.h(spin)
    _add_layers(circuit, parts(ising), (), *checked(gammas, betas))
    return circuit


def complete_for_aer(ising: Ising, gammas: npt.ArrayLike, betas: npt.ArrayLike) -> QuantumCircuit:
    """Return a circuit with the state of :func:`~qiskit_solvers.circuits.one_hot.complete_circuit`.

    Args:
        ising: the model with its groups.
        gammas: cost angles, ``(layers,)``.
        betas: mixer angles, ``(layers,)``.

    Raises:
        ValueError: the shapes differ or an angle is not finite.
    """
    circuit = start(ising, "tree", "complete")
    _add_layers(circuit, parts(ising), ising.groups, *checked(gammas, betas))
    return circuit


def parts(ising: Ising) -> list[Part]:
    """Return the energy without its offset as a sum of parts of up to 8 spins, each term in one of them."""
    J, h = ising.couplings.copy(), ising.h.copy()
    found = []
    for spins in _sets(J != 0.0):
        inside = np.ix_(spins, spins)
        found.append(Part(tuple(spins), diagonal(Ising(h[list(spins)], J[inside]))))
        h[list(spins)], J[inside] = 0.0, 0.0  # each term counts once
    rest = np.flatnonzero(h)
    for low in range(0, rest.size, _WIDTH):
        few = rest[low : low + _WIDTH]
        found.append(Part(tuple(few.tolist()), diagonal(Ising(h[few], np.zeros((few.size, few.size))))))
    return found


def _add_layers(
    circuit: QuantumCircuit,
    cost: list[Part],
    groups: tuple[tuple[int, ...], ...],
    gammas: list[float],
    betas: list[float],
) -> None:
    """Append the layers: the cost, then the complete mixer on each group and rx on every other spin."""
    phases = [np.exp(-1j * np.multiply.outer(gammas, part.energies)).tolist() for part in cost]
    free = sorted(set(range(circuit.num_qubits)).difference(*groups))
    for layer, beta in enumerate(betas):
        for part, of_layer in zip(cost, phases, strict=True):
            circuit.append(_Phases(of_layer[layer], len(part.spins)), part.spins)
        for group in groups:
            if len(group) > _WIDEST_MIXER:
                mix(circuit, group, [1.0] * len(group), "tree", beta)
            elif len(group) > 1:
                circuit.append(UnitaryGate(_complete_mixer(len(group), beta), check_input=False), group)
        for spin in free:
            circuit.rx(-2.0 * beta, spin)


def _complete_mixer(size: int, beta: float) -> npt.NDArray[np.complex128]:
    """Return ``exp(2 i beta |W><W|)`` over all ``2**size`` strings of a group: the identity off the one-hot ones."""
    one_hot = 1 << np.arange(size)
    matrix = np.eye(2**size, dtype=np.complex128)
    matrix[np.ix_(one_hot, one_hot)] += (np.exp(2j * beta) - 1) / size  # |W><W| is all ones over the size
    return matrix


def _sets(coupled: npt.NDArray[np.bool_]) -> list[list[int]]:
    """Return sets of up to 8 spins such that each coupled pair is in one: the fewer of two ways of looking."""
    open_pairs = coupled | coupled.T
    return min(_pairs_of_blocks(open_pairs), _grown(open_pairs), key=len)


def _pairs_of_blocks(coupled: npt.NDArray[np.bool_]) -> list[list[int]]:
    """Return the coupled pairs of blocks of 4 neighbours: best where nearly all spins are coupled."""
    spins = len(coupled)
    if spins <= _WIDTH:
        return [list(range(spins))] if coupled.any() else []
    blocks = [list(range(low, min(low + _WIDTH // 2, spins))) for low in range(0, spins, _WIDTH // 2)]
    both = [first + second for first, second in combinations(blocks, 2)]
    held = np.zeros_like(coupled)
    found = []
    for pair in both:
        inside = np.ix_(pair, pair)
        if (coupled[inside] & ~held[inside]).any():
            found.append(pair)
            held[inside] = True
    return found


def _grown(coupled: npt.NDArray[np.bool_]) -> list[list[int]]:
    """Return sets grown spin by spin, each time by the one with most couplings into it: best on sparse models."""
    left = coupled.copy()
    found = []
    while left.any():
        members = [int(left.sum(axis=1).argmax())]
        while len(members) < _WIDTH:
            gain = left[members].sum(axis=0) * len(left) + left.sum(axis=1)
            gain[members] = 0
            if not gain.any():
                break
            members.append(int(gain.argmax()))
        members.sort()
        left[np.ix_(members, members)] = False
        found.append(members)
    return found
