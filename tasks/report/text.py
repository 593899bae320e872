"""What does a plan look like in a terminal, and in the tables and the summary of the Prefect UI?"""

from collections import Counter

from rich.box import SIMPLE_HEAD
from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from data.schemas.plan import Action, Plan
from tasks.report.changes import KINDS, headline, told
from tasks.report.markdown_text import code, escaped
from tasks.report.outcome import INCUMBENT, figure_change, method_name, outcomes
from tasks.report.plain import one_line
from tasks.report.quantities import counted, number, percent
from tasks.validation.verdict import Verdict

MOST_ACTIONS = 12
MOST_LINES = 10
_COLOURS = {"better": "green", "worse": "red", "price": "yellow", "same": "dim"}


def plan_tables(plan: Plan) -> tuple[RenderableType, ...]:
    """Return what a plan changes, what it gains and who found it, for a terminal."""
    head = Text()
    head.append(f"Plan for {one_line(plan.cluster)}", style="bold")
    head.append(f", in the state of {one_line(plan.snapshot_taken_at)}\n")
    head.append(headline(plan.actions))
    parts: list[RenderableType] = [Padding(head, (1, 0, 0, 0))]
    if plan.metrics:
        parts.append(_figures(plan))
    if plan.actions:
        parts.append(_actions(plan.actions))
    if plan.solvers:
        parts.append(_solvers(plan))
    fallbacks = [f"{each.stage}: {each.used} instead of {each.wanted}, {each.reason}" for each in plan.fallbacks]
    aside = [f"{each.path}: expected {each.expected}, found {each.found}" for each in plan.set_aside]
    for title, lines in (("Fallbacks", fallbacks), ("Records set aside", aside), ("Notes", list(plan.notes))):
        if lines:
            parts.append(_lines(title, lines))
    foot = Text(f"plan {one_line(plan.sha256)}\nsnapshot {one_line(plan.snapshot_sha256)}, seed {plan.seed}", "dim")
    return (*parts, Padding(foot, (1, 0, 0, 0)))


def summary_markdown(plan: Plan, verdict: Verdict) -> str:
    """Return the summary of a plan as markdown: headline, figures, what each solver reached, what fell back."""
    failed = [check for check in verdict.checks if not check.passed]
    passes = f"passes {counted(len(verdict.checks), 'check')}"
    state = passes if verdict.passed else f"**fails {len(failed)} of {counted(len(verdict.checks), 'check')}**"
    lines = [
        f"# Plan for {escaped(plan.cluster)}",
        "",
        f"{escaped(headline(plan.actions))} The validator says that it {state}.",
        "",
        *(f"- {escaped(check.name)}: {escaped(check.detail)}" for check in failed[:MOST_LINES]),
        *([""] if failed else []),
        "| figure | before | after | change |",
        "|---|--:|--:|--:|",
    ]
    for metric in plan.metrics[:50]:
        row = figure_change(metric)
        change = row.change if row.verdict == "same" else f"{row.change}, {row.verdict}"
        lines.append(f"| {' | '.join(escaped(cell) for cell in (row.label, row.before, row.after, change))} |")
    lines.append("")
    lines += [
        f"- **{escaped(outcome.problem)}**: {escaped(' '.join(outcome.sentences))}" for outcome in outcomes(plan)[:20]
    ]
    for title, count in (
        ("fallback", len(plan.fallbacks)),
        ("record set aside", len(plan.set_aside)),
        ("note", len(plan.notes)),
    ):
        if count:
            lines.append(f"- {counted(count, title, 'records set aside' if 'record' in title else '')}")
    lines += ["", f"Plan {code(plan.sha256)} for snapshot {code(plan.snapshot_sha256)}, seed {plan.seed}."]
    return "\n".join(lines)


