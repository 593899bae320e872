"""How is a fleet's plan read, and which one of a folder of runs is the last of a fleet?"""

from pathlib import Path

from pydantic import ValidationError

from data.errors import BadRecord, BadSource, SourceUnavailable
from data.readers.bounded import read_bounded
from data.readers.json_file import parse_written_json
from data.schemas.fleet_plan import FLEET_PLAN, FleetPlan

FILE_NAME = "fleet_plan.json"
MAX_BYTES = 1 << 30
MOST_PROBLEMS = 20


def read_fleet_plan(path: Path) -> FleetPlan:
    """Read a plan; ``path`` is the file, or the folder of a run.

    Raises:
        SourceUnavailable: the file is not there or cannot be read.
        BadSource: it is no plan of a fleet; carries the first problems.
    """
    try:
        file = path / FILE_NAME if path.is_dir() else path
    except OSError as error:
        raise SourceUnavailable(f"{path}: {error.strerror or error}") from error
    try:
        content = read_bounded(file, MAX_BYTES)
        parse_written_json(content, str(file))  # a field that stands twice would be one to us, another to a reviewer
        return FLEET_PLAN.validate_json(content)
    except ValidationError as error:
        records = []
        for problem in error.errors(include_url=False)[:MOST_PROBLEMS]:
            place = ".".join(str(part) for part in problem["loc"]) or "top level"
            records.append(BadRecord(f"{file.name}: {place}", problem["msg"], str(problem["input"])[:120]))
        raise BadSource(str(file), records) from error


def last_fleet_plan(path: Path, fleet: str) -> tuple[FleetPlan | None, tuple[str, ...]]:
    """Return the last plan of ``fleet``, and in words why there is none.

    Args:
        path: the file of a plan, the folder of a run, or a folder of runs, of which the newest of this fleet counts.
        fleet: its name.

    Raises:
        SourceUnavailable: nothing is there.
        BadSource: a file that was named is no plan.
    """
    try:
        there = path.exists()
    except OSError as error:
        raise SourceUnavailable(f"{path}: {error.strerror or error}") from error
    if not there:
        raise SourceUnavailable(f"{path}: no such file or folder, expected a fleet's plan or a folder of runs")
    if path.is_file() or (path / FILE_NAME).is_file():
        plan = read_fleet_plan(path)
        if plan.fleet == fleet:
            return plan, ()
        problem = BadRecord(f"{path}: fleet", f"a plan of the fleet {fleet}", plan.fleet)
        raise BadSource(str(path), [problem])
    for folder in sorted(path.iterdir(), key=lambda each: each.name, reverse=True):
        if folder.is_symlink() or folder.name.startswith(".") or not (folder / FILE_NAME).is_file():
            continue
        try:
            plan = read_fleet_plan(folder)
        except (BadSource, SourceUnavailable):
            continue
        if plan.fleet == fleet:
            return plan, ()
    return None, (f"no earlier plan of {fleet} in {path}: drift is not known",)
