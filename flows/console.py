"""How do tables look in a terminal? Whoever only shows something waits for no library of planning."""

from dataclasses import fields

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tasks.report.plain import one_line
from tasks.validation.verdict import Verdict

LONGEST_DETAIL = 2_000
"""Characters of what a check says."""

WIDTH = 118
"""Columns of a log or a file, which state none."""


def wide_console() -> Console:
    """Return a console for tables: as wide as the terminal, and wide enough to read where there is none."""
    console = Console()
    return console if console.is_terminal else Console(width=WIDTH)


def verdict_table(verdict: Verdict) -> Table:
    """Return the validator's checks as a table."""
    table = Table(title="The plan passes every check" if verdict.passed else "The plan fails", title_justify="left")
    for column in ("check", "", "detail"):
        table.add_column(column)
    for check in verdict.checks:
        said = Text("ok", "green") if check.passed else Text("failed", "red")
        # texts, not strings: rich would take [brackets] of an id for markup
        table.add_row(Text(one_line(check.name)), said, Text(one_line(check.detail, LONGEST_DETAIL)))
    return table


def list_sources() -> None:
    """Print the kinds of sources with their fields."""
    from data.readers.sources import KINDS

    table = Table(title="Sources", title_justify="left")
    for column in ("kind", "fields", "what"):
        table.add_column(column)
    for kind in KINDS:
        names = [field.name for field in fields(kind) if field.name != "kind"]
        default = next(field.default for field in fields(kind) if field.name == "kind")
        table.add_row(str(default), ", ".join(names), (kind.__doc__ or "").splitlines()[0].replace("``", ""))
    wide_console().print(table)
