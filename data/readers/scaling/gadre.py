"""Which losses did Gadre et al. 2024 (arXiv 2403.08540) measure? 104 models of one recipe on three data sets.

Flattened from the model and evaluation JSON files of github.com/mlfoundations/scaling (MIT), one row for each model.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data.errors import BadRecord
from data.readers.csv_file import Row, read_records
from data.readers.scaling.series_csv import positive
from data.schemas.scaling import Floats, TrainingRuns

COLUMNS = ("name", "dataset", "model", "params", "tokens", "chinchilla_multiplier", "loss_c4_val")
TOKENS_PER_PARAMETER = 20.0
"""What a multiplier of 1 means."""


@dataclass(frozen=True, slots=True, eq=False)
class GadreReading:
    """Models with what tells them apart.

    Args:
        runs: losses on C4's validation set.
        datasets: trained on, ``(runs,)``.
        models: shapes, ``(runs,)``.
        ratio: tokens per parameter as asked for, ``(runs,)``.
        set_aside: rows that could not be used.
    """

    runs: TrainingRuns
    datasets: tuple[str, ...]
    models: tuple[str, ...]
    ratio: Floats
    set_aside: tuple[BadRecord, ...] = ()

    def rows(self, dataset: str, model: str, ratio: float) -> np.ndarray:
        """Return which runs are of that data set, shape and ratio, ``(runs,)`` of bool."""
        named = [(each, shape) == (dataset, model) for each, shape in zip(self.datasets, self.models, strict=True)]
        result: Floats = np.array(named) & (self.ratio == ratio)
        return result


def read_gadre(path: Path) -> GadreReading:
    """Read the table; parameters include the embedding.

    Raises:
        SourceUnavailable: the file is missing or cannot be read.
        BadSource: it is no such CSV file, or no row of it can be used.
    """
    rows, bad = read_records(path, COLUMNS, _row)
    names, datasets, models = zip(*((row.name, row.dataset, row.model) for row in rows), strict=True)
    numbers = np.array([(row.parameters, row.tokens, row.loss, row.multiplier) for row in rows])
    runs = TrainingRuns(names, numbers[:, 0], numbers[:, 1], numbers[:, 2])
    return GadreReading(runs, datasets, models, TOKENS_PER_PARAMETER * numbers[:, 3], tuple(bad))


@dataclass(frozen=True, slots=True)
class _Model:
    name: str
    dataset: str
    model: str
    parameters: float
    tokens: float
    multiplier: float
    loss: float


def _row(place: str, _number: int, row: Row) -> _Model:
    numbers = [positive(place, row, name) for name in ("params", "tokens", "chinchilla_multiplier", "loss_c4_val")]
    return _Model(row["name"], row["dataset"], row["model"], *numbers)
