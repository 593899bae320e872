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

    Median probability of the optimum over 40 models that :mod:`.derive` did not train on, 1: windows of 14 moves,
    one pair in ten in conflict; 2: 3-regular MaxCut of 14 vertices; 3: 8 items in 3 bins; 4: 6 items in 4 bins; and,
    where one is shipped, that of the schedule which was trained from the ramp (:func:`.fixed`):

    ======  ============  ============  ============  ============
    layers  1             2             3             4
    ======  ============  ============  ============  ============
    10      0.26 (0.32)   0.37 (0.35)   0.11 (0.15)   0.11 (0.16)
    20      0.52 (0.61)   0.61 (0.66)   0.25 (0.38)   0.24 (0.34)
    30      0.70 (0.76)   0.72 (0.74)   0.39 (0.51)   0.35 (0.47)
    60      0.86          0.88          0.61          0.60
    100     0.95          0.92          0.79          0.76
    ======  ============  ============  ============  ============

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
