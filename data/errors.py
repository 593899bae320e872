"""What can go wrong with input and output, as a caller must tell it apart.

Exception
├── SourceUnavailable    the world does not answer: try again
├── BadRecord            one record is unusable: set aside, counted, reported
├── BadSource            the whole source is unusable; carries every BadRecord found
├── PlanRefused          a plan must not be used; what is in force stays
└── ApplyFailed          a cluster did not do what a plan asked: roll back
"""

from collections.abc import Sequence

LONGEST = 2_000
"""Characters of what was found, or of the place where it stood, that a message shows."""

MOST_TOLD = 200
"""Records that the message of a whole source names; it carries all of them."""


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
        super().__init__(f"{self.path}: expected {_printable(expected)}, found {self.found}")


def _printable(text: str) -> str:
    """Return at most :data:`LONGEST` characters of ``text``, those that steer a terminal or no report can hold escaped.

    A record comes from outside: its words reach logs, terminals and pages.
    """
    if len(text) > LONGEST:
        text = text[: LONGEST - 3] + "..."
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


class BadSource(Exception):
    """A source of which nothing can be used.

    Args:
        source: file, URL or command.
        records: every problem found in it, so that one round trip mends them all.
    """

    def __init__(self, source: str, records: Sequence[BadRecord]) -> None:
        self.source = _printable(source)
        self.records = tuple(records)
        lines = [f"  {record}" for record in self.records[:MOST_TOLD]]
        if len(self.records) > MOST_TOLD:
            lines.append(f"  and {len(self.records) - MOST_TOLD} more")
        told = "\n".join(lines)
        super().__init__(f"{self.source}: {len(self.records)} problem(s), nothing can be planned\n{told}")


class PlanRefused(Exception):
    """A plan is stale, altered or wrong, and is not carried out; the message says which and why."""


class ApplyFailed(Exception):
    """A cluster did not do what an action asked; the message names the target, the command and what it answered."""
