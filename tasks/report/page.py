"""What does a person read about a plan? One self-contained HTML page, with pictures, that needs nothing else."""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from data.schemas.cluster import Snapshot
from data.schemas.plan import Action, Compress, Plan
from tasks.report.changes import GAIN_UNITS, KINDS, Change, headline, told
from tasks.report.gangs import ChangedGang, changed_gangs
from tasks.report.heat_map import HeatMaps, heat_maps
from tasks.report.outcome import figure_change, key_figures, method_name, outcomes
from tasks.report.plain import one_line
from tasks.report.power_caps import EnergyAccount
from tasks.report.power_chart import PowerSeries, power_chart
from tasks.report.power_frontier import EnergyChoices, frontier_chart, frontier_lines
from tasks.report.quantities import counted, duration, number, percent, quantity
from tasks.report.start_chart import start_chart
from tasks.report.topology_map import topology_maps
from tasks.validation.verdict import Verdict

__all__ = ["PowerSeries", "render_report"]

MOST_ROWS = 300
"""Rows of a table; what is left out is counted, and stands in plan.json."""

FIRST_ROWS = 12
"""Rows of a long table that show before it is unfolded."""

MOST_DEPLOYMENTS = 6
_KEY_FIGURES = 8
_FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class ArchiveRow:
    """A checkpoint and its archive."""

    checkpoint: str
    path: str
    before: str
    after: str
    ratio: str


@dataclass(frozen=True, slots=True)
class ActionGroup:
    """The actions of one kind, those with the highest gain first.

    Args:
        title: what they do.
        count: of them in the plan.
        first: rows that are always shown.
        rest: rows that can be unfolded.
    """

    title: str
    count: int
    first: tuple[Change, ...]
    rest: tuple[Change, ...]


def render_report(
    plan: Plan,
    before: Snapshot,
    after: Snapshot,
    verdict: Verdict,
    seconds: Sequence[tuple[str, float]] = (),
    power: PowerSeries | None = None,
    energy: EnergyAccount | None = None,
    choices: EnergyChoices | None = None,
) -> str:
    """Return the page of ``plan``.

    Args:
        plan: what is changed.
        before: the state that it was made for.
        after: the state that it leads to.
        verdict: what the validator says of it.
        seconds: phases of the run and what they took, in order; ``refine <problem>: <method>`` for a solver's.
        power: draw of each slot before and after; without it there is no chart.
        energy: what the schedules in force and planned need; without it there is no table.
        choices: plans under several energy budgets; without them there is no frontier.

    Returns:
        HTML without any reference to another file, bounded in size whatever the size of the cluster.
    """
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {
        "line": one_line, "number": number, "quantity": quantity, "duration": duration, "method": method_name
    }  # fmt: skip
    environment.globals |= {"counted": counted, "percent": percent, "more": _more}
    template = environment.from_string(_text("page.html.j2"))
    script = _text("page.js")
    gangs = changed_gangs(before, after)
    return template.render(
        plan=plan,
        headline=headline(plan.actions),
        verdict=verdict,
        failed=[check for check in verdict.checks if not check.passed],
        figures=key_figures(plan, _KEY_FIGURES),
        metrics=[figure_change(metric) for metric in plan.metrics],
        maps=topology_maps(before, after) if before.nodes else None,
        gangs=gangs,
        gang_sentence=_spread_change(gangs),
        heat=_heat(before, after),
        deployments=len(before.deployments),
        power=power,
        energy=energy,
        power_chart=power_chart(power) if power else None,
        frontier=frontier_chart(choices.choices, choices.in_force, choices.plan) if choices else None,
        frontier_lines=frontier_lines(choices.choices, choices.in_force) if choices else (),
        starts=start_chart(before, after),
        groups=_groups(plan.actions),
        gain_units=GAIN_UNITS,
        outcomes=outcomes(plan),
        archives=_archives(plan.actions),
        seconds=tuple(seconds),
        spent=_spent(seconds),
        most=MOST_ROWS,
        first=FIRST_ROWS,
        style=Markup(_text("page.css")),  # noqa: S704 - our own file
        script=Markup(script),  # noqa: S704 - our own file
        script_digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def _text(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")


def _more(total: int, most: int, what: str) -> str:
    """Return what a table leaves out, in words; empty if nothing."""
    return f"{total - most:,} more {what} stand in plan.json." if total > most else ""


def _groups(actions: Sequence[Action]) -> tuple[ActionGroup, ...]:
    """Return the actions by kind; a kind with few leaves its share of the rows to the others."""
    by_kind = {kind: [action for action in actions if action.kind == kind] for kind in KINDS}
    room, waiting = MOST_ROWS, sum(map(bool, by_kind.values()))
    groups: dict[str, ActionGroup] = {}
    for kind, members in sorted(by_kind.items(), key=lambda item: len(item[1])):
        if members:
            best = sorted(members, key=lambda action: -action.gain)[: room // waiting]
            rows = tuple(told(action) for action in best)
            room, waiting = room - len(rows), waiting - 1
            groups[kind] = ActionGroup(KINDS[kind], len(members), rows[:FIRST_ROWS], rows[FIRST_ROWS:])
    return tuple(groups[kind] for kind in KINDS if kind in groups)


def _archives(actions: Sequence[Action]) -> tuple[ArchiveRow, ...]:
    rows = []
    for action in actions:
        if isinstance(action, Compress) and action.after is not None:
            size, source = action.after.size_bytes, action.after.size_bytes + action.gain
            ratio = f"{source / size:.2f} x" if size else "-"
            row = (action.checkpoint, action.after.path, quantity(source, "bytes"), quantity(size, "bytes"), ratio)
            rows.append(ArchiveRow(*(one_line(text) for text in row)))
    return tuple(rows)


def _spent(seconds: Sequence[tuple[str, float]]) -> dict[str, str]:
    """Return the seconds of each phase; solvers find theirs by the name that the main job gives to theirs."""
    total: dict[str, float] = {}
    for phase, spent in seconds:
        total[phase] = total.get(phase, 0.0) + spent
    return {phase: f"{spent:.2f}" for phase, spent in total.items()}


def _heat(before: Snapshot, after: Snapshot) -> tuple[HeatMaps, ...]:
    """Return maps of the deployments that change, then of the others, at most :data:`MOST_DEPLOYMENTS`."""
    now = {deployment.id: deployment for deployment in after.deployments}
    ordered = sorted(before.deployments, key=lambda each: each.placement == now[each.id].placement)
    return tuple(heat_maps(each, now[each.id]) for each in ordered[:MOST_DEPLOYMENTS])


def _spread_change(rows: Sequence[ChangedGang]) -> str:
    """Return how the changed gangs that ran before are spread, in one sentence."""
    ran = [row for row in rows if row.before.gpus and row.after.gpus]
    if not ran:
        return ""
    closer = sum(row.after.domains < row.before.domains or row.after.racks < row.before.racks for row in ran)
    wider = sum(row.after.domains > row.before.domains or row.after.racks > row.before.racks for row in ran)
    apart = f"{wider:,} further apart" if wider else "none further apart"
    return f"{counted(len(ran), 'running gang')} on the move: {closer:,} closer together afterwards, {apart}."
