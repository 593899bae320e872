"""How are words from outside put into markdown? So that it shows them, and takes none for markup, a link or HTML."""

from tasks.report.plain import one_line

LONGEST = 2_000
_MARKS = frozenset(r"\`*_{}[]<>#|!~$&")


def escaped(text: str) -> str:
    """Return ``text`` so that markdown shows it as it is, on one line."""
    return "".join(f"\\{each}" if each in _MARKS else each for each in one_line(text, LONGEST))


def code(text: str) -> str:
    """Return ``text`` as a span of code, which it cannot end."""
    return f"`{one_line(text, LONGEST).replace('`', chr(0xFFFD))}`"


def fenced(text: str) -> str:
    """Return lines as a block of code, which none of them can end."""
    lines = (one_line(line, LONGEST).replace("```", chr(0xFFFD)) for line in text.splitlines())
    return "\n".join(["```", *lines, "```"])
