"""Gangs alone: back onto whole NVLink domains, within the migration budget."""

from prefect import flow

from flows.freshness import unless_late
from flows.params import PlacementParams
from flows.pipeline import plan_cluster


@flow(name="optimize-placement", flow_run_name="placement-{params.source.kind}-{params.effort}", retries=0)
@unless_late
def optimize_placement(params: PlacementParams) -> str:
    """Plan which GPUs each gang shall hold.

    Args:
        params: from which source, with which solver and effort.

    Returns:
        The folder of the run.

    Raises:
        SourceUnavailable: the source does not answer.
        BadSource: nothing of it can be planned.
        PlanRefused: the validator found the plan wrong; nothing was written.
    """
    return plan_cluster(params, "optimize-placement")
