"""How did the runs go? A page, or a table, from the plans that they left."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from flows.told import say, told


def history(
    runs: Annotated[Path, typer.Argument(help="Folder of the runs.")] = Path("runs"),
    output: Annotated[Path | None, typer.Option(help="Where to write the page. Default: history.html in RUNS.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="So many of the newest runs.")] = 200,
    table: Annotated[bool, typer.Option("--table", help="Print a table instead of writing a page.")] = False,
) -> None:
    """Show what past runs reached: costs, gains, solvers, fallbacks, seconds; as one HTML page, or as a table.

    Runs that cannot be read are listed with the reason. Exit codes: 0 done, 1 no such folder.
    """
    from flows.journals import journal_folders
    from tasks.report.history import read_history
    from tasks.report.history_page import render_history
    from tasks.report.history_record import span
    from tasks.report.history_text import history_tables

    with told():
        found = read_history(runs, limit, journal_folders(runs))
        if table:
            from flows.console import wide_console

            wide_console().print(*history_tables(found), sep="\n")
            return
        from data.whole_file import whole_file

        page = runs / "history.html" if output is None else output
        text = render_history(found, page.parent, datetime.now(UTC))
        with whole_file(page) as file:
            file.write(text.encode())
        typer.echo(f"{page}: {span(found)}")
        for note in found.notes:
            say(note, fg="red", err=True)
