"""Is a scheduled run still worth making? Old ones give way to younger ones, so that an outage is no storm of plans."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import wraps
from typing import ParamSpec, cast

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterExpectedStartTime,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.context import FlowRunContext
from prefect.logging import get_run_logger
from prefect.states import Completed

LATEST = "QUANTUMFLOW_LATEST_START_S"
"""Environment variable: how many seconds after its time a scheduled run may still begin."""

INTERVALS = 2
"""So many intervals after its time a scheduled run may still begin, where the variable says nothing."""

SKIPPED = "Skipped"
"""Name of the state in which such a run ends."""

MOST_RUNS = 200
"""Neighbours that one question to the server returns; more are never due at once unless it stood for days."""

Arguments = ParamSpec("Arguments")


@dataclass(frozen=True, slots=True)
class Due:
    """A scheduled run: when it was due, and the type of its state (``""`` where it has none)."""

    at: datetime
    state: str = ""


def unless_late(function: Callable[Arguments, str]) -> Callable[Arguments, str]:
    """Let a flow end at once as Completed, named ``Skipped``, where :func:`too_late` says so; nothing is read then.

    Goes below ``@flow``. Runs that a person or a program started, and retries, are never skipped.
    """

    @wraps(function)
    def checked(*args: Arguments.args, **kwargs: Arguments.kwargs) -> str:
        why = _of_this_run()
        if why is None:
            return function(*args, **kwargs)
        get_run_logger().warning("skipped: %s", why)
        return cast("str", Completed(name=SKIPPED, message=why))  # Prefect makes a returned state that of the run

    return checked


def too_late(due: datetime, others: Sequence[Due], now: datetime, latest_s: float | None = None) -> str | None:
    """Tell why a run that was due at ``due`` is not worth making; None where it is.

    A run gives way where a younger one of the same deployment is due as well, and is still to come, goes on or
    was made: a plan is made for the cluster as it is now, so one is enough. Where the younger ones were
    cancelled because this one held the only place, it stands for the youngest of them.

    Args:
        due: when the run was to begin.
        others: scheduled runs of the same deployment, earlier and later ones.
        now: the time.
        latest_s: so many seconds after its time it may still begin; None means two intervals, where an interval
            is the time to the nearest neighbour.
    """
    younger = [other for other in others if due < other.at <= now]
    ended = {StateType.CANCELLED, StateType.CANCELLING, StateType.FAILED, StateType.CRASHED}
    alive = [other.at for other in younger if other.state not in ended]
    if alive:
        return f"due at {_text(due)}; a younger run, due at {_text(max(alive))}, makes the plan"
    stands_for = max([due, *(other.at for other in younger if other.state == StateType.CANCELLED)])
    late = now - stands_for
    latest = timedelta(seconds=latest_s) if latest_s is not None else _interval(due, others) * INTERVALS
    if late <= latest:
        return None
    limit = f"{LATEST}={latest_s:g}" if latest_s is not None else f"{INTERVALS} intervals"
    return f"late by {_seconds(late)}: due at {_text(stands_for)}, and may begin {_seconds(latest)} later ({limit})"


def _interval(due: datetime, others: Sequence[Due]) -> timedelta:
    """Return the time to the nearest neighbour; as good as endless where there is none."""
    return min((abs(other.at - due) for other in others if other.at != due), default=timedelta(days=36_500))


def _of_this_run() -> str | None:
    context = FlowRunContext.get()
    run = None if context is None else context.flow_run
    if run is None or not run.auto_scheduled or run.run_count > 1:
        return None
    if run.deployment_id is None or run.expected_start_time is None:
        return None
    due = run.expected_start_time
    return too_late(due, [_due(other) for other in _neighbours(run, due)], datetime.now(UTC), _latest_s())


def _latest_s() -> float | None:
    """Return what the environment says.

    Raises:
        ValueError: it says no number of seconds.
    """
    text = os.environ.get(LATEST, "").strip()
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0.0 <= seconds < float("inf"):
        raise ValueError(f"{LATEST}: expected seconds, 0 or more, found {text!r}")
    return seconds


def _neighbours(run: FlowRun, due: datetime) -> list[FlowRun]:
    """Return the scheduled runs of the same deployment that come next, and the one before."""
    of_it = DeploymentFilter(id=DeploymentFilterId(any_=[run.deployment_id]))  # type: ignore[list-item]  # checked by the caller
    later = FlowRunFilter(expected_start_time=FlowRunFilterExpectedStartTime(after_=due))  # type: ignore[arg-type]  # pydantic takes any datetime
    earlier = FlowRunFilter(expected_start_time=FlowRunFilterExpectedStartTime(before_=due - timedelta(seconds=1)))  # type: ignore[arg-type]
    with get_client(sync_client=True) as client:
        found = [
            *client.read_flow_runs(
                flow_run_filter=later,
                deployment_filter=of_it,
                sort=FlowRunSort.EXPECTED_START_TIME_ASC,
                limit=MOST_RUNS,
            ),
            *client.read_flow_runs(
                flow_run_filter=earlier,
                deployment_filter=of_it,
                sort=FlowRunSort.EXPECTED_START_TIME_DESC,
                limit=20,
            ),
        ]
    return [other for other in found if other.auto_scheduled and other.id != run.id]


def _due(run: FlowRun) -> Due:
    at = cast("datetime", run.expected_start_time)  # the filter asked for it
    return Due(at, run.state_type.value if run.state_type else "")


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds")


def _seconds(span: timedelta) -> str:
    return f"{span.total_seconds():.0f} s"
