"""Which circuit starts near a string that is already known?

Egger, Marecek and Woerner 2021, Quantum 5, 479, arXiv:2009.10095: spin ``i`` starts in ``RY(t_i) |0>``, which is
measured as -1 with the probability that a relaxed solution gives it, and is mixed by
``RY(t_i) RZ(-2 beta) RY(-t_i) = exp(i beta (sin t_i X + cos t_i Z))``, whose state of highest eigenvalue is that
start. A one-hot group starts in the superposition w of its choices with the relaxed probabilities, and is mixed by
``exp(2 i beta |w><w|)``: the same idea on k levels instead of two.
"""

from functools import partial

import numpy as np
import numpy.typing as npt
from qiskit import QuantumCircuit

from qiskit_solvers.circuits.ansatz import Angles, Ansatz, checked, parametrised
from qiskit_solvers.circuits.choices import Cascade, choose, mix
from qiskit_solvers.circuits.cost import add_cost, cost_terms
from qiskit_solvers.circuits.one_hot import free_spins
from qiskit_solvers.ising import Floats, Ising


def warm_start_circuit(
    ising: Ising,
    relaxed: npt.ArrayLike,
    gammas: npt.ArrayLike,
    betas: npt.ArrayLike,
    *,
    epsilon: float = 0.25,
    cascade: Cascade = "tree",
) -> QuantumCircuit:
    """Return the circuit at these angles.

    Args:
        ising: the model; its groups bind.
        relaxed: for each spin, how far it is taken to be -1, in 0..1, ``(spins,)``; a known string ``s`` is
            ``(1 - s) / 2``.
        gammas: cost angles, ``(layers,)``.
        betas: mixer angles, ``(layers,)``.
        epsilon: distance kept from certainty, 0..0.5. At 0 a certain spin never moves; at 0.5 nothing of
            ``relaxed`` is left, and the circuit is the one with the transverse and complete mixers.
        cascade: order in which amplitude spreads within a group.

    Raises:
        ValueError: an argument is out of its range or has the wrong shape.
    """
    chances = start_probabilities(ising, relaxed, epsilon)
    return _build(ising, chances, cascade, *checked(gammas, betas))


def warm_start_ansatz(
    ising: Ising, relaxed: npt.ArrayLike, layers: int, *, epsilon: float = 0.25, cascade: Cascade = "tree"
) -> Ansatz:
    """Return the circuit of :func:`warm_start_circuit` with open angles, one gamma and one beta per layer."""
    return parametrised(partial(_build, ising, start_probabilities(ising, relaxed, epsilon), cascade), layers, layers)


def start_probabilities(ising: Ising, relaxed: npt.ArrayLike, epsilon: float) -> Floats:
    """Return the probability of -1 that each spin starts with, ``(spins,)``; those of a group sum to one.

    Free spins are clipped to ``epsilon .. 1 - epsilon``, as in the paper. Within a group of k the relaxed
    values are scaled to sum to one (all zero: equal shares) and mixed with equal shares,
    ``(1 - 2 epsilon) c + 2 epsilon / k``: for a known string and k = 2 that is the same.

    Raises:
        ValueError: ``relaxed`` is not one value in 0..1 for each spin, or epsilon not in 0..0.5.
    """
    values = np.asarray(relaxed, dtype=np.float64)
    if values.shape != (ising.spins,) or not ((values >= 0) & (values <= 1)).all():
        raise ValueError(f"relaxed: expected {ising.spins} values in 0..1, got {values.tolist()}")
    if not 0 <= epsilon <= 0.5:
        raise ValueError(f"epsilon: expected 0..0.5, got {epsilon}")
    chances = np.clip(values, epsilon, 1 - epsilon)
    for group in ising.groups:
        levels = list(group)
        total = values[levels].sum()
        shares = values[levels] / total if total > 0 else np.full(len(levels), 1 / len(levels))
        chances[levels] = (1 - 2 * epsilon) * shares + 2 * epsilon / len(levels)
    return chances


def _build(ising: Ising, chances: Floats, cascade: Cascade, gammas: Angles, betas: Angles) -> QuantumCircuit:
    circuit, terms, free = QuantumCircuit(ising.spins, name="warm_start"), cost_terms(ising), free_spins(ising)
    tilts = [(spin, float(2 * np.arcsin(np.sqrt(chances[spin])))) for spin in free]
    weights = [chances[list(group)].tolist() for group in ising.groups]
    for group, shares in zip(ising.groups, weights, strict=True):
        choose(circuit, group, shares, cascade)
    for spin, tilt in tilts:
        circuit.ry(tilt, spin)
    for gamma, beta in zip(gammas, betas, strict=True):
        add_cost(circuit, terms, gamma)
        for group, shares in zip(ising.groups, weights, strict=True):
            if len(group) > 1:
                mix(circuit, group, shares, cascade, beta)
        for spin, tilt in tilts:
            circuit.ry(-tilt, spin)
            circuit.rz(beta * -2.0, spin)
            circuit.ry(tilt, spin)
    return circuit
