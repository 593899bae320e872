"""What did the runs of a folder reach? Their stored plans, one by one; one that cannot be read is told, not fatal."""

import json
import math
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from data.digest import fleet_plan_digest
from data.errors import BadRecord, BadSource, PlanRefused, SourceUnavailable
from data.readers.bounded import read_bounded
from data.readers.fleet.plan_file import FILE_NAME as FLEET_PLAN
from data.readers.fleet.plan_file import read_fleet_plan
from data.readers.plan import FILE_NAME as PLAN
from data.readers.plan import head_of, read_plan
from data.schemas.fleet_plan import FleetPlan
from data.schemas.plan import Bound, Fallback, Plan, SolverRow
from tasks.report.history_applied import Applies
from tasks.report.history_record import History, Reached, RunRecord, Unreadable
from tasks.report.outcome import INCUMBENT

REPORT, TIMINGS, EVENTS, SNAPSHOT = "report.html", "timings.json", "events.jsonl", "snapshot.json"
APPLIES = "applies"
LARGEST_PLAN = 64 << 20
"""Bytes; a plan above that is listed, not read: a history must not take longer than the runs."""

_SMALL = 1 << 20
_HEAD = 8 << 10
_NAME = re.compile(r"(\d{8}T\d{6}Z)-[0-9a-f]{6}")
_PARTIAL = re.compile(r"\.\d{8}T\d{6}Z-[0-9a-f]{6}\.partial")
_MOST_WORDS = 200


def read_history(runs: Path, limit: int, journals: Sequence[Path] = ()) -> History:
    """Return what the newest ``limit`` runs in the folder ``runs`` reached.

    Args:
        runs: the folder.
        limit: so many of the newest.
        journals: folders of journals, which tell how plans were applied.

    Raises:
        SourceUnavailable: there is no such folder, or it cannot be listed.
    """
    folders = _folders(runs)
    applies = Applies.in_folders(journals)
    records, unreadable = _read(folders.newest[:limit], applies)
    older = max(0, len(folders.newest) - limit)
    return History(runs, records, unreadable, folders.unfinished, older, folders.others, applies.notes)


def read_last_plans(runs: Path, journals: Sequence[Path] = ()) -> History:
    """Return the newest run in the folder ``runs`` for each cluster or fleet and what was to be improved of it.

    However many runs of others are newer: a cluster that nobody planned for since last week is still told.

    Args:
        runs: the folder.
        journals: folders of journals, which tell how plans were applied.

    Raises:
        SourceUnavailable: there is no such folder, or it cannot be listed.
    """
    folders = _folders(runs)
    applies = Applies.in_folders(journals)
    records: dict[tuple[str, ...], RunRecord] = {}
    unreadable: list[Unreadable] = []
    for path in folders.newest:
        made_for = _made_for(path)
        if made_for in records:
            continue
        read, refused = _read([path], applies)
        unreadable += refused
        records.update((made_for, record) for record in read)
    older = len(folders.newest) - len(records) - len(unreadable)
    found = tuple(records.values())
    return History(runs, found, tuple(unreadable), folders.unfinished, older, folders.others, applies.notes)


@dataclass(frozen=True, slots=True)
class _Folders:
    """What lies in a folder of runs: those with a plan, the newest first; hidden ones; how many others."""

    newest: tuple[Path, ...]
    unfinished: tuple[str, ...]
    others: int


def _folders(runs: Path) -> _Folders:
    """Return what lies in the folder ``runs``.

    Raises:
        SourceUnavailable: there is no such folder, or it cannot be listed.
    """
    try:
        found = [Path(entry.path) for entry in os.scandir(runs) if entry.is_dir(follow_symlinks=False)]
    except OSError as error:
        raise SourceUnavailable(f"{runs}: {error.strerror or error}") from error
    unfinished = tuple(sorted(path.name for path in found if _PARTIAL.fullmatch(path.name)))
    named = [path for path in found if not path.name.startswith(".") and path.name != APPLIES]
    planned = [path for path in named if _is_run(path)]
    newest = sorted(planned, key=lambda path: (_began(path), path.name), reverse=True)
    return _Folders(tuple(newest), unfinished, len(named) - len(planned))


def _read(folders: Sequence[Path], applies: Applies) -> tuple[tuple[RunRecord, ...], tuple[Unreadable, ...]]:
    """Return what runs reached, and which cannot be read."""
    records: list[RunRecord] = []
    unreadable: list[Unreadable] = []
    for path in folders:
        try:
            record = _record(path)
            records.append(replace(record, applied=applies.of(record.plan_sha256)))
        except (PlanRefused, BadSource, BadRecord, SourceUnavailable, OSError, ValueError, RecursionError) as error:
            unreadable.append(Unreadable(path.name, _reason(error, path)))
    return tuple(records), tuple(unreadable)


def _made_for(folder: Path) -> tuple[str, ...]:
    """Return what a run's plan was made for, as its head says: kind, name and nouns; else its folder."""
    for name, what in ((PLAN, "cluster"), (FLEET_PLAN, "fleet")):
        with suppress(OSError, ValueError):
            if (folder / name).is_file() and what in (said := head_of(folder / name)):
                return what, said[what], str(_options(said.get("options", "")).get("nouns"))
    return "folder", folder.name


def _is_run(folder: Path) -> bool:
    """Tell whether there is a plan in ``folder``, or was meant to be."""
    names = (PLAN, FLEET_PLAN, *((SNAPSHOT,) if _NAME.fullmatch(folder.name) else ()))
    return any(os.path.lexists(folder / name) for name in names)


