"""Which state does QAOA with the transverse mixer prepare, over all ``2**spins`` strings?

The circuit is that of Farhi, Goldstone and Gutmann 2014, arXiv:1411.4028: the mixer is ``exp(i beta X)`` on
every spin.
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from qiskit_solvers.ising import Floats, Indices, Ising, diagonal, strings_of
from qiskit_solvers.simulate import state
from qiskit_solvers.simulation.space import Amplitudes, Slope


@dataclass(frozen=True, slots=True, eq=False)
class FullSpace:
    """All strings of a model.

    Args:
        ising: the model; its groups do not bind here.
    """

    ising: Ising
    costs: Floats = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "costs", diagonal(self.ising))

    @property
    def size(self) -> int:
        """Number of strings."""
        return int(self.costs.size)

    def state(self, gammas: Floats, betas: Floats) -> Amplitudes:
        """Return the amplitudes."""
        return state(self.ising, gammas, betas)

    def probabilities(self, gammas: Floats, betas: Floats) -> Floats:
        """Return the probabilities."""
        amplitudes = self.state(gammas, betas)
        return np.asarray(amplitudes.real**2 + amplitudes.imag**2, dtype=np.float64)

    def energy(self, gammas: Floats, betas: Floats) -> float:
        """Return the expected energy."""
        return float(self.probabilities(gammas, betas) @ self.costs)

    def slope(self, gammas: Floats, betas: Floats, observable: Floats | None = None) -> Slope:
        """Return the expectation and its derivatives, by central differences until the adjoint pass is there."""
        seen = self.costs if observable is None else observable
        angles = np.concatenate([gammas, betas])
        half = gammas.size

        def value(at: Floats) -> float:
            return float(self.probabilities(at[:half], at[half:]) @ seen)

        step = 1e-5 * np.eye(angles.size)
        slopes = np.array([(value(angles + d) - value(angles - d)) / 2e-5 for d in step])
        return Slope(value(angles), slopes[:half], slopes[half:])

    def strings(self, indices: Indices) -> npt.NDArray[np.int8]:
        """Return the strings."""
        return strings_of(indices, self.ising.spins)
