"""Where does the cluster's state come from? Any source, read, limited as asked for, and checked."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Protocol

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.tasks import Task

from data.crosscheck import cross_check
from data.errors import BadSource, SourceUnavailable
from data.readers.overlay import overlaid
from data.readers.reading import Reading
from data.schemas.cluster import Limits


class SnapshotSource(Protocol):
    """A place to read a cluster's state from; each is a frozen dataclass of its options, tagged by ``kind``."""

    @property
    def kind(self) -> str:
        """Name of the source, as it stands in reports."""
        ...

    @property
    def live(self) -> bool:
        """Whether it is a service, so that a retry may help."""
        ...

    def __call__(self) -> Reading:
        """Read the state.

        Raises:
            SourceUnavailable: it does not answer.
            BadSource: nothing of it can be used.
        """
        ...


def ingest(
    source: SnapshotSource,
    limit: Callable[[Limits], Limits],
    *,
    topology: Path | None = None,
    match: Literal["name", "order"] = "name",
    telemetry: Callable[[Reading], Reading] | None = None,
) -> Reading:
    """Return the state that ``source`` holds, under the limits that the caller asks for.

    Args:
        source: where to read from.
        limit: returns what a plan must keep to, given what the source says.
        topology: a dump that says better where the nodes stand.
        match: how its nodes are found in the source: by name, or the first for the first.
        telemetry: lays measured series over the state.

    Raises:
        SourceUnavailable: a source does not answer.
        BadSource: nothing can be planned, or the limits contradict the cluster.
    """
    reading = overlaid(source, topology, match, telemetry)
    snapshot = replace(reading.snapshot, limits=limit(reading.snapshot.limits))
    wrong = tuple(contradiction.record(source.kind) for contradiction in cross_check(snapshot))
    if wrong:
        raise BadSource(source.kind, wrong)
    return replace(reading, snapshot=snapshot)


def _silent(_task: Task[..., Any], _run: TaskRun, state: State) -> bool:
    """Retry only what a retry can mend: a source that does not answer."""
    return isinstance(state.data, SourceUnavailable)


@task(
    name="ingest",
    task_run_name="ingest-{source.kind}",
    cache_policy=NO_CACHE,
    retry_condition_fn=_silent,
    retry_delay_seconds=[2, 10, 30],
    retry_jitter_factor=0.2,
)
def ingest_snapshot(
    source: SnapshotSource,
    limit: Callable[[Limits], Limits],
    topology: Path | None,
    match: Literal["name", "order"],
    telemetry: Callable[[Reading], Reading] | None,
) -> Reading:
    """Run :func:`ingest` as a Prefect task; the flow grants retries to live sources."""
    return ingest(source, limit, topology=topology, match=match, telemetry=telemetry)
