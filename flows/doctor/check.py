"""What does the doctor say of one thing? Well, of concern or broken; what was found, and what to do about it."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from flows.masked import masked
from tasks.report.plain import one_line

Verdict = Literal["ok", "warn", "fail"]
LONGEST = 600


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at.

    Args:
        name: of the thing; always the same.
        verdict: ``warn`` where it works but somebody should look, ``fail`` where something does not work.
        found: in one line.
        advice: what to do; empty where there is nothing to do.
    """

    name: str
    verdict: Verdict
    found: str
    advice: str = ""


def asked(name: str, ask: Callable[[], Iterable[Check]], secrets: Sequence[str] = ()) -> list[Check]:
    """Return what ``ask`` finds, without secrets, each in one line; its own failure is a finding, not a traceback."""
    found: list[Check] = []
    try:
        found.extend(ask())
    except Exception as error:  # whatever it is: the other checks still tell something
        told = f"could not be checked: {type(error).__name__}: {error}"
        found.append(Check(name, "fail", told, "if the reason is not plain from this line, report it as a defect"))
    return [Check(each.name, each.verdict, _line(each.found, secrets), _line(each.advice, secrets)) for each in found]


def _line(text: str, secrets: Sequence[str]) -> str:
    return one_line(masked(" ".join(text.split()), secrets), LONGEST)
