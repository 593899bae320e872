"""Which angles need no search? Linear ramps: the cost angle rises, the mixer angle falls, layer by layer.

Linear-ramp QAOA: Montanez-Barrera and Michielsen 2025, arXiv:2405.09169.
"""

import numpy as np

from qiskit_solvers.angles.fixed import shipped
from qiskit_solvers.angles.schedule import Family, Schedule, midpoints


def ramp(layers: int, cost_angle: float, mixer_angle: float) -> Schedule:
    """Return the ramp whose cost angle rises from 0 to ``cost_angle`` as its mixer angle falls to 0.

    Args:
        layers: of the circuit; each takes the angles at its midpoint.
        cost_angle: end of the rising ramp, in 1 / standard deviation of the energy.
        mixer_angle: start of the falling ramp, radians.

    Raises:
        ValueError: ``layers`` is negative, or an angle is not finite.
    """
    if layers < 0:
        raise ValueError(f"layers: expected at least 0, got {layers}")
    at = midpoints(layers)
    return Schedule(np.asarray(cost_angle * at), np.asarray(mixer_angle * (1.0 - at)))


def tuned_ramp(layers: int, family: Family) -> Schedule:
    """Return the ramp with the end angles that served ``family`` best at this depth.

    Args:
        layers: of the circuit. Tuned at 10, 20, 30, 60 and 100; in between the end angles are interpolated in the
            logarithm of the depth, beyond they stay.
        family: the mixer.

    Raises:
        ValueError: ``layers`` is negative, or the family is unknown.
    """
    ends = shipped(family).ramps
    depths = np.log([end.layers for end in ends])
    at = np.log(max(layers, 1))
    return ramp(
        layers,
        float(np.interp(at, depths, [end.cost_angle for end in ends])),
        float(np.interp(at, depths, [end.mixer_angle for end in ends])),
    )
