"""How does a plan come about? From a cluster's state to a verified, reversible plan, for whatever was asked for."""

from importlib.metadata import version

from prefect.runtime import flow_run

from data.digest import snapshot_digest
from data.errors import PlanRefused
from flows import decided
from flows.archives import archive_checkpoints
from flows.artifacts import publish_artifacts
from flows.capabilities import improve
from flows.energy import energy_choices
from flows.logs import SHORT, run_log
from flows.params import Params
from flows.permitted import in_deployment, require_permitted
from flows.plan_events import tell_plan_ready
from flows.publish import write_run
from flows.run_folder import PLAN, run_folder
from flows.stages import Stages
from flows.watch import Watch, artifact_progress
from tasks.earlier_plan import earlier_plan
from tasks.ingest import ingest_snapshot
from tasks.plan import Part, assemble_plan
from tasks.predict import predict_cluster
from tasks.validate import validate_plan

RETRIES = 3
"""Of a live source that does not answer; files are not asked twice."""


def plan_cluster(params: Params, name: str) -> str:
    """Read the cluster, forecast, refine each capability, and write the plan, its report and its renderings.

    Args:
        params: what to improve, from which source, with which solver and effort.
        name: of the flow, with which the keys of its artifacts begin.

    Returns:
        The folder of the run.

    Raises:
        SourceUnavailable: the source does not answer.
        BadSource: nothing of it can be planned.
        PlanRefused: the validator found the plan wrong; nothing was written.
    """
    require_permitted(params)
    with run_log(name) as log, run_folder(params.output, latest=log.not_latest) as folder:
        log.write_into(folder)
        log.tell(decided.asked(params))
        watch = Watch(params.guard_s, artifact_progress("ingest", key=f"{name}-progress"))
        watch.enter("ingest", 0.0)
        ingest = ingest_snapshot.with_options(retries=RETRIES if params.live else 0)
        stages = Stages.of_run(params.output, str(flow_run.id) if in_deployment() else None)
        asked_of = params.source, params.limit, params.topology, params.topology_match, params.telemetry
        files = params.source, params.topology
        reading = stages.reading((params.options(),), files, lambda: ingest(*asked_of))
        log.know(cluster=reading.snapshot.cluster, snapshot=snapshot_digest(reading.snapshot)[:SHORT])
        log.tell(*decided.read(reading))
        watch.enter("predict", 0.05)
        forecast = predict_cluster(reading.snapshot, params.power_model, seed=params.seed)
        log.tell(*decided.forecast_made(forecast))
        last = params.previous_plan, reading.snapshot, params.nouns
        earlier = stages.earlier((params.options(), reading.snapshot), lambda: earlier_plan(*last))
        parts = improve(forecast.assumed(reading.snapshot), forecast, params, watch, earlier.actions, stages)
        for part in parts:
            log.tell(*decided.refined(part.rows, part.bounds, part.fallbacks))
        watch.enter("compress", 0.85)
        archives = archive_checkpoints(reading.snapshot, params, folder.path)
        log.tell(*decided.archived(archives.part.actions, archives.set_aside))
        watch.enter("plan", 0.9)
        plan = assemble_plan(
            reading.snapshot,
            (Part(fallbacks=forecast.fallbacks), *parts, archives.part),
            assumed_power=forecast.assumed_power,
            set_aside=(*reading.set_aside, *archives.set_aside),
            notes=(*reading.notes, *forecast.notes, *earlier.notes),
            code_version=version("quantumflow"),
            options=params.options(),
            seed=params.seed,
        )
        log.know(plan=plan.sha256[:SHORT])
        log.tell(decided.planned(plan))
        watch.enter("validate", 0.93)
        verdict = validate_plan(plan, reading.snapshot, folder.path)
        log.tell(decided.judged(verdict))
        if not verdict.passed:
            wrong = "; ".join(f"{check.name}: {check.detail}" for check in verdict.checks if not check.passed)
            raise PlanRefused(f"the validator refused the plan, nothing was written: {wrong}")
        watch.enter("report", 0.97)
        choices = None
        if params.energy_frontier > 1:
            asked = params.energy_frontier, params.work.evaluations, params.seed
            choices = energy_choices(reading.snapshot, forecast, plan.actions, *asked)
        write_run(folder.path, plan, reading.snapshot, forecast, verdict, watch.finish(), choices)
    publish_artifacts(plan, verdict, folder.final, name)
    tell_plan_ready(plan, folder.final / PLAN)
    stages.done()  # not before: a server that does not answer makes the run fail, and its retry need not compute
    return str(folder.final)
