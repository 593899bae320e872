"""Which state does QAOA with the transverse mixer prepare, over all ``2**spins`` strings?

The circuit is that of Farhi, Goldstone and Gutmann 2014, arXiv:1411.4028: the mixer is ``exp(i beta X)`` on
every spin. Its state is computed without gates (:mod:`~qiskit_solvers.simulation.kernels`); derivatives come
from one pass back through the layers (adjoint differentiation, Jones and Gacon 2020, arXiv:2009.02823).
"""

import math
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from qiskit_solvers.errors import TooLarge
from qiskit_solvers.ising import Floats, Indices, Ising, diagonal, strings_of
from qiskit_solvers.simulation import kernels
from qiskit_solvers.simulation.space import Amplitudes, Slope, checked_angles

Precision = Literal["double", "single"]
Parts = npt.NDArray[Any]
"""Real and imaginary parts apart, float32 or float64, ``(2, size)``."""

_PHASE_BLOCK = 12  # spins whose phases are kept: 64 kB
_KEPT_BYTES = 1 << 28  # states kept for the way back; above this they are computed again
_LARGEST = 26  # the strides that are compiled end here


class _Layer(NamedTuple):
    """A layer as the kernels want it: the mixer is ``times`` rotations, and ``scale`` what they leave out."""

    gamma: float
    tangent: float
    times: int
    scale: float


