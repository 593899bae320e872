"""What do delay, lateness, energy and carbon cost? A snapshot's tables as what the compiled parts weigh."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from data.schemas.cluster import Limits, Snapshot
from tasks.problems.power_budget import budget_mj
from tasks.problems.power_tables import Tables, rows
from tasks.problems.power_work import Floats, Work

HOURS_PER_OVERLOAD_KWH = 1000.0
"""One kWh above the cap costs as much as delaying every job by this many hours: relief always pays."""

LATE = 10.0
"""An hour after its deadline costs a job as much as this many hours of waiting."""


@dataclass(frozen=True, slots=True, eq=False)
class Accounts:
    """What a snapshot asks to be told beside peak, overload, energy and completion.

    Args:
        margins: some job's draw is given with a quantile.
        deadlines: some job has one.
        energy_budget_kwh: what the energy of all jobs is limited to, if it is.
        prices_usd_per_kwh: by slot from the snapshot on, the last holding on; empty where one price holds.
        carbon_g_per_kwh: likewise; empty where nobody asks.
    """

    margins: bool
    deadlines: bool
    energy_budget_kwh: float | None
    prices_usd_per_kwh: tuple[float, ...]
    carbon_g_per_kwh: tuple[float, ...]

    def rates(self, slots: int) -> tuple[tuple[str, str, Floats], ...]:
        """Return name, unit and rate per kWh, ``(slots,)``, of each figure that goes by energy."""
        made: list[tuple[str, str, Floats]] = []
        if self.prices_usd_per_kwh:
            made.append(("power.energy_usd", "USD", held_on(self.prices_usd_per_kwh, slots)))
        if self.carbon_g_per_kwh:
            made.append(("power.carbon_kg", "kg", held_on(self.carbon_g_per_kwh, slots) / 1e3))
        return tuple(made)


def accounts_of(snapshot: Snapshot) -> Accounts:
    """Return what ``snapshot`` asks for."""
    return Accounts(
        margins=any(job.gpu_power_high_w is not None for job in snapshot.jobs),
        deadlines=any(job.deadline_s is not None for job in snapshot.jobs),
        energy_budget_kwh=snapshot.limits.energy_budget_kwh,
        prices_usd_per_kwh=snapshot.limits.energy_prices_usd_per_kwh,
        carbon_g_per_kwh=snapshot.limits.carbon_g_per_kwh,
    )


def held_on(values: Sequence[float], slots: int) -> Floats:
    """Return the first ``slots`` values, the last of them repeated where there are fewer, ``(slots,)``."""
    given = np.array(values[:slots], dtype=np.float64)
    return np.append(given, np.full(slots - given.size, given[-1]))


def energy_rates(limits: Limits) -> Floats:
    """Return what a kWh costs with its carbon, USD, one for each slot, ``(rates,)``; the last holds on."""
    count = max(1, len(limits.energy_prices_usd_per_kwh), len(limits.carbon_g_per_kwh))
    usd = held_on(limits.energy_prices_usd_per_kwh or (limits.energy_price_usd_per_kwh,), count)
    if limits.carbon_g_per_kwh and limits.carbon_price_usd_per_kg:
        usd = usd + held_on(limits.carbon_g_per_kwh, count) / 1e3 * limits.carbon_price_usd_per_kg
    return usd


def posed(snapshot: Snapshot, tables: Tables) -> tuple[Work, float]:
    """Return what the compiled parts read, and the cost of one mW above a cap during one slot."""
    limits, count = snapshot.limits, len(snapshot.jobs)
    weight = np.array([job.priority * job.gpus for job in snapshot.jobs], dtype=np.float64)
    slot_h = limits.slot_s / 3600
    overload = HOURS_PER_OVERLOAD_KWH * float(weight.sum()) * 1e-6 * slot_h
    usd = energy_rates(limits)
    same = bool((usd == usd[0]).all())
    own = weight[:, None] * tables.seconds / 3600 + (float(usd[0]) * tables.energy_kwh if same else 0.0)
    sites = tables.sites
    if sites.limited:
        own += overload * (sites.excess_mw * tables.duration)
    due_s = [np.inf if job.deadline_s is None else job.deadline_s for job in snapshot.jobs]
    work = Work(
        levels=tables.levels,
        duration=tables.duration,
        draw=tables.draw_mw,
        own=own,
        delay=weight * limits.slot_s / 3600,
        earliest=tables.earliest,
        running=tables.running,
        needs=tables.needs,
        pool=tables.pool,
        before_first=rows(tables.edges, count, 0)[0],
        before=rows(tables.edges, count, 0)[1],
        after_first=rows(tables.edges, count, 1)[0],
        after=rows(tables.edges, count, 1)[1],
        site_room=sites.room_mw,
        site_first=sites.first,
        site=sites.site,
        site_draw=sites.draw_mw,
        site_jobs_first=sites.jobs_first,
        site_jobs=sites.jobs,
        due=np.array(due_s, dtype=np.float64) / limits.slot_s,
        slow=tables.slow_s / limits.slot_s,
        late=LATE * weight * slot_h,
        run=tables.seconds / limits.slot_s,
        kwh=np.asarray(tables.mean_mw * (1e-6 * slot_h), dtype=np.float64),
        tariff=np.zeros(0) if same else np.concatenate(([0.0], np.cumsum(usd))),
        spend=tables.energy_mj - tables.energy_mj.min(axis=1, keepdims=True),
        budget=budget_mj(limits.energy_budget_kwh, tables),
        over_budget=np.array([overload / limits.slot_s]),  # as much as a mJ above the cap
    )
    return work, overload
