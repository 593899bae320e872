"""How are the rows of a CSV file from outside read, so that whatever is wrong with one has a name?"""

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from data.errors import BadRecord, BadSource
from data.readers.bounded import read_bounded

Record = TypeVar("Record")
Row = Mapping[str, str]
MAX_BYTES = 1 << 30


@dataclass(frozen=True, slots=True, eq=False)
class CsvRows:
    """The rows of a file.

    Args:
        columns: names in the head, in order.
        rows: place in the file, for messages, and cells by column.
        set_aside: rows that have more or fewer cells than the head; the last one of a file that was cut, perhaps.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, Row], ...]
    set_aside: tuple[BadRecord, ...]


def read_csv(path: Path, needed: Sequence[str]) -> CsvRows:
    """Read a file whose first line names its columns; empty lines are passed over.

    Bytes that are not UTF-8 become U+FFFD, which no number and no id may contain.

    Args:
        path: the file.
        needed: columns without which nothing can be read.

    Raises:
        SourceUnavailable: the file is missing or cannot be read.
        BadSource: it is no such file: a needed column is missing, one is named twice, or quotes do not end.
    """
    text = read_bounded(path, MAX_BYTES).decode("utf-8-sig", errors="replace")
    return parse_csv(text, str(path), path.name, needed)


def parse_csv(text: str, source: str, name: str, needed: Sequence[str]) -> CsvRows:
    """Read ``text`` as :func:`read_csv` does.

    Args:
        text: what stands in the file.
        source: the file as an error of the whole names it.
        name: the file as an error of one row names it.
        needed: columns without which nothing can be read.

    Raises:
        BadSource: see :func:`read_csv`.
    """
    # strict: a quote that never ends would otherwise take all that follows for one cell, without a word
    lines = csv.reader(io.StringIO(text, newline=""), strict=True, skipinitialspace=True)
    rows: list[tuple[str, Row]] = []
    bad: list[BadRecord] = []
    try:
        columns = tuple(cell.strip() for cell in next(lines, ()))
        missing = [column for column in needed if column not in columns]
        twice = sorted({column for column in columns if columns.count(column) > 1})
        if missing or twice:
            found = f"no {', '.join(missing)}" if missing else f"{', '.join(twice)} more than once"
            problem = BadRecord(f"{name}: line 1", f"columns {', '.join(needed)}, each once", found)
            raise BadSource(source, [problem])
        for cells in lines:
            place = f"{name}: line {lines.line_num}"
            if len(cells) == len(columns):
                rows.append((place, dict(zip(columns, cells, strict=True))))
            elif cells:
                bad.append(BadRecord(place, f"{len(columns)} cells, as the head names", f"{len(cells)} cells"))
    except csv.Error as error:
        raise BadSource(source, [BadRecord(f"{name}: line {lines.line_num}", "CSV", str(error))]) from error
    return CsvRows(columns, tuple(rows), tuple(bad))


def read_records(
    path: Path, needed: Sequence[str], parse: Callable[[str, int, Row], Record]
) -> tuple[list[Record], list[BadRecord]]:
    """Return what ``parse`` makes of each row, at least one, and the rows that could not be used.

    Args:
        path: the file.
        needed: columns without which nothing can be read.
        parse: from the place of a row, its number among the rows from 1, and its cells; raises BadRecord.

    Raises:
        SourceUnavailable: the file is missing or cannot be read.
        BadSource: see :func:`read_csv`; or no row can be used, then every one of them is named.
    """
    table = read_csv(path, needed)
    good: list[Record] = []
    bad = list(table.set_aside)
    for number, (place, row) in enumerate(table.rows, start=1):
        try:
            good.append(parse(place, number, row))
        except BadRecord as error:
            bad.append(error)
    if not good:
        raise BadSource(str(path), bad or [BadRecord(path.name, "at least one row", "none")])
    return good, bad
