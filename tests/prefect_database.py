"""What need not be done for each Prefect server that tests start? The hundred migrations of an empty database."""

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / ".prefect"


MEMORY = Path("/dev/shm")  # noqa: S108  # folders in it have names that nobody can guess
ROOM = 2 << 30
"""Bytes: memory is used where there is plenty."""


def prefect_home() -> Path:
    """Make a folder for a server on SQLite: in memory where there is room.

    A commit waits for the disk, and on a disk that is busy writing what was just installed it waits for a minute, in
    which nobody gets an answer: that is not what these tests are about.
    """
    there = MEMORY.is_dir() and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > ROOM
    return Path(tempfile.mkdtemp(prefix="prefect-", dir=MEMORY if there else None))


def fresh_database(path: Path) -> None:
    """Put an SQLite database with a server's tables, and nothing in them, at ``path``."""
    FOLDER.mkdir(exist_ok=True)
    made = FOLDER / f"empty-{version('prefect')}.db"
    with (FOLDER / "empty.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            _make(made)
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(made, path)


def _make(path: Path) -> None:
    with tempfile.TemporaryDirectory() as home:
        kept = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")}
        command = [sys.executable, "-m", "prefect", "server", "database", "upgrade", "-y"]
        done = subprocess.run(
            command, env={**kept, "PREFECT_HOME": home}, capture_output=True, text=True, timeout=600, check=False
        )
        if done.returncode:
            raise RuntimeError(f"the database could not be made: {done.stdout}{done.stderr}")
        partial = path.with_suffix(".partial")
        shutil.copyfile(Path(home) / "prefect.db", partial)
        partial.replace(path)
