"""What does QAOA sample when it starts near a known string? Simulated in the product of the model's factors.

Egger, Marecek and Woerner 2021, arXiv:2009.10095, as :mod:`qiskit_solvers.circuits.warm_start` builds it: a
factor that starts in ``w`` is mixed by ``exp(2 i beta |w><w|)``. The angles are the shipped ones, scaled by the
best of a small grid for each model, since they were trained for the cold start.
"""

import functools
import itertools

import numpy as np

from qiskit_solvers import one_hot
from qiskit_solvers.angles.schedule import Schedule
from qiskit_solvers.circuits.warm_start import start_probabilities
from qiskit_solvers.ising import Ising, energies
from qiskit_solvers.solver import Spins
from tests.benchmarks.solver.intervals import Floats

_COST_SCALES, _MIXER_SCALES = (0.5, 1.0, 1.5, 2.0), (0.5, 1.0, 1.5)


def warm_probabilities(ising: Ising, costs: Floats, start: Spins, schedule: Schedule, epsilon: float) -> Floats:
    """Return the probability of every string, ``(size,)``, under the scaling with the lowest mean energy.

    Args:
        ising: the model.
        costs: energies of its strings, those of its groups where it has some, ``(size,)``.
        start: the known string, ``(spins,)``.
        schedule: in the units of the model.
        epsilon: distance kept from certainty.
    """
    chances = start_probabilities(ising, (1 - start) / 2, epsilon)
    factors = []
    for factor in one_hot.factors(ising):
        spins = list(factor.spins)
        levels = chances[spins] if not factor.free else np.array([1.0 - chances[spins[0]], chances[spins[0]]])
        factors.append(np.sqrt(levels))
    seen = [
        _probabilities(costs, factors, schedule.gammas * cost, schedule.betas * mixer)
        for cost, mixer in itertools.product(_COST_SCALES, _MIXER_SCALES)
    ]
    return min(seen, key=lambda probabilities: float(probabilities @ costs))


def descended(ising: Ising, start: Spins) -> Spins:
    """Return the local optimum that single changes reach from a feasible ``start``, steepest first."""
    here, energy = start, float(energies(ising, start)[0])
    while True:
        choices = one_hot.choices_from_strings(ising, here[None])[0]
        moves = []
        for number, factor in enumerate(one_hot.factors(ising)):
            for level in range(factor.levels):
                moved = choices.copy()
                moved[number] = level
                moves.append(moved)
        strings = one_hot.strings_from_choices(ising, np.array(moves))
        reached = energies(ising, strings)
        best = int(reached.argmin())
        if reached[best] >= energy - 1e-12 * abs(energy):
            return here
        here, energy = strings[best], float(reached[best])


def _probabilities(costs: Floats, factors: list[Floats], gammas: Floats, betas: Floats) -> Floats:
    state = functools.reduce(lambda low, high: np.kron(high, low), factors).astype(np.complex128)
    for gamma, beta in zip(gammas, betas, strict=True):
        state *= np.exp(-1j * gamma * costs)
        stride = 1
        for start in factors:
            block = state.reshape(-1, start.size, stride)
            overlap = np.einsum("ikj,k->ij", block, start)
            state = (block + np.expm1(2j * beta) * overlap[:, None, :] * start[:, None]).reshape(-1)
            stride *= start.size
    return np.asarray(state.real**2 + state.imag**2)
