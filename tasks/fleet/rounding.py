"""Which whole numbers of nodes come closest to the relaxation's? Few are not whole there, and those are chosen exactly.

A vertex of the relaxation has as many columns off their bounds as rows that bind, which is a handful beside thousands
of offers. So all others keep their values, and the rest, with the cheapest offers of each open region for repair, is a
small integer programme. It fails only where no such values keep all limits; then more columns are set free.
"""

import time
from dataclasses import replace

import numpy as np

from qiskit_solvers.errors import SolverFailed
from tasks.fleet.feasible import broken_limits
from tasks.fleet.model import Flags, FleetModel, Floats, Integers
from tasks.fleet.programme_sheet import Programme
from tasks.fleet.programme_solve import NoValues, Values, solve_whole
from tasks.fleet.service import Cut

SNAP = 1e-6
"""Within which a number of nodes counts as whole."""

MARGIN = 4e-6
"""By which rows are tightened where a solver's tolerance, and not a limit, was in the way; in nodes."""

REACH = (2, 8)
"""Nodes by which the repair may change an offer, try after try."""


def round_nodes(
    model: FleetModel, values: Values, *, until: float, gap: float, last_resort: bool = True
) -> tuple[Integers, tuple[Cut, ...]] | None:
    """Return nodes of each offer, ``(offers,)``, that keep all limits, and the cuts known then; None if none are found.

    Args:
        model: of the fleet.
        values: of the relaxation.
        until: by the monotonic clock.
        gap: relative, within which each try is solved.
        last_resort: whether all columns may change where the neighbourhood has nothing.
    """
    programme, cuts = values.programme, values.cuts
    tries = [*(_near(model, programme, values.columns, reach) for reach in REACH)]
    if last_resort:
        tries.append((programme, programme.whole))
    for narrowed, whole in tries:
        for tightened in (narrowed, _tightened(narrowed)):
            if time.monotonic() > until:
                return None
            try:
                found = solve_whole(model, tightened, cuts, whole, until, gap)
            except NoValues:
                break
            except SolverFailed:
                continue
            nodes = np.round(found.programme.nodes(found.columns)).astype(np.int64)
            cuts = found.cuts
            if not broken_limits(model, nodes):
                return nodes, cuts
    return None


def _near(model: FleetModel, programme: Programme, columns: Floats, reach: int) -> tuple[Programme, Flags]:
    """Return the programme with little freedom around ``columns``, and which of its columns must be whole."""
    nodes_end = programme.offers + programme.kept.size
    lower, upper = programme.lower.copy(), programme.upper.copy()
    value = columns[:nodes_end]
    near = np.round(value)
    odd = np.abs(value - near) > SNAP
    free = odd | _repair(model, programme, columns)
    if reach > min(REACH):
        free |= near > 0
    lower[:nodes_end] = np.where(free, np.maximum(lower[:nodes_end], np.floor(value + SNAP) - reach), near)
    upper[:nodes_end] = np.where(free, np.minimum(upper[:nodes_end], np.ceil(value - SNAP) + reach), near)
    lower[:nodes_end] = np.minimum(lower[:nodes_end], upper[:nodes_end])
    if programme.opened.size:
        place = slice(programme.open_at, programme.open_at + programme.opened.size)
        # the relaxation opens a region by the share of its quota that is used
        used = columns[place] > SNAP
        lower[place], upper[place] = 0.0, used.astype(np.float64)
    whole = np.zeros(columns.size, np.bool_)
    whole[:nodes_end] = free
    return replace(programme, lower=lower, upper=upper), whole | programme.binary


def _repair(model: FleetModel, programme: Programme, columns: Floats) -> Flags:
    """Return the columns that may mend what rounding breaks: the cheapest of each region in use, spot and not."""
    offers = programme.offers
    chosen = np.zeros(offers + programme.kept.size, np.bool_)
    used = np.bincount(model.region, programme.nodes(columns), minlength=len(model.fleet.regions)) > SNAP
    price = model.usd_per_h / model.capacity
    able = used[model.region] & (programme.upper[:offers] >= columns[:offers] + 1.0)
    order = np.lexsort((price, model.spot, model.region))
    order = order[able[order]]
    group = model.region[order] * 2 + model.spot[order]
    _, first = np.unique(group, return_index=True)
    chosen[order[first]] = True
    return chosen


def _tightened(programme: Programme) -> Programme:
    """Return ``programme`` with rows that are limits tightened by more than the solver's tolerance."""
    limits = np.array([bool(name) and name not in ("max_regions", "changed_nodes") for name in programme.limit])
    loose = limits & (programme.low < programme.high)
    low, high = programme.low + np.where(loose, MARGIN, 0.0), programme.high - np.where(loose, MARGIN, 0.0)
    return replace(programme, low=low, high=high)
