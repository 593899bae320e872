"""Which plans were carried out, and how did that end? What the journals of applies say, by the plan's digest."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from data.errors import BadSource, SourceUnavailable
from data.readers.bounded import read_bounded

LARGEST = 64 << 20
_NAME = re.compile(r".+-([0-9a-f]{12})\.jsonl")


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
        return tuple(_ended(path) for path in self.journals.get(plan_sha256[:12], ()))


def _ended(path: Path) -> str:
    """Return the outcome of an apply and who carried it out; the journal is looked at, not checked."""
    try:
        lines = read_bounded(path, LARGEST).splitlines()
        first, last = (json.loads(line)["entry"] for line in (lines[0], lines[-1]))
        executor, outcome = str(first["executor"]), str(last.get("outcome") or "not ended")
    except (SourceUnavailable, BadSource, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return "its journal cannot be read"
    return f"{outcome.replace('-', ' ')} ({executor})"
