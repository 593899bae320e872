"""How does a plan come about? From a cluster's state to a verified, reversible plan, for whatever was asked for."""

from importlib.metadata import version

from data.errors import PlanRefused
from flows.archives import archive_checkpoints
from flows.artifacts import publish_artifacts
from flows.capabilities import improve
from flows.energy import energy_choices
from flows.params import Params
from flows.publish import write_run
from flows.run_folder import run_folder
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
    watch = Watch(params.guard_s, artifact_progress("ingest", key=f"{name}-progress"))
    with run_folder(params.output) as folder:
        watch.enter("ingest", 0.0)
        ingest = ingest_snapshot.with_options(retries=RETRIES if params.live else 0)
        reading = ingest(params.source, params.limit, params.topology, params.topology_match, params.telemetry)
        watch.enter("predict", 0.05)
        forecast = predict_cluster(reading.snapshot, params.power_model, seed=params.seed)
        earlier = earlier_plan(params.previous_plan, reading.snapshot, params.nouns)
        parts = improve(forecast.assumed(reading.snapshot), forecast, params, watch, earlier.actions)
        watch.enter("compress", 0.85)
        archives = archive_checkpoints(reading.snapshot, params, folder.path)
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
        watch.enter("validate", 0.93)
        verdict = validate_plan(plan, reading.snapshot, folder.path)
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
    return str(folder.final)
