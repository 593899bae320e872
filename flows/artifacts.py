"""What does the Prefect UI show of a run? A summary, the actions, the solvers, and where the report lies."""

from pathlib import Path

from prefect.artifacts import create_markdown_artifact, create_table_artifact

from data.schemas.plan import Plan
from flows.report_link import publish_page
from flows.run_folder import REPORT
from tasks.report.markdown_text import code
from tasks.report.text import action_rows, solver_rows, summary_markdown
from tasks.validate import Verdict

MOST_ROWS = 200
"""Rows of a table live in the server's database."""


def publish_artifacts(plan: Plan, verdict: Verdict, folder: Path, flow: str) -> None:
    """Publish the artifacts of a run of ``flow`` whose files lie in ``folder``."""
    summary = f"{summary_markdown(plan, verdict)}\n\nFiles: {code(str(folder.resolve()))}\n"
    create_markdown_artifact(summary, key=f"{flow}-summary", description="What the plan changes")
    create_table_artifact(action_rows(plan, MOST_ROWS), key=f"{flow}-actions", description="Actions of the plan")
    create_table_artifact(solver_rows(plan), key=f"{flow}-solvers", description="What each solver reached")
    publish_page(folder / REPORT, flow, "The report of the run")
