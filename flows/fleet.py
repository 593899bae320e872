"""The fleet: where, on what and how much to rent, and in which waves to get there."""

from importlib.metadata import version

from prefect import flow

from data.errors import PlanRefused
from data.readers.fleet.plan_file import last_fleet_plan
from data.schemas.plan import Bound, SolverRow
from flows.fleet_params import FleetParams
from flows.fleet_publish import KEY, publish_fleet_artifacts, write_fleet_run
from flows.run_folder import run_folder
from flows.watch import Watch, artifact_progress
from tasks.fleet.latency_frontier import latency_frontier, limits_about
from tasks.fleet.model import fleet_model
from tasks.fleet.plan import Account, assemble_fleet_plan
from tasks.fleet.programme import place_fleet
from tasks.fleet.service import serve
from tasks.fleet.waves import rollout
from tasks.validation.fleet import verify_fleet_plan

GUARD_S = 7_200.0


@flow(name="plan-fleet", flow_run_name="fleet-{params.source.kind}")
def plan_fleet(params: FleetParams) -> str:
    """Plan what to rent where, prove how good it is, and write the plan with its waves and its inverse.

    Args:
        params: for which fleet, within which limits, and how hard to try.

    Returns:
        The folder of the run; ``fleet_plan.json`` is in it.

    Raises:
        SourceUnavailable: a file cannot be read.
        BadSource: nothing of it can be planned.
        PlanRefused: no fleet keeps all limits (says which are in the way, and by how much), none was found in time, or
            the validator found the plan wrong; nothing was written.
    """
    watch = Watch(GUARD_S, artifact_progress("read", key=f"{KEY}-progress"))
    with run_folder(params.output) as folder:
        watch.enter("read", 0.0)
        reading = params.source()
        fleet = params.limited(reading.fleet)
        last, no_last = (
            (None, ()) if params.previous_plan is None else last_fleet_plan(params.previous_plan, fleet.name)
        )
        model = fleet_model(fleet)
        watch.enter("place", 0.05)
        placed = place_fleet(model, gap=params.gap, seconds=params.seconds)
        nodes = placed.nodes
        watch.enter("waves", 0.5)
        order = rollout(model, nodes)
        watch.enter("plan", 0.55)
        flows = serve(model, model.region_capacity(nodes)).flows
        held = model.cost_usd_per_h(model.held)
        plan = assemble_fleet_plan(
            model,
            nodes,
            flows=flows,
            waves=order.waves,
            account=Account(
                solvers=(
                    SolverRow("fleet", "incumbent", held, 0, 0, 0, chosen=False),
                    SolverRow("fleet", "programme", placed.cost_usd_per_h, 0, 0, 0, chosen=True),
                ),
                bounds=(Bound("fleet", placed.bound_usd_per_h, placed.gap, "relaxed programme"),),
                binding=placed.binds,
                set_aside=reading.set_aside,
                notes=(*reading.notes, *no_last, *placed.notes, *order.notes),
            ),
            code_version=version("quantumflow"),
            options=params.options(),
            seed=params.seed,
            last=last,
        )
        watch.enter("validate", 0.6)
        verdict = verify_fleet_plan(plan, fleet)
        if not verdict.passed:
            wrong = "; ".join(f"{check.name}: {check.detail}" for check in verdict.checks if not check.passed)
            raise PlanRefused(f"the validator refused the plan, nothing was written: {wrong}")
        watch.enter("compare latency limits", 0.65)
        choices = latency_frontier(
            fleet,
            limits_about(fleet.limits.latency_ms, params.frontier),
            gap=3 * params.gap,
            seconds=params.frontier_seconds,
        )
        watch.enter("report", 0.97)
        write_fleet_run(folder.path, plan, fleet, verdict, frontier=choices, seconds=watch.finish(), renderings={})
    publish_fleet_artifacts(plan, verdict, folder.final)
    return str(folder.final)