@dataclass(frozen=True, slots=True, eq=False)
class FullSpace:
    """All strings of a model; number ``x`` is string ``x`` of :func:`~qiskit_solvers.ising.diagonal`.

    Args:
        ising: the model; its groups do not bind here.
        precision: of the amplitudes; energies from single precision are good to 1e-5 of their spread.
        max_bytes: of memory that may be used.

    Raises:
        TooLarge: more memory is needed, or more than 26 spins.
    """

    ising: Ising
    precision: Precision = "double"
    max_bytes: int = 1 << 31
    costs: Floats = field(init=False)
    _couplings: Floats = field(init=False, repr=False)
    _spare: list[Parts] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.precision not in ("double", "single"):
            raise ValueError(f"precision: expected double or single, got {self.precision!r}")
        needed = needed_bytes(self.ising.spins, self.precision)
        if needed > self.max_bytes or self.ising.spins > _LARGEST:
            raise TooLarge(
                f"state of {self.ising.spins} spins: expected at most {self.max_bytes >> 20} MB and {_LARGEST} spins, "
                f"needs {needed >> 20} MB"
            )
        object.__setattr__(self, "costs", diagonal(self.ising))
        object.__setattr__(self, "_couplings", np.ascontiguousarray(self.ising.couplings))
        object.__setattr__(self, "_spare", [])

    @property
    def size(self) -> int:
        """Number of strings."""
        return 1 << self.ising.spins

    def state(self, gammas: Floats, betas: Floats) -> Amplitudes:
        """Return the amplitudes, ``(size,)``, complex64 or complex128."""
        psi, scale = self._evolved(self._layers(gammas, betas))
        out = np.empty(self.size, np.complex64 if self.precision == "single" else np.complex128)
        kernels.unturned(psi, scale, out)
        self._spare.append(psi)
        return out

    def probabilities(self, gammas: Floats, betas: Floats) -> Floats:
        """Return the probability of every string, ``(size,)``."""
        psi, scale = self._evolved(self._layers(gammas, betas))
        out = np.empty(self.size)
        kernels.squares(psi, scale**2, out)
        self._spare.append(psi)
        return out

    def energy(self, gammas: Floats, betas: Floats) -> float:
        """Return the expected energy, offset included."""
        psi, scale = self._evolved(self._layers(gammas, betas))
        value = scale**2 * kernels.expectation(psi, self.costs)
        self._spare.append(psi)
        return float(value)

    def slope(self, gammas: Floats, betas: Floats, observable: Floats | None = None) -> Slope:
        """Return the expectation of a diagonal observable (the energy), ``(size,)``, and its derivatives."""
        seen = self.costs if observable is None else np.ascontiguousarray(observable, dtype=np.float64)
        if seen.shape != self.costs.shape:
            raise ValueError(f"observable: expected shape ({self.size},), got {seen.shape}")
        layers = self._layers(gammas, betas)
        by_gamma, by_beta = np.zeros(len(layers)), np.zeros(len(layers))
        kept: list[Parts] | None = [] if self._may_keep(len(layers)) else None
        right, scale = self._evolved(layers, kept)
        left = self._room()
        value = kernels.weigh(right, seen, scale**2, left)
        if kept is None:
            kernels.rescale(right, scale)
        spins, h = self.ising.spins, self.ising.h
        for number in range(len(layers) - 1, -1, -1):
            gamma, tangent, times, scale = layers[number]
            kernels.mix(left, left, spins, -tangent, times)
            if kept is None:
                kernels.mix(right, right, spins, -tangent, times)
                kernels.rescale(right, scale)
            else:
                self._spare.append(right)
                right = kept.pop()
            slopes = kernels.slopes(left, right, self.costs, spins)
            by_gamma[number], by_beta[number] = 2.0 * slopes[0], 2.0 * slopes[1]
            if number > 0:
                before = layers[number - 1].scale
                kernels.multiply_phases(left, h, self._couplings, -gamma, before, False, self._block)
                if kept is None:
                    kernels.multiply_phases(right, h, self._couplings, -gamma, 1.0, False, self._block)
        self._spare.extend((left, right))
        return Slope(float(value), by_gamma, by_beta)

    def strings(self, indices: Indices) -> npt.NDArray[np.int8]:
        """Return the strings ``(indices, spins)``.

        Raises:
            ValueError: there is no such number.
        """
        if indices.size and not 0 <= indices.min() <= indices.max() < self.size:
            raise ValueError(f"indices: expected 0 to {self.size - 1}, got {indices.min()} to {indices.max()}")
        return strings_of(indices, self.ising.spins)

    @property
    def _block(self) -> int:
        return min(self.ising.spins, _PHASE_BLOCK)

    def _layers(self, gammas: Floats, betas: Floats) -> list[_Layer]:
        gammas, betas = checked_angles(gammas, betas)
        return [
            _Layer(gamma, *_rotation(beta, self.ising.spins))
            for gamma, beta in zip(gammas.tolist(), betas.tolist(), strict=True)
        ]

    def _evolved(self, layers: list[_Layer], kept: list[Parts] | None = None) -> tuple[Parts, float]:
        """Return the state in the frame of real rotations, and the factor that it still lacks.

        Each layer's state between phases and mixer goes to ``kept``.
        """
        work, scale = self._room(), 2.0 ** (-self.ising.spins / 2)
        spins, h = self.ising.spins, self.ising.h
        for number, (gamma, tangent, times, left_out) in enumerate(layers or [_Layer(0.0, 0.0, 1, 1.0)]):
            kernels.multiply_phases(work, h, self._couplings, gamma, scale, number == 0, self._block)
            mixed = work
            if kept is not None:
                kept.append(work)
                mixed = self._room()
            kernels.mix(mixed, work, spins, tangent, times)
            work, scale = mixed, left_out
        return work, scale

    def _may_keep(self, layers: int) -> bool:
        """Return whether the states of so many layers, and the one that goes back, are within the limit."""
        one = needed_bytes(self.ising.spins, self.precision) - 8 * self.size
        left = self.max_bytes - 8 * self.size - 2 * one
        return layers * one <= min(left, _KEPT_BYTES)

    def _room(self) -> Parts:
        """Return room for a state: used room where there is some, since new pages cost a pass."""
        try:
            return self._spare.pop()
        except IndexError:
            return np.empty((2, self.size), np.float32 if self.precision == "single" else np.float64)


def _rotation(beta: float, spins: int) -> tuple[float, int, float]:
    """Return tangent, number and left out factor of the rotations of a mixer; the tangent is at most 1 in size."""
    rest = math.remainder(beta, math.pi)
    times = 1 if abs(rest) <= math.pi / 4 else 2
    flipped = round((beta - rest) / math.pi) * spins % 2  # a rotation by pi is -1 on each qubit
    return math.tan(rest / times), times, (-1.0 if flipped else 1.0) * math.cos(rest / times) ** (spins * times)


def needed_bytes(spins: int, precision: Precision) -> int:
    """Return the bytes that an energy needs: the energies of all strings, and one state."""
    return (1 << spins) * (8 + (8 if precision == "single" else 16))
