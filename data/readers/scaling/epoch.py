"""Which losses did Hoffmann et al. 2022 measure? As Epoch AI read them off the paper's figure.

The file is ``data/svg_extracted_data.csv`` of github.com/epoch-research/analyzing-chinchilla (no licence is stated, so
it is not shipped here).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data.errors import BadRecord
from data.readers.csv_file import Row, read_records
from data.readers.scaling.series_csv import positive
from data.schemas.scaling import TrainingRuns

COLUMNS = ("Model Size", "Training FLOP", "loss")
FLOPS_PER_TOKEN = 6.0


@dataclass(frozen=True, slots=True, eq=False)
class RunsReading:
    """Training runs, and the rows that could not be used."""

    runs: TrainingRuns
    set_aside: tuple[BadRecord, ...] = ()


def read_epoch(path: Path) -> RunsReading:
    """Read all points; tokens are compute / (6 N).

    Raises:
        SourceUnavailable: the file is missing or cannot be read.
        BadSource: it is no such CSV file, or no row of it can be used.
    """
    rows, bad = read_records(path, COLUMNS, _row)
    size, compute, loss = np.array(rows).T
    names = tuple(f"point {number}" for number in range(len(rows)))
    return RunsReading(TrainingRuns(names, size, compute / (FLOPS_PER_TOKEN * size), loss), tuple(bad))


def _row(place: str, _number: int, row: Row) -> tuple[float, float, float]:
    return (positive(place, row, "Model Size"), positive(place, row, "Training FLOP"), positive(place, row, "loss"))
