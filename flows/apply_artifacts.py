"""What does the Prefect UI show of an apply, and who hears of it? Artifacts, and an event."""

from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.events import emit_event

from data.schemas.apply import Opened
from tasks.apply.diff import diff_markdown, journal_rows, name_of
from tasks.apply.journal import read_journal
from tasks.apply.loop import Applied
from tasks.apply.reviewed import Reviewed
from tasks.report.plain import one_line
from tasks.report.quantities import counted

APPLIED, ROLLED_BACK, REHEARSED = (
    "quantumflow.plan.applied",
    "quantumflow.plan.rolled-back",
    "quantumflow.plan.rehearsed",
)
"""Names of the events; a dry run has its own, so that nobody takes it for a change."""

MOST_LEFT = 50


def show_diff(reviewed: Reviewed, executor: str, notes: tuple[str, ...]) -> None:
    """Publish what the plan would change."""
    text = diff_markdown(reviewed.plan, reviewed.sha256, executor, notes)
    create_markdown_artifact(text, key="apply-diff", description="What the plan changes")


def show_outcome(applied: Applied, opened: Opened) -> None:
    """Publish the journal and how it ended, and tell whoever listens."""
    rows = journal_rows(read_journal(applied.journal).lines)
    create_table_artifact(rows, key="apply-journal", description="Each step, as it was written down")
    create_markdown_artifact(outcome_markdown(applied, opened), key="apply-outcome", description="How it ended")
    event = APPLIED if applied.outcome == "applied" else ROLLED_BACK
    emit_event(
        REHEARSED if opened.executor == "dry-run" else event,
        resource={
            "prefect.resource.id": f"quantumflow.plan.{opened.plan_sha256}",
            "prefect.resource.name": f"plan of {opened.cluster}",
        },
        payload={
            "cluster": opened.cluster,
            "outcome": applied.outcome,
            "executor": opened.executor,
            "journal": str(applied.journal),
            "sha256": opened.file_sha256,
            "approved_by": opened.approved_by,
            "done": applied.done,
            "skipped": len(applied.skipped),
            "left": len(applied.left),
            "why": one_line(applied.why, 1_000),
        },
    )


def show_rejection(who: str, comment: str) -> str:
    """Publish and return who rejected a plan, and why."""
    said = f"rejected by {who}: {comment or 'no reason given'}"
    create_markdown_artifact(f"```text\n{said}\n```\n", key="apply-outcome", description="How it ended")
    return said


def outcome_markdown(applied: Applied, opened: Opened) -> str:
    """Return how an apply ended, what was skipped, and what is left to do by hand."""
    lines = [f"**{headline(applied)}**", "", "```text"]
    lines += [f"why       {one_line(applied.why, 2_000)}"] if applied.why else []
    for title, left in (("skipped", applied.skipped), ("left", applied.left)):
        lines += [
            one_line(f"{title:9} {name_of(each.action, opened.actions)}: {each.why}", 1_000)
            for each in left[:MOST_LEFT]
        ]
        lines += [f"{title:9} and {len(left) - MOST_LEFT} more"] if len(left) > MOST_LEFT else []
    lines += [f"journal   {applied.journal}", f"approved  {one_line(opened.approved_by)}", "```", ""]
    return "\n".join(lines)


def headline(applied: Applied) -> str:
    """Return in one sentence how an apply ended."""
    skipped = f", {counted(len(applied.skipped), 'action')} skipped" if applied.skipped else ""
    match applied.outcome:
        case "applied":
            return f"Applied: {counted(applied.done, 'action')} carried out{skipped}."
        case "rolled-back":
            return "Rolled back: the cluster is as it was before."
        case "partly-rolled-back":
            stuck = sum(not left.gone for left in applied.left)
            return f"Rolled back but for {counted(stuck, 'action')}, which somebody has to look at."
