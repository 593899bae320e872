"""How large was the best model at each compute budget in Porian et al. 2024 (arXiv 2406.19146)?

Two tables made from the ``summary_df`` files of github.com/formll/resolving-scaling-law-discrepancies (MIT): the best
pairs of model size and tokens, and the exponents that were published for each experiment.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data.errors import BadRecord
from data.readers.csv_file import Row, read_records
from data.readers.scaling.series_csv import positive
from data.schemas.scaling import Floats


@dataclass(frozen=True, slots=True, eq=False)
class Optima:
    """The best model size at each budget.

    Args:
        compute: in operations, ``(points,)``.
        parameters: of the best model, ``(points,)``.
        deviation: standard deviation of log parameters, from a bootstrap, ``(points,)``.
    """

    compute: Floats
    parameters: Floats
    deviation: Floats


@dataclass(frozen=True, slots=True, eq=False)
class PorianReading:
    """Optima by experiment, and the rows that say nothing (three experiments have some)."""

    experiments: Mapping[str, Optima]
    set_aside: tuple[BadRecord, ...] = ()


@dataclass(frozen=True, slots=True)
class PublishedExponent:
    """What was published: the exponent and its 95 % interval."""

    exponent: float
    low: float
    high: float


def read_porian(path: Path) -> PorianReading:
    """Read the best pairs.

    Raises:
        SourceUnavailable: the file is missing or cannot be read.
        BadSource: it is no such CSV file, or no row of it can be used.
    """
    rows, bad = read_records(path, ("experiment", "flops", "n", "n_star_std"), _pair)
    experiments = {}
    for name in dict.fromkeys(experiment for experiment, _ in rows):
        compute, parameters, deviation = np.array([numbers for experiment, numbers in rows if experiment == name]).T
        experiments[name] = Optima(compute, parameters, deviation)
    return PorianReading(experiments, tuple(bad))


def read_published(path: Path) -> Mapping[str, PublishedExponent]:
    """Read the published exponents, by experiment.

    Raises:
        SourceUnavailable: the file is missing or cannot be read.
        BadSource: it is no such CSV file, or no row of it can be used.
    """
    rows, _ = read_records(path, ("experiment", "n_exponent", "ci_lo", "ci_hi"), _published)
    return dict(rows)


def _pair(place: str, _number: int, row: Row) -> tuple[str, tuple[float, ...]]:
    return row["experiment"], tuple(positive(place, row, name) for name in ("flops", "n", "n_star_std"))


def _published(place: str, _number: int, row: Row) -> tuple[str, PublishedExponent]:
    numbers = [positive(place, row, name) for name in ("n_exponent", "ci_lo", "ci_hi")]
    return row["experiment"], PublishedExponent(*numbers)
