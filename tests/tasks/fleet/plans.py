"""Plans of fleets for tests: found in whole, or by hand."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np

from data.digest import fleet_plan_digest
from data.readers.fleet.fleet_file import read_fleet
from data.schemas.fleet import Fleet
from data.schemas.fleet_plan import FleetPlan
from data.schemas.plan import Bound, SolverRow
from tasks.fleet.feasible import broken_limits
from tasks.fleet.model import FleetModel, Integers, fleet_model
from tasks.fleet.plan import Account, assemble_fleet_plan
from tasks.fleet.programme import place_fleet
from tasks.fleet.service import serve
from tasks.fleet.waves import rollout

SAMPLE = Path(__file__).resolve().parents[3] / "data" / "samples" / "fleet" / "fleet.json"


def planned(model: FleetModel, nodes: Integers, bound: float = 0.0, notes: tuple[str, ...] = ()) -> FleetPlan:
    """Return the plan that leads to ``nodes``, with its waves."""
    order = rollout(model, nodes)
    cost = model.cost_usd_per_h(nodes)
    broken = broken_limits(model, model.held) if model.held.any() else ()
    return assemble_fleet_plan(
        model,
        nodes,
        flows=serve(model, model.region_capacity(nodes)).flows,
        waves=order.waves,
        account=Account(
            solvers=(
                SolverRow("fleet", "incumbent", model.cost_usd_per_h(model.held), 0, 0, 0, chosen=False),
                SolverRow("fleet", "programme", cost, 0, 0, 0, chosen=True),
            ),
            bounds=(Bound("fleet", bound, (cost - bound) / cost if cost else 0.0, "relaxed programme"),),
            notes=(*notes, *(f"what is held breaks {each}" for each in broken), *order.notes),
        ),
        code_version="0",
        options="{}",
        seed=0,
    )


@cache
def sample_fleet() -> Fleet:
    """Return the fleet that ships."""
    return read_fleet(SAMPLE).fleet


@cache
def sample_plan() -> FleetPlan:
    """Return its plan."""
    model = fleet_model(sample_fleet())
    placed = place_fleet(model, gap=0.02, seconds=30.0)
    return planned(model, placed.nodes, placed.bound_usd_per_h)


def resigned(plan: FleetPlan, **changes: object) -> FleetPlan:
    """Return the plan with some fields changed, and signed again."""
    changed = replace(plan, **changes)  # type: ignore[arg-type]
    return replace(changed, sha256=fleet_plan_digest(changed))


def random_nodes(model: FleetModel, rng: np.random.Generator) -> Integers:
    """Return some nodes of each offer, up to its quota."""
    most = np.minimum(model.quota, 5)
    return rng.integers(0, most + 1).astype(np.int64)
