"""How is a JSON object from outside read, so that whatever is wrong with it has a name?"""

import json
from pathlib import Path
from typing import Any, NoReturn

from data.errors import BadRecord, BadSource, SourceUnavailable


def read_json_object(path: Path) -> dict[str, Any]:
    """Return the object in ``path``.

    Raises:
        SourceUnavailable: the file is missing or cannot be read.
        BadSource: it holds no JSON object (cut short, another format, NaN).
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SourceUnavailable(f"{path}: {error.strerror or error}") from error
    return parse_json_object(content, str(path))


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


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a number")
