"""Where do the files of a run go? Into a hidden folder that gets its name when everything is in it."""

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from data.errors import BadRecord

LATEST = "latest"


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
def run_folder(parent: Path) -> Iterator[RunFolder]:
    """Make a hidden folder in ``parent``; name it when the block ends well, remove it when it does not.

    Raises:
        BadRecord: ``parent`` cannot be written.
    """
    now = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    name = f"{now}-{secrets.token_hex(3)}"
    folder = RunFolder(parent / f".{name}.partial", name, parent)
    try:
        folder.path.mkdir(parents=True)
    except OSError as error:
        found = f"{error.strerror} ({error.filename})"
        raise BadRecord(f"output {parent}", "a folder that can be written", found) from error
    try:
        yield folder
        folder.path.rename(folder.final)
    except BaseException:
        shutil.rmtree(folder.path, ignore_errors=True)
        raise
    _point_latest_at(folder)


def _point_latest_at(folder: RunFolder) -> None:
    link = folder.parent / f".{LATEST}-{folder.name}"
    link.symlink_to(folder.name, target_is_directory=True)
    link.replace(folder.parent / LATEST)
