"""How did the runs of weeks go? One self-contained HTML page over stored plans, with filters and without scripts."""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import median
from urllib.parse import quote

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from tasks.report.history_chart import Curve, Point, curves_chart
from tasks.report.history_record import History, Reached, RunRecord, span
from tasks.report.outcome import method_name
from tasks.report.plain import one_line
from tasks.report.quantities import counted, duration, number, percent

MOST_GROUPS = 8
"""Clusters and flows with pictures, those with the newest runs; the table names all."""

MOST_PROBLEMS = 6
"""Problems of a group with a picture of their own."""

MOST_CHOICES = 24
"""Clusters, and flows, that can be chosen; the rest stands together."""

MOST_REASONS = 100
_NOTHING = 1e-6
"""Shares below it are what sums of floats leave over."""

_FOLDER = Path(__file__).parent
_MOMENT = "%Y-%m-%d %H:%M"


@dataclass(frozen=True, slots=True)
class Choice:
    """A cluster or a flow that the page can be narrowed to; ``number`` is its place among them."""

    number: int
    name: str
    runs: int


@dataclass(frozen=True, slots=True)
class Row:
    """A run in the table, in words."""

    cluster: int
    flow: int
    began: str
    link: str
    name: str
    who: str
    what: str
    gains: tuple[str, ...]
    solvers: str
    left: tuple[str, ...]
    seconds: str
    fallbacks: tuple[str, ...]
    set_aside: str
    plan: str
    title: str
    applied: str


@dataclass(frozen=True, slots=True)
class Chart:
    """A picture under its title, with the names of its lines."""

    title: str
    picture: Markup
    legend: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Group:
    """The runs of one flow for one cluster: what the last one reached, and pictures over time."""

    cluster: int
    flow: int
    title: str
    figures: tuple[tuple[str, str, str], ...]
    charts: tuple[Chart, ...]


def render_history(history: History, beside: Path, now: datetime) -> str:
    """Return the page of ``history``.

    Args:
        history: what the runs reached.
        beside: folder in which the page will stand; links to reports start there.
        now: when it is written.

    Returns:
        HTML without scripts, and without any reference but the links to reports.
    """
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"line": one_line}
    environment.globals |= {"counted": counted}
    template = environment.from_string((_FOLDER / "history.html.j2").read_text(encoding="utf-8"))
    clusters = _choices([record.cluster for record in history.records])
    flows = _choices([record.flow for record in history.records])
    style = "".join((_FOLDER / name).read_text(encoding="utf-8") for name in ("page.css", "history.css"))
    return template.render(
        history=history,
        span=span(history),
        began=[record.began.strftime(_MOMENT) for record in history.records],
        now=now.strftime(_MOMENT),
        age=duration(max(0.0, (now - history.records[0].began).total_seconds())) if history.records else "",
        clusters=clusters,
        flows=flows,
        groups=list(_groups(history.records, clusters, flows)),
        rows=[_row(record, beside, clusters, flows) for record in history.records],
        unreadable=history.unreadable[:MOST_REASONS],
        most=MOST_REASONS,
        style=Markup(style),  # noqa: S704 - our own files
    )


def _choices(names: Sequence[str]) -> tuple[Choice, ...]:
    """Return the names with the most runs, and a last one for the others."""
    counts = Counter(names).most_common()
    kept = [Choice(place, name, runs) for place, (name, runs) in enumerate(counts[:MOST_CHOICES])]
    if len(counts) > MOST_CHOICES:
        rest = counts[MOST_CHOICES:]
        kept.append(Choice(MOST_CHOICES, f"{len(rest):,} others", sum(runs for _, runs in rest)))
    return tuple(kept)


def _number(choices: Sequence[Choice], name: str) -> int:
    return next((choice.number for choice in choices[:MOST_CHOICES] if choice.name == name), MOST_CHOICES)


def _row(record: RunRecord, beside: Path, clusters: Sequence[Choice], flows: Sequence[Choice]) -> Row:
    gains = [f"{_short(each.problem)} {_share(each.gain)}" for each in record.reached]
    left = [f"{_short(each.problem)} {_share(each.left)}" for each in record.reached if each.left is not None]
    kinds = [f"{count:,} {kind.replace('_', ' ')}" for kind, count in record.actions]
    return Row(
        cluster=_number(clusters, record.cluster),
        flow=_number(flows, record.flow),
        began=record.began.strftime(_MOMENT),
        link=_link(record.folder / "report.html", beside) if record.report else "",
        name=one_line(record.folder.name, 60),
        who=f"{record.cluster}: {record.flow}",
        what=", ".join(kinds) or "nothing",
        gains=tuple(gains),
        solvers=", ".join(dict.fromkeys(method_name(each.method) for each in record.reached)) or "-",
        left=tuple(left),
        seconds="-" if record.seconds is None else duration(record.seconds),
        fallbacks=record.fallbacks,
        set_aside=f"{record.set_aside:,}" if record.set_aside else "",
        plan=record.plan_sha256[:12],
        title=f"flow run {record.flow_run}" if record.flow_run else "",
        applied=", ".join(record.applied),
    )


def _link(file: Path, beside: Path) -> str:
    """Return the way from ``beside`` to ``file`` as a link that names no scheme, whatever folders are called."""
    return quote(os.path.relpath(file.absolute(), beside.absolute()).replace(os.sep, "/"), errors="replace")


