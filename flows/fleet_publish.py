"""Which files and artifacts does a fleet's plan leave? The plan, its text, the report, renderings, the timings."""

import json
from collections.abc import Sequence
from pathlib import Path

from prefect.artifacts import create_markdown_artifact, create_table_artifact

from data.readers.fleet.fleet_file import write_fleet
from data.readers.fleet.plan_file import FILE_NAME
from data.schemas.fleet import Fleet
from data.schemas.fleet_plan import FLEET_PLAN, FleetPlan
from data.whole_file import FOLDER_MODE, whole_file
from flows.report_link import publish_page
from tasks.fleet.latency_frontier import LatencyChoice
from tasks.fleet.plan import diff_text
from tasks.fleet.renderings.kubernetes import as_kubernetes
from tasks.fleet.renderings.names import Rendered
from tasks.fleet.renderings.opentofu import as_opentofu
from tasks.fleet.renderings.skypilot import as_skypilot
from tasks.report.fleet_page import figure_row, headline, render_fleet_report
from tasks.report.fleet_tables import Table, change_table, solver_table
from tasks.report.markdown_text import code, escaped, fenced
from tasks.report.quantities import counted
from tasks.validation.verdict import Verdict

PLAN, FLEET, DIFF, REPORT, TIMINGS = FILE_NAME, "fleet.json", "diff.txt", "report.html", "timings.json"
RENDERINGS, LEFT_OUT = "renderings", "left_out.txt"
KEY = "plan-fleet"
MOST_LINES = 60
"""Of the text of the plan in an artifact, which lives in the server's database."""


def write_fleet_run(
    folder: Path,
    plan: FleetPlan,
    fleet: Fleet,
    verdict: Verdict,
    *,
    frontier: Sequence[LatencyChoice],
    seconds: Sequence[tuple[str, float]],
) -> None:
    """Write everything that a run leaves into ``folder``.

    ``fleet_plan.json``, ``fleet.json``, ``diff.txt`` and the renderings hold no clock's figures: the same fleet and
    seed give the same bytes.
    """
    rendered = renderings(plan, fleet)
    report = render_fleet_report(plan, fleet, verdict, frontier=frontier, seconds=seconds, renderings=_told(rendered))
    texts = {
        PLAN: FLEET_PLAN.dump_json(plan, indent=1).decode() + "\n",
        DIFF: diff_text(plan),
        REPORT: report,
        TIMINGS: json.dumps({phase: round(spent, 3) for phase, spent in seconds}, indent=1) + "\n",
        **{f"{RENDERINGS}/{tool}/{name}": text for tool, each in rendered.items() for name, text in each.files},
    }
    write_fleet(fleet, folder / FLEET)
    for name, text in texts.items():
        (folder / name).parent.mkdir(FOLDER_MODE, parents=True, exist_ok=True)
        with whole_file(folder / name) as file:
            file.write(text.encode())


def renderings(plan: FleetPlan, fleet: Fleet) -> dict[str, Rendered]:
    """Return the plan in other tools' words, by tool; what they have no words for is named in :data:`LEFT_OUT`."""
    found = {
        "opentofu": as_opentofu(plan),
        "kubernetes": as_kubernetes(plan, fleet),
        "skypilot": as_skypilot(plan),
    }
    return {
        tool: Rendered((*each.files, (LEFT_OUT, "\n".join(each.left_out) + "\n")), each.left_out)
        if each.left_out
        else each
        for tool, each in found.items()
    }


def _told(rendered: dict[str, Rendered]) -> list[str]:
    """Return a line for each tool: how many files, and what they leave out."""
    lines = []
    for tool, each in rendered.items():
        files = sum(name != LEFT_OUT for name, _ in each.files)
        out = f"; {counted(len(each.left_out), 'resource')} left out, see {LEFT_OUT}" if each.left_out else ""
        lines.append(f"{RENDERINGS}/{tool}: {counted(files, 'file')}{out}")
    return lines


def publish_fleet_artifacts(plan: FleetPlan, verdict: Verdict, folder: Path) -> None:
    """Publish the artifacts of a run whose files lie in ``folder``."""
    summary = summary_markdown(plan, verdict) + f"\nFiles: {code(str(folder.resolve()))}\n"
    create_markdown_artifact(summary, key=f"{KEY}-summary", description="What the plan changes")
    create_table_artifact(_rows(change_table(plan)), key=f"{KEY}-changes", description="What is rented and given back")
    create_table_artifact(_rows(solver_table(plan)), key=f"{KEY}-solvers", description="What each method reached")
    publish_page(folder / REPORT, KEY, "The report of the run")


def summary_markdown(plan: FleetPlan, verdict: Verdict) -> str:
    """Return what an operator reads first."""
    passed = sum(check.passed for check in verdict.checks)
    lines = [f"**{escaped(headline(plan))}**", "", f"{passed} of {len(verdict.checks)} checks passed.", ""]
    lines += ["| figure | before | after | change |", "| --- | ---: | ---: | ---: |"]
    for metric in plan.metrics:
        row = figure_row(metric)
        lines.append(f"| {' | '.join(map(escaped, (row.label, row.before, row.after, row.change)))} |")
    text = diff_text(plan).splitlines()
    cut = (
        [*text[:MOST_LINES], f"... {len(text) - MOST_LINES - 1} more", text[-1]] if len(text) > MOST_LINES + 1 else text
    )
    lines += ["", fenced("\n".join(cut)), ""]
    lines += [f"- {escaped(note)}" for note in plan.notes]
    return "\n".join(lines) + "\n"


def _rows(table: Table) -> list[dict[str, str]]:
    """Return the rows of ``table`` as Prefect takes them; two columns of one name would be one."""
    heads: list[str] = []
    for number, head in enumerate(table.heads):
        name = head or "what"
        heads.append(name if name not in heads else f"{heads[number - 1]}, {name}")
    return [dict(zip(heads, row, strict=True)) for row in table.rows]
