"""Which circuit follows a quantum annealing schedule?

The Hamiltonian ``H(t) = b(t) (E - offset) - a(t) sum_i X_i``, constant within each step, is split into cost and mixer:
Trotter 1959, doi 10.1090/S0002-9939-1959-0108732-6, or symmetrically Strang 1968, doi 10.1137/0705041. Kadowaki and
Nishimori 1998, doi 10.1103/PhysRevE.58.5355, for the annealing itself. The result is the transverse circuit at other
angles.
"""

from typing import Literal

import numpy as np
import numpy.typing as npt
from qiskit import QuantumCircuit

from qiskit_solvers.circuits.transverse import transverse_circuit
from qiskit_solvers.ising import Floats, Ising


def trotter_angles(
    mixing: npt.ArrayLike, cost: npt.ArrayLike, step: npt.ArrayLike, *, order: Literal[1, 2] = 2
) -> tuple[Floats, Floats]:
    """Return the gammas and betas, ``(steps,)`` each, that follow a schedule.

    The second order costs no gate more: each mixer is shared by its two neighbouring steps, and the first half
    of the first one leaves |+> as it is.

    Args:
        mixing: ``a`` in each step, ``(steps,)``.
        cost: ``b`` in each step, ``(steps,)``.
        step: duration of each step, ``(steps,)`` or one for all, in units of 1 / energy.
        order: error per unit of time, in powers of the step.

    Raises:
        ValueError: the shapes differ or a number is not finite.
    """
    a, b = np.asarray(mixing, dtype=np.float64), np.asarray(cost, dtype=np.float64)
    dt = np.asarray(step, dtype=np.float64)
    if a.ndim != 1 or a.shape != b.shape or dt.shape not in {(), a.shape}:
        shapes = f"{a.shape}, {b.shape} and {dt.shape}"
        raise ValueError(f"mixing, cost, step: expected (steps,), (steps,) and (steps,) or one step, got {shapes}")
    if not (np.isfinite(a).all() and np.isfinite(b).all() and np.isfinite(dt).all()):
        raise ValueError("mixing, cost, step: expected finite numbers, got NaN or infinity")
    gammas, betas = dt * b, dt * a
    if order == 2:
        betas = (betas + np.append(betas[1:], 0.0)) / 2
    return gammas, betas


def trotter_circuit(
    ising: Ising, mixing: npt.ArrayLike, cost: npt.ArrayLike, step: npt.ArrayLike, *, order: Literal[1, 2] = 2
) -> QuantumCircuit:
    """Return the circuit that follows a schedule; arguments as for :func:`trotter_angles`.

    The model's groups do not bind here.
    """
    return transverse_circuit(ising, *trotter_angles(mixing, cost, step, order=order))
