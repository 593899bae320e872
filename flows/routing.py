"""Experts alone: balanced for the loads that are expected, within the budget of moved replicas."""

from prefect import flow

from flows.freshness import unless_late
from flows.params import RoutingParams
from flows.pipeline import plan_cluster


@flow(name="optimize-routing", flow_run_name="routing-{params.source.kind}-{params.effort}", retries=0)
@unless_late
def optimize_routing(params: RoutingParams) -> str:
    """Plan which expert each slot shall hold, for every deployment of the cluster.

    Args:
        params: from which source, with which solver and effort.

    Returns:
        The folder of the run.

    Raises:
        SourceUnavailable: the source does not answer.
        BadSource: nothing of it can be planned.
        PlanRefused: the validator found the plan wrong; nothing was written.
    """
    return plan_cluster(params, "optimize-routing")
