"""How does a file appear whole, or not at all?"""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


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
    descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
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
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
