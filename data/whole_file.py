"""How does a file or a folder appear whole, or not at all?"""

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from data.errors import SourceUnavailable

MODE = 0o664
"""Of new files, less what the umask takes: nobody but owner and group may ever write them."""

FOLDER_MODE = 0o775
"""Likewise of new folders."""


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Open a new file beside ``path`` that takes its place when the block ends without an error.

    The bytes are on disk (fsync) before the name changes, and the folder after it. After an error nothing is left
    behind, and whatever stood at ``path`` still stands there. Inside the block ``Path(file.name)`` is the temporary
    name, for whoever wants to read back what was written before it counts (flush first).

    Raises:
        OSError: the folder is missing or cannot be written, or the disk is full.
    """
    temporary = path.with_name(f".{secrets.token_hex(8)}.partial")
    # not tempfile: its files are private (mode 0600) and would stay so under the final name
    descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, MODE)
    os.close(descriptor)
    try:
        with temporary.open("r+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync(path.parent)


def write_whole(path: Path, content: bytes | str) -> None:
    """Write a file, whole or not at all; text as UTF-8.

    Raises:
        OSError: see :func:`whole_file`.
    """
    with whole_file(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


@contextmanager
def claimed_file(path: Path) -> Iterator[BinaryIO]:
    """Like :func:`whole_file`, but one process at a time, and what a killed one wrote is still in the file.

    The temporary name is always the same, ``.<name>.partial``, and locked while it is written: the system takes the
    lock from a process that ends, however it ends. Whoever does not want to continue truncates the file.

    Raises:
        SourceUnavailable: another process is writing the file.
        OSError: the folder is missing or cannot be written, or the disk is full.
    """
    temporary = path.with_name(f".{path.name}.partial")
    descriptor = _locked(temporary, path)
    try:
        with temporary.open("r+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)
    _sync(path.parent)


@contextmanager
def claimed_folder(path: Path) -> Iterator[Path]:
    """Make a folder beside ``path``, one process at a time, that takes its name when the block ends without an error.

    Raises:
        SourceUnavailable: another process is writing the folder.
        OSError: the folder around it cannot be written, or ``path`` is there.
    """
    temporary = path.with_name(f".{path.name}.partial")
    temporary.mkdir(FOLDER_MODE, exist_ok=True)
    # not through a link: what somebody laid under this name would be emptied
    descriptor = os.open(temporary, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        _lock(descriptor, path)
        for left in os.listdir(descriptor):  # noqa: PTH208  # of the folder that was opened; left by a killed process
            os.unlink(left, dir_fd=descriptor)
        try:
            yield temporary
            os.fsync(descriptor)
            temporary.rename(path)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
    finally:
        os.close(descriptor)
    _sync(path.parent)


def _locked(temporary: Path, path: Path) -> int:
    """Make the temporary file of ``path``, for this process alone until the descriptor is closed."""
    while True:
        descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, MODE)
        try:
            _lock(descriptor, path)
            # whoever held the lock until now may have renamed or removed the file that we opened
            if temporary.exists() and os.path.samestat(os.fstat(descriptor), temporary.stat()):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _lock(descriptor: int, path: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise SourceUnavailable(f"{path}: another process is writing it; try again when that is done") from error


def _sync(folder: Path) -> None:
    """Bring the names in a folder to disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
