"""What becomes of runs that nobody needs any more? They are removed, or a folder of runs would fill its disk."""

from datetime import UTC, datetime
from pathlib import Path

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from pydantic import BaseModel, ConfigDict, Field

from data.errors import BadRecord
from flows.freshness import unless_late
from flows.journals import journal_folders
from flows.logs import Line, run_log
from flows.old_runs import old_runs, remove_old
from flows.permitted import require_permitted
from tasks.report.markdown_text import fenced
from tasks.report.quantities import counted, quantity

MOST_SHOWN = 200
"""Lines of an artifact, which lives in the server's database."""


class TidyParams(BaseModel):
    """How long runs are kept."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    runs: Path = Field(default=Path("runs"), title="Folder of the runs")
    days: float = Field(default=90.0, ge=7.0, le=36_500.0, title="Days", description="That a run is kept at least")
    keep: int = Field(default=100, ge=1, le=1_000_000, title="Newest runs", description="Kept however old they are")
    archives: bool = Field(
        default=False, title="Archives", description="Remove also runs that hold the only copy of an archive"
    )


@flow(name="tidy-runs", flow_run_name="tidy-{params.days:g}-days", retries=0)
@unless_late
def tidy_runs(params: TidyParams) -> str:
    """Remove old runs: not the newest, no last plan, none that an apply may go back from, no only copy of an archive.

    Args:
        params: how long they are kept.

    Returns:
        How many were removed, and how much is free.

    Raises:
        SourceUnavailable: there is no such folder, or a journal cannot be read; nothing is removed.
        BadRecord: some could not be removed; the others are.
    """
    require_permitted(params)
    applies, now, days, keep = journal_folders(params.runs), datetime.now(UTC), params.days, params.keep
    with run_log("tidy-runs") as log:
        found, notes = old_runs(params.runs, applies, now, days=days, keep=keep, archives=params.archives)
        done = tuple(remove_old(found))
        failed = [f"{old.path}: {why}" for old, why in done if why]
        freed = sum(old.size_bytes for old, why in done if not why)
        said = f"{counted(len(done) - len(failed), 'run')} removed, {quantity(freed, 'bytes')} free"
        log.tell(Line("runs.removed", said, {"runs": [old.path.name for old, why in done if not why]}))
        for note in notes:
            log.tell(Line("run.kept", note))
    lines = [*failed, *notes, *(str(old.path) for old, why in done if not why)]
    if len(lines) > MOST_SHOWN:
        lines[MOST_SHOWN:] = [f"and {len(lines) - MOST_SHOWN} more"]
    text = "\n".join(lines)
    create_markdown_artifact(f"**{said}**\n\n{fenced(text)}", key="tidy-runs", description="Old runs")
    if failed:
        raise BadRecord(str(params.runs), "old runs that can be removed", "; ".join(failed[:10]))
    return said
