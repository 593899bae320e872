"""The fleet: where, on what and how much to rent, and in which waves to get there."""

from importlib.metadata import version

from prefect import flow

from data.errors import PlanRefused
from data.readers.fleet.fleet_file import fleet_digest
from data.readers.fleet.plan_file import last_fleet_plan
from flows import decided
from flows.fleet_params import EFFORTS, FleetParams
from flows.fleet_publish import KEY, PLAN, publish_fleet_artifacts, write_fleet_run
from flows.freshness import unless_late
from flows.logs import SHORT, run_log
from flows.params import TWINS
from flows.permitted import require_permitted
from flows.plan_events import tell_fleet_plan_ready
from flows.run_folder import LATEST_FLEET, run_folder
from flows.watch import Watch, artifact_progress
from qiskit_solvers.errors import SolverFailed
from tasks.fleet.latency_frontier import latency_frontier, limits_about
from tasks.fleet.model import FleetModel, fleet_model
from tasks.fleet.plan import Account, assemble_fleet_plan
from tasks.fleet.waves import rollout
from tasks.plan_fleet import FleetDecision, Sought, decide_fleet
from tasks.validation.fleet import verify_fleet_plan
from tasks.validation.verdict import Verdict

FRONTIER_GAP = 3.0
"""Times the plan's gap: what nearness costs is read off a picture."""


@flow(name="plan-fleet", flow_run_name="fleet-{params.source.kind}")
@unless_late
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
    require_permitted(params)
    with run_log("plan-fleet") as log, run_folder(params.output, link=LATEST_FLEET, latest=log.not_latest) as folder:
        log.write_into(folder)
        log.tell(decided.fleet_asked(params))
        watch = Watch(params.guard_s, artifact_progress("read", key=f"{KEY}-progress"))
        watch.enter("read", 0.0)
        reading = params.read()
        fleet = reading.fleet
        log.know(fleet=fleet.name, state=fleet_digest(fleet)[:SHORT])
        log.tell(*decided.fleet_read(reading))
        last, no_last = last_fleet_plan(params.previous_plan, fleet.name) if params.previous_plan else (None, ())
        model = fleet_model(fleet)
        decision = _decided(model, params, watch)
        log.tell(*decided.refined(decision.rows, (decision.bound,), decision.fallbacks))
        watch.enter("waves", 0.6)
        order = rollout(model, decision.nodes)
        watch.enter("plan", 0.65)
        plan = assemble_fleet_plan(
            model,
            decision.nodes,
            flows=decision.flows,
            waves=order.waves,
            account=Account(
                solvers=decision.rows,
                bounds=(decision.bound,),
                binding=decision.binds,
                fallbacks=decision.fallbacks,
                set_aside=reading.set_aside,
                notes=(*reading.notes, *no_last, *decision.notes, *order.notes),
            ),
            code_version=version("quantumflow"),
            options=params.options(),
            seed=params.seed,
            last=last,
        )
        log.know(plan=plan.sha256[:SHORT])
        log.tell(decided.fleet_planned(plan))
        watch.enter("validate", 0.68)
        verdict = verify_fleet_plan(plan, fleet)
        log.tell(decided.judged(verdict))
        _require_passed(verdict)
        watch.enter("compare latency limits", 0.7)
        frontier = latency_frontier(
            fleet,
            limits_about(fleet.limits.latency_ms, params.frontier),
            gap=FRONTIER_GAP * params.gap,
            seconds=params.frontier_seconds,
            told=lambda share: watch.listen("compare latency limits", 0.7 + 0.27 * share),
        )
        watch.enter("report", 0.97)
        write_fleet_run(folder.path, plan, fleet, verdict, frontier=frontier, seconds=watch.finish())
    publish_fleet_artifacts(plan, verdict, folder.final)
    tell_fleet_plan_ready(plan, folder.final / PLAN)
    return str(folder.final)


def _decided(model: FleetModel, params: FleetParams, watch: Watch) -> FleetDecision:
    """Return the nodes: those of the programme, refined.

    Raises:
        PlanRefused: there are none, or none were found.
    """
    try:
        return decide_fleet(
            model,
            params.solver,
            effort=EFFORTS[params.effort],
            sought=Sought(params.gap, params.seconds),
            twins=TWINS,
            seed=params.seed,
            expired=watch.expired,
            progress=watch.within("place", 0.02, 0.6),
        )
    except SolverFailed as error:
        raise PlanRefused(f"fleet {model.fleet.name}: no plan was found, what is held stays: {error}") from error


def _require_passed(verdict: Verdict) -> None:
    """Refuse a plan that the validator found wrong.

    Raises:
        PlanRefused: it did; what failed is named.
    """
    if not verdict.passed:
        wrong = "; ".join(f"{check.name}: {check.detail}" for check in verdict.checks if not check.passed)
        raise PlanRefused(f"the validator refused the plan, nothing was written: {wrong}")