def _groups(records: Sequence[RunRecord], clusters: Sequence[Choice], flows: Sequence[Choice]) -> Iterator[Group]:
    """Yield the groups with the newest runs, the newest first."""
    by_group: dict[tuple[str, str], list[RunRecord]] = {}
    for record in records:
        by_group.setdefault((record.cluster, record.flow), []).append(record)
    for (cluster, flow), members in list(by_group.items())[:MOST_GROUPS]:
        title = f"{cluster}: {flow}"
        charts = tuple(_charts(members[::-1]))
        yield Group(_number(clusters, cluster), _number(flows, flow), title, tuple(_figures(members)), charts)


def _figures(members: Sequence[RunRecord]) -> Iterator[tuple[str, str, str]]:
    """Yield what an operator asks of a group first: a name, the last figure, and what is usual."""
    last = members[0]
    yield "last plan", last.began.strftime(_MOMENT), f"{counted(len(members), 'run')} shown"
    for each in last.reached[:MOST_PROBLEMS]:
        usual = _median([found.gain for record in members for found in record.reached if found.problem == each.problem])
        yield f"{one_line(each.problem, 60)}: cost saved", _share(each.gain), f"usually {_share(usual)}"
    usual_s = _median([record.seconds for record in members])
    taken = "-" if last.seconds is None else duration(last.seconds)
    yield "seconds of the run", taken, "-" if usual_s is None else f"usually {duration(usual_s)}"
    failed = sum(bool(record.fallbacks) for record in members)
    yield "runs with a fallback", f"{failed:,}", f"of {len(members):,}, {percent(failed, len(members))}"


def _charts(members: Sequence[RunRecord]) -> Iterator[Chart]:
    """Yield the pictures of a group, whose runs come oldest first."""
    problems = list(dict.fromkeys(each.problem for record in reversed(members) for each in record.reached))
    shown = problems[:MOST_PROBLEMS]
    colours = tuple((one_line(problem, 40), f"c{place}") for place, problem in enumerate(shown))
    styled = list(zip(shown, (style for _, style in colours), strict=True))
    gains = [Curve(style, tuple(_shares(members, problem, gain=True))) for problem, style in styled]
    lefts = [Curve(style, tuple(_shares(members, problem, gain=False))) for problem, style in styled]
    yield from _chart("Cost saved, of what was in force", gains, " %", colours)
    yield from _chart("Left to gain at most", lefts, " %", colours)
    for problem in shown:
        yield from _cost_chart(problem, members)
    taken = tuple(
        Point(record.began, record.seconds, f"{_when(record)}: {duration(record.seconds)}", bool(record.fallbacks))
        for record in members
        if record.seconds is not None
    )
    yield from _chart("Seconds of the run", [Curve("c0", taken)], " s")
    made = [(record, f"{_when(record)}: {counted(record.changes, 'action')}") for record in members]
    changes = tuple(Point(record.began, record.changes, told) for record, told in made)
    yield from _chart("Actions", [Curve("c0", changes)], "", counts=True)


def _chart(
    title: str, curves: Sequence[Curve], unit: str, legend: tuple[tuple[str, str], ...] = (), *, counts: bool = False
) -> Iterator[Chart]:
    drawn = curves_chart(curves, f"{title.lower()}, over time", unit, counts=counts)
    if drawn is not None:
        yield Chart(title, drawn, legend if len(legend) > 1 else ())


def _cost_chart(problem: str, members: Sequence[RunRecord]) -> Iterator[Chart]:
    """Yield the picture of a problem's cost: in force, of the plan, and the bound."""
    found = [(record, each) for record in members for each in record.reached if each.problem == problem]
    told = [(record, each, _told(record, each)) for record, each in found]
    before = tuple(Point(record.began, each.before, text) for record, each, text in told)
    after = tuple(Point(record.began, each.after, text, bool(record.fallbacks)) for record, each, text in told)
    bound = tuple(
        Point(record.began, each.bound, f"{_when(record)}: bound {number(each.bound)}")
        for record, each in found
        if each.bound is not None and each.gap is not None
    )
    legend = (("in force", "was"), ("plan", "c0"), *((("proven bound", "floor"),) if bound else ()))
    curves = [Curve("floor", bound), Curve("was", before), Curve("c0", after)]
    yield from _chart(f"Cost of {one_line(problem, 60)}", curves, "", legend)


def _shares(members: Sequence[RunRecord], problem: str, *, gain: bool) -> Iterator[Point]:
    for record in members:
        for each in record.reached:
            share = each.gain if gain else each.left
            if each.problem == problem and share is not None:
                yield Point(record.began, 100.0 * share, _told(record, each), bool(record.fallbacks))


def _told(record: RunRecord, each: Reached) -> str:
    """Return what a point says when it is pointed at."""
    cost = f"{number(each.before)} to {number(each.after)} ({_share(each.gain)} less)"
    parts = [f"{_when(record)}, {each.problem}: {cost}", method_name(each.method)]
    if each.left is not None:
        parts.append(f"at most {_share(each.left)} left")
    return "; ".join([*parts, *record.fallbacks[:1]])


def _when(record: RunRecord) -> str:
    return record.began.strftime(_MOMENT)


def _share(share: float | None) -> str:
    return "-" if share is None else percent(share if abs(share) >= _NOTHING else 0.0, 1.0)


def _short(problem: str) -> str:
    return one_line(problem, 40)


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None
