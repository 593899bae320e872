"""What can go wrong with input and output, as a caller must tell it apart.

Exception
├── SourceUnavailable    the world does not answer: try again
├── BadRecord            one record is unusable: set aside, counted, reported
├── BadSource            the whole source is unusable; carries every BadRecord found
└── PlanRefused          a plan must not be used; what is in force stays
"""

from collections.abc import Sequence


class SourceUnavailable(Exception):
    """A source did not answer (network, missing file, missing command); a retry may help."""


class BadRecord(Exception):
    """One record of a source that cannot be used.

    Args:
        path: where it stands, e.g. ``cluster.json: jobs[3].workers``.
        expected: what would have been accepted, with the unit.
        found: what stood there instead.
    """

    def __init__(self, path: str, expected: str, found: object) -> None:
        self.path = _printable(path)
        self.expected = expected
        self.found = _printable(found if isinstance(found, str) else repr(found))
        super().__init__(f"{path}: expected {expected}, found {self.found}")


def _printable(text: str) -> str:
    """Return ``text`` as UTF-8 can hold it: JSON may escape half a character, which no report could be written with."""
    return text.encode(errors="backslashreplace").decode()


class BadSource(Exception):
    """A source of which nothing can be used.

    Args:
        source: file, URL or command.
        records: every problem found in it, so that one round trip mends them all.
    """

    def __init__(self, source: str, records: Sequence[BadRecord]) -> None:
        self.source = source
        self.records = tuple(records)
        lines = "\n".join(f"  {record}" for record in self.records)
        super().__init__(f"{source}: {len(self.records)} problem(s), nothing can be planned\n{lines}")


class PlanRefused(Exception):
    """A plan is stale, altered or wrong, and is not carried out; the message says which and why."""
