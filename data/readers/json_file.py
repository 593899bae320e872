"""How is JSON from outside read, so that whatever is wrong with it has a name?

What people write is read strictly: of a field that stands twice in one object, JSON would silently keep the last. What
schedulers and APIs print is not refused for that, since a whole cluster would be lost for a field that nobody reads.
"""

import json
from collections import Counter
from pathlib import Path
from typing import Any, NoReturn

from data.errors import BadRecord, BadSource
from data.readers.bounded import read_bounded

MAX_BYTES = 2 << 30
"""More than Slurm or Kubernetes say of 100,000 GPUs."""


def read_json_object(path: Path) -> dict[str, Any]:
    """Return the object in ``path``.

    Raises:
        SourceUnavailable: the file is missing or cannot be read.
        BadSource: it holds no JSON object (cut short, another format, NaN).
    """
    return parse_json_object(read_bounded(path, MAX_BYTES), str(path))


def parse_json_object(content: str | bytes, source: str) -> dict[str, Any]:
    """Return the object that ``content`` holds.

    Raises:
        BadSource: it holds no JSON object.
    """
    try:
        raw = json.loads(content, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise BadSource(source, [BadRecord(source, "JSON", f"{error} ({len(content)} characters)")]) from error
    if not isinstance(raw, dict):
        raise BadSource(source, [BadRecord(source, "a JSON object", type(raw).__name__)])
    return raw


def parse_written_json(content: str | bytes, source: str) -> Any:
    """Return what a file says that somebody wrote; NaN is let in, since the reader can name the field that holds it.

    Raises:
        BadSource: it is no JSON, or names a field twice in one object.
    """
    try:
        return json.loads(content, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise BadSource(source, [BadRecord(source, "JSON", f"{error} ({len(content)} characters)")]) from error


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a number")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the object of ``pairs``, which name each field once."""
    found = dict(pairs)
    if len(found) < len(pairs):
        times = Counter(name for name, _ in pairs)
        raise ValueError(f"the field {times.most_common(1)[0][0]!r} stands more than once in one object")
    return found
