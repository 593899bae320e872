"""How is a file from outside read whole, and never more of it than there is room for?"""

import stat
from pathlib import Path

from data.errors import BadRecord, BadSource, SourceUnavailable


def read_bounded(path: Path, max_bytes: int) -> bytes:
    """Return what stands in the file ``path``.

    Raises:
        SourceUnavailable: it is missing or cannot be read.
        BadSource: it is no regular file (a pipe would be waited for, a device never ends), or larger than
            ``max_bytes``.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise BadSource(str(path), [BadRecord(path.name, "a regular file", stat.filemode(status.st_mode))])
        with path.open("rb") as file:
            content = file.read(max_bytes + 1)
    except OSError as error:
        raise SourceUnavailable(f"{path}: {error.strerror or error}") from error
    if len(content) > max_bytes:
        raise BadSource(str(path), [BadRecord(path.name, f"at most {max_bytes} bytes", f"{status.st_size} bytes")])
    return content
