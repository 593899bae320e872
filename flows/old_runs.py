"""Which runs are old enough to go? Not the newest ones, nor what an apply may go back from, nor what is nowhere else.

Archives in the folder of a run may be links that younger runs share: removing one harms none of those. What cannot be
read is no reason to remove anything.
"""

import json
import os
import shutil
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from data.errors import SourceUnavailable
from data.readers.fleet.plan_file import FILE_NAME as FLEET_PLAN
from data.readers.plan import head_of
from flows.run_folder import CHECKPOINTS, LINKS, PLAN, RUN, TIME
from tasks.report.quantities import counted

_FIRST_LINE, _LAST_LINE = 64 * 1024 * 1024, 4096
"""Bytes: a journal's first line holds every action of a plan, the last one how it ended."""

_NAMED = 5
"""Runs that a note names."""

_DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class OldRun:
    """A run that may go.

    Args:
        path: of its folder.
        size_bytes: that are free without it, once the older ones that may go are gone.
    """

    path: Path
    size_bytes: int


@dataclass(frozen=True, slots=True)
class _Run:
    path: Path
    began: datetime


@dataclass(slots=True)
class _File:
    """A file of a run: how large it is, how many links it has anywhere and in the run, and whether it is an archive."""

    size_bytes: int
    links: int
    here: int = 0
    archive: bool = False


_Inode = tuple[int, int]


@dataclass(frozen=True, slots=True)
class _Journal:
    """When a journal was last written, and the file of the plan that it still needs; or that it is damaged."""

    written_s: float
    plan: Path | None = None
    damaged: bool = False


def old_runs(
    runs: Path, applies: Sequence[Path], now: datetime, *, days: float, keep: int, archives: bool = False
) -> tuple[tuple[OldRun, ...], tuple[str, ...]]:
    """Return the runs that may go, oldest first, and what was found that keeps others.

    Args:
        runs: their folder.
        applies: folders of journals.
        now: the time.
        days: that a run is kept, counted from its beginning.
        keep: so many of the newest runs are kept however old they are.
        archives: whether those may go, too, that hold the only copy of an archive.

    Raises:
        SourceUnavailable: there is no such folder, or it, a folder of journals or a journal cannot be read.
    """
    found = _runs_in(runs)
    why = _last_plans(runs, found)
    old = [run for run in found[: max(0, len(found) - keep)] if (now - run.began).total_seconds() > _DAY_S * days]
    notes: list[str] = []
    for path in _journals_in(applies, notes):
        journal = _read_journal(path, now.timestamp() - _DAY_S * days)
        if journal.plan is not None:
            why[journal.plan.parent.name] = f"its plan was applied, and {path.name} is younger or has not ended"
        if journal.damaged:
            old = [run for run in old if run.began.timestamp() > journal.written_s]
            kept = "every run is kept that began before it was last written"
            notes.append(f"{path}: damaged, so {kept}; look into it, then remove it by hand")
    notes += [f"{run.path}: kept, {why[run.path.name]}" for run in old if run.path.name in why]
    going = _without_last_copies([run.path for run in old if run.path.name not in why], notes, archives=archives)
    return going, tuple(notes)


def remove_old(found: Sequence[OldRun]) -> Iterator[tuple[OldRun, str]]:
    """Remove runs one after the other; yield each with why it could not be removed, empty where it was.

    A folder loses its name first. What a kill leaves of it is no run any more, and ``doctor --clean`` removes it.
    """
    for old in found:
        hidden = old.path.with_name(f".{old.path.name}.partial")
        try:
            old.path.rename(hidden)
            shutil.rmtree(hidden)
        except OSError as error:
            yield old, error.strerror or str(error)
        else:
            yield old, ""


def _runs_in(runs: Path) -> list[_Run]:
    """Return the runs of a folder, oldest first; what has a name like theirs, but of no time that there is, is none.

    Raises:
        SourceUnavailable: there is no such folder, or it cannot be listed.
    """
    found: list[_Run] = []
    try:
        with os.scandir(runs) as entries:
            named = sorted(each.name for each in entries if each.is_dir(follow_symlinks=False))
    except OSError as error:
        raise SourceUnavailable(f"{runs}: {error.strerror or error}") from error
    for name in named:
        if match := RUN.fullmatch(name):
            with suppress(ValueError):
                found.append(_Run(runs / name, datetime.strptime(match[1], TIME).replace(tzinfo=UTC)))
    return found


def _last_plans(runs: Path, found: Sequence[_Run]) -> dict[str, str]:
    """Return why runs are kept that hold a last plan, by name: a link leads to it, or no plan for the same is newer."""
    why: dict[str, str] = {}
    seen: set[str] = set()
    for run in reversed(found):
        for made_for in _made_for(run.path) - seen:
            seen.add(made_for)
            why[run.path.name] = f"no plan for {made_for} is newer"
    for link in (runs / name for name in LINKS):
        if link.is_symlink():
            why[Path(os.path.realpath(link)).name] = f"{link.name} points at it"
    return why


