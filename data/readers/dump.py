"""What does a dump file say, and which of its names can be ids?"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
from pydantic import TypeAdapter, ValidationError

from data.errors import BadRecord, BadSource
from data.readers.bounded import read_bounded
from data.readers.json_file import parse_written_json
from data.schemas.units import Id

MAX_BYTES = 128 << 20
"""About ten times the largest fabric in use: ibnetdiscover prints 0.5 kB per port."""

_ID = TypeAdapter(Id)


@dataclass(frozen=True, slots=True)
class Dump:
    """A text file: ``name`` stands in messages, ``stem`` names the machine where the text names none."""

    name: str
    stem: str
    text: str

    def refused(self, expected: str, found: object) -> BadSource:
        """Return the error that says that nothing in the file can be used."""
        return BadSource(self.name, [BadRecord(self.name, expected, found)])

    def bad_line(self, line: int, expected: str, found: object) -> BadRecord:
        """Return the error for one line, counted from 1."""
        return BadRecord(f"{self.name}: line {line}", expected, shown(found))

    def json(self) -> Any:
        """Return what the text says as JSON.

        Raises:
            BadSource: it is no JSON, or names a field twice in one object.
        """
        return parse_written_json(self.text, self.name)

    def refuse_above(self, max_bytes: int) -> None:
        """Raise BadSource if the text is larger than its format ever is."""
        if len(self.text) > max_bytes:
            raise self.refused(f"at most {max_bytes} characters in this format", len(self.text))


def read_dump(path: Path) -> Dump:
    """Read a text file; bytes that are not UTF-8 become U+FFFD, which no id may contain.

    Raises:
        SourceUnavailable: the file is missing or cannot be read.
        BadSource: it is no regular file, too large, binary or empty.
    """
    content = read_bounded(path, MAX_BYTES)
    if b"\0" in content:
        raise BadSource(str(path), [BadRecord(path.name, "text", f"binary data, starting with {content[:16]!r}")])
    text = content.decode("utf-8-sig", errors="replace")
    if not text.strip():
        raise BadSource(str(path), [BadRecord(path.name, "text", "an empty file")])
    return Dump(path.name, path.stem, text)


def is_id(name: object) -> TypeGuard[str]:
    """Say whether ``name`` may stand in a plan (see :data:`data.schemas.units.Id`)."""
    try:
        _ID.validate_python(name, strict=True)
    except ValidationError:
        return False
    return True


def shown(found: object) -> str:
    """Return ``found`` as a message may show it: 120 characters at most, lone surrogates escaped."""
    plain = found.item() if isinstance(found, np.generic) else found  # np.float64(3.0) is a 3.0 to whoever wrote it
    text = plain if isinstance(plain, str) else repr(plain)
    text = text if len(text) <= 120 else text[:117] + "..."
    return text.encode(errors="backslashreplace").decode()