def _began(folder: Path) -> datetime:
    """Return when a run began: as its name says, else when the folder was last changed."""
    if match := _NAME.fullmatch(folder.name):
        with suppress(ValueError):
            return datetime.strptime(match[1], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    with suppress(OSError, OverflowError, ValueError):
        return datetime.fromtimestamp(folder.stat().st_mtime, UTC)
    return datetime.fromtimestamp(0, UTC)


def _reason(error: Exception, folder: Path) -> str:
    """Return why a run cannot be read, without the path that its name tells already."""
    text = str(error) or type(error).__name__
    return text.replace(f"{folder}{os.sep}", "").replace(str(folder), folder.name).splitlines()[0]


def _record(folder: Path) -> RunRecord:
    """Read the run in ``folder``.

    Raises:
        PlanRefused, BadSource, SourceUnavailable: its plan cannot be read.
    """
    fleet = os.path.lexists(folder / FLEET_PLAN) and not os.path.lexists(folder / PLAN)
    file = folder / (FLEET_PLAN if fleet else PLAN)
    _expect_readable(file)
    return _of_fleet(folder, read_fleet_plan(file)) if fleet else _of_cluster(folder, read_plan(file))


def _expect_readable(file: Path) -> None:
    """Refuse what is no regular file, so that nobody waits for a pipe, and what is too large.

    Raises:
        PlanRefused: it is such a file, or none.
    """
    if not file.is_file():
        raise PlanRefused(f"{file}: expected a file, found {'something else' if os.path.lexists(file) else 'nothing'}")
    if (size := file.stat().st_size) > LARGEST_PLAN:
        raise PlanRefused(f"{file}: expected at most {LARGEST_PLAN} bytes for a history, found {size}")


def _of_cluster(folder: Path, plan: Plan) -> RunRecord:
    asked = _options(plan.options)
    nouns = asked.get("nouns")
    one = nouns[0] if isinstance(nouns, list) and len(nouns) == 1 else "cluster"
    kinds = Counter[str](action.kind for action in plan.actions)
    return _with(folder, plan, plan.cluster, plan.snapshot_sha256, f"optimize-{one}", asked, kinds)


def _of_fleet(folder: Path, plan: FleetPlan) -> RunRecord:
    """Return the record of a fleet's plan.

    Raises:
        PlanRefused: it was altered after it was signed.
    """
    if fleet_plan_digest(plan) != plan.sha256:
        raise PlanRefused(f"{FLEET_PLAN}: expected sha256 {plan.sha256} as signed: the plan was altered")
    kinds = Counter[str](doing for each in plan.resource_changes for doing in each.change.actions if doing != "no-op")
    return _with(folder, plan, plan.fleet, plan.prior_state_sha256, "plan-fleet", _options(plan.options), kinds)


def _with(
    folder: Path,
    plan: Plan | FleetPlan,
    cluster: str,
    snapshot: str,
    flow: str,
    asked: dict[str, object],
    kinds: Counter[str],
) -> RunRecord:
    events = _first_event(folder / EVENTS)
    solver = asked.get("solver")
    return RunRecord(
        folder=folder,
        began=_began(folder),
        cluster=cluster,
        flow=str(events.get("flow") or flow)[:_MOST_WORDS],
        flow_run=str(events.get("flow_run") or "")[:_MOST_WORDS],
        plan_sha256=plan.sha256,
        snapshot_sha256=snapshot,
        solver=str(solver.get("kind", "") if isinstance(solver, dict) else "")[:_MOST_WORDS],
        effort=str(asked.get("effort") or "")[:_MOST_WORDS],
        reached=tuple(_reached(plan.solvers, plan.bounds)),
        actions=tuple(sorted(kinds.items())),
        fallbacks=tuple(_told(each) for each in plan.fallbacks),
        set_aside=len(plan.set_aside),
        seconds=_seconds(folder / TIMINGS),
        report=(folder / REPORT).is_file(),
    )


def _reached(rows: Sequence[SolverRow], bounds: Sequence[Bound]) -> Iterator[Reached]:
    """Yield the chosen row of each problem beside what was in force and what is proven; figures are finite."""
    before = {row.problem: row.cost for row in rows if row.method == INCUMBENT}
    proven = {bound.problem: bound for bound in bounds}
    for row in rows:
        was = before.get(row.problem, row.cost)
        if row.chosen and math.isfinite(was) and math.isfinite(row.cost):
            bound = proven.get(row.problem)
            value = bound.value if bound and math.isfinite(bound.value) else None
            gap = bound.gap if bound and bound.gap is not None and math.isfinite(bound.gap) else None
            yield Reached(row.problem, row.method, was, row.cost, value, gap)


def _told(fallback: Fallback) -> str:
    return f"{fallback.stage}: {fallback.used} instead of {fallback.wanted}: {fallback.reason}"


def _options(text: str) -> dict[str, object]:
    """Return what a run was asked for; nothing where its plan does not say it as JSON."""
    with suppress(ValueError, RecursionError):
        found = json.loads(text)
        if isinstance(found, dict):
            return found
    return {}


def _seconds(file: Path) -> float | None:
    """Return what the run took, if its timings tell."""
    with suppress(SourceUnavailable, BadSource, ValueError, RecursionError, TypeError, LookupError, OverflowError):
        total = float(json.loads(read_bounded(file, _SMALL))["total"])
        return total if math.isfinite(total) and total >= 0 else None
    return None


def _first_event(file: Path) -> dict[str, object]:
    """Return the first line of a run's log, which names the flow and its run."""
    with suppress(OSError, ValueError, RecursionError):
        if file.is_file():
            with file.open("rb") as log:
                return _options(log.readline(_HEAD).decode())
    return {}
