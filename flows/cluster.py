"""The main job: everything that a cluster's plan can improve."""

from prefect import flow

from flows.freshness import unless_late
from flows.params import OptimizeParams
from flows.pipeline import plan_cluster


@flow(name="optimize-cluster", flow_run_name="optimize-{params.source.kind}-{params.effort}", retries=0)
@unless_late
def optimize_cluster(params: OptimizeParams) -> str:
    """Place gangs, schedule jobs under a power cap, re-place experts and archive checkpoints, in one plan.

    Args:
        params: what to improve, from which source, with which solver and effort.

    Returns:
        The folder of the run.

    Raises:
        SourceUnavailable: the source does not answer.
        BadSource: nothing of it can be planned.
        PlanRefused: the validator found the plan wrong; nothing was written.
    """
    return plan_cluster(params, "optimize-cluster")
