"""Who hears that a plan was made? Whoever listens for ``quantumflow.plan.ready`` on the Prefect server."""

from collections.abc import Iterable
from pathlib import Path

from prefect.events import emit_event

from data.schemas.fleet_plan import FleetPlan
from data.schemas.plan import Plan, SolverRow

READY = "quantumflow.plan.ready"
"""Name of the event; automations.yaml listens for it."""


def tell_plan_ready(plan: Plan, file: Path) -> None:
    """Tell that a cluster's plan lies in ``file``; Prefect adds the flow run, its flow and its deployment."""
    _tell("cluster", plan.cluster, plan.sha256, file, actions=len(plan.actions), solvers=plan.solvers)


def tell_fleet_plan_ready(plan: FleetPlan, file: Path) -> None:
    """Tell that a fleet's plan lies in ``file``."""
    _tell("fleet", plan.fleet, plan.sha256, file, actions=len(plan.resource_changes), solvers=plan.solvers)


def gains(solvers: Iterable[SolverRow]) -> dict[str, float]:
    """Return for each problem by which share of its cost the plan is below what is in force.

    Problems without both rows, and those that cost nothing now, are left out: they have no share.
    """
    rows = tuple(solvers)
    before = {row.problem: row.cost for row in rows if row.method == "incumbent"}
    after = {row.problem: row.cost for row in rows if row.chosen}
    return {name: 1.0 - after[name] / cost for name, cost in before.items() if name in after and cost > 0.0}


def _tell(kind: str, name: str, digest: str, file: Path, *, actions: int, solvers: Iterable[SolverRow]) -> None:
    emit_event(
        READY,
        resource={"prefect.resource.id": f"quantumflow.plan.{digest}", "prefect.resource.name": f"plan of {name}"},
        payload={
            kind: name,
            "folder": str(file.resolve().parent),
            "file": file.name,
            "sha256": digest,
            "actions": actions,
            "gain": {problem: round(share, 6) for problem, share in gains(solvers).items()},
        },
    )
