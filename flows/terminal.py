"""What does a run look like in a terminal? A progress bar, then the plan; errors in one line."""

import logging
from dataclasses import fields
from typing import TypeVar

from prefect import Flow
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from data.readers.plan import read_plan
from data.readers.sources import KINDS
from flows.params import RunParams
from flows.publish import PLAN, REPORT
from flows.watch import listening
from tasks.report.text import plan_tables
from tasks.validate import Verdict

Form = TypeVar("Form")
Planning = TypeVar("Planning", bound=RunParams)

WIDTH = 118
"""Columns of a log or a file, which state none."""


def wide_console() -> Console:
    """Return a console for tables: as wide as the terminal, and wide enough to read where there is none."""
    console = Console()
    return console if console.is_terminal else Console(width=WIDTH)


def run_in_terminal(params: Planning, flow: Flow[[Planning], str]) -> None:
    """Run a flow that plans in this process, and show its plan.

    Raises:
        BadRecord, BadSource, PlanRefused, SourceUnavailable: as the flow does; nothing was written.
    """
    result = with_progress(flow, params)
    folder = params.output / result.rsplit("/", 1)[-1]
    console = wide_console()
    console.print(*plan_tables(read_plan(folder / PLAN)))
    console.print(
        f"\nplan    {folder / PLAN}\nreport  {folder / REPORT}\nalso    {params.output / 'latest'} points there"
    )


def with_progress(flow: Flow[[Form], str], params: Form) -> str:
    """Run a flow in this process under a progress bar, and return what it returns.

    Raises:
        Exception: what the flow raised.
    """
    logging.getLogger("prefect").setLevel(logging.CRITICAL)  # the error is told once, in our own words
    bar = Progress(
        TextColumn("{task.description:44}"), BarColumn(), TextColumn("{task.percentage:3.0f} %"), TimeElapsedColumn(),
        console=Console(stderr=True), transient=True,
    )  # fmt: skip
    with bar:
        task = bar.add_task("starting Prefect", total=1.0)

        def show(phase: str, share: float) -> None:
            bar.update(task, description=phase, completed=share)

        with listening(show):
            state = flow(params, return_state=True)
    result = state.result(raise_on_failure=False)
    if isinstance(result, Exception):
        raise result
    return str(result)


def verdict_table(verdict: Verdict) -> Table:
    """Return the validator's checks as a table."""
    table = Table(title="The plan passes every check" if verdict.passed else "The plan fails", title_justify="left")
    for column in ("check", "", "detail"):
        table.add_column(column)
    for check in verdict.checks:
        table.add_row(check.name, "[green]ok[/green]" if check.passed else "[red]failed[/red]", check.detail)
    return table


def list_sources() -> None:
    """Print the kinds of sources with their fields."""
    table = Table(title="Sources", title_justify="left")
    for column in ("kind", "fields", "what"):
        table.add_column(column)
    for kind in KINDS:
        names = [field.name for field in fields(kind) if field.name != "kind"]
        default = next(field.default for field in fields(kind) if field.name == "kind")
        table.add_row(str(default), ", ".join(names), (kind.__doc__ or "").splitlines()[0].replace("``", ""))
    wide_console().print(table)
