"""How many machines where, so that what may be lost can be lost? A small exact programme, solved at every plan.

Whole machines, spot in zones that have any and on demand; rent, the rent of starting, and a price on demand that would
not be served after each set of zones is lost, by the chance of that set. Solved by HiGHS through scipy.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tasks.fleet_replay.hedge_risks import Risks

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Hedged:
    """Machines that are wanted.

    Args:
        spot: in each zone, ``(zones,)``.
        on_demand: anywhere.
        proven: whether the solver proved that there is nothing better; otherwise everything is on demand.
    """

    spot: Integers
    on_demand: int
    proven: bool


def hedge(
    needed: float,
    usable: Flags,
    risks: Risks,
    spot_usd: Floats,
    on_demand_usd: float,
    most: Integers,
    held: Integers,
    held_on_demand: int,
    *,
    unserved_usd: float,
    start_usd_share: float,
    most_starts: int | None = None,
) -> Hedged:
    """Return the cheapest machines.

    Args:
        needed: machines' worth.
        usable: zones that spot machines may be taken in, ``(zones,)``.
        risks: what may be lost.
        spot_usd: per hour in each zone, ``(zones,)``.
        on_demand_usd: per hour.
        most: spot machines to be had in each zone, ``(zones,)``.
        held: spot machines in each zone, ``(zones,)``.
        held_on_demand: machines.
        unserved_usd: price of an hour of one machine's worth that is not served.
        start_usd_share: rent of a machine that starting it costs, in hours spread over those that it is kept.
        most_starts: machines that may be started; None means any number.
    """
    from scipy.optimize import Bounds, LinearConstraint, milp

    zones, sets = len(usable), len(risks.chance)
    whole = zones + 1
    rent = np.append(spot_usd, on_demand_usd)
    # columns: machines of each zone and on demand, those of them that are started, what each set leaves unserved
    cost = np.concatenate([rent, start_usd_share * rent, unserved_usd * risks.chance])
    # dense: a hundred rows, for which building sparse blocks takes as long as solving
    serve = np.hstack([~risks.lost, np.ones((sets, 1)), np.zeros((sets, whole)), np.eye(sets)])
    begin = np.hstack([np.eye(whole), -np.eye(whole), np.zeros((whole, sets))])
    starts = np.concatenate([np.zeros(whole), np.ones(whole), np.zeros(sets)])
    at_most = np.inf if most_starts is None else float(most_starts)
    rules = LinearConstraint(
        np.vstack([serve, begin, starts]),
        np.concatenate([np.full(sets, needed), np.full(whole + 1, -np.inf)]),
        np.concatenate([np.full(sets, np.inf), held, [held_on_demand, at_most]]),
    )
    enough = float(np.ceil(needed))
    room = np.append(np.where(usable, np.minimum(most, 2.0 * enough), 0.0), enough)
    upper = np.concatenate([room, np.full(whole + sets, np.inf)])
    whole_numbers = np.concatenate([np.ones(whole), np.zeros(whole + sets)])
    found = milp(
        cost,
        integrality=whole_numbers,
        bounds=Bounds(np.zeros(upper.size), upper),
        constraints=rules,
        options={"mip_rel_gap": 1e-3, "time_limit": 2.0},
    )
    if found.x is None:
        return Hedged(np.zeros(zones, np.int64), int(enough), False)
    machines = np.ceil(found.x[:whole] - 1e-6).astype(np.int64)
    return Hedged(machines[:-1], int(machines[-1]), bool(found.status == 0))
