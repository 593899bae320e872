"""What does a run look like in a terminal? A progress bar, then the plan; errors in one line."""

import logging
from pathlib import Path
from typing import TypeVar

from prefect import Flow
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from data.readers.plan import read_plan
from flows.console import wide_console
from flows.params import RunParams
from flows.run_folder import LATEST, PLAN, REPORT, leads_to
from flows.watch import listening
from tasks.report.text import plan_tables

Form = TypeVar("Form")
Planning = TypeVar("Planning", bound=RunParams)


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
        f"\nplan    {folder / PLAN}\nreport  {folder / REPORT}\n{also(folder)}",
        markup=False,
    )


def also(folder: Path, link: str = LATEST) -> str:
    """Return a line that says whether the link to the last plan, beside the folder of a run, points at it."""
    latest = folder.parent / link
    points = "points there" if leads_to(latest, folder) else "does not point there; it is left as it was"
    return f"also    {latest} {points}"


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
