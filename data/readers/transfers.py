"""Which transfers does a file ask for? An edge list as CSV, or JSON: a list of transfers, or a NetworkX graph.

CSV has the columns ``source,target`` and ``gigabytes`` (what is sent) or ``bandwidth`` (GB/s of the link), or both;
``uses`` (names parted by ``;``) and ``round`` may follow. JSON holds the same fields in ``transfers``, or in the
``links`` or ``edges`` of NetworkX's node-link form. A schedule without one of its messages is wrong, so a row that
cannot be used refuses the file, and every such row is named.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from data.errors import BadRecord, BadSource
from data.readers.csv_file import read_csv
from data.readers.dump import read_dump, shown
from data.schemas.transfers import TRANSFER, Transfer, Transfers

GIGABYTES = 1.0
"""Size of a message where the file names only bandwidths: one unit on each link."""

BANDWIDTH_GB_PER_S = 50.0
"""Of a link where the file names only sizes: one 400 Gb/s port."""

FIELDS = ("source", "target", "gigabytes", "bandwidth", "uses", "round")
LISTS = ("transfers", "links", "edges")


def read_transfers(
    path: Path, *, gigabytes: float = GIGABYTES, bandwidth_gb_per_s: float = BANDWIDTH_GB_PER_S
) -> Transfers:
    """Return what ``path`` (``.csv``, or JSON) asks for.

    Args:
        path: the file.
        gigabytes: size of a message where the file does not say.
        bandwidth_gb_per_s: of a link where the file does not say.

    Raises:
        SourceUnavailable: it cannot be read.
        BadSource: a column is missing, a row cannot be used, or there is none; names file, row and field.
    """
    rows, places, rounds = _csv_rows(path) if path.suffix.lower() == ".csv" else _json_rows(path)
    bad: list[BadRecord] = []
    transfers = []
    for row, place in zip(rows, places, strict=True):
        try:
            transfers.append(_transfer(row, place, gigabytes, bandwidth_gb_per_s))
        except BadRecord as error:
            bad.append(error)
    if not rows:
        bad = [BadRecord(path.name, "at least one transfer", "none")]
    if bad:
        raise BadSource(str(path), bad)
    notes = []
    if all(_missing(row, "gigabytes") for row in rows):
        notes.append(f"sizes are not in the file: {gigabytes:g} GB on each link")
    if all(_missing(row, "bandwidth") for row in rows):
        notes.append(f"bandwidths are not in the file: {bandwidth_gb_per_s:g} GB/s on each link")
    return Transfers(str(path), tuple(transfers), rounds, tuple(notes))


def _csv_rows(path: Path) -> tuple[Sequence[Mapping[str, Any]], Sequence[str], None]:
    table = read_csv(path, ("source", "target"))
    if table.set_aside:
        raise BadSource(str(path), table.set_aside)
    columns = set(table.columns)
    if not {"gigabytes", "bandwidth"} & columns or columns - set(FIELDS):
        expected = f"source, target, gigabytes or bandwidth, and no other columns than {', '.join(FIELDS)}"
        raise BadSource(str(path), [BadRecord(f"{path.name}: line 1", expected, ",".join(table.columns))])
    return [row for _, row in table.rows], [place for place, _ in table.rows], None


def _json_rows(path: Path) -> tuple[Sequence[Mapping[str, Any]], Sequence[str], int | None]:
    document = read_dump(path).json()
    if not isinstance(document, dict):
        raise BadSource(str(path), [BadRecord(path.name, "a JSON object", shown(document))])
    name = next((key for key in LISTS if key in document), None)
    if name is None or not isinstance(document[name], list):
        found = ", ".join(map(str, document))[:200]
        raise BadSource(str(path), [BadRecord(path.name, f"a list in one of {', '.join(LISTS)}", found)])
    rounds = document.get("rounds")
    if rounds is not None and (not isinstance(rounds, int) or isinstance(rounds, bool) or rounds < 1):
        raise BadSource(str(path), [BadRecord(f"{path.name}: rounds", "a whole number of at least 1", rounds)])
    rows = document[name]
    places = [f"{path.name}: {name}[{number}]" for number in range(len(rows))]
    bad = [BadRecord(place, "an object", row) for row, place in zip(rows, places, strict=True) if type(row) is not dict]
    if bad:
        raise BadSource(str(path), bad)
    return rows, places, rounds


def _missing(row: Mapping[str, Any], field: str) -> bool:
    return row.get(field) is None or row.get(field) == ""


def _transfer(row: Mapping[str, Any], place: str, gigabytes: float, bandwidth_gb_per_s: float) -> Transfer:
    ends = {}
    for field in ("source", "target"):
        value = row.get(field, "")
        if not isinstance(value, str | int) or isinstance(value, bool) or not str(value).strip():
            raise BadRecord(f"{place}.{field}", "the id of a GPU, NIC or switch", value)
        ends[field] = str(value).strip()
    if ends["source"] == ends["target"]:
        raise BadRecord(f"{place}.target", f"another end than {ends['source']}", ends["target"])
    uses = row.get("uses") or ()
    if isinstance(uses, str):
        uses = tuple(part.strip() for part in uses.split(";") if part.strip())
    if not isinstance(uses, list | tuple) or not all(isinstance(name, str) for name in uses):
        raise BadRecord(f"{place}.uses", "names of NICs, rails or planes", uses)
    given = None if _missing(row, "round") else _number(row["round"], f"{place}.round")
    if given is not None and (given < 0 or given != int(given)):
        raise BadRecord(f"{place}.round", "a whole number from 0", row["round"])
    size = gigabytes if _missing(row, "gigabytes") else _number(row["gigabytes"], f"{place}.gigabytes")
    speed = bandwidth_gb_per_s if _missing(row, "bandwidth") else _number(row["bandwidth"], f"{place}.bandwidth")
    fields = {
        **ends,
        "gigabytes": size,
        "bandwidth_gb_per_s": speed,
        "uses": tuple(dict.fromkeys(uses)),
        "given_round": None if given is None else int(given),
    }
    try:
        return TRANSFER.validate_python(fields, strict=False)  # strict wants an instance
    except ValidationError as error:
        first = error.errors()[0]
        column = {"bandwidth_gb_per_s": "bandwidth", "given_round": "round"}.get(str(first["loc"][0]), first["loc"][0])
        raise BadRecord(f"{place}.{column}", first["msg"].lower(), first["input"]) from error


def _number(value: object, place: str) -> float:
    number = math.nan
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        try:
            number = float(value)
        except (ValueError, OverflowError):
            number = math.nan
    if not math.isfinite(number):
        raise BadRecord(place, "a number", value)
    return number
