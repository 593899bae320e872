"""Where do the files of a run go? Into a hidden folder that gets its name when everything is in it.

While the run lasts, a file in the folder says who works there, and is locked. The system takes the lock from a process
that ends, however it ends; so whoever finds such a folder can tell whether it was left behind (``flows/leftovers.py``).
"""

import errno
import fcntl
import json
import os
import re
import secrets
import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from data.errors import BadRecord
from data.whole_file import FOLDER_MODE

PLAN = "plan.json"
SNAPSHOT = "snapshot.json"
REPORT = "report.html"
TIMINGS = "timings.json"
EXPERTS = "experts"
CHECKPOINTS = "checkpoints"

LATEST, LATEST_FLEET = "latest", "latest-fleet"
"""Links to the last plan of a cluster, where applies look for it, and to that of a fleet."""

LINKS = (LATEST, LATEST_FLEET)
RUNNING = ".running"
FULL = (errno.ENOSPC, errno.EDQUOT)
RUN = re.compile(r"(\d{8}T\d{6}Z)-[0-9a-f]{6}")
TIME = "%Y%m%dT%H%M%SZ"


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The folder of a run.

    Args:
        path: where to write now.
        name: what it will be called inside ``parent`` once the run succeeded.
        parent: folder of all runs.
    """

    path: Path
    name: str
    parent: Path

    @property
    def final(self) -> Path:
        """Where the files will be."""
        return self.parent / self.name


@contextmanager
def run_folder(parent: Path, *, link: str = LATEST, latest: Callable[[str], None] | None = None) -> Iterator[RunFolder]:
    """Make a hidden folder in ``parent``; name it when the block ends well, remove it when it does not.

    Args:
        parent: folder of all runs.
        link: name of the link to the last plan of this kind.
        latest: of a run that plans: told why that link could not be pointed at it. None leaves the link alone: other
            commands read a plan there.

    Raises:
        BadRecord: ``parent`` cannot be written.
        OSError: its disk is full; the folder is named.
    """
    now = datetime.now(UTC).strftime(TIME)
    name = f"{now}-{secrets.token_hex(3)}"
    folder = RunFolder(parent / f".{name}.partial", name, parent)
    try:
        folder.path.mkdir(FOLDER_MODE, parents=True)
    except OSError as error:
        found = f"{error.strerror} ({error.filename})"
        raise BadRecord(f"output {parent}", "a folder that can be written", found) from error
    try:
        with _running(folder.path):
            yield folder
        folder.path.rename(folder.final)
    except BaseException as error:
        shutil.rmtree(folder.path, ignore_errors=True)
        if isinstance(error, OSError) and error.errno in FULL and error.filename is None:
            told = f"{error.strerror}; nothing of run {name} is kept"
            raise OSError(error.errno, told, str(parent)) from error
        raise
    if latest is not None and (why := _point(parent / link, folder)):
        latest(why)


@contextmanager
def _running(path: Path) -> Iterator[None]:
    """Say inside the block, by a locked file in the folder ``path``, that somebody works there."""
    file = path / RUNNING
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        with suppress(OSError):  # a file system without locks; its leftovers are told by their age
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with suppress(OSError):  # a full disk: the run will say so where it matters
            os.write(descriptor, json.dumps({"process": os.getpid(), "host": socket.gethostname()}).encode())
        yield
        file.unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def leads_to(link: Path, folder: Path) -> bool:
    """Tell whether ``link`` points at ``folder``."""
    try:
        return link.is_symlink() and link.samefile(folder)
    except OSError:
        return False


def _point(link: Path, folder: RunFolder) -> str:
    """Point ``link`` at a run, unless one that began later is there; return why it was not done, else nothing.

    The run itself is whole, so nothing that is wrong with the link may make it fail.
    """
    own = link.with_name(f".{link.name}-{folder.name}")
    try:
        with _alone_in(folder.parent):
            if newer := _newer(link, folder.name):
                return f"{link} still points at {newer}, which began later"
            own.symlink_to(folder.name, target_is_directory=True)
            try:
                own.replace(link)
            finally:
                own.unlink(missing_ok=True)
    except OSError as error:
        return f"{link} cannot be pointed at {folder.name}: {error.strerror or error}"
    return ""


@contextmanager
def _alone_in(parent: Path) -> Iterator[None]:
    """Hold the lock of a folder of runs inside the block, where its file system knows locks."""
    descriptor = os.open(parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _newer(link: Path, name: str) -> str:
    """Return the run that ``link`` points at if it is there and began after the run ``name``, else nothing.

    One of the future counts as older: a clock that was ahead once may not hold the link for ever.
    """
    target = str(link.readlink()) if link.is_symlink() else ""
    there, own = RUN.fullmatch(target), RUN.fullmatch(name)
    if there is None or own is None or not (link.parent / target).is_dir():
        return ""
    return target if own[1] < there[1] <= datetime.now(UTC).strftime(TIME) else ""
