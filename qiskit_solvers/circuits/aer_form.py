"""How is the transverse circuit written so that Aer's statevector method runs it in the least time?

Aer spends tens of microseconds of Python on every gate, and one pass over the state on every gate that it does
not fuse. So the terms of the cost are multiplied out here, for sets of up to 8 qubits that together hold every
coupling, into one ``diagonal`` instruction each: 16 densely coupled spins take 6 instructions in a layer instead
of 136 gates. Wider diagonals lose again: Aer takes them as Python lists. Mixers of several qubits multiplied out
cost it more than rx on each.

For the simulator only: a machine is given :func:`~qiskit_solvers.circuits.transverse.transverse_circuit`.
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt
from qiskit import QuantumCircuit
from qiskit.circuit.library import DiagonalGate

from qiskit_solvers.circuits.ansatz import checked
from qiskit_solvers.ising import Floats, Ising, diagonal

_WIDTH = 8  # qubits of one diagonal


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
    cost_angles, mixer_angles = checked(gammas, betas)
    circuit = QuantumCircuit(ising.spins, name="transverse")
    for spin in range(ising.spins):
        circuit.h(spin)
    layers = [
        (part.spins, np.exp(-1j * np.multiply.outer(cost_angles, part.energies)).tolist()) for part in parts(ising)
    ]
    for layer, beta in enumerate(mixer_angles):
        for spins, phases in layers:
            circuit.append(_Phases(phases[layer], len(spins)), spins)
        for spin in range(ising.spins):
            circuit.rx(-2.0 * beta, spin)
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