def _made_for(path: Path) -> set[str]:
    """Return the cluster or fleet that a run planned for, as the heads of its plans say."""
    found: set[str] = set()
    for name, what in ((PLAN, "cluster"), (FLEET_PLAN, "fleet")):
        try:
            if (path / name).is_file() and (said := head_of(path / name).get(what)) is not None:
                found.add(f"{what} {said}")
        except OSError as error:
            found.add(f"what {path.name}/{name} says ({error.strerror or error})")  # nobody knows, so it stays
    return found


def _journals_in(folders: Sequence[Path], notes: list[str]) -> list[Path]:
    """Return the journals in ``folders``; note a folder that is not there.

    Raises:
        SourceUnavailable: a folder cannot be listed.
    """
    found: list[Path] = []
    for folder in dict.fromkeys(Path(os.path.realpath(each)) for each in folders):  # two names of one folder are one
        try:
            with os.scandir(folder) as entries:
                found += [folder / entry.name for entry in entries if entry.name.endswith(".jsonl")]
        except FileNotFoundError:
            notes.append(f"{folder}: no such folder, so no run is kept for an apply that is written down there")
        except OSError as error:
            raise SourceUnavailable(f"{folder}: {error.strerror or error}") from error
    return sorted(found)


def _read_journal(path: Path, limit_s: float) -> _Journal:
    """Return what a journal may still need, which is nothing where it has an end, written before ``limit_s``.

    Raises:
        SourceUnavailable: it cannot be read.
    """
    ended, first = False, b""
    try:
        state = path.stat()
        if not stat.S_ISREG(state.st_mode):  # a pipe must not be waited for
            raise SourceUnavailable(f"{path}: expected a regular file, found {stat.filemode(state.st_mode)}")
        with path.open("rb") as file:
            if state.st_mtime < limit_s:
                file.seek(max(0, state.st_size - _LAST_LINE))
                ended = _ends(file.read())
                file.seek(0)
            first = file.readline(_FIRST_LINE)
    except OSError as error:
        raise SourceUnavailable(f"{path}: {error.strerror or error}, so nobody can tell which run it needs") from error
    if ended:
        return _Journal(state.st_mtime)
    try:
        opened = json.loads(first)["entry"]
        plan = None if opened["executor"] == "dry-run" else Path(os.path.realpath(str(opened["plan"])))
    except (ValueError, RecursionError, LookupError, TypeError):
        return _Journal(state.st_mtime, damaged=True)
    return _Journal(state.st_mtime, plan)


def _ends(tail: bytes) -> bool:
    """Tell whether the last line of a journal says that its apply ended."""
    with suppress(ValueError, RecursionError, LookupError, TypeError):
        return bool(json.loads(tail.splitlines()[-1])["entry"]["kind"] == "end")
    return False


def _without_last_copies(old: Sequence[Path], notes: list[str], *, archives: bool) -> tuple[OldRun, ...]:
    """Return the runs that may go one after the other; note those that stay for the last link to an archive.

    Two old runs may share an archive with nobody else: the older may go, and then the younger holds the only copy.
    """
    gone: Counter[_Inode] = Counter()
    going: list[OldRun] = []
    kept: list[str] = []
    for path in old:
        try:
            files = _files_of(path)
        except OSError as error:
            notes.append(f"{path}: kept, {error.filename or path} cannot be looked at: {error.strerror or error}")
            continue
        last = [file for inode, file in files.items() if file.links <= gone[inode] + file.here]
        if not archives and any(file.archive for file in last):
            kept.append(path.name)
            continue
        gone.update({inode: file.here for inode, file in files.items()})
        going.append(OldRun(path, sum(file.size_bytes for file in last)))
    if kept:
        named = ", ".join(kept[:_NAMED]) + (f" and {len(kept) - _NAMED:,} more" if len(kept) > _NAMED else "")
        notes.append(f"{counted(len(kept), 'run')} kept, each holds the only copy of an archive: {named}")
    return tuple(going)


def _files_of(path: Path) -> dict[_Inode, _File]:
    """Return what a run holds beside folders.

    Raises:
        OSError: a folder of it cannot be listed.
    """
    found: dict[_Inode, _File] = {}
    for folder, _, names in os.walk(path, onerror=_refuse):
        inside = Path(folder).relative_to(path).parts[:1] == (CHECKPOINTS,)
        for name in names:
            state = (Path(folder) / name).lstat()
            file = found.setdefault((state.st_dev, state.st_ino), _File(state.st_size, state.st_nlink))
            file.here += 1
            file.archive |= inside and stat.S_ISREG(state.st_mode)
    return found


def _refuse(error: OSError) -> None:
    raise error
