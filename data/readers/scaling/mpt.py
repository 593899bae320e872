"""How does training throughput of MPT models grow with GPUs? The tables of github.com/mosaicml/llm-foundry.

``scripts/train/benchmarking/README.md`` (Apache-2.0), all tables as one CSV. A series is one model at one sequence
length on one kind of GPU in one precision: only the number of GPUs (and with it the batch) differs.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data.errors import BadRecord
from data.readers.csv_file import Row, read_records
from data.readers.scaling.series_csv import positive
from data.schemas.scaling import Series, SeriesReading

MODEL, LENGTH, GPUS, THROUGHPUT = "Model", "SeqLen (T)", "# GPUs", "Throughput (T/s)"
COLUMNS = ("section", MODEL, LENGTH, GPUS, "GPU", "Precision", THROUGHPUT)


@dataclass(frozen=True, slots=True)
class _Run:
    place: str
    name: str
    gpus: float
    tokens_per_s: float


def read_mpt(path: Path) -> SeriesReading:
    """Read each series with at least two numbers of GPUs; where one is listed twice, the fastest row counts.

    Raises:
        SourceUnavailable: the file is missing or cannot be read.
        BadSource: it is no such CSV file, or no row of it can be used.
    """
    rows, bad = read_records(path, COLUMNS, _row)
    series, repeated = [], []
    for name in dict.fromkeys(row.name for row in rows):
        fastest: dict[float, _Run] = {}
        for row in rows:
            if row.name != name:
                continue
            held = fastest.get(row.gpus)
            if held is not None:
                slower = min(held, row, key=lambda each: each.tokens_per_s)
                repeated.append(
                    BadRecord(slower.place, f"one row for {name} on {row.gpus:g} GPUs", f"{slower.tokens_per_s:g}")
                )
            if held is None or row.tokens_per_s > held.tokens_per_s:
                fastest[row.gpus] = row
        if len(fastest) > 1:
            scale = np.array(sorted(fastest))
            performance = np.array([fastest[gpus].tokens_per_s for gpus in scale])
            series.append(Series(name, "compute", scale, performance, "GPUs", "tokens/s"))
    return SeriesReading(tuple(series), tuple(bad), tuple(repeated))


def _row(place: str, _number: int, row: Row) -> _Run:
    name = f"MPT-{row[MODEL]}, {row[LENGTH]} tokens, {row['GPU']}, {row['Precision']}"
    return _Run(place, name, positive(place, row, GPUS), positive(place, row, THROUGHPUT))
