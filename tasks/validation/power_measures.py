"""What does a schedule measure? The published definitions of ``power.*``.

The model is that of :mod:`tasks.validation.timetable`, with the starts in force; slots count whole.

- ``peak_w``: largest draw of the cluster in a slot: background and the draw above idle of the jobs that run;
- ``overload_kwh``: sum over slots of what the jobs draw above the headroom; 0 without a power cap;
- ``energy_kwh``: sum over the slots of the horizon of the draw of the cluster;
- ``weighted_completion_h``: sum over jobs of priority * GPUs * (start in force + run time) / sum of priority * GPUs;
  a job that is not scheduled counts as starting at the horizon's end; 0 without jobs.
"""

import math

from tasks.validation.measure import Measure
from tasks.validation.timetable import Timetable

_KWH_PER_MW_S = 1e-6 / 3600


def power_measures(table: Timetable) -> tuple[Measure, ...]:
    """Return every ``power.*`` figure of a timetable."""
    drawn = table.drawn_mw()
    peak_w = table.background_w + float(drawn.max()) / 1e3
    overload = float(table.above_cap_mw().sum()) * table.slot_s * _KWH_PER_MW_S
    background = table.background_w * table.slots * table.slot_s / 3.6e6
    energy = background + float(drawn.sum()) * table.slot_s * _KWH_PER_MW_S
    weights = [run.job.priority * run.job.gpus for run in table.runs]
    ends = math.fsum(
        weight * (run.start * table.slot_s + run.seconds) / 3600
        for weight, run in zip(weights, table.runs, strict=True)
    )
    return (
        Measure("power.peak_w", "W", peak_w, "lower"),
        Measure("power.overload_kwh", "kWh", overload, "lower"),
        Measure("power.energy_kwh", "kWh", energy, "lower"),
        Measure("power.weighted_completion_h", "h", ends / math.fsum(weights) if table.runs else 0.0, "lower"),
    )
