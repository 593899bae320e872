"""Which state does QAOA prepare when it never leaves the strings that choose one option per group?

The space is a product of factors: each one-hot group is a factor with one level per member, each free spin a
factor with two. With a start in the uniform superposition (a W state per group, |+> per free spin) and a mixer
that keeps each group one-hot (Hadfield et al. 2019, doi 10.3390/a12020034; Wang, Rubin, Dominy and Rieffel 2020,
doi 10.1103/PhysRevA.101.012320), nothing else is ever reached: 7 groups of 8 are 56 qubits in 2.1 million
amplitudes.
"""

import math
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from qiskit_solvers.errors import TooLarge
from qiskit_solvers.ising import Floats, Indices, Ising
from qiskit_solvers.simulation.space import Amplitudes, Slope

Mixer = Literal["complete", "grover"]
Precision = Literal["double", "single"]


@dataclass(frozen=True, slots=True, eq=False)
class Factors:
    """The product space of a model and its energy in it.

    Level ``first[f] + c`` is option ``c`` of factor ``f``; string number ``sum_f c_f strides[f]`` chooses ``c_f``
    everywhere and costs ``constant + sum_f fields[l_f] + sum_{f<g} couplings[l_f, l_g]`` with ``l`` its levels.
    Groups come first, as given, then free spins, ascending; a free spin is +1 at option 0.

    Args:
        sizes: options of each factor, ``(factors,)``.
        strides: ``(factors,)``.
        first: first level of each factor, ``(factors + 1,)``.
        spins: the spin that is -1 at a level, -1 for none, ``(levels,)``.
        constant: in energy.
        fields: ``(levels,)``.
        couplings: symmetric, ``(levels, levels)``; entries within a factor mean nothing.
    """

    sizes: Indices
    strides: Indices
    first: Indices
    spins: Indices
    constant: float
    fields: Floats
    couplings: Floats


def factors_of(ising: Ising) -> Factors:
    """Return the factors of a model; with ``x = (1 - s) / 2`` its energy is a sum over the spins that are -1."""
    grouped = {spin for group in ising.groups for spin in group}
    free = [spin for spin in range(ising.spins) if spin not in grouped]
    members = [*ising.groups, *((-1, spin) for spin in free)]
    sizes = np.array([len(group) for group in members], dtype=np.int64)
    spins = np.array([spin for group in members for spin in group], dtype=np.int64)
    J = ising.couplings + ising.couplings.T
    linear = np.append(-2 * ising.h - 2 * J.sum(axis=1), 0.0)  # the last entry is that of "no spin", -1
    quadratic = np.pad(4 * J, (0, 1))
    return Factors(
        sizes=sizes,
        strides=np.concatenate([[1], np.cumprod(sizes)])[: sizes.size].astype(np.int64),
        first=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        spins=spins,
        constant=float(ising.offset + ising.h.sum() + J.sum() / 2),
        fields=linear[spins],
        couplings=quadratic[np.ix_(spins, spins)],
    )


def bytes_needed(ising: Ising, precision: Precision = "double") -> int:
    """Return the most bytes that a :class:`Subspace` of this model holds at once: the costs and two states."""
    grouped = sum(len(group) for group in ising.groups)
    size = math.prod(len(group) for group in ising.groups) << (ising.spins - grouped)
    return size * (8 + 2 * (16 if precision == "double" else 8))


