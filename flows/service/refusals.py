"""How does the service say that there is no answer, and why?"""

from dataclasses import dataclass

from pydantic import TypeAdapter


@dataclass(frozen=True, slots=True)
class Answer:
    """A status of HTTP, and JSON."""

    status: int
    content: bytes


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a body: where, what was expected, what was found."""

    place: str
    expected: str
    found: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why there is no answer.

    Args:
        error: kind of error, e.g. ``BadSource``; always the same for the same reason.
        message: for people.
        problems: every problem that was found, so that one round trip mends them all.
    """

    error: str
    message: str
    problems: tuple[Problem, ...] = ()


_REFUSAL = TypeAdapter(Refusal)


def refusal(status: int, error: str, message: str, problems: tuple[Problem, ...] = ()) -> Answer:
    """Return the answer that says why there is none."""
    return Answer(status, _REFUSAL.dump_json(Refusal(error, message, problems)))
