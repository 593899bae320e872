"""Which apply to a cluster was the last one, and did it end? Its journal's name, kept beside the journals."""

from dataclasses import dataclass
from pathlib import Path

from data.errors import BadRecord
from data.whole_file import whole_file
from tasks.apply.journal import SUFFIX, read_journal
from tasks.apply.lease import lease_path
from tasks.apply.progress import Progress, progress_of


@dataclass(frozen=True, slots=True)
class Earlier:
    """An apply that was cut off."""

    path: Path
    progress: Progress


def journal_path(folder: Path, started: str, plan_sha256: str) -> Path:
    """Return the name of a new journal: when it began, to the microsecond, and which plan."""
    return folder / f"{started}-{plan_sha256[:12]}{SUFFIX}"


def note_latest(folder: Path, cluster: str, journal: Path) -> None:
    """Note that ``journal`` is that of the newest apply to ``cluster``; whoever holds its lease does.

    Raises:
        OSError: the disk is full.
    """
    with whole_file(_pointer(folder, cluster)) as file:
        file.write(f"{journal.name}\n".encode())


def cut_off(folder: Path, cluster: str) -> Earlier | None:
    """Return the last apply to ``cluster`` if something of it was begun and it did not end.

    Raises:
        BadRecord: its journal is damaged, so that nobody can tell.
    """
    pointer = _pointer(folder, cluster)
    if not pointer.exists():
        return None
    name = pointer.read_text(encoding="utf-8", errors="replace").strip()
    if not name or Path(name).name != name:
        raise BadRecord(str(pointer), "the name of a journal in the same folder", name)
    path = folder / name
    if not path.exists():
        raise BadRecord(
            str(pointer), "a journal that is there", f"none called {name}; bring it back, or remove this file"
        )
    found = read_journal(path)
    if not found.lines:
        return None
    progress = progress_of(found.entries)
    return Earlier(path, progress) if progress.begun and progress.outcome is None else None


def _pointer(folder: Path, cluster: str) -> Path:
    return lease_path(folder, cluster).with_suffix(".latest")
