"""Power alone: when each job starts, and under which cap."""

from prefect import flow

from flows.freshness import unless_late
from flows.params import PowerParams
from flows.pipeline import plan_cluster


@flow(name="optimize-power", flow_run_name="power-{params.source.kind}-{params.effort}", retries=0)
@unless_late
def optimize_power(params: PowerParams) -> str:
    """Plan start times and power caps.

    Args:
        params: from which source, with which solver and effort.

    Returns:
        The folder of the run.

    Raises:
        SourceUnavailable: the source does not answer.
        BadSource: nothing of it can be planned.
        PlanRefused: the validator found the plan wrong; nothing was written.
    """
    return plan_cluster(params, "optimize-power")
