"""What keeps a fleet from serving its users? What is short of what, and which single limit would have to give way.

The relaxation is solved again with one kind of limit made elastic at a time (Chinneck 2008, doi
10.1007/978-0-387-74932-7): first demand, which tells how much cannot be served and which limits hold it back, then each
other limit by itself. Where one suffices, the message gives the value that it would have to have.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import coo_array, csr_array, hstack

from data.errors import PlanRefused
from qiskit_solvers.errors import SolverFailed
from tasks.fleet.elastic_kinds import Elastic, elastic_kinds, shed
from tasks.fleet.model import FleetModel, Floats
from tasks.fleet.programme_rows import write_programme
from tasks.fleet.programme_sheet import Programme, with_cuts
from tasks.fleet.programme_solve import MOST_ROUNDS, NoValues, Values, missing_cut, solve_linear
from tasks.fleet.service import Cut, first_cuts

SECONDS = 60.0
"""After which no further limit is tried."""


@dataclass(frozen=True, slots=True)
class Shortage:
    """What is short, or what would do instead.

    Args:
        limit: ``demand``, ``quota`` or a field of ``FleetLimits``.
        detail: in words.
    """

    limit: str
    detail: str


class NoFleet(PlanRefused):
    """No nodes keep all limits.

    Args:
        fleet: its name.
        shortages: what is short first, then what would do instead.
    """

    def __init__(self, fleet: str, shortages: Sequence[Shortage]) -> None:
        self.shortages = tuple(shortages)
        lines = "\n".join(f"  {each.detail}" for each in self.shortages)
        super().__init__(f"fleet {fleet}: no nodes keep all limits\n{lines}")


def no_fleet(model: FleetModel, *, seconds: float = SECONDS) -> NoFleet:
    """Return the error that says what is short, and what would do."""
    until = time.monotonic() + seconds
    found: list[Shortage] = []
    for elastic in (shed(model), *elastic_kinds(model)):
        if time.monotonic() > until:
            break
        try:
            values = _stretched(model, elastic, until)
        except (NoValues, SolverFailed):
            continue
        amounts = values.columns[-elastic.cost.size :]
        if float(elastic.cost @ amounts) <= 1e-7:
            detail = "broken numbers of nodes would keep all limits, whole ones do not: quotas or demand are too small"
            return NoFleet(model.fleet.name, [Shortage("demand", detail)])
        found.extend(Shortage(limit, detail) for limit, detail in elastic.told(values, amounts))
    if not found:
        found.append(Shortage("demand", "limits contradict one another even without any demand"))
    return NoFleet(model.fleet.name, found)


def _stretched(model: FleetModel, elastic: Elastic, until: float) -> Values:
    """Return the values that stretch ``elastic`` least, its amounts in the last columns."""
    cuts: tuple[Cut, ...] = tuple(first_cuts(model))
    base = write_programme(model, (), opened=model.limits.max_regions is not None)
    extra = elastic.cost.size
    programme = replace(
        base,
        cost=np.concatenate([np.zeros(base.cost.size), elastic.cost]),
        lower=np.concatenate([base.lower, np.zeros(extra)]),
        upper=np.concatenate([base.upper, elastic.upper]),
        rows=hstack([base.rows, elastic.on_rows(base)]).tocsr(),
    )
    programme = _with_cuts(programme, model, cuts, elastic.on_cut)
    for _ in range(MOST_ROUNDS):
        values = solve_linear(programme, cuts, until)
        stretched = elastic.stretched(values.columns[-extra:])
        cut = missing_cut(stretched, programme.capacity(values.columns, len(model.fleet.regions)))
        if cut is None:
            return values
        programme, cuts = _with_cuts(programme, model, (cut,), elastic.on_cut), (*cuts, cut)
    raise SolverFailed(f"service needs more than {MOST_ROUNDS} rounds of cuts")


def _with_cuts(
    programme: Programme, model: FleetModel, cuts: Sequence[Cut], on_cut: Callable[[Cut, float], Floats]
) -> Programme:
    """Return ``programme`` with ``cuts``, whose elastic columns are the last."""
    longer = with_cuts(programme, model, cuts)
    value = np.array([on_cut(cut, programme.unit) for cut in cuts])
    row, column = np.nonzero(value)
    first_row, first_column = programme.low.size, longer.cost.size - value.shape[1]
    place = (row + first_row, column + first_column)
    added = coo_array((value[row, column], place), shape=longer.rows.shape)
    return replace(longer, rows=csr_array(longer.rows + added.tocsr()))
