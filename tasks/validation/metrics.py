"""Are the plan's figures true? Every metric once more from the records, beside what the plan says."""

import math
from collections import Counter
from collections.abc import Sequence

from data.schemas.cluster import Snapshot
from data.schemas.plan import Action, Compress, Metric, Migrate, MoveReplicas, Place, Plan, Recap, Start
from tasks.validation.measure import Measure
from tasks.validation.placement_measures import placement_measures
from tasks.validation.power_measures import power_measures
from tasks.validation.routing_measures import routing_measures
from tasks.validation.timetable import Timetable
from tasks.validation.verdict import Check, judged

RELATIVE = 1e-6
"""Relative difference up to which two figures count as the same."""

ABSOLUTE = 1e-9
"""The same for figures that are 0 but for rounding."""


def recomputed(
    before: Snapshot, after: Snapshot, tables: tuple[Timetable, Timetable], archived: tuple[float, float]
) -> tuple[Metric, ...]:
    """Return every metric that a plan from ``before`` to ``after`` may state.

    ``checkpoint.bytes`` (bytes, lower) is before the size of the checkpoints that the plan's actions archive, after
    that of their archives. The other definitions stand in the modules ``*_measures``.

    Args:
        before: the snapshot.
        after: the planned state.
        tables: of both, with the draws that the plan assumed.
        archived: bytes of the checkpoints that the plan archives, and of their archives.
    """
    pairs = [
        (placement_measures(before, before), placement_measures(after, before)),
        (power_measures(tables[0]), power_measures(tables[1])),
        *(
            (routing_measures(was, was, before), routing_measures(now, was, after))
            for was, now in zip(before.deployments, after.deployments, strict=True)
        ),
    ]
    metrics = [_metric(old, new) for olds, news in pairs for old, new in zip(olds, news, strict=True)]
    return (*metrics, Metric("checkpoint.bytes", "bytes", *archived, "lower"))


def check_metrics(plan: Plan, expected: Sequence[Metric]) -> Check:
    """Check that each metric of the plan is one of ``expected``, with its unit, direction and both values.

    A family (``placement``, ``power``, ``routing.<deployment>``, ``checkpoint``) is stated whole or not at all, and is
    stated if an action belongs to it.
    """
    known = {metric.name: metric for metric in expected}
    stated = Counter(metric.name for metric in plan.metrics)
    wrong = [f"{name}: expected once, found {count} times" for name, count in stated.items() if count > 1]
    for metric in plan.metrics:
        if metric.name in known:
            wrong += _differences(known[metric.name], metric)
        else:
            wrong.append(f"{metric.name}: expected a metric with a published definition, found an unknown one")
    families = {_family(metric.name) for metric in plan.metrics} | {_family_of(action) for action in plan.actions}
    wrong += [
        f"{metric.name}: expected {metric.before} before and {metric.after} after, found nothing"
        for metric in expected
        if _family(metric.name) in families and metric.name not in stated
    ]
    return judged("metrics", wrong, f"{len(plan.metrics)} figures, each the same from the records")


def _metric(before: Measure, after: Measure) -> Metric:
    return Metric(before.name, before.unit, before.value, after.value, before.better)


def _differences(expected: Metric, found: Metric) -> list[str]:
    wrong = []
    for field, wanted, value in (("before", expected.before, found.before), ("after", expected.after, found.after)):
        if not math.isclose(wanted, value, rel_tol=RELATIVE, abs_tol=ABSOLUTE):
            wrong.append(f"{expected.name}: expected {wanted} {field}, found {value}")
    for field, word, said in (("unit", expected.unit, found.unit), ("better", expected.better, found.better)):
        if word != said:
            wrong.append(f"{expected.name}: expected {field} {word}, found {said}")
    return wrong


def _family(name: str) -> str:
    return name.rpartition(".")[0]


def _family_of(action: Action) -> str:
    match action:
        case Migrate() | Place():
            return "placement"
        case Recap() | Start():
            return "power"
        case MoveReplicas():
            return f"routing.{action.deployment}"
        case Compress():
            return "checkpoint"
