"""What does the history of runs look like in a terminal?"""

from collections.abc import Iterator

from rich.box import SIMPLE_HEAD
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from tasks.report.history_record import History, span
from tasks.report.outcome import method_name
from tasks.report.plain import one_line
from tasks.report.quantities import duration, percent

MOST_REASONS = 20


def history_tables(history: History) -> Iterator[RenderableType]:
    """Yield the runs as a table, the newest first, and what could not be read."""
    yield Text(f"{span(history)} in {one_line(str(history.runs))}", style="bold")
    if history.records:
        table = Table(box=SIMPLE_HEAD, pad_edge=False)
        for column in ("began (UTC)", "cluster", "flow", "cost saved", "found by", "took", "fell back", "plan"):
            table.add_column(column, justify="right" if column in ("took", "fell back") else "left", overflow="fold")
        for record in history.records:
            gains = "\n".join(
                f"{one_line(each.problem, 24)} {'-' if each.gain is None else percent(each.gain, 1.0)}"
                for each in record.reached
            )
            table.add_row(
                Text(record.began.strftime("%Y-%m-%d %H:%M")),
                Text(one_line(record.cluster, 40)),
                Text(one_line(record.flow, 40)),
                Text(gains),
                Text("\n".join(method_name(each.method) for each in record.reached)),
                Text("-" if record.seconds is None else duration(record.seconds)),
                Text(str(len(record.fallbacks) or ""), style="red"),
                Text(one_line(record.plan_sha256[:12]), style="dim"),
            )
        yield table
    for each in history.unreadable[:MOST_REASONS]:
        yield Text(f"{one_line(each.name)}: {one_line(each.reason)}", style="red")
    if len(history.unreadable) > MOST_REASONS:
        yield Text(f"and {len(history.unreadable) - MOST_REASONS:,} more that cannot be read", style="red")
    for note in history.notes:
        yield Text(one_line(note), style="red")
    if history.unfinished:
        yield Text(
            f"{len(history.unfinished):,} unfinished: running, or killed: see python -m flows doctor", style="dim"
        )
