"""Which hosts does ``gb[001-018,020],login1`` name?"""

import itertools
import re

MAX_HOSTS = 1_000_000

_RANGE = re.compile(r"^(\d+)(?:-(\d+))?$")


def expand_hostlist(text: str) -> tuple[str, ...]:
    """Return the names of a Slurm hostlist in its own order.

    Args:
        text: names with ranges in brackets, separated by commas; several brackets in a name multiply.

    Raises:
        ValueError: brackets or ranges are malformed, or more than ``MAX_HOSTS`` hosts are named.
    """
    names: list[str] = []
    for part in _split(text):
        pieces = re.split(r"\[([^\[\]]*)\]", part)
        if any("[" in piece or "]" in piece for piece in pieces):
            raise ValueError(f"hostlist {text!r}: brackets do not match in {part!r}")
        choices = [_numbers(piece, text) if index % 2 else [piece] for index, piece in enumerate(pieces)]
        size = 1
        for choice in choices:
            size *= len(choice)
        if len(names) + size > MAX_HOSTS:
            raise ValueError(f"hostlist {text[:80]!r}: more than {MAX_HOSTS} hosts")
        names += ["".join(combination) for combination in itertools.product(*choices)]
    return tuple(names)


def _split(text: str) -> list[str]:
    parts, depth, start = [], 0, 0
    for position, character in enumerate(text):
        depth += (character == "[") - (character == "]")
        if character == "," and depth == 0:
            parts.append(text[start:position])
            start = position + 1
    parts.append(text[start:])
    return [part.strip() for part in parts if part.strip()]


def _numbers(ranges: str, text: str) -> list[str]:
    numbers: list[str] = []
    for part in ranges.split(","):
        match = _RANGE.match(part.strip())
        if match is None:
            raise ValueError(f"hostlist {text[:80]!r}: {part!r} is not a number or a range")
        first, last = match[1], match[2] or match[1]
        if int(last) < int(first) or int(last) - int(first) >= MAX_HOSTS:
            raise ValueError(f"hostlist {text[:80]!r}: range {part!r} is empty or too long")
        numbers += [str(number).zfill(len(first)) for number in range(int(first), int(last) + 1)]
    return numbers
