"""What did killed runs leave in a folder of runs, and what of it can be removed?

A run works in a hidden folder and locks a file in it (``flows/run_folder.py``). A folder whose lock is free was left
behind. One without such a file is of another version, or was killed while it began: only its age tells. Nor does a
free lock tell anything of a run on another machine: not every shared file system shares its locks.
"""

import fcntl
import json
import os
import re
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.run_folder import CHECKPOINTS, LINKS, RUNNING
from flows.stages import PREFIX
from tasks.report.plain import one_line

OLD_S = 6 * 3600.0
"""Seconds without a write after which a folder counts as left behind whose lock tells nothing."""

JUST_BEGUN_S = 10.0
"""Seconds within which a run has taken its lock; nobody tries the lock before, or the run might not get it."""

TRIED_AGAIN_S = 24 * 3600.0
"""Seconds after which nobody is expected to try a run again that ended early, or to take up its archives."""

_PARTIAL = re.compile(r"\.\d{8}T\d{6}Z-[0-9a-f]{6}\.partial")
_LINK = re.compile(rf"\.(?:{'|'.join(LINKS)})-\d{{8}}T\d{{6}}Z-[0-9a-f]{{6}}")
_MOST = 4096


@dataclass(frozen=True, slots=True)
class Leftover:
    """A hidden folder, or link, in a folder of runs.

    Args:
        path: of it.
        removable: whether nobody needs it any more.
        told: who works there or worked there, how far it came, and why it is kept.
    """

    path: Path
    removable: bool
    told: str


def leftovers(runs: Path, now: float | None = None) -> Iterator[Leftover]:
    """Yield what killed runs left in ``runs``, and what running ones work in, the oldest first.

    Args:
        runs: folder of the runs.
        now: seconds since 1970; the clock's by default.
    """
    moment = time.time() if now is None else now
    names = sorted(entry.name for entry in os.scandir(runs)) if runs.is_dir() else []
    for name in names:
        path = runs / name
        if _LINK.fullmatch(name) and path.is_symlink():
            old = moment - path.lstat().st_mtime > 60.0
            yield Leftover(path, old, "a link that a killed run did not put in its place")
        elif name.startswith(PREFIX) and path.is_dir() and not path.is_symlink():
            quiet_s = moment - _last_write(path)
            told = f"finished steps of a run that ended early {quiet_s / 3600:.0f} h ago, for when it is tried again"
            yield Leftover(path, quiet_s > TRIED_AGAIN_S, told)
        elif _PARTIAL.fullmatch(name) and path.is_dir() and not path.is_symlink():
            yield _looked_at(path, moment)


def remove(leftover: Leftover) -> None:
    """Remove a leftover; looks again first whether somebody works there.

    Raises:
        OSError: it cannot be removed, or somebody works there.
    """
    if leftover.path.is_symlink():
        leftover.path.unlink()
        return
    with suppress(FileNotFoundError):
        if _locked(leftover.path / RUNNING):
            raise BlockingIOError(f"{leftover.path}: a run works there")
    shutil.rmtree(leftover.path)


def _looked_at(path: Path, now: float) -> Leftover:
    who, far = _owner(path / RUNNING), _last_event(path)
    try:
        if now - (path / RUNNING).lstat().st_mtime < JUST_BEGUN_S:
            return Leftover(path, False, f"just begun ({who})")  # it may not have taken its lock yet
        if _locked(path / RUNNING):
            return Leftover(path, False, f"a run works there ({who}{far})")
        quiet_s = now - _last_write(path)
        if quiet_s < OLD_S and not _ours(path / RUNNING):
            seen = f"its lock is free here, but it may be another machine's ({who}{far})"
            return Leftover(path, False, f"{seen}; kept until nothing was written for {OLD_S / 3600:g} h")
        left = f"left by a killed run ({who}{far})"
    except FileNotFoundError:
        quiet_s = now - _last_write(path)
        if quiet_s < OLD_S:
            return Leftover(
                path, False, f"no lock, last written {quiet_s / 60:.0f} min ago; kept until {OLD_S / 3600:g} h"
            )
        left = f"no lock, last written {quiet_s / 3600:.0f} h ago{far}"
    except OSError as error:
        return Leftover(path, False, f"cannot be told from a running one ({error.strerror or error}); kept")
    if _holds_archives(path) and now - _last_write(path) < TRIED_AGAIN_S:
        until = f"kept until {TRIED_AGAIN_S / 3600:g} h"
        return Leftover(path, False, f"{left}; holds archives that the next run which archives takes up; {until}")
    return Leftover(path, True, left)


def _locked(file: Path) -> bool:
    """Tell whether a process holds the lock of ``file``.

    Raises:
        FileNotFoundError: there is no such file.
        OSError: nobody can tell: a file system without locks, no right to look.
    """
    descriptor = os.open(file, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _ours(file: Path) -> bool:
    """Tell whether a process of this machine wrote a lock file; one that does not say whose it is, is not ours."""
    with suppress(OSError, ValueError, TypeError, LookupError):
        return bool(_said(file)["host"] == socket.gethostname())
    return False


def _owner(file: Path) -> str:
    """Return which process wrote a lock file, as it says itself."""
    with suppress(OSError, ValueError, TypeError, LookupError):
        said = _said(file)
        return one_line(f"process {int(said['process'])} of {said['host']}", 120)
    return "of an unknown process"


def _said(file: Path) -> Any:
    """Return what stands in a lock file; of what is no file, nothing."""
    return json.loads(file.read_bytes()[:_MOST]) if file.is_file() and not file.is_symlink() else {}


def _last_event(path: Path) -> str:
    """Return how far a run came, as the last whole line of its log says."""
    with suppress(OSError, ValueError, TypeError, LookupError):
        with (path / "events.jsonl").open("rb") as log:
            log.seek(max(0, os.fstat(log.fileno()).st_size - _MOST))
            last = json.loads(log.read(_MOST).rpartition(b"\n")[0].rpartition(b"\n")[2])
        return one_line(f", came to {last['phase'] or last['event']} at {last['time']}", 160)
    return ""


def _last_write(path: Path) -> float:
    """Return when anything in ``path`` was last written."""
    found = [path.stat().st_mtime]
    for folder, _, files in os.walk(path):
        for name in files:
            with suppress(OSError):
                found.append((Path(folder) / name).lstat().st_mtime)
    return max(found)


def _holds_archives(path: Path) -> bool:
    with suppress(OSError):
        return any((path / CHECKPOINTS).iterdir())
    return False