def action_rows(plan: Plan, limit: int) -> list[dict[str, str]]:
    """Return at most ``limit`` actions as rows of a table; the last row counts what was left out."""
    kept = plan.actions if len(plan.actions) <= limit else plan.actions[: max(0, limit - 1)]
    rows = []
    for action in kept:
        change = told(action)
        rows.append(
            {
                "kind": change.kind,
                "target": change.target,
                "before": change.before,
                "after": change.after,
                "reason": change.reason,
                "gain": change.gain,
            }
        )
    left = Counter[str](action.kind for action in plan.actions[len(kept) :])
    if left and limit > 0:
        counts = ", ".join(f"{count:,} {kind}" for kind, count in left.items())
        rest = {"kind": "more", "target": f"{left.total():,} in plan.json", "before": "", "after": ""}
        rows.append({**rest, "reason": counts, "gain": ""})
    return rows


def solver_rows(plan: Plan) -> list[dict[str, str]]:
    """Return the solver table, and each problem's bound as its last row."""
    rows: list[dict[str, str]] = []
    for outcome in outcomes(plan):
        base = next((row.cost for row in outcome.rows if row.method == INCUMBENT), None)
        rows += [
            {
                "problem": outcome.problem,
                "method": method_name(row.method),
                "cost": number(row.cost),
                "below what is in force": percent(base - row.cost, base) if base else "-",
                "evaluations": number(row.evaluations),
                "windows": number(row.windows),
                "accepted": number(row.accepted),
                "chosen": "yes" if row.chosen else "",
            }
            for row in outcome.rows
        ]
        if outcome.bound:
            below = percent(base - outcome.bound.value, base) if base and outcome.bound.gap is not None else "-"
            bound = {"problem": outcome.problem, "method": f"lower bound ({one_line(outcome.bound.method)})"}
            figures = {"cost": number(outcome.bound.value), "below what is in force": below}
            rows.append(bound | figures | {"evaluations": "", "windows": "", "accepted": "", "chosen": ""})
    return rows


def _table(title: str, *columns: str, right: tuple[str, ...] = ()) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")
    return table


def _figures(plan: Plan) -> Table:
    table = _table("Figures", "figure", "before", "after", "change", right=("before", "after", "change"))
    for metric in plan.metrics:
        row = figure_change(metric)
        change = row.change if row.verdict == "same" else f"{row.change} {row.verdict}"
        table.add_row(Text(row.label), Text(row.before), Text(row.after), Text(change, style=_COLOURS[row.verdict]))
    return table


def _actions(actions: tuple[Action, ...]) -> Table:
    counts = Counter[str](action.kind for action in actions)
    kinds = ", ".join(f"{counts[kind]:,} {kind.replace('_', ' ')}" for kind in KINDS if counts[kind])
    best = sorted(actions, key=lambda action: -action.gain)
    # the best of each kind: gains of different kinds are counted in different units
    share = max(2, MOST_ACTIONS // len(counts))
    shown = [action for kind in KINDS for action in [each for each in best if each.kind == kind][:share]]
    title = f"Actions: {kinds}" + ("; the best of each kind" if len(shown) < len(actions) else "")
    table = _table(title, "kind", "target", "before", "after", "why", "gain", right=("gain",))
    for action in shown:
        row = told(action)
        table.add_row(*(Text(text) for text in (row.kind, row.target, row.before, row.after, row.reason, row.gain)))
    return table


def _solvers(plan: Plan) -> Table:
    costs = ("cost in force", "with the plan", "bound")
    table = _table("Who found it", "problem", *costs, "what each solver reached", right=costs)
    for outcome in outcomes(plan):
        start = next((row.cost for row in outcome.rows if row.method == INCUMBENT), None)
        end = next((row.cost for row in outcome.rows if row.chosen), None)
        bound = outcome.bound.value if outcome.bound and outcome.bound.gap is not None else None
        figures = ("-" if value is None else number(value) for value in (start, end, bound))
        table.add_row(Text(outcome.problem), *figures, Text(" ".join(outcome.sentences)))
    return table


def _lines(title: str, lines: list[str]) -> Padding:
    text = Text()
    text.append(f"{title}: {len(lines):,}", style="bold")
    for line in lines[:MOST_LINES]:
        text.append(f"\n  {one_line(line)}")
    if len(lines) > MOST_LINES:
        text.append(f"\n  and {len(lines) - MOST_LINES:,} more in plan.json")
    return Padding(text, (1, 0, 0, 0))
