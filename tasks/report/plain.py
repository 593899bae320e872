"""How is a string from outside made safe to print? One line, no characters that steer a terminal or hide text."""

LONGEST = 240
"""Characters of a cell or a comment; the whole stands in plan.json."""


def one_line(text: str, longest: int = LONGEST) -> str:
    """Return ``text`` with every control, line-break and direction character shown as U+FFFD, cut to ``longest``.

    Nothing that it returns can end a comment of a script, start a new line of YAML, or move a cursor.
    """
    safe = "".join(character if character.isprintable() else "\ufffd" for character in text[: longest + 1])
    return safe if len(safe) <= longest else safe[: longest - 1] + "…"
