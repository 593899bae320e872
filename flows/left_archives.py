"""What did a run that was killed leave of its archives, so that the next one can go on with them?

Its folder still has its hidden name. A finished archive is linked; an unfinished one is taken with its journal, unless
a process that is alive holds its lock. Nothing of it is believed: whoever writes the archive compares all of it.
"""

import fcntl
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from data.errors import BadRecord, SourceUnavailable
from tasks.codecs.archive import Archive, open_archive


def take_over(runs: Path, run: Path, folder: str, names: Iterable[str]) -> frozenset[str]:
    """Bring what killed runs left of the archives called ``names`` into the folder of ``run``.

    Args:
        runs: folder of all runs.
        run: the new one.
        folder: of the archives, inside a run.
        names: of archives that are to be written.

    Returns:
        Names of the archives of which something is there now, whole or in part.
    """
    killed = sorted((each for each in runs.glob(".*.partial/") if not each.is_symlink() and each != run), reverse=True)
    taken: set[str] = set()
    for name in names:
        for left in killed:
            with suppress(OSError, BadRecord, SourceUnavailable):  # then it is written anew
                if _linked(left / folder / name, run / folder) or _moved(left / folder / name, run / folder):
                    taken.add(name)
                    break
    return frozenset(taken)


def _linked(archive: Path, folder: Path) -> bool:
    """Link a finished archive and those below it; say whether there is one."""
    if not archive.is_file():
        return False
    with open_archive(archive) as top:
        each: Archive | None = top
        while each is not None:
            with suppress(FileExistsError):
                os.link(each.path, folder / each.path.name)
            each = each.base
    return True


def _moved(archive: Path, folder: Path) -> bool:
    """Take an unfinished archive that nobody is writing, with its journal; say whether there is one."""
    unfinished, journal = (archive.with_name(f".{archive.name}.{end}") for end in ("partial", "journal"))
    if not (unfinished.is_file() and journal.is_file()):
        return False
    descriptor = os.open(unfinished, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        journal.rename(folder / journal.name)
        unfinished.rename(folder / unfinished.name)
    finally:
        os.close(descriptor)
    return True
