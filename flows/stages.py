"""What of a run that ended early need not be done again? Its finished steps, kept until the run succeeds.

A run of a deployment that was killed or that failed can be retried under the same id (``prefect flow-run retry``, or
Retry in the UI). What it had finished lies in a hidden folder beside the runs, as JSON that is checked when it is read,
each with the digest of everything it depends on: where that differs, the step is done again.
"""

import dataclasses
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from data.errors import BadRecord
from data.readers.reading import Reading
from data.schemas.cluster import Snapshot
from data.schemas.plan import SetAside
from data.whole_file import whole_file
from tasks.earlier_plan import EarlierPlan
from tasks.plan import Part

PREFIX = ".stages-"
READING_S = 900.0
"""Age from which on a cluster is read again; its state has moved on."""

DECIDING = ("numpy", "scipy", "numba", "scikit-learn", "torch", "qiskit", "qiskit-aer", "ortools")
"""Packages of which another version may find another plan."""

_PACKAGES = ("data", "flows", "qiskit_solvers", "tasks")
_SHIPPED = frozenset({".py", ".json", ".csv"})

Value = TypeVar("Value")
_PART = TypeAdapter(Part)
_EARLIER = TypeAdapter(EarlierPlan)
_INPUTS: TypeAdapter[tuple[Any, ...]] = TypeAdapter(tuple[Any, ...])
_READING: TypeAdapter[tuple[Snapshot, tuple[SetAside, ...], tuple[str, ...]]] = TypeAdapter(
    tuple[Snapshot, tuple[SetAside, ...], tuple[str, ...]]
)


@dataclass(frozen=True, slots=True)
class Stages:
    """The finished steps of one run.

    Args:
        folder: where they lie; None keeps nothing.
    """

    folder: Path | None

    @classmethod
    def of_run(cls, output: Path, run: str | None) -> "Stages":
        """Return the steps of the Prefect run with the id ``run`` whose results go to ``output``; None keeps none."""
        return cls(None if run is None else output / f"{PREFIX}{run}")

    def reading(self, inputs: tuple[Any, ...], files: tuple[Any, ...], read: Callable[[], Reading]) -> Reading:
        """Return what the source said in an earlier try of this run, not long ago; else ask it by ``read``.

        Args:
            inputs: everything that the reading depends on but files and services; records, texts and numbers.
            files: paths, or records that name some, e.g. the source: one that was changed since is read again.
            read: asks the source.
        """

        def asked() -> tuple[Snapshot, tuple[SetAside, ...], tuple[str, ...]]:
            found = read()
            aside = tuple(SetAside(record.path, record.expected, str(record.found)) for record in found.set_aside)
            return found.snapshot, aside, found.notes

        states = () if self.folder is None else _states_of_files(*files)
        snapshot, aside, notes = self._kept("reading", (*inputs, states), _READING, asked, READING_S)
        records = tuple(BadRecord(each.path, each.expected, each.found) for each in aside)
        return Reading(snapshot, records, notes)

    def earlier(self, inputs: tuple[Any, ...], find: Callable[[], EarlierPlan]) -> EarlierPlan:
        """Return the last plan as an earlier try of this run found it, else what ``find`` finds.

        A try that failed after its files were in place has left a plan, too; to begin at that one would be another
        problem, and every part would be made again.

        Args:
            inputs: everything that it depends on but the folder of runs; likewise.
            find: looks for it.
        """
        return self._kept("earlier", inputs, _EARLIER, find)

    def part(self, name: str, inputs: tuple[Any, ...], make: Callable[[], Part]) -> Part:
        """Return the part ``name`` of a plan as an earlier try of this run found it, else what ``make`` finds.

        Args:
            name: of the problem.
            inputs: everything that the part depends on; likewise.
            make: finds it.
        """
        return self._kept(f"part-{name}", inputs, _PART, make)

    def done(self) -> None:
        """Forget the steps; the run has succeeded."""
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _kept(
        self,
        name: str,
        inputs: tuple[Any, ...],
        kind: TypeAdapter[Value],
        make: Callable[[], Value],
        most_s: float = float("inf"),
    ) -> Value:
        if self.folder is None:
            return make()
        key = hashlib.sha256(_INPUTS.dump_json((_code(), *inputs))).hexdigest()
        path = self.folder / f"{hashlib.sha256(name.encode()).hexdigest()[:16]}.json"
        found = _read(path, key, kind, most_s)
        if found is not None:
            return found
        value = make()
        self.folder.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as file:
            head = json.dumps({"step": name, "key": key})
            file.write(head.encode() + b"\n" + kind.dump_json(value))
        return value


NONE_KEPT = Stages(None)
"""For a run that nobody can try again."""


def _states_of_files(*values: Any) -> tuple[tuple[str, int, int, int], ...]:
    """Return path, size and times of change of every file that ``values`` name, in records and tuples too.

    Of a folder these are the files in it; what is not there has zeros.
    """
    found: list[tuple[str, int, int, int]] = []
    for value in values:
        if isinstance(value, Path):
            inside = (Path(folder) / name for folder, _, names in os.walk(value) for name in names)
            found += [_state(path) for path in (value, *sorted(inside))]
        elif dataclasses.is_dataclass(value) and not isinstance(value, type):
            found += _states_of_files(*(getattr(value, each.name) for each in dataclasses.fields(value)))
        elif isinstance(value, tuple):
            found += _states_of_files(*value)
    return tuple(found)


def _state(path: Path) -> tuple[str, int, int, int]:
    try:
        state = path.stat()
    except (OSError, ValueError):  # not there; a NUL in its name: reading it will say so
        return str(path), 0, 0, 0
    return str(path), state.st_size, state.st_mtime_ns, state.st_ctime_ns


@cache
def _code() -> str:
    """Return a digest of our own source, of the data that ships with it, and of the versions of what decides with it.

    Another version may find something else.
    """
    digest = hashlib.sha256()
    root = Path(__file__).resolve().parent.parent
    for package in _PACKAGES:
        for path in sorted(each for each in (root / package).rglob("*") if each.suffix in _SHIPPED and each.is_file()):
            digest.update(f"{path.relative_to(root)}\n".encode())
            digest.update(path.read_bytes())
    for name in DECIDING:
        digest.update(f"{name} {_version(name)}\n".encode())
    return digest.hexdigest()


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"


def _read(path: Path, key: str, kind: TypeAdapter[Value], most_s: float) -> Value | None:
    """Return the value in ``path``; None where there is none of that key, it is too old, or it is damaged."""
    try:
        if time.time() - path.stat().st_mtime > most_s:
            return None
        head, _, body = path.read_bytes().partition(b"\n")
        told: Any = json.loads(head)
        return kind.validate_json(body) if isinstance(told, dict) and told.get("key") == key else None
    except (OSError, ValueError, ValidationError):
        return None
