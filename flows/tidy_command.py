"""Which old runs would go, or go now? From a terminal, with nothing of Prefect."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from flows.told import say, told


def tidy(
    runs: Annotated[Path, typer.Argument(help="Folder of the runs.")] = Path("runs"),
    days: Annotated[float, typer.Option(min=0.0, max=36_500.0, help="A run is kept for so many days at least.")] = 90.0,
    keep: Annotated[
        int, typer.Option(min=0, max=1_000_000, help="So many of the newest runs are kept however old they are.")
    ] = 100,
    archives: Annotated[
        bool, typer.Option("--archives", help="Also runs that hold the only copy of an archive.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Remove them; without it they are only listed.")] = False,
) -> None:
    """List old runs, or remove them: no last plan, nothing an apply may go back from, no only copy of an archive.

    Exit codes: 0 done, 1 no such folder, a journal cannot be read, or some runs could not be removed.
    """
    from flows.journals import journal_folders
    from flows.old_runs import old_runs, remove_old
    from tasks.report.quantities import counted, quantity

    with told():
        applies, now = journal_folders(runs), datetime.now(UTC)
        found, notes = old_runs(runs, applies, now, days=days, keep=keep, archives=archives)
        for note in notes:
            say(note)
        size = quantity(sum(old.size_bytes for old in found), "bytes")
        if not yes:
            for old in found:
                say(str(old.path))
            say(f"{counted(len(found), 'run')} would go, {size}" + (": say --yes" if found else ""))
            return
        failed = [f"{old.path}: {why}" for old, why in remove_old(found) if why]
        say(f"{counted(len(found) - len(failed), 'run')} removed of {size}")
        for each in failed:
            say(each, fg="red", err=True)
        if failed:
            raise typer.Exit(1)
