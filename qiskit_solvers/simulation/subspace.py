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

from qiskit_solvers import memory
from qiskit_solvers.errors import TooLarge
from qiskit_solvers.ising import Floats, Indices, Ising
from qiskit_solvers.one_hot import factors, strings_from_choices, tables
from qiskit_solvers.simulation import subspace_kernels as kernels
from qiskit_solvers.simulation.layout import Layout, bytes_used, laid_out
from qiskit_solvers.simulation.space import Amplitudes, Slope, checked_angles

Mixer = Literal["complete", "grover"]
Precision = Literal["double", "single"]


_BUILD = 40
"""Bytes for each pair of levels while the tables are built: four to five arrays at a time."""


def bytes_needed(ising: Ising, precision: Precision = "double") -> int:
    """Return the most bytes that a :class:`Subspace` of this model holds at once, but for samples and strings.

    That is the costs, two states (the amplitudes and their parts, or a state and the adjoint), the tables of its
    levels and the room that the layers take; or what building the tables takes, where that is more.
    """
    width = 8 if precision == "double" else 4
    sizes = [factor.levels for factor in factors(ising)] or [1]
    held = math.prod(sizes) * (8 + 4 * width) + bytes_used(sizes, width)
    return max(held, _BUILD * sum(sizes) ** 2)


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
    costs: Floats = field(init=False)
    layout: Layout = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.precision not in ("double", "single"):
            raise ValueError(f"precision: expected 'double' or 'single', got {self.precision!r}")
        if self.mixer not in ("complete", "grover"):
            raise ValueError(f"mixer: expected 'complete' or 'grover', got {self.mixer!r}")
        needed = bytes_needed(self.ising, self.precision)
        if needed > self.max_bytes:
            raise TooLarge(
                f"subspace: expected at most {self.max_bytes >> 20} MiB, needs {memory.mebibytes(needed)} MiB"
            )
        known = tables(self.ising)
        if known.singles.size:
            layout = laid_out(known.starts, known.constant, known.singles, known.pairs)
        else:  # no spins: one factor of one level
            layout = laid_out(np.arange(2), known.constant, np.zeros(1), np.zeros((1, 1)))
        costs, seen = np.empty(layout.strides[-1]), np.empty(layout.strides[-2])
        kernels.write_costs(layout, seen, costs)
        object.__setattr__(self, "layout", layout)
        object.__setattr__(self, "costs", costs)

    @property
    def size(self) -> int:
        """Number of feasible strings."""
        return int(self.costs.size)

    def state(self, gammas: Floats, betas: Floats) -> Amplitudes:
        """Return the amplitudes after all layers, ``(size,)``; angles ``(layers,)``, gammas in 1 / energy."""
        parts = self._evolved(gammas, betas)
        amplitudes = np.empty(self.size, dtype=np.complex128 if self.precision == "double" else np.complex64)
        amplitudes.real, amplitudes.imag = parts
        # what the kernel leaves out: the phase of string 0, and exp(-2 i beta / k) for each factor of k levels
        turned = -np.sum(gammas) * (self.layout.constant - self.ising.offset)
        if self.mixer == "complete":
            turned -= 2 * np.sum(betas) * np.sum(1 / self.layout.sizes[self.layout.sizes > 1])
        np.multiply(amplitudes, complex(np.exp(1j * turned)), out=amplitudes)  # a numpy scalar would be double
        return amplitudes

    def probabilities(self, gammas: Floats, betas: Floats) -> Floats:
        """Return the probability of every string, ``(size,)``, summing to one."""
        chances = np.empty(self.size)
        kernels.write_chances(self._evolved(gammas, betas), chances)
        return chances

    def energy(self, gammas: Floats, betas: Floats) -> float:
        """Return the expected energy, offset included."""
        return float(kernels.expectation(self._evolved(gammas, betas), self.costs, False))

    def slope(self, gammas: Floats, betas: Floats, observable: Floats | None = None) -> Slope:
        """Return the expectation of a diagonal observable, ``(size,)``, and all its derivatives.

        Without an observable it is the energy. Adjoint differentiation (Jones and Gacon 2020, arXiv:2009.02823).
        """
        seen = self.costs if observable is None else np.ascontiguousarray(observable, dtype=np.float64)
        if seen.shape != (self.size,):
            raise ValueError(f"observable: expected shape ({self.size},), got {seen.shape}")
        states = self._evolved(gammas, betas, states=2)
        value = float(kernels.expectation(states, seen, True))
        return Slope(value, *self._run(gammas, betas, states))

    def strings(self, indices: Indices) -> npt.NDArray[np.int8]:
        """Return the spin strings ``(indices, spins)`` with these numbers."""
        if indices.size and not (indices.min() >= 0 and indices.max() < self.size):
            raise ValueError(f"indices: expected 0 to {self.size - 1}, got {indices.min()} to {indices.max()}")
        choices = indices[:, None] // self.layout.strides[:-1] % self.layout.sizes
        return strings_from_choices(self.ising, choices[:, : len(factors(self.ising))])

    def _evolved(self, gammas: Floats, betas: Floats, states: int = 1) -> Amplitudes:
        """Return real and imaginary parts, ``(2 states, size)``, but for a global phase; the first state is set."""
        gammas, betas = checked_angles(gammas, betas)
        parts = np.empty((2 * states, self.size), dtype=np.float64 if self.precision == "double" else np.float32)
        parts[0], parts[1] = self.size**-0.5, 0.0
        self._run(gammas, betas, parts[:2])
        return parts

    def _run(self, gammas: Floats, betas: Floats, parts: Amplitudes) -> tuple[Floats, Floats]:
        """Apply the layers to one state, or undo them on two and return the derivatives."""
        gammas, betas = checked_angles(gammas, betas)
        slopes = np.zeros((2, gammas.size))
        angles = np.ascontiguousarray(gammas, dtype=np.float64), np.ascontiguousarray(betas, dtype=np.float64)
        room = kernels.phases(self.layout), kernels.room(self.layout, parts)
        kernels.run(self.layout, *angles, self.mixer == "grover", parts, *room, self.costs, slopes)
        return slopes[0], slopes[1]
