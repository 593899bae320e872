"""Which jobs wait for which, and what do they draw? ``{"jobs": {"B": ["A"]}}`` with an energy profile.

This is all that the file says, so the rest is assumed and noted: a cluster of H100 nodes with room for every job at
once, on which nothing but the dependencies and the power cap orders the jobs.
"""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from data.errors import BadRecord, BadSource
from data.generators.hardware import dgx_nodes
from data.readers.csv_file import parse_csv
from data.readers.dump import Dump, is_id, read_dump, shown
from data.readers.reading import Reading
from data.readers.settle import settle
from data.schemas.cluster import Limits, Snapshot
from data.schemas.job import Job

_EPOCH = datetime.fromtimestamp(0, UTC).isoformat()
_GPUS_PER_NODE = 8
MOST_GPUS = 1_000_000
_DEFAULTS = {"gpus": 1.0, "duration_s": 3600.0, "priority": 1.0}
_SHARED = ("gpus", "duration_s", "priority", "deadline_s")
_PROFILE = "power_w of a GPU, or energy_kwh of the job; duration_s, gpus, priority and deadline_s where known"


def read_job_graph(path: Path, profile: Path | None = None, *, limits: Limits | None = None) -> Reading:
    """Return the cluster that a dependency graph of jobs describes; every job is pending.

    Args:
        path: JSON, ``{"jobs": {name: [names that must end first]}}``; a name that only others wait for is a job too.
        profile: what the jobs draw. JSON, ``{name: watts}`` or ``{name: {"power_w": ..., "duration_s": ...}}``; or CSV
            with a column ``job`` and any of ``power_w``, ``energy_kwh``, ``duration_s``, ``gpus``, ``priority``,
            ``deadline_s``. Watts are those of one GPU.
        limits: what a plan must keep to.

    Raises:
        SourceUnavailable: a file cannot be read.
        BadSource: a file has another shape, or no job in it can be used.
    """
    dump = read_dump(path)
    set_aside: list[BadRecord] = []
    waits_for, named = _dependencies(dump, set_aside)
    profiles = {} if profile is None else _profiles(read_dump(profile), set(waits_for), set_aside)
    jobs: list[Job] = []
    for name, others in waits_for.items():
        try:
            jobs.append(_job(name, others, profiles.get(name, {}), str(profile or path)))
        except BadRecord as error:
            set_aside.append(error)
    if not jobs:
        raise BadSource(dump.name, set_aside or [BadRecord(f"{dump.name}: jobs", "at least one job", "none")])
    total = sum(job.gpus for job in jobs)
    if total > MOST_GPUS:
        raise BadSource(dump.name, [*set_aside, BadRecord(f"{dump.name}: jobs", f"at most {MOST_GPUS} GPUs", total)])
    nodes = dgx_nodes(sum(math.ceil(job.gpus / _GPUS_PER_NODE) for job in jobs))
    notes = [
        f"{dump.name} names no machines: {len(nodes)} nodes of {_GPUS_PER_NODE} H100 are assumed, room for every job",
        f"{dump.name} names no time: 1970 stands in",
    ]
    silent = [job.id for job in jobs if job.id not in profiles]
    if silent:
        notes.append(f"{len(silent)} jobs without a profile: one GPU, one hour and a forecast draw are assumed")
    snapshot = Snapshot(
        dump.stem if is_id(dump.stem) else "jobs", _EPOCH, nodes, tuple(jobs), limits=limits or Limits()
    )
    paths = {f"job:{job.id}": f"{dump.name}: jobs.{job.id}" for job in jobs}
    return settle(snapshot, paths, set_aside, notes, dump.name, without=named - {job.id for job in jobs})


