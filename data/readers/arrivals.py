"""When did jobs come, for how long, and with how many GPUs? The bare rows of a trace, without a cluster around them."""

import csv
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from data.errors import BadRecord, BadSource, SourceUnavailable

COLUMNS = ("timestamp", "duration", "num_gpus")


class Arrivals(NamedTuple):
    """Jobs in order of arrival; all ``(jobs,)``."""

    arrival_s: npt.NDArray[np.float64]
    duration_s: npt.NDArray[np.float64]
    gpus: npt.NDArray[np.int64]


def read_arrivals(path: Path) -> Arrivals:
    """Return the jobs of a Philly file (``timestamp,duration,num_gpus``).

    Raises:
        SourceUnavailable: it cannot be read.
        BadSource: a column is missing, there is no row, or one cannot be used; every such row is named.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SourceUnavailable(f"{path}: {error}") from error
    missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
    if missing or not rows:
        found = f"no {missing[0]}" if missing else "none"
        raise BadSource(str(path), [BadRecord(path.name, f"rows with columns {','.join(COLUMNS)}", found)])
    bad: list[BadRecord] = []
    jobs = []
    for number, row in enumerate(rows):
        try:
            jobs.append(_job(row, f"{path.name}: row {number + 1}"))
        except BadRecord as error:
            bad.append(error)
    if bad:
        raise BadSource(str(path), bad)
    jobs.sort()
    arrival_s, duration_s, gpus = (np.array(column) for column in zip(*jobs, strict=True))
    return Arrivals(arrival_s, duration_s, gpus.astype(np.int64))


def _job(row: dict[str, str], place: str) -> tuple[float, float, int]:
    try:
        came = datetime.fromisoformat(row["timestamp"])
    except (TypeError, ValueError):
        raise BadRecord(f"{place}.timestamp", "a time such as 2017-10-10 06:54:45", row["timestamp"]) from None
    numbers = []
    for column in ("duration", "num_gpus"):
        try:
            number = float(row[column])
        except (TypeError, ValueError):
            number = math.nan
        if not 1.0 <= number <= 1e9:
            raise BadRecord(f"{place}.{column}", "a number from 1 to 1e9", row[column])
        numbers.append(number)
    return came.replace(tzinfo=came.tzinfo or UTC).timestamp(), numbers[0], int(numbers[1])
