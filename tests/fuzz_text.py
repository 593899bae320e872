"""What does somebody who means harm write into a file of text? Fields, numbers and lines that no one expects."""

import json
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from tests.fuzz_mutations import change_field, scarred

EVIL: tuple[Any, ...] = (
    "../../etc/passwd", "/dev/zero", "a\0b", "\x1b[2J\x1b]0;owned\x07", "[red]x[/red]", "[/]", "$(touch owned)",
    "`id`", "';id;'", "\n- evil: true", "<script>alert(1)</script>", "=HYPERLINK(\"http://h\")", "${file(1)}", "-rf",
    "x" * 5_000, "\ud800", "\u202e", "\uff0d", "NaN", "1e999", "-0", "0x10", "1_000", "", " ", ".", "..", "\u0660",
    -1, 0, 1, 2**31, 2**63, 2**64, 10**30, -(10**30), 1e308, 5e-324, -0.0, True, None, [], {}, [[]], {"": {}},
    ["a"] * 300, {"a": 1, "b": None},
)  # fmt: skip
_NUMBERS = (
    "0",
    "-1",
    "1e999",
    "-1e999",
    "NaN",
    "Infinity",
    "9" * 40,
    "9" * 5_000,
    "0.1e-400",
    "1e5",
    "1E",
    "\u0663",
    "07",
)
_PIECES = (
    "\0", "\x1b[2J", "\"", "'", ",", "\t", "\r", "\ufeff", "&a ", "*a", "{{", "[", "]", "}", "<!--", "]]>",
    "\u2028", "(", ")", "\\", "%", "=", ":", ";", "\x85", "- ", "? ", "!!python/object/apply:os.system ", "&lol;",
)  # fmt: skip


def changed(octets: bytes, rng: np.random.Generator) -> bytes:
    """Return ``octets`` with something wrong, made for the format that they are in."""
    text = octets.decode("utf-8", errors="replace")
    ways: list[Callable[[str, np.random.Generator], str]] = [_number, _piece, _line, _word]
    if text.lstrip()[:1] in "{[":
        ways = [_field] * 6 + [_number, _piece, _twice, _deep]
    how = int(rng.integers(len(ways) + 2))
    if how == len(ways):
        return scarred(octets, rng)
    if how > len(ways):
        return octets[: int(rng.integers(len(octets) + 1))]
    return ways[how](text, rng).encode("utf-8", errors="surrogatepass")


def _field(text: str, rng: np.random.Generator) -> str:
    document = json.loads(text)
    for _ in range(int(rng.integers(1, 4))):
        if not (isinstance(document, dict | list) and document):
            break
        if rng.integers(2):
            change_field(document, rng)  # type: ignore[arg-type]  # a list serves as well
        else:
            document = _with_evil(document, rng)
    return json.dumps(document)


def _with_evil(document: Any, rng: np.random.Generator) -> Any:
    """Return a document with a value anywhere in it, or a field that nobody asked for."""
    value = json.loads(json.dumps(EVIL[int(rng.integers(len(EVIL)))]))  # a copy: the next change must not reach EVIL
    around: Any = {"": document}
    inside, key = around, ""
    while isinstance(inside[key], dict | list) and inside[key] and rng.integers(6):
        inside = inside[key]
        keys = list(inside) if isinstance(inside, dict) else range(len(inside))
        key = keys[int(rng.integers(len(keys)))]
    if isinstance(inside, dict) and inside is not around and not rng.integers(5):
        key = str(EVIL[int(rng.integers(28))])
    inside[key] = value
    return around[""]


def _number(text: str, rng: np.random.Generator) -> str:
    found = list(re.finditer(r"-?\d+(?:\.\d+)?", text))
    if not found:
        return text
    one = found[int(rng.integers(len(found)))]
    return text[: one.start()] + _NUMBERS[int(rng.integers(len(_NUMBERS)))] + text[one.end() :]


def _piece(text: str, rng: np.random.Generator) -> str:
    at, piece = int(rng.integers(len(text) + 1)), _PIECES[int(rng.integers(len(_PIECES)))]
    return text[:at] + piece * (1 if rng.integers(4) else 2_000) + text[at:]


def _line(text: str, rng: np.random.Generator) -> str:
    lines = text.splitlines(keepends=True) or [""]
    one, other, what = int(rng.integers(len(lines))), int(rng.integers(len(lines))), int(rng.integers(5))
    if what == 0:
        del lines[one]
    elif what == 1:
        lines[one], lines[other] = lines[other], lines[one]
    elif what == 2:
        lines[one:one] = [lines[other]] * int(rng.integers(1, 200))
    elif what == 3:
        lines[one] = lines[one].rstrip("\n") + lines[other]
    else:
        lines[one] = lines[one][:1] * 3_000 + "\n"
    return "".join(lines)


def _word(text: str, rng: np.random.Generator) -> str:
    found = list(re.finditer(r"[^\s,;=\"<>]+", text))
    if not found:
        return text
    one = found[int(rng.integers(len(found)))]
    return text[: one.start()] + str(EVIL[int(rng.integers(len(EVIL)))]) + text[one.end() :]


def _twice(text: str, rng: np.random.Generator) -> str:
    """Let a field stand twice in one object, with another value."""
    found = list(re.finditer(r"\"\w+\": ?", text))
    if not found:
        return text
    one = found[int(rng.integers(len(found)))]
    return f"{text[: one.end()]}{json.dumps(EVIL[int(rng.integers(28))])}, {text[one.start() :]}"


def _deep(text: str, rng: np.random.Generator) -> str:
    """Nest lists or objects deeper than any reader needs, in place of a value."""
    found = list(re.finditer(r": ?", text))
    at = found[int(rng.integers(len(found)))].end() if found else 0
    depth = int(10 ** rng.uniform(1, 5))
    opening, closing = ("[", "]") if rng.integers(2) else ('{"a":', "}")
    return text[:at] + opening * depth + "1" + closing * depth + text[at:]
