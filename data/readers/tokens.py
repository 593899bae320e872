"""Which tokens came? Streams as JSON lists, CSV or DataFrames."""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from data.errors import BadRecord, BadSource
from data.readers.dump import Dump, read_dump, shown
from data.schemas.tokens import NOWHERE, ExpertGraph, Integers, Tokens

_ORIGINS = ("source", "device", "origin")
_FLOAT_END = 10**308
MOST_TOLD = 20
"""Bad rows that are named; the others are counted."""


@dataclass(frozen=True, slots=True, eq=False)
class TokenReading:
    """A stream, the rows that were set aside (the first of them named), and how many there were."""

    tokens: Tokens
    set_aside: tuple[BadRecord, ...]
    left_out: int


def read_tokens(path: Path, graph: ExpertGraph) -> TokenReading:
    """Read a stream: a JSON list of ids or objects, or a CSV with the column ``token_id``.

    Objects and rows may say ``complexity`` (work in ordinary tokens, 1 where nothing is said) and ``source``,
    ``device`` or ``origin`` (a place of the graph), by themselves or in ``metadata``; the rest is left alone.

    Args:
        path: the file.
        graph: its places are the origins that are known.

    Raises:
        SourceUnavailable: the file cannot be read.
        BadSource: it is no such stream, or no row of it can be used.
    """
    if path.suffix.lower() == ".csv":
        return tokens_of(_csv(read_dump(path)), graph, path.name, first=2, what="line")
    dump = read_dump(path)
    document = dump.json()
    if isinstance(document, dict) and isinstance(document.get("tokens"), list):
        document = document["tokens"]
    if not isinstance(document, list):
        raise dump.refused("a list of tokens", shown(document))
    return tokens_of(pd.DataFrame([_row(entry) for entry in document]), graph, dump.name, first=0, what="token")


def tokens_of(
    frame: pd.DataFrame, graph: ExpertGraph, source: str = "tokens", *, first: int = 0, what: str = "row"
) -> TokenReading:
    """Return the stream in a DataFrame with the columns of :func:`read_tokens`.

    Args:
        frame: one row for each token.
        graph: its places are the origins that are known.
        source: for messages.
        first: number of the first row, for messages.
        what: a row is called, for messages.

    Raises:
        BadSource: ``token_id`` is missing, or no row can be used.
    """
    if "token_id" not in frame.columns:
        found = ", ".join(map(str, frame.columns)) or "no columns"
        raise BadSource(source, [BadRecord(source, "a column or field token_id", found)])
    text = frame["token_id"].astype("string")
    ids = text.str.strip()
    named = ids.notna().to_numpy(dtype=bool) & (ids.fillna("") != "").to_numpy(dtype=bool)
    given = frame["complexity"] if "complexity" in frame.columns else pd.Series(np.ones(len(frame)))
    said = given.notna().to_numpy(dtype=bool) & (given.astype("string").fillna("") != "").to_numpy(dtype=bool)
    complexity = np.where(said, pd.to_numeric(given, errors="coerce").to_numpy(dtype=np.float64), 1.0)
    sound = np.isfinite(complexity) & (complexity > 0.0)
    origin, known = _origins(frame, graph)
    kept = named & sound & known
    bad = _told(frame, named, sound, known, source, first, what)
    if not kept.any():
        raise BadSource(source, bad or [BadRecord(source, "at least one token", "none")])
    tokens = Tokens(ids.to_numpy(dtype=object)[kept], complexity[kept], origin[kept])
    return TokenReading(tokens, tuple(bad), int((~kept).sum()))


def _csv(dump: Dump) -> pd.DataFrame:
    try:
        return pd.read_csv(io.StringIO(dump.text), dtype="string", skipinitialspace=True)
    except pd.errors.ParserError as error:
        raise dump.refused("CSV", str(error)) from error


def _row(entry: object) -> dict[str, object]:
    """Return a token of a JSON list as a row; fields of its metadata count where it has none itself."""
    if not isinstance(entry, dict):
        return {"token_id": _name(entry)}
    inner = entry.get("metadata")
    row = {**(inner if isinstance(inner, dict) else {}), **entry}
    return {
        "token_id": _name(row.get("token_id", row.get("id"))),
        "complexity": _held(row.get("complexity")),
        **{name: _name(row[name]) for name in _ORIGINS if row.get(name) is not None},
    }


def _name(value: object) -> str | None:
    """Return an id as text: a column of numbers with a gap would become one of floats, and 7 would be called 7.0."""
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else None


def _held(value: object) -> object:
    """Return ``value``, or as text a whole number that no column of floats can hold."""
    return str(value) if isinstance(value, int) and abs(value) >= _FLOAT_END else value


def _origins(frame: pd.DataFrame, graph: ExpertGraph) -> tuple[Integers, np.ndarray]:
    """Return the place of each token, and whether what it says is a place or nothing."""
    column = next((name for name in _ORIGINS if name in frame.columns), None)
    if column is None:
        return np.full(len(frame), NOWHERE, np.int64), np.ones(len(frame), bool)
    text = frame[column].astype("string").fillna("")
    codes, uniques = pd.factorize(text)
    number = {name: index for index, name in enumerate(graph.places)}
    place = np.array([number.get(str(name), NOWHERE) for name in uniques], dtype=np.int64)
    known = np.array([str(name) == "" or str(name) in number for name in uniques], dtype=bool)
    return place[codes], known[codes]


def _told(
    frame: pd.DataFrame, named: np.ndarray, sound: np.ndarray, known: np.ndarray, source: str, first: int, what: str
) -> list[BadRecord]:
    bad = []
    for row in np.flatnonzero(~(named & sound & known))[:MOST_TOLD].tolist():
        place = f"{source}: {what} {first + row}"
        if not named[row]:
            bad.append(BadRecord(f"{place}.token_id", "an id", shown(frame["token_id"].iloc[row])))
        elif not sound[row]:
            bad.append(BadRecord(f"{place}.complexity", "a number above 0", shown(frame["complexity"].iloc[row])))
        else:
            column = next(name for name in _ORIGINS if name in frame.columns)
            bad.append(BadRecord(f"{place}.{column}", "a place of the graph", shown(frame[column].iloc[row])))
    return bad
