"""What does a schedule measure? The published definitions of ``power.*``.

The model is that of :mod:`tasks.validation.timetable`, with the starts in force; slots count whole.

- ``peak_w``: largest draw of the cluster in a slot: background and the draw above idle of the jobs that run;
- ``overload_kwh``: sum over slots of what the jobs draw, at the limits' quantile, above the headroom; 0 without a
  power cap;
- ``energy_kwh``: sum over the slots of the horizon of the draw of the cluster;
- ``weighted_completion_h``: sum over jobs of priority * GPUs * (start in force + run time) / sum of priority * GPUs;
  a job that is not scheduled counts as starting at the horizon's end; 0 without jobs.

And where the snapshot asks for them:

- ``peak_high_w``, where a job has ``gpu_power_high_w``: as ``peak_w``, with the draw at the limits' quantile;
- ``site_overload_kwh``, where a node or the racks have a cap: sum over sites and slots of what jobs draw there above
  the site's room, and the excess of jobs without GPUs (:mod:`tasks.validation.sites`);
- ``jobs_energy_kwh``, where there is an energy budget: sum over jobs of draw above idle * run time, whole runs, also
  those that are not scheduled within the horizon;
- ``missed_deadlines``, where a job has a deadline: jobs that are late;
- ``energy_usd``, where prices are given by slot, and ``carbon_kg``, where carbon is: sum over the slots of the horizon
  of the cluster's energy times the slot's price or carbon, the last of them holding on.
"""

import math
from collections.abc import Iterator, Sequence

from data.schemas.cluster import Limits
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
    made = [
        Measure("power.peak_w", "W", peak_w, "lower"),
        Measure("power.overload_kwh", "kWh", overload, "lower"),
        Measure("power.energy_kwh", "kWh", energy, "lower"),
        Measure("power.weighted_completion_h", "h", ends / math.fsum(weights) if table.runs else 0.0, "lower"),
    ]
    jobs = [run.job for run in table.runs]
    if any(job.gpu_power_high_w is not None for job in jobs):
        high_w = table.background_w + float(table.high_mw().max()) / 1e3
        made.append(Measure("power.peak_high_w", "W", high_w, "lower"))
    if table.sites:
        above = sum(table.above_sites_mw()) + table.excess_mw()
        made.append(Measure("power.site_overload_kwh", "kWh", above * table.slot_s * _KWH_PER_MW_S, "lower"))
    if table.limits.energy_budget_kwh is not None:
        made.append(Measure("power.jobs_energy_kwh", "kWh", table.jobs_energy_kwh(), "lower"))
    if any(job.deadline_s is not None for job in jobs):
        made.append(Measure("power.missed_deadlines", "jobs", float(len(table.missed())), "lower"))
    for name, unit, per_kwh in _rates(table.limits):
        spent = 0.0
        for slot, milliwatts in enumerate(drawn.tolist()):
            kwh = (table.background_w + milliwatts / 1e3) * table.slot_s / 3.6e6
            spent += kwh * per_kwh[min(slot, len(per_kwh) - 1)]
        made.append(Measure(name, unit, spent, "lower"))
    return tuple(made)


def _rates(limits: Limits) -> Iterator[tuple[str, str, Sequence[float]]]:
    """Yield name and unit of each figure that goes by energy, and how much of it a kWh is in each slot."""
    if limits.energy_prices_usd_per_kwh:
        yield "power.energy_usd", "USD", limits.energy_prices_usd_per_kwh
    if limits.carbon_g_per_kwh:
        yield "power.carbon_kg", "kg", [grams / 1e3 for grams in limits.carbon_g_per_kwh]
