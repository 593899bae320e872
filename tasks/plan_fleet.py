"""Which nodes shall be rented? Those of the programme, refined from where it stopped; the noun's search where it fails.

The programme proves how good its plan is, and leaves at most its gap to be gained. Classical search, the twins and the
solver all begin where it stopped, so the table says what each of them could add.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from prefect import task
from prefect.cache_policies import NO_CACHE
from scipy.sparse import csr_array

from data.schemas.fleet_plan import Binding
from data.schemas.plan import Bound, Fallback, SolverRow
from qiskit_solvers.errors import SolverFailed
from qiskit_solvers.solver import Solver
from tasks.fleet.feasible import broken_limits
from tasks.fleet.model import FleetModel, Integers
from tasks.fleet.programme import Placed, place_fleet
from tasks.fleet.service import serve
from tasks.problems.fleet import FleetProblem, Rented
from tasks.refine import Effort, Progress, Refined, refine

INCUMBENT, PROGRAMME = "incumbent", "programme (HiGHS)"
"""How the table calls what is held, and what the programme found."""

MENDED = "what is held, mended"
"""How it calls where the search began if what is held breaks limits and the programme failed."""

NAME = "fleet"


@dataclass(frozen=True, slots=True)
class Sought:
    """How near to the best the programme goes, and for how long.

    Args:
        gap: share of the cost that may be left open.
        seconds: after which it ends with what it has.
    """

    gap: float = 1e-3
    seconds: float = 60.0


@dataclass(frozen=True, slots=True, eq=False)
class FleetDecision:
    """What is to be rented, and the account of how that was found.

    Args:
        nodes: of each offer, ``(offers,)`` int64; they keep all limits.
        flows: who is served from where, ``(zones, regions)``, in the fleet's capacity unit.
        cost_usd_per_h: of ``nodes``; never above that of the holdings, where those keep all limits.
        bound: that no plan is below.
        rows: what each method reached.
        binds: limits that keep the programme from being cheaper; empty where it failed.
        fallbacks: parts that failed, and what stood in.
        notes: what a reader should know.
    """

    nodes: Integers
    flows: csr_array
    cost_usd_per_h: float
    bound: Bound
    rows: tuple[SolverRow, ...]
    binds: tuple[Binding, ...]
    fallbacks: tuple[Fallback, ...]
    notes: tuple[str, ...]


def plan_fleet(
    model: FleetModel,
    solver: Solver,
    rng: np.random.Generator,
    *,
    effort: Effort,
    sought: Sought = Sought(),
    twins: tuple[Solver, ...] = (),
    expired: Callable[[], bool] = lambda: False,
    progress: Progress = lambda _phase, _share: None,
) -> FleetDecision:
    """Return the cheapest nodes that were found and keep all limits.

    Args:
        model: of the fleet.
        solver: answers windows of changes.
        rng: all chance.
        effort: of the refinement.
        sought: of the programme.
        twins: solvers to compare with, under the same contract and the same windows.
        expired: the guard in seconds.
        progress: told how far the work is.

    Raises:
        tasks.fleet.elastic.NoFleet: no nodes keep all limits; the error says which ones, and by how much.
        SolverFailed: the programme failed, and neither what is held nor what purchases make of it keeps all limits.
    """
    progress("programme", 0.0)
    placed: Placed | None = None
    fallbacks: tuple[Fallback, ...] = ()
    try:
        placed = place_fleet(model, gap=sought.gap, seconds=sought.seconds)
        problem = FleetProblem(model, Rented(placed.nodes), placed.bound_usd_per_h, name=NAME, notes=placed.notes)
    except SolverFailed as error:
        problem = _without_programme(model, error)
        fallbacks = (Fallback("place fleet", PROGRAMME, "the search of the fleet's noun", str(error)),)
    refined = refine(problem, solver, rng, effort=effort, twins=twins, expired=expired, progress=progress)
    nodes, cost = refined.decision.nodes, refined.costs[-1]
    method = "closed-form relaxation" if placed is None else "relaxed programme"
    return FleetDecision(
        nodes=nodes,
        flows=serve(model, model.region_capacity(nodes)).flows,
        cost_usd_per_h=cost,
        bound=replace(refined.bound, method=method, gap=_share(cost, refined.bound.value)),
        rows=_rows(model, placed, refined),
        binds=() if placed is None else placed.binds,
        fallbacks=(*fallbacks, *refined.fallbacks),
        notes=problem.notes,
    )


def _share(cost: float, bound: float) -> float:
    """Return how far ``cost`` is above ``bound``, as a share of it: as fleets' plans count gaps."""
    return max(0.0, cost - bound) / abs(cost) if cost else 0.0


def _without_programme(model: FleetModel, error: SolverFailed) -> FleetProblem:
    """Return the problem that begins with what is held, or with what mends it."""
    try:
        return FleetProblem.from_model(model)
    except ValueError as second:
        raise SolverFailed(f"{error}; {second}") from error


def _rows(model: FleetModel, placed: Placed | None, refined: Refined[Rented]) -> tuple[SolverRow, ...]:
    """Return the table: what is held, whatever it breaks; where the search began; and what began there."""
    first, *others = refined.rows
    cost = model.cost_usd_per_h(model.held)
    if placed is None and not broken_limits(model, model.held):
        return refined.rows
    began = MENDED if placed is None else PROGRAMME
    held = SolverRow(NAME, INCUMBENT, cost, 0, 0, 0, chosen=False)
    return (held, replace(first, method=began), *others)


@task(name="plan-fleet", cache_policy=NO_CACHE)
def decide_fleet(
    model: FleetModel,
    solver: Solver,
    *,
    effort: Effort,
    sought: Sought,
    twins: tuple[Solver, ...],
    seed: int,
    expired: Callable[[], bool],
    progress: Progress,
) -> FleetDecision:
    """Run :func:`plan_fleet` as a Prefect task."""
    rng = np.random.default_rng(seed)
    return plan_fleet(model, solver, rng, effort=effort, sought=sought, twins=twins, expired=expired, progress=progress)
