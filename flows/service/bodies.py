"""Is this body JSON that can be trusted to be read? Its limits, and the form that it fills in."""

import codecs
import re
from typing import Any, Never, TypeVar

import numpy as np
from pydantic import BaseModel, ValidationError

from data.errors import BadRecord, BadSource
from data.readers.dump import shown
from data.readers.json_file import parse_written_json

NAME = "body"
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))

MAX_DEPTH = 64
"""Levels of lists and objects; a plan has seven."""

MAX_VALUES = 1_000_000
"""Values in all: Python makes some 60 bytes of what two bytes of JSON say."""

MAX_FIELDS = 100
"""Fields of a form; the largest has a dozen."""

Form = TypeVar("Form", bound=BaseModel)

# possessive: nothing is tried twice, whatever the quotes and backslashes are like
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_SHAPES = bytes.maketrans(b"123456789.E-", b"0000000000e+")
_NO_NUMBERS = "JSON, which has neither NaN nor Infinity"
_LONG = "numbers of at most 39 digits, with exponents of at most two"
"""More, and sums and products could leave what a float holds."""


class NotJson(BadSource):
    """The body is not JSON, or JSON beyond what is read here."""


def check_json(body: bytes) -> None:
    """Refuse what must not reach a parser.

    Raises:
        NotJson: the body is not UTF-8, nests too deep, or has a number that is too long or none at all.
    """
    try:
        body.decode()
    except UnicodeDecodeError as error:
        _refuse("UTF-8", f"{shown(error.object[error.start : error.start + 8])} at byte {error.start}")
    if body.startswith(codecs.BOM_UTF8):
        _refuse("UTF-8 without a byte order mark", shown(repr(body[:8])))
    bare = _STRING.sub(b"", body)
    depth = _depth(bare)
    if depth > MAX_DEPTH:
        _refuse(f"at most {MAX_DEPTH} levels of lists and objects", depth)
    values = 1 + bare.count(b",") + bare.count(b"[") + bare.count(b"{")
    if values > MAX_VALUES:
        _refuse(f"at most {MAX_VALUES} values", values)
    shapes = bare.translate(_SHAPES)  # looked through for words, which takes a tenth of an expression's time
    for text, word, expected in (
        (bare, b"NaN", _NO_NUMBERS),
        (bare, b"Infinity", _NO_NUMBERS),
        (shapes, b"0" * 40, _LONG),
        (shapes, b"e000", _LONG),
        (shapes, b"e+000", _LONG),
    ):
        if (place := text.find(word)) >= 0:
            _refuse(expected, shown(bare[max(0, place - 20) : place + 40].decode(errors="replace")))


def read_json(body: bytes) -> Any:
    """Return what ``body`` says.

    Raises:
        NotJson: it is not JSON, or names a field twice in one object.
        BadSource: it has more fields than any form.
    """
    check_json(body)
    try:
        document = parse_written_json(body, NAME)
    except BadSource as error:
        raise NotJson(NAME, error.records) from error
    if isinstance(document, dict) and len(document) > MAX_FIELDS:
        raise BadSource(NAME, [BadRecord(NAME, f"at most {MAX_FIELDS} fields", len(document))])
    return document


def form_of(body: bytes, form: type[Form]) -> Form:
    """Return the form that ``body`` fills in.

    Raises:
        NotJson: it is not JSON, or names a field twice in one object.
        BadSource: it does not fill in the form; carries every problem.
    """
    read_json(body)  # of a field that stands twice, pydantic would keep the last
    try:
        return form.model_validate_json(body)
    except ValidationError as error:
        records = [_record(problem) for problem in error.errors(include_url=False)]
        raise BadSource(NAME, list({str(record): record for record in records}.values())) from error


def _refuse(expected: str, found: object) -> Never:
    raise NotJson(NAME, [BadRecord(NAME, expected, found)])


def _depth(bare: bytes) -> int:
    """Return how deep the brackets of JSON without its strings nest."""
    brackets = np.frombuffer(bare.translate(None, _NO_BRACKETS), np.uint8)
    opened = (brackets == ord("[")) | (brackets == ord("{"))
    return int(np.cumsum(np.where(opened, 1, -1)).max(initial=0))


def _record(problem: Any) -> BadRecord:
    """Return a problem that pydantic found in the words of the readers."""
    steps = [step for step in problem["loc"] if isinstance(step, int) or not re.fullmatch(r"str|int|dict\[.*\]", step)]
    place = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps).removeprefix(".")
    where = f"{NAME}: {place}" if place else NAME
    if problem["type"] == "missing":
        return BadRecord(where, "a value", "nothing")
    if problem["type"] == "extra_forbidden":
        return BadRecord(where, "a field of the form", "one of another name")
    if len(steps) < len(problem["loc"]):  # the kinds of a token were tried one by one
        return BadRecord(where, "an id or an object", _found(problem))
    expected = re.sub(r"^(Input|String|Value|List|Data|Object) should (be |have )?", "", problem["msg"])
    return BadRecord(where, expected[:1].lower() + expected[1:], _found(problem))


def _found(problem: Any) -> str:
    return shown(repr(problem["input"]))
