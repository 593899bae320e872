"""What would an apply change, and what did one do? As lines for a terminal, a form, and tables of the Prefect UI."""

from collections import Counter
from collections.abc import Sequence
from typing import Literal

from data.schemas.apply import Begun, Done, Ended, Entry, Failed, Line, Opened, Resumed, UndoBegun, UndoDone
from data.schemas.plan import Action, Compress, Place, Plan, Recap, Start
from tasks.report.changes import headline, told
from tasks.report.outcome import figure_change
from tasks.report.plain import one_line

MOST_LINES = 200
Sign = Literal["+", "~", "-"]


def sign(action: Action) -> Sign:
    """Return whether ``action`` gives something (+), takes it away (-), or changes it (~)."""
    if isinstance(action, Place | Start | Recap | Compress):
        # of workers none is an empty tuple, of the others it is None
        if action.before is None or action.before == ():
            return "+"
        if action.after is None or action.after == ():
            return "-"
    return "~"


def diff_lines(actions: Sequence[Action], limit: int = MOST_LINES) -> list[str]:
    """Return a line for each action: what it changes, from what to what, and why; the last counts those left out."""
    lines = []
    for action in actions[:limit]:
        change = told(action)
        lines.append(
            f"{sign(action)} {change.kind} {change.target}: {change.before} -> {change.after}  ({change.reason})"
        )
    if len(actions) > limit:
        lines.append(f"  and {len(actions) - limit:,} more in plan.json")
    return lines


def diff_markdown(plan: Plan, sha256: str, executor: str, notes: Sequence[str]) -> str:
    """Return what somebody has to read before he approves: what changes, in which order, and the figures."""
    figures = [figure_change(metric) for metric in plan.metrics[:50]]
    rows = [f"          {row.label}: {row.before} -> {row.after}" for row in figures if row.verdict != "same"]
    # inside a fence nothing is markdown, and no line can end it: none begins with less than four spaces and a backquote
    return "\n".join(
        (
            f"**{headline(plan.actions)}** Through `{executor}`.",
            "",
            "```diff",
            *diff_lines(plan.actions),
            "```",
            "",
            "```text",
            f"cluster   {one_line(plan.cluster)}",
            f"state of  {one_line(plan.snapshot_taken_at)}",
            f"sha256    {sha256} (of plan.json)",
            *(one_line(f"note      {note}") for note in notes),
            *(one_line(row) for row in rows),
            "```",
            "",
        )
    )


def told_entry(entry: Entry, actions: Sequence[Action]) -> str:
    """Return what an entry of a journal says, in one line."""
    match entry:
        case Opened():
            text = f"{len(entry.actions)} actions through {entry.executor}, approved by {entry.approved_by}"
            text += f": {entry.comment}" if entry.comment else ""
            text += "".join(f"; {note}" for note in entry.notes)
        case Resumed():
            where = "on with the plan" if entry.way == "on" else "back to what was before"
            text = f"{where}, by {entry.by.user} on {entry.by.host}"
        case Begun():
            skipped = "".join(f"; {name_of(left.action, actions)} skipped: {left.why}" for left in entry.skipped)
            text = f"step {entry.step}: {_all(entry.actions, actions)}{skipped}"
        case Done():
            alike = Counter(entry.found)  # in the order in which they were first seen
            seen = "; ".join(f"{detail} ({count} x)" if count > 1 else detail for detail, count in alike.items())
            text = f"step {entry.step}: {seen or 'nothing to do'}"
        case Failed():
            text = f"step {entry.step}: {entry.why}"
        case UndoBegun():
            text = _all(entry.actions, actions)
        case UndoDone():
            left = "".join(f"; {name_of(each.action, actions)}: {each.why}" for each in entry.left)
            text = f"{_all(entry.actions, actions)}{left}"
        case Ended():
            text = entry.outcome
    return one_line(text)


def journal_rows(lines: Sequence[Line], limit: int = MOST_LINES) -> list[dict[str, str]]:
    """Return the newest ``limit`` lines of a journal as rows of a table."""
    actions = _actions(lines)
    return [
        {
            "line": str(line.sequence),
            "at": one_line(line.at),
            "what": line.entry.kind,
            "detail": told_entry(line.entry, actions),
        }
        for line in lines[-limit:]
    ]


def _actions(lines: Sequence[Line]) -> Sequence[Action]:
    first = lines[0].entry if lines else None
    return first.actions if isinstance(first, Opened) else ()


def _all(positions: Sequence[int], actions: Sequence[Action]) -> str:
    return ", ".join(name_of(position, actions) for position in positions) or "nothing"


def name_of(position: int, actions: Sequence[Action]) -> str:
    """Return the action at ``position`` in a few words, with where it leads."""
    change = told(actions[position])
    return f"{change.kind} {change.target} to {change.after}"
