"""How is a file from outside read whole, and never more of it than there is room for?"""

import os
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
        # the file may have become a pipe since, which must not be waited for
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:
            content = file.read(min(max_bytes, status.st_size) + 1)  # not max_bytes, which would be reserved at once
            if status.st_size < len(content) <= max_bytes:  # it has grown since
                content += file.read(max_bytes + 1 - len(content))
    except OSError as error:
        raise SourceUnavailable(f"{path}: {error.strerror or error}") from error
    except ValueError as error:  # a NUL, or half a character, in the name
        raise BadSource(str(path), [BadRecord(str(path), "the name of a file", str(error))]) from error
    if len(content) > max_bytes:
        raise BadSource(str(path), [BadRecord(path.name, f"at most {max_bytes} bytes", f"{status.st_size} bytes")])
    return content
