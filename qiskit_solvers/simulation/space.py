"""What does a simulator of QAOA offer? The amplitudes of one circuit family, and what can be read off them."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from qiskit_solvers.ising import Floats, Indices

Amplitudes = npt.NDArray[Any]
"""complex64 or complex128, ``(size,)``."""


@dataclass(frozen=True, slots=True, eq=False)
class Slope:
    """An expectation value and its derivatives.

    Args:
        value: the expectation value.
        gammas: its derivatives by the cost angles, ``(layers,)``.
        betas: its derivatives by the mixer angles, ``(layers,)``.
    """

    value: float
    gammas: Floats
    betas: Floats


class StateSpace(Protocol):
    """The strings that a circuit can measure, numbered ``0 .. size - 1``, and the circuit's state over them.

    Each layer applies ``exp(-i gamma (E - offset))``, then the mixer with angle ``beta``. The start is the
    uniform superposition of all numbered strings, the mixer's state of highest eigenvalue, so growing gammas
    and falling betas (both positive) lead towards low energies.
    """

    @property
    def size(self) -> int:
        """Number of strings."""
        ...

    @property
    def costs(self) -> Floats:
        """Energy of each string, offset included, ``(size,)``."""
        ...

    def state(self, gammas: Floats, betas: Floats) -> Amplitudes:
        """Return the amplitudes after all layers, ``(size,)``; angles ``(layers,)``, gammas in 1 / energy."""
        ...

    def probabilities(self, gammas: Floats, betas: Floats) -> Floats:
        """Return the probability of every string, ``(size,)``, summing to one."""
        ...

    def energy(self, gammas: Floats, betas: Floats) -> float:
        """Return the expected energy, offset included."""
        ...

    def slope(self, gammas: Floats, betas: Floats, observable: Floats | None = None) -> Slope:
        """Return the expectation of a diagonal observable, ``(size,)``, and all its derivatives.

        Without an observable it is the energy. Adjoint differentiation: Jones and Gacon 2020, arXiv:2009.02823.
        """
        ...

    def strings(self, indices: Indices) -> npt.NDArray[np.int8]:
        """Return the spin strings ``(indices, spins)`` with these numbers."""
        ...


def checked_angles(gammas: Floats, betas: Floats) -> tuple[Floats, Floats]:
    """Return the angles as arrays of doubles.

    Raises:
        ValueError: the two schedules differ in length, or an angle is not finite.
    """
    gammas, betas = np.asarray(gammas, dtype=np.float64), np.asarray(betas, dtype=np.float64)
    if gammas.shape != betas.shape or gammas.ndim != 1:
        raise ValueError(f"gammas, betas: expected two equal shapes (layers,), got {gammas.shape} and {betas.shape}")
    if not (np.isfinite(gammas).all() and np.isfinite(betas).all()):
        raise ValueError("gammas, betas: expected finite angles, got NaN or infinity")
    return gammas, betas
