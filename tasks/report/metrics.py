"""What does a monitor want to know of plans? Gauges for Prometheus, from the plans and journals that runs left."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from tasks.report.history import read_last_plans
from tasks.report.history_applied import Applies
from tasks.report.history_record import RunRecord

_PLAN = ("cluster", "flow")
_APPLY = ("outcome", "executor")


class PlanMetrics(Collector):
    """The newest plan of each cluster and flow, and how applies ended, read again each time that somebody asks.

    Args:
        runs: their folder.
        journals: says in which folders journals of applies lie now.
    """

    def __init__(self, runs: Path, journals: Callable[[], Sequence[Path]]) -> None:
        self.runs = runs
        self.journals = journals

    def collect(self) -> Iterator[Metric]:
        """Yield all gauges.

        Raises:
            SourceUnavailable: the folder of runs cannot be listed.
        """
        folders = self.journals()
        found = read_last_plans(self.runs, folders)
        newest: dict[tuple[str, str], RunRecord] = {}
        for record in found.records:
            newest.setdefault((record.cluster, record.flow), record)
        yield from _of_plans(newest)
        yield from _of_applies(Applies.in_folders(folders))
        unreadable = "Runs, newer than the last plan for the same, whose plan cannot be read."
        yield GaugeMetricFamily("quantumflow_runs_unreadable", unreadable, value=len(found.unreadable))
        unfinished = "Hidden folders of runs that go on, or were killed."
        yield GaugeMetricFamily("quantumflow_runs_unfinished", unfinished, value=len(found.unfinished))


def plan_registry(runs: Path, journals: Callable[[], Sequence[Path]]) -> CollectorRegistry:
    """Return a registry of these gauges alone; see :class:`PlanMetrics`."""
    registry = CollectorRegistry()
    registry.register(PlanMetrics(runs, journals))
    return registry


def _of_plans(newest: dict[tuple[str, str], RunRecord]) -> Iterator[Metric]:
    began = GaugeMetricFamily(
        "quantumflow_plan_timestamp_seconds", "When the newest run with a plan began, in Unix time.", labels=_PLAN
    )
    seconds = GaugeMetricFamily("quantumflow_plan_duration_seconds", "How long that run took.", labels=_PLAN)
    fallbacks = GaugeMetricFamily(
        "quantumflow_plan_fallbacks", "How often in it something stood in for something else.", labels=_PLAN
    )
    set_aside = GaugeMetricFamily(
        "quantumflow_plan_set_aside", "Records of its input that were not used.", labels=_PLAN
    )
    actions = GaugeMetricFamily("quantumflow_plan_actions", "Actions of that plan.", labels=(*_PLAN, "kind"))
    changes = GaugeMetricFamily("quantumflow_plan_changes", "Actions of that plan, of all kinds.", labels=_PLAN)
    problem = (*_PLAN, "problem")
    before = GaugeMetricFamily("quantumflow_plan_cost_before", "Cost of what was in force.", labels=problem)
    after = GaugeMetricFamily("quantumflow_plan_cost_after", "Cost of that plan.", labels=problem)
    bound = GaugeMetricFamily("quantumflow_plan_cost_bound", "Proven lower bound of the cost.", labels=problem)
    for labels, record in newest.items():
        began.add_metric(labels, record.began.timestamp())
        fallbacks.add_metric(labels, len(record.fallbacks))
        set_aside.add_metric(labels, record.set_aside)
        changes.add_metric(labels, record.changes)
        if record.seconds is not None:
            seconds.add_metric(labels, record.seconds)
        for kind, count in record.actions:
            actions.add_metric((*labels, kind), count)
        for reached in record.reached:
            before.add_metric((*labels, reached.problem), reached.before)
            after.add_metric((*labels, reached.problem), reached.after)
            if reached.bound is not None:
                bound.add_metric((*labels, reached.problem), reached.bound)
    yield from (began, seconds, fallbacks, set_aside, changes, actions, before, after, bound)


def _of_applies(applies: Applies) -> Iterator[Metric]:
    count = GaugeMetricFamily("quantumflow_applies", "Journals of applies, by how they ended.", labels=_APPLY)
    last = GaugeMetricFamily(
        "quantumflow_apply_timestamp_seconds", "When the newest of these journals was written.", labels=_APPLY
    )
    for ending, written in applies.by_ending().items():
        labels = (ending.outcome, ending.executor)
        count.add_metric(labels, len(written))
        last.add_metric(labels, max(written))
    yield from (count, last)
