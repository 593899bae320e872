"""How does a machine that only measures find the slope of an expectation?

Mitarai, Negoro, Kitagawa and Fujii 2018, doi 10.1103/PhysRevA.98.032309, and Schuld, Bergholm, Gogolin, Izaac and
Killoran 2019, doi 10.1103/PhysRevA.99.032331: an angle of a rotation ``exp(-i t P / 2)``, P a Pauli, has the slope
``(f(t + pi/2) - f(t - pi/2)) / 2``. This is exact, no difference quotient, so noise is not blown up by a small step.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from qiskit_solvers.variational.kernels import Floats


def shifted(angles: npt.ArrayLike) -> Floats:
    """Return the sets of angles to evaluate, ``(2 * angles.size, *angles.shape)``: each angle up, then each down."""
    centre = np.asarray(angles, dtype=np.float64)
    steps = (np.pi / 2 * np.eye(centre.size)).reshape(centre.size, *centre.shape)
    return np.concatenate((centre + steps, centre - steps))


def slopes(evaluate: Callable[[Floats], npt.ArrayLike], angles: npt.ArrayLike) -> Floats:
    """Return the slope by each angle, of the shape of ``angles``.

    Args:
        evaluate: returns the expectation at each set of angles, ``(sets, *angles.shape)`` to ``(sets,)``; all sets come
            at once, so that a machine takes them as one job.
        angles: where; each in a rotation of its own.

    Raises:
        ValueError: ``evaluate`` returned another number of expectations.
    """
    sets = shifted(angles)
    found = np.asarray(evaluate(sets), dtype=np.float64)
    if found.shape != (len(sets),):
        raise ValueError(f"evaluate: expected {len(sets)} expectations, got shape {found.shape}")
    up, down = np.split(found, 2)
    return (0.5 * (up - down)).reshape(np.shape(angles))
