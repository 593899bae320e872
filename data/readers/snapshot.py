"""How is our own snapshot file read and written, and what happens to records that are wrong?"""

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from data.crosscheck import cross_check
from data.digest import SNAPSHOT
from data.errors import BadRecord, BadSource
from data.readers.bounded import read_bounded
from data.readers.json_file import parse_written_json
from data.readers.reading import Reading
from data.schemas.cluster import Snapshot
from data.whole_file import whole_file

COLLECTIONS = ("nodes", "jobs", "links", "deployments", "node_series", "link_series", "checkpoints")
MAX_BYTES = 2 << 30


def write_snapshot(snapshot: Snapshot, path: Path) -> None:
    """Write ``snapshot`` as JSON, whole or not at all."""
    with whole_file(path) as file:
        file.write(SNAPSHOT.dump_json(snapshot, indent=1) + b"\n")


def read_snapshot(path: Path) -> Reading:
    """Read a snapshot file; records that are wrong are set aside.

    A running job that is set aside still holds its GPUs: they become ``unavailable_gpus`` of their
    nodes, so that no plan hands them to somebody else.

    Raises:
        SourceUnavailable: the file is not there or cannot be read.
        BadSource: it is not JSON, its head or limits are wrong, or no node is left; carries every problem.
    """
    raw = _load(path)
    kept: Kept = {name: list(range(len(raw[name]))) for name in COLLECTIONS if isinstance(raw.get(name), list)}
    set_aside: list[BadRecord] = []
    while True:
        current = {**raw, **{name: [raw[name][i] for i in indexes] for name, indexes in kept.items()}}
        try:
            snapshot = SNAPSHOT.validate_json(json.dumps(current))
        except ValidationError as error:
            wrong = _wrong_fields(path.name, error, kept)
        else:
            snapshot = _block_set_aside(snapshot, raw, kept)
            wrong = _contradictions(path.name, snapshot, kept)
            if not wrong:
                break
        set_aside += [record for records in wrong.values() for record in records]
        if any(index is None for _, index in wrong):
            raise BadSource(str(path), set_aside)
        kept = {name: [i for i in indexes if (name, i) not in wrong] for name, indexes in kept.items()}
    if not snapshot.nodes:
        nothing = BadRecord(f"{path.name}: nodes", "at least one usable node", "none")
        raise BadSource(str(path), [*set_aside, nothing])
    return Reading(snapshot, tuple(set_aside))


Wrong = dict[tuple[str, int | None], list[BadRecord]]
"""Problems by (collection, index in the file); the index is None where no single record is to blame."""

Kept = dict[str, list[int]]
"""Indexes in the file of the records that are still there, by collection."""


def _load(path: Path) -> dict[str, Any]:
    raw = parse_written_json(read_bounded(path, MAX_BYTES), str(path))
    if not isinstance(raw, dict):
        raise BadSource(str(path), [BadRecord(path.name, "a JSON object", type(raw).__name__)])
    return raw


def _wrong_fields(source: str, error: ValidationError, kept: Kept) -> Wrong:
    wrong: Wrong = defaultdict(list)
    for problem in error.errors(include_url=False):
        place = problem["loc"]
        name = str(place[0]) if place else ""
        index: int | None = None
        if len(place) > 1 and name in kept and isinstance(place[1], int):
            index = kept[name][place[1]]
            place = (name, index, *place[2:])
        wrong[name, index].append(BadRecord(f"{source}: {_dotted(place)}", _expected(problem), _found(problem)))
    return wrong


def _contradictions(source: str, snapshot: Snapshot, kept: Kept) -> Wrong:
    wrong: Wrong = defaultdict(list)
    for contradiction in cross_check(snapshot):
        if contradiction.collection == "limits":
            wrong["limits", None].append(contradiction.record(source))
        else:
            index = kept[contradiction.collection][contradiction.index]
            wrong[contradiction.collection, index].append(contradiction.record(source, index))
    return wrong


def _dotted(place: tuple[int | str, ...]) -> str:
    parts = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
    return parts.removeprefix(".") or "top level"


def _expected(problem: Any) -> str:
    if problem["type"] == "missing":
        return "a value"
    if problem["type"] == "unexpected_keyword_argument":
        return "a field of the schema"
    message = re.sub(r"^(Input|String|Value|Tuple|Data) should (be |have |match )?", "", problem["msg"])
    return message[:1].lower() + message[1:]


def _found(problem: Any) -> str:
    if problem["type"] == "missing":
        return "nothing"
    text = repr(problem["input"])
    return text if len(text) <= 120 else text[:117] + "..."


def _block_set_aside(snapshot: Snapshot, raw: dict[str, Any], kept: Kept) -> Snapshot:
    """Mark the GPUs of jobs that were set aside as unavailable, unless a job that was kept holds them."""
    if len(kept.get("jobs", ())) == len(raw.get("jobs", ())):
        return snapshot
    gpus_of = {node.id: node.gpus for node in snapshot.nodes}
    held = {(worker.node, gpu) for job in snapshot.jobs for worker in job.placement for gpu in worker.gpus}
    blocked: dict[str, set[int]] = defaultdict(set)
    lost = set(range(len(raw["jobs"]))) - set(kept["jobs"])
    for index in lost:
        for node, gpus in _claims(raw["jobs"][index]):
            if node in gpus_of:
                claimed = range(gpus_of[node]) if gpus is None else [gpu for gpu in gpus if 0 <= gpu < gpus_of[node]]
                blocked[node] |= {gpu for gpu in claimed if (node, gpu) not in held}
    nodes = tuple(
        replace(node, unavailable_gpus=tuple(sorted({*node.unavailable_gpus, *blocked[node.id]})))
        if blocked.get(node.id)
        else node
        for node in snapshot.nodes
    )
    return replace(snapshot, nodes=nodes)


def _claims(job: Any) -> Iterator[tuple[str, list[int] | None]]:
    """Yield the nodes that an unreadable job names, with the GPUs, or None where these cannot be told."""
    placement = job.get("placement") if isinstance(job, dict) else None
    for worker in placement if isinstance(placement, list) else ():
        if isinstance(worker, dict) and isinstance(worker.get("node"), str):
            gpus = worker.get("gpus")
            readable = isinstance(gpus, list) and all(type(gpu) is int for gpu in gpus)
            yield worker["node"], gpus if readable else None
