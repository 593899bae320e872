"""What must an executor know of a plan beside its actions? When its snapshot was taken, and where its files lie.

Both are set with ``dataclasses.replace`` by whoever carries a plan out; no form asks for them.
"""

from pathlib import Path
from typing import Annotated

from pydantic.json_schema import SkipJsonSchema

from data.errors import ApplyFailed

TakenS = Annotated[int | None, SkipJsonSchema()]
"""Unix seconds of the plan's snapshot (:func:`tasks.report.order.taken_at`), from which start times count."""

PlanFolder = Annotated[Path | None, SkipJsonSchema()]
"""The folder of the plan's file, where the paths of its archives start."""


def start_s(taken_s: int | None, planned_s: float, job: str) -> int:
    """Return a planned start in Unix seconds.

    Args:
        taken_s: of the plan.
        planned_s: seconds after the snapshot.
        job: whose start it is, for the message.

    Raises:
        ApplyFailed: it is not known when the snapshot was taken.
    """
    if taken_s is None:
        raise ApplyFailed(f"job {job}: when the plan's snapshot was taken, from which its start counts, is unknown")
    return taken_s + round(planned_s)
