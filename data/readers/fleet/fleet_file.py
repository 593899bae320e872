"""How is a fleet's own file read and written, and what happens to records that are wrong?"""

import hashlib
import json
import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from data.errors import BadRecord, BadSource
from data.fleet_crosscheck import cross_check_fleet
from data.readers.bounded import read_bounded
from data.readers.json_file import parse_written_json
from data.schemas.fleet import FLEET, Fleet
from data.whole_file import whole_file

COLLECTIONS = ("regions", "skus", "offers", "zones", "outages", "holdings")
NEVER_SET_ASIDE = ("zones", "holdings")
"""Without them a plan would serve fewer users than there are, or forget machines that are paid for."""

MAX_BYTES = 1 << 30


@dataclass(frozen=True, slots=True, eq=False)
class FleetReading:
    """A fleet, and what was lost or guessed on the way to it.

    Args:
        fleet: free of contradictions (:func:`data.fleet_crosscheck.cross_check_fleet` finds nothing).
        set_aside: records that were not used, each with path, expected and found.
        notes: assumptions in plain words.
    """

    fleet: Fleet
    set_aside: tuple[BadRecord, ...] = ()
    notes: tuple[str, ...] = ()


def fleet_digest(fleet: Fleet) -> str:
    """Return the SHA-256 of the fleet's canonical JSON (compact, fields in schema order)."""
    return hashlib.sha256(FLEET.dump_json(fleet)).hexdigest()


def write_fleet(fleet: Fleet, path: Path) -> None:
    """Write ``fleet`` as JSON, whole or not at all."""
    with whole_file(path) as file:
        file.write(FLEET.dump_json(fleet, indent=1) + b"\n")


def read_fleet(path: Path) -> FleetReading:
    """Read a fleet file; offers, regions, machines and outages that are wrong are set aside.

    Raises:
        SourceUnavailable: the file is not there or cannot be read.
        BadSource: it is not JSON; its head, limits, latencies, demand or holdings are wrong; or nothing is left to
            rent. Carries every problem.
    """
    raw = parse_written_json(read_bounded(path, MAX_BYTES), str(path))
    if not isinstance(raw, dict):
        raise BadSource(str(path), [BadRecord(path.name, "a JSON object", type(raw).__name__)])
    return checked(raw, str(path), path.name)


def checked(raw: dict[str, Any], source: str, name: str) -> FleetReading:
    """Return the fleet that ``raw`` describes, wrong records set aside, as :func:`read_fleet` does.

    Args:
        raw: as JSON says it.
        source: the file as an error of the whole names it.
        name: the file as an error of one record names it.

    Raises:
        BadSource: see :func:`read_fleet`.
    """
    kept = {field: list(range(len(raw[field]))) for field in COLLECTIONS if isinstance(raw.get(field), list)}
    set_aside: list[BadRecord] = []
    while True:
        current = {**raw, **{field: [raw[field][i] for i in indexes] for field, indexes in kept.items()}}
        wrong: dict[tuple[str, int | None], list[BadRecord]] = defaultdict(list)
        try:
            fleet = FLEET.validate_json(json.dumps(current))
        except ValidationError as error:
            _wrong_fields(error, name, kept, wrong)
        else:
            for contradiction in cross_check_fleet(fleet):
                at = contradiction.index
                index = None if at is None else kept[contradiction.collection][at]
                wrong[contradiction.collection, index].append(contradiction.record(name, index))
        if not wrong:
            break
        set_aside += [record for records in wrong.values() for record in records]
        if any(index is None or field in NEVER_SET_ASIDE for field, index in wrong):
            raise BadSource(source, set_aside)
        kept = {field: [i for i in indexes if (field, i) not in wrong] for field, indexes in kept.items()}
    for field, records in (("regions", fleet.regions), ("offers", fleet.offers), ("zones", fleet.zones)):
        if not records:
            raise BadSource(
                source, [*set_aside, BadRecord(f"{name}: {field}", "at least one that can be used", "none")]
            )
    return FleetReading(fleet, tuple(set_aside))


def _wrong_fields(
    error: ValidationError,
    name: str,
    kept: dict[str, list[int]],
    wrong: dict[tuple[str, int | None], list[BadRecord]],
) -> None:
    for problem in error.errors(include_url=False):
        place = problem["loc"]
        field = str(place[0]) if place else ""
        index: int | None = None
        if len(place) > 1 and field in kept and isinstance(place[1], int):
            index = kept[field][place[1]]
            place = (field, index, *place[2:])
        parts = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
        message = re.sub(r"^(Input|String|Value|Tuple|Data) should (be |have |match )?", "", problem["msg"])
        found = repr(problem["input"]) if problem["type"] != "missing" else "nothing"
        text = found if len(found) <= 120 else found[:117] + "..."
        record = BadRecord(f"{name}: {parts.removeprefix('.') or 'top level'}", message[:1].lower() + message[1:], text)
        wrong[field, index].append(record)
