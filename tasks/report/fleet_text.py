"""What does a fleet's plan look like in a terminal? A headline, tables, and the steps of a wave."""

from rich.console import Group
from rich.table import Table as RichTable
from rich.text import Text

from data.schemas.fleet_plan import FleetPlan, Step, Wave
from tasks.report.fleet_page import figure_row, headline
from tasks.report.fleet_tables import Table, binding_table, change_table, solver_table, wave_table
from tasks.report.plain import one_line
from tasks.report.quantities import counted

MOST_ROWS = 12
"""Rows of a table in a terminal; the rest stands in the plan's file."""


def plan_tables(plan: FleetPlan) -> tuple[Group, ...]:
    """Return what a terminal prints of ``plan``."""
    head = Text.assemble(
        f"Plan for the fleet {one_line(plan.fleet)}, in the state of {one_line(plan.prior_state_taken_at)}\n",
        (f"{headline(plan)}\n", "bold"),
    )
    parts: list[Text | RichTable] = [head, _figures(plan)]
    parts += _shown("What changes", change_table(plan), (0, 1, 2, 3, 4, 6))
    parts += _shown("Waves", wave_table(plan), (0, 1, 2, 3, 4, 5))
    parts += _shown("Methods", solver_table(plan), (1, 2, 3, 4, 5, 6))
    parts += _shown("Limits that bind", binding_table(plan), (0, 2))
    lines = [f"{each.stage}: {each.wanted} failed, {each.used} stood in: {each.reason}" for each in plan.fallbacks]
    lines += [f"set aside: {each.path}: expected {each.expected}, found {each.found}" for each in plan.set_aside]
    lines += [
        f"not as the last plan left it: {each.address}: {each.found} nodes, planned {each.planned}"
        for each in plan.resource_drift
    ]
    if len(lines) > MOST_ROWS:
        lines = [*lines[:MOST_ROWS], f"{len(lines) - MOST_ROWS} more such lines stand in fleet_plan.json"]
    lines += plan.notes
    parts += [Text(one_line(line)) for line in lines]
    return (Group(*parts),)


def _figures(plan: FleetPlan) -> RichTable:
    shown = RichTable(box=None, pad_edge=False)
    for column in ("figure", "before", "after", "change"):
        shown.add_column(column, justify="left" if column == "figure" else "right")
    for metric in plan.metrics:
        row = figure_row(metric)
        change = f"{row.change} {row.verdict}" if row.change else row.verdict
        shown.add_row(*(Text(one_line(cell)) for cell in (row.label, row.before, row.after, change)))
    return shown


def _shown(title: str, table: Table, columns: tuple[int, ...]) -> list[Text | RichTable]:
    """Return ``columns`` of the first rows of a table; nothing of an empty one."""
    if not table.rows:
        return []
    made = RichTable(title=f"\n{title}", title_justify="left", box=None, pad_edge=False)
    for at in columns:
        made.add_column(table.heads[at], justify="right" if table.numeric[at] else "left", overflow="fold")
    for row in table.rows[:MOST_ROWS]:
        made.add_row(*(Text(one_line(row[at])) for at in columns))
    left = len(table.rows) + table.left_out - MOST_ROWS
    return [made, Text(f"{counted(left, 'more row')} in fleet_plan.json")] if left > 0 else [made]


def wave_lines(wave: Wave, *, undo: bool = False) -> tuple[str, ...]:
    """Return the steps of ``wave`` in their order, or those that take it back."""
    if undo:
        return tuple(_step(step) for step in wave.undo)
    return (
        f"Wave {wave.number}: {100 * wave.share:.1f} % of the capacity in force; "
        f"never less capacity than {wave.least_capacity:,.6g}",
        *(_step(step) for step in wave.starts),
        *(_step(step) for step in wave.stops),
        f"  then: {one_line(wave.barrier)}",
        f"  abort if: {one_line(wave.abort_if)}",
    )


def _step(step: Step) -> str:
    return f"  {'+' if step.nodes > 0 else '-'} {abs(step.nodes):>7,} {one_line(step.address)}"
