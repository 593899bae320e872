"""How did a Cisco router's throughput grow with concurrency? The benchmark of B. Schwartz's book on the USL.

The 32 points are test data of github.com/codahale/usl4j (Apache-2.0), as CSV with ``concurrency,throughput``.
"""

from pathlib import Path

import numpy as np

from data.readers.csv_file import Row, read_records
from data.readers.scaling.series_csv import positive
from data.schemas.scaling import Series, SeriesReading


def read_usl(path: Path) -> SeriesReading:
    """Read throughput by concurrency.

    Raises:
        SourceUnavailable: the file is missing or cannot be read.
        BadSource: it is no such CSV file, or no row of it can be used.
    """
    rows, bad = read_records(path, ("concurrency", "throughput"), _row)
    scale, performance = np.array(rows).T
    series = Series("Cisco", "network", scale, performance, "concurrent requests", "requests/s")
    return SeriesReading((series,), tuple(bad))


def _row(place: str, _number: int, row: Row) -> tuple[float, float]:
    return positive(place, row, "concurrency"), positive(place, row, "throughput")