def _dependencies(dump: Dump, set_aside: list[BadRecord]) -> tuple[dict[str, tuple[str, ...]], set[str]]:
    """Return the usable jobs with those that they wait for, and the names of all that the file lists."""
    document = dump.json()
    listed = document.get("jobs") if isinstance(document, dict) else None
    if not isinstance(listed, dict):
        raise dump.refused('{"jobs": {name: [names]}}', shown(document))
    found: dict[str, tuple[str, ...]] = {}
    for name, others in listed.items():
        if not is_id(name):
            set_aside.append(BadRecord(f"{dump.name}: jobs", "a name without spaces", shown(name)))
        elif not isinstance(others, list) or not all(is_id(other) for other in others):
            set_aside.append(BadRecord(f"{dump.name}: jobs.{name}", "a list of names of jobs", shown(others)))
        else:
            found[name] = tuple(dict.fromkeys(others))
    for other in [other for others in found.values() for other in others]:
        if other not in listed:
            found.setdefault(other, ())
    return found, {*listed, *found}


def _profiles(dump: Dump, known: set[str], set_aside: list[BadRecord]) -> dict[str, dict[str, float]]:
    """Return the usable figures of each job that ``known`` has."""
    rows = _json_profiles(dump) if dump.text.lstrip().startswith("{") else _csv_profiles(dump, set_aside)
    found: dict[str, dict[str, float]] = {}
    for name, (place, row) in rows.items():
        if name not in known:
            set_aside.append(BadRecord(place, "the name of a job of the graph", shown(name)))
            continue
        figures: dict[str, float] = {}
        for field, value in row.items():
            number = _number(value)
            if field not in (*_SHARED, "power_w", "energy_kwh") or number is None:
                set_aside.append(BadRecord(f"{place}.{field}", f"a number of at least 0: {_PROFILE}", shown(value)))
            else:
                figures[field] = number
        found[name] = figures
    return found


def _json_profiles(dump: Dump) -> dict[str, tuple[str, Mapping[str, Any]]]:
    document = dump.json()
    if not isinstance(document, dict):
        raise dump.refused("an object with a profile for each job", shown(document))
    return {
        name: (f"{dump.name}: {name}", entry if isinstance(entry, dict) else {"power_w": entry})
        for name, entry in document.items()
    }


def _csv_profiles(dump: Dump, set_aside: list[BadRecord]) -> dict[str, tuple[str, Mapping[str, Any]]]:
    table = parse_csv(dump.text, dump.name, dump.name, ("job",))
    set_aside += table.set_aside
    found: dict[str, tuple[str, Mapping[str, Any]]] = {}
    for place, row in table.rows:
        name = row["job"].strip()
        if not name or name in found:
            set_aside.append(BadRecord(f"{place}.job", "the name of a job, in one row only", shown(row["job"])))
        else:
            found[name] = place, {field: cell for field, cell in row.items() if field != "job" and cell.strip()}
    return found


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and number >= 0.0 else None


def _job(name: str, others: tuple[str, ...], figures: Mapping[str, float], source: str) -> Job:
    known = {**_DEFAULTS, **figures}
    gpus, seconds = known["gpus"], known["duration_s"]
    if gpus != int(gpus) or not 1 <= gpus <= MOST_GPUS:
        raise BadRecord(f"{source}: {name}.gpus", f"a whole number from 1 to {MOST_GPUS}", gpus)
    whole = int(gpus)
    each = _GPUS_PER_NODE if whole % _GPUS_PER_NODE == 0 else 1 if whole > _GPUS_PER_NODE else whole
    power_w = known.get("power_w")
    if power_w is None and "energy_kwh" in known:
        if seconds <= 0.0:
            raise BadRecord(f"{source}: {name}.duration_s", "more than 0, to tell watts from energy_kwh", seconds)
        power_w = known["energy_kwh"] * 3.6e6 / seconds / whole
    return Job(
        id=name,
        workers=whole // each,
        gpus_per_worker=each,
        state="pending",
        priority=known["priority"],
        remaining_s=seconds,
        depends_on=others,
        deadline_s=known.get("deadline_s"),
        gpu_power_w=power_w,
    )
