"""What is told of a run, long after it: what it reached, with what, and how much it changed."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from tasks.report.quantities import counted


@dataclass(frozen=True, slots=True)
class Reached:
    """What a run reached on one problem.

    Args:
        problem: its name.
        method: whose decision the plan takes.
        before: cost of what was in force.
        after: cost of the plan.
        bound: proven lower bound of the cost, where one is known.
        gap: how far above the bound the plan is, as a share of the bound.
    """

    problem: str
    method: str
    before: float
    after: float
    bound: float | None = None
    gap: float | None = None

    @property
    def gain(self) -> float | None:
        """Cost saved, as a share of what was in force."""
        return (self.before - self.after) / abs(self.before) if self.before else None

    @property
    def left(self) -> float | None:
        """What is left to gain at most, as a share of the plan's cost."""
        return None if self.gap is None else self.gap / (1.0 + self.gap)


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One run and its plan.

    Args:
        folder: of the run.
        began: when, by its name; else when the plan was written.
        cluster: or fleet, that the plan is for.
        flow: that made it.
        flow_run: its id in Prefect, where the run's log tells it.
        plan_sha256: of the plan.
        snapshot_sha256: of the state that it was made for.
        solver: asked for.
        effort: asked for.
        reached: by problem.
        actions: by kind.
        fallbacks: in words.
        set_aside: records of the input that were not used.
        seconds: that the run took, where they are known.
        report: whether there is one.
        applied: how each apply of the plan ended, with its executor, the oldest first.
    """

    folder: Path
    began: datetime
    cluster: str
    flow: str
    flow_run: str
    plan_sha256: str
    snapshot_sha256: str
    solver: str
    effort: str
    reached: tuple[Reached, ...]
    actions: tuple[tuple[str, int], ...]
    fallbacks: tuple[str, ...]
    set_aside: int
    seconds: float | None
    report: bool
    applied: tuple[str, ...] = ()

    @property
    def changes(self) -> int:
        """How many actions the plan has."""
        return sum(count for _, count in self.actions)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A run that cannot be shown, and why."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class History:
    """The runs of a folder.

    Args:
        runs: the folder.
        records: the newest first.
        unreadable: runs whose plan cannot be read, the newest first.
        unfinished: hidden folders of runs that go on or were killed.
        older: runs with a plan that were not looked at, being older than as many as were asked for.
        others: folders without a plan: other flows, benchmarks.
        notes: what a reader should know of what is not here.
    """

    runs: Path
    records: tuple[RunRecord, ...]
    unreadable: tuple[Unreadable, ...] = ()
    unfinished: tuple[str, ...] = ()
    older: int = 0
    others: int = 0
    notes: tuple[str, ...] = ()


def span(history: History) -> str:
    """Return in words how many runs there are, and what is not shown."""
    parts = [counted(len(history.records), "run")]
    if history.unreadable:
        parts.append(f"{len(history.unreadable):,} unreadable")
    if history.unfinished:
        parts.append(f"{len(history.unfinished):,} unfinished")
    if history.older:
        parts.append(f"{history.older:,} older not shown")
    return ", ".join(parts)