@dataclass(frozen=True, slots=True, eq=False)
class Subspace:
    """The feasible strings of a model with one-hot groups.

    The ``complete`` mixer is ``exp(i (2 beta / k) (A - 1))`` on each factor of ``k`` levels, A the all-ones matrix:
    the XY mixer on the complete graph, and ``exp(i beta X)`` on a free spin, where k = 2. The ``grover`` mixer is
    ``exp(i beta |s><s|)`` with s the uniform superposition of all feasible strings (Bartschi and Eidenbenz 2020,
    arXiv:2006.00354).

    Args:
        ising: the model.
        precision: of the amplitudes; energies and costs are always double.
        mixer: which mixer.
        max_bytes: limit on :func:`bytes_needed`.

    Raises:
        TooLarge: the model would need more than ``max_bytes``; raised before anything is allocated.
    """

    ising: Ising
    precision: Precision = "double"
    mixer: Mixer = "complete"
    max_bytes: int = 2 << 30
    factors: Factors = field(init=False)
    costs: Floats = field(init=False)

    def __post_init__(self) -> None:
        if self.precision not in ("double", "single"):
            raise ValueError(f"precision: expected 'double' or 'single', got {self.precision!r}")
        if self.mixer not in ("complete", "grover"):
            raise ValueError(f"mixer: expected 'complete' or 'grover', got {self.mixer!r}")
        needed = bytes_needed(self.ising, self.precision)
        if needed > self.max_bytes:
            raise TooLarge(f"subspace: {needed} bytes needed, {self.max_bytes} allowed")
        object.__setattr__(self, "factors", factors_of(self.ising))
        object.__setattr__(self, "costs", _costs(self.factors))

    @property
    def size(self) -> int:
        """Number of feasible strings."""
        return int(self.costs.size)

    def state(self, gammas: Floats, betas: Floats) -> Amplitudes:
        """Return the amplitudes after all layers, ``(size,)``; angles ``(layers,)``, gammas in 1 / energy."""
        _check(gammas, betas)
        amplitudes = np.full(self.size, self.size**-0.5, dtype=self._complex)
        for gamma, beta in zip(gammas, betas, strict=True):
            amplitudes *= self._phase(gamma)
            amplitudes = self._mix(amplitudes, beta)
        return amplitudes

    def probabilities(self, gammas: Floats, betas: Floats) -> Floats:
        """Return the probability of every string, ``(size,)``, summing to one."""
        amplitudes = self.state(gammas, betas)
        return np.asarray(amplitudes.real**2 + amplitudes.imag**2, dtype=np.float64)

    def energy(self, gammas: Floats, betas: Floats) -> float:
        """Return the expected energy, offset included."""
        return float(self.probabilities(gammas, betas) @ self.costs)

    def slope(self, gammas: Floats, betas: Floats, observable: Floats | None = None) -> Slope:
        """Return the expectation of a diagonal observable, ``(size,)``, and all its derivatives.

        Without an observable it is the energy. Adjoint differentiation (Jones and Gacon 2020, arXiv:2009.02823).
        """
        seen = self.costs if observable is None else observable
        if seen.shape != (self.size,):
            raise ValueError(f"observable: expected shape ({self.size},), got {seen.shape}")
        right = self.state(gammas, betas)
        left = right * seen
        value = float(np.vdot(right, left).real)
        by_gamma, by_beta = np.zeros(gammas.size), np.zeros(betas.size)
        for layer in reversed(range(gammas.size)):
            by_beta[layer] = -2 * np.vdot(left, self._generator(right)).imag
            left, right = self._mix(left, -betas[layer]), self._mix(right, -betas[layer])
            by_gamma[layer] = 2 * np.vdot(left, (self.costs - self.ising.offset) * right).imag
            undo = self._phase(-gammas[layer])
            left, right = left * undo, right * undo
        return Slope(value, by_gamma, by_beta)

    def sample(self, gammas: Floats, betas: Floats, shots: int, rng: np.random.Generator) -> Indices:
        """Return the numbers of the strings that ``shots`` measurements see, ``(shots,)``, in the order seen."""
        if shots < 0:
            raise ValueError(f"shots: expected 0 or more, got {shots}")
        cumulative = self.probabilities(gammas, betas)
        np.cumsum(cumulative, out=cumulative)
        drawn = np.searchsorted(cumulative, rng.random(shots) * cumulative[-1], side="right")
        return np.minimum(drawn, self.size - 1).astype(np.int64)

    def strings(self, indices: Indices) -> npt.NDArray[np.int8]:
        """Return the spin strings ``(indices, spins)`` with these numbers."""
        if indices.size and not (indices.min() >= 0 and indices.max() < self.size):
            raise ValueError(f"indices: expected 0 to {self.size - 1}, got {indices.min()} to {indices.max()}")
        choices = indices[:, None] // self.factors.strides % self.factors.sizes
        chosen = self.factors.spins[self.factors.first[:-1] + choices]
        strings = np.ones((indices.size, self.ising.spins + 1), dtype=np.int8)
        strings[np.arange(indices.size)[:, None], chosen] = -1  # "no spin" falls into the last column
        return np.ascontiguousarray(strings[:, :-1])

    @property
    def _complex(self) -> type:
        return np.complex128 if self.precision == "double" else np.complex64

    def _phase(self, gamma: float) -> Amplitudes:
        return np.exp(-1j * gamma * (self.costs - self.ising.offset)).astype(self._complex)

    def _generator(self, amplitudes: Amplitudes) -> Amplitudes:
        """Return the mixer's generator H, as in ``exp(i beta H)``, applied."""
        if self.mixer == "grover":
            return np.full(self.size, amplitudes.mean(), dtype=amplitudes.dtype)
        out = np.zeros_like(amplitudes)
        for k, s in zip(self.factors.sizes, self.factors.strides, strict=True):
            view = amplitudes.reshape(-1, k, s)
            out += (2 / k * (view.sum(axis=1, keepdims=True) - view)).reshape(-1)
        return out

    def _mix(self, amplitudes: Amplitudes, beta: float) -> Amplitudes:
        if self.mixer == "grover":
            return (amplitudes + (np.exp(1j * beta) - 1) * amplitudes.mean()).astype(self._complex)
        for k, s in zip(self.factors.sizes, self.factors.strides, strict=True):
            view = amplitudes.reshape(-1, k, s)
            spread = (np.exp(2j * beta) - 1) / k * view.sum(axis=1, keepdims=True)
            amplitudes = (np.exp(-2j * beta / k) * (view + spread)).reshape(-1).astype(self._complex)
        return amplitudes


def _costs(factors: Factors) -> Floats:
    """Return the energy of every string, ``(size,)``, factor by factor."""
    costs = np.full(1, factors.constant)
    for f, k in enumerate(factors.sizes):
        levels = slice(factors.first[f], factors.first[f] + k)
        seen = factors.fields[levels][:, None]
        for g in range(f):
            others = slice(factors.first[g], factors.first[g + 1])
            seen = (seen[:, None, :] + factors.couplings[levels, others][:, :, None]).reshape(k, -1)
        costs = (costs + seen).reshape(-1)
    return costs


def _check(gammas: Floats, betas: Floats) -> None:
    if gammas.shape != betas.shape or gammas.ndim != 1:
        raise ValueError(f"gammas, betas: expected two equal shapes (layers,), got {gammas.shape} and {betas.shape}")
    if not (np.isfinite(gammas).all() and np.isfinite(betas).all()):
        raise ValueError("gammas, betas: expected finite numbers, got NaN or infinity")
