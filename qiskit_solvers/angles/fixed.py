"""Which angles serve most models, without any search? Schedules that are trained once and shipped.

One to five layers are for hardware. Those of 10, 20 and 30 layers are for simulators, where they find the
optimum more often than the tuned ramp of that depth on most families (figures: :func:`.tuned_ramp`).

That one schedule serves many models was seen for MaxCut on regular graphs by Wurtz and Lykov 2021, arXiv:2107.00677;
here the costs are scaled alike instead.
The file beside this one holds the schedules, the ramps, where they come from, and their figures on models that
they were not trained on; :mod:`.derive` writes it.
"""

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from types import MappingProxyType
from typing import get_args

from qiskit_solvers.angles.schedule import Family, Schedule, from_json

FILE = "schedules.json"


@dataclass(frozen=True, slots=True)
class RampEnds:
    """The end angles of a ramp that was tuned for one depth.

    Args:
        layers: the depth.
        cost_angle: in 1 / standard deviation of the energy.
        mixer_angle: in radians.
    """

    layers: int
    cost_angle: float
    mixer_angle: float


@dataclass(frozen=True, slots=True, eq=False)
class Shipped:
    """What the file holds for one family.

    Args:
        schedules: by their number of layers.
        ramps: the shallowest first.
    """

    schedules: Mapping[int, Schedule]
    ramps: tuple[RampEnds, ...]


def fixed(layers: int, family: Family) -> Schedule:
    """Return the shipped schedule for the standardised cost; :func:`.rescaled` fits it to a model.

    Args:
        layers: 1 to 5, 10, 20 or 30.
        family: the mixer.

    Raises:
        ValueError: no such schedule is shipped.
    """
    schedules = shipped(family).schedules
    if layers not in schedules:
        raise ValueError(f"layers: expected one of {sorted(schedules)}, got {layers}")
    return schedules[layers]


@functools.cache
def shipped(family: Family) -> Shipped:
    """Return what is shipped for a family.

    Raises:
        ValueError: the family is unknown.
    """
    if family not in get_args(Family):
        raise ValueError(f"family: expected one of {get_args(Family)}, got {family!r}")
    return read(resources.files("qiskit_solvers.angles").joinpath(FILE).read_text(encoding="utf-8"), family)


def read(text: str, family: Family) -> Shipped:
    """Return what a file's text holds for a family.

    Raises:
        ValueError: the text is not what :mod:`.derive` writes.
    """
    try:
        found = json.loads(text)[family]
        schedules = [from_json({name: one[name] for name in ("gammas", "betas")}) for one in found["schedules"]]
        ramps = [
            RampEnds(int(one["layers"]), float(one["cost_angle"]), float(one["mixer_angle"])) for one in found["ramps"]
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{FILE}: expected schedules and ramps of {family!r}, got {error!r}") from error
    for schedule in schedules:  # they are shared by all callers
        schedule.gammas.flags.writeable = schedule.betas.flags.writeable = False
    return Shipped(MappingProxyType({schedule.layers: schedule for schedule in schedules}), tuple(ramps))
