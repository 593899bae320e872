"""How long did MLPerf Training submissions take? Runs of rounds v4.0 to v5.1, with what is listed twice told apart.

Two tables, parsed from ``result_*.txt``, ``systems/*.json`` and ``scaling.json`` of
github.com/mlcommons/training_results_v4.0, v4.1, v5.0 and v5.1 (Apache-2.0; v4.1 states none at its root): a row for
each run, and a row for each set of runs with the factor that scales its score. What is derived from them is not
verified by MLCommons.

The same runs are listed several times where a round took over results of the one before, or where one system was filed
under several names. They are one measurement, and counting them as several makes everything look surer than it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data.errors import BadRecord
from data.readers.csv_file import Row, read_records
from data.readers.scaling.series_csv import positive
from data.schemas.scaling import Floats

COLUMNS = ("round", "submitter", "system", "benchmark", "accelerators", "accel_model", "seed", "status", "minutes")
KEY = ("round", "submitter", "system", "benchmark")


@dataclass(frozen=True, slots=True)
class MlperfRun:
    """One run; ``minutes`` are infinite where it was aborted."""

    place: str
    key: tuple[str, ...]
    accelerators: int
    accelerator: str
    seed: str
    minutes: float

    @property
    def measured(self) -> tuple[str, str, float, int]:
        """What makes it this run: benchmark, seed, minutes, accelerators."""
        return (self.key[3], self.seed, self.minutes, self.accelerators)


@dataclass(frozen=True, slots=True, eq=False)
class ResultSet:
    """The runs of one submission on one benchmark.

    Args:
        key: round, submitter, system, benchmark.
        accelerators: how many.
        accelerator: model.
        seeds: one per run.
        minutes: to the target quality, infinite where a run was aborted, ``(runs,)``.
        factor: that scales the score for convergence; 1 where none is known.
    """

    key: tuple[str, ...]
    accelerators: int
    accelerator: str
    seeds: tuple[str, ...]
    minutes: Floats
    factor: float

    @property
    def measured(self) -> tuple[object, ...]:
        """What makes it this set: equal for copies."""
        runs = tuple(sorted(zip(self.seeds, self.minutes.tolist(), strict=True)))
        return (self.key[3], self.accelerators, runs)


@dataclass(frozen=True, slots=True, eq=False)
class MlperfReading:
    """What the tables hold.

    Args:
        sets: in the order of the file, copies too: each is a valid submission.
        seeded: runs that state a seed and a time.
        repeated: runs with the benchmark, seed, minutes and size of an earlier one.
        set_aside: rows that could not be used.
    """

    sets: tuple[ResultSet, ...]
    seeded: int
    repeated: tuple[BadRecord, ...] = ()
    set_aside: tuple[BadRecord, ...] = ()

    def chosen(self, **fields: str) -> tuple[ResultSet, ...]:
        """Return the sets whose round, submitter, system or benchmark is as given."""
        places = {name: KEY.index(name) for name in fields}
        return tuple(each for each in self.sets if all(each.key[places[name]] == fields[name] for name in fields))


def distinct(sets: Sequence[ResultSet]) -> tuple[ResultSet, ...]:
    """Return ``sets`` without those that copy an earlier one run for run."""
    first: dict[tuple[object, ...], ResultSet] = {}
    for each in sets:
        first.setdefault(each.measured, each)
    return tuple(first.values())


def read_mlperf(runs: Path, scores: Path) -> MlperfReading:
    """Read runs, and the factors of their scores.

    Raises:
        SourceUnavailable: a file is missing or cannot be read.
        BadSource: one is no such CSV file, or no row of it can be used.
    """
    rows, bad = read_records(runs, COLUMNS, _run)
    factors, bad_factors = read_records(scores, (*KEY, "factor"), _factor)
    by_key = dict(factors)
    grouped: dict[tuple[str, ...], list[MlperfRun]] = {}
    for row in rows:
        grouped.setdefault(row.key, []).append(row)
    sets = tuple(_set(key, own, by_key.get(key, 1.0)) for key, own in grouped.items())
    seeded = [row for row in rows if row.seed]
    return MlperfReading(sets, len(seeded), tuple(_repeated(seeded)), (*bad, *bad_factors))


def _repeated(rows: Sequence[MlperfRun]) -> list[BadRecord]:
    first: dict[tuple[str, str, float, int], MlperfRun] = {}
    found = []
    for row in rows:
        earlier = first.setdefault(row.measured, row)
        if earlier is not row:
            told = f"seed {row.seed}, {row.minutes:g} minutes of {' '.join(row.key)}"
            found.append(BadRecord(row.place, f"a run of its own, not that of {' '.join(earlier.key)}", told))
    return found


def _set(key: tuple[str, ...], rows: Sequence[MlperfRun], factor: float) -> ResultSet:
    head = rows[0]
    minutes = np.array([row.minutes for row in rows])
    return ResultSet(key, head.accelerators, head.accelerator, tuple(row.seed for row in rows), minutes, factor)


def _run(place: str, _number: int, row: Row) -> MlperfRun:
    if row["status"] not in ("success", "aborted"):
        raise BadRecord(f"{place}.status", "success or aborted", row["status"] or "nothing")
    minutes = positive(place, row, "minutes") if row["status"] == "success" else float("inf")
    key = tuple(row[name] for name in KEY)
    return MlperfRun(place, key, int(positive(place, row, "accelerators")), row["accel_model"], row["seed"], minutes)


def _factor(place: str, _number: int, row: Row) -> tuple[tuple[str, ...], float]:
    return tuple(row[name] for name in KEY), positive(place, row, "factor")
