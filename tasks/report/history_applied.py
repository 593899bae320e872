"""Which plans were carried out, and how did that end? What the journals of applies say, by the plan's digest."""

import json
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from data.errors import BadSource, SourceUnavailable
from data.readers.bounded import read_bounded

LARGEST = 64 << 20
LONGEST_WORD = 40
NOT_ENDED = "not ended"
_NAME = re.compile(r".+-([0-9a-f]{12})\.jsonl")


@dataclass(frozen=True, slots=True)
class Ending:
    """How an apply ended, and who carried it out; both in words.

    Args:
        outcome: as in the journal; ``not ended`` or ``unreadable``.
        executor: its kind; empty where the journal cannot be read.
    """

    outcome: str
    executor: str = ""

    def __str__(self) -> str:
        if not self.executor:
            return "its journal cannot be read"
        return f"{self.outcome.replace('-', ' ')} ({self.executor})"


@dataclass(frozen=True, slots=True)
class Applies:
    """Journals by the beginning of their plan's digest, the oldest first.

    Args:
        journals: of a plan.
        notes: folders that could not be listed, and why.
    """

    journals: dict[str, tuple[Path, ...]]
    notes: tuple[str, ...]

    @classmethod
    def in_folders(cls, folders: Sequence[Path]) -> "Applies":
        """Return those in ``folders``, in the order of their names, which begin with the time."""
        paths: list[Path] = []
        notes: list[str] = []
        for folder in folders:
            try:
                paths += folder.iterdir()
            except OSError as error:
                notes.append(f"{folder}: {error.strerror or error}, so applies may be missing")
        found: dict[str, tuple[Path, ...]] = {}
        for path in sorted(paths, key=lambda path: path.name):
            if match := _NAME.fullmatch(path.name):
                found[match[1]] = (*found.get(match[1], ()), path)
        return cls(found, tuple(notes))

    def of(self, plan_sha256: str) -> tuple[str, ...]:
        """Return how each apply of a plan ended."""
        return tuple(str(_ended(path)) for path in self.journals.get(plan_sha256[:12], ()))

    def by_ending(self) -> dict[Ending, tuple[float, ...]]:
        """Return when each journal was last written, in Unix time, by how its apply ended."""
        found: dict[Ending, tuple[float, ...]] = {}
        for path in sorted(path for paths in self.journals.values() for path in paths):
            with suppress(OSError):  # tidied since
                written = path.stat().st_mtime
                ending = _ended(path)
                found[ending] = (*found.get(ending, ()), written)
        return found


def _ended(path: Path) -> Ending:
    """Return the outcome of an apply and who carried it out; the journal is looked at, not checked."""
    try:
        lines = read_bounded(path, LARGEST).splitlines()
        first, last = (json.loads(line)["entry"] for line in (lines[0], lines[-1]))
        executor, outcome = str(first["executor"])[:LONGEST_WORD], str(last.get("outcome") or NOT_ENDED)[:LONGEST_WORD]
    except (SourceUnavailable, BadSource, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return Ending("unreadable")
    return Ending(outcome, executor)
