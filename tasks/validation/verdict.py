"""What does the validator say? One line per check: what was looked at, and everything that is wrong with it."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Check:
    """One promise of a plan.

    Args:
        name: of the promise, e.g. ``migration budget``; always the same.
        passed: whether it is kept.
        detail: where it is not, everything that breaks it, each with what was expected and found; else what was seen.
    """

    name: str
    passed: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """All checks that could be made; one that needs what another found missing is left out, never passed."""

    passed: bool
    checks: tuple[Check, ...]


def judged(name: str, wrong: Iterable[str], seen: str) -> Check:
    """Return the check ``name``: failed with everything that is ``wrong``, or passed with what was ``seen``."""
    found = tuple(wrong)
    return Check(name, not found, "; ".join(found) if found else seen)
