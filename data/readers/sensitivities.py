"""Which sensitivities does a file state? Written by ``tasks.codecs.sensitivity``, or by a calibration of one's own."""

from collections.abc import Mapping
from pathlib import Path

from data.errors import BadRecord, BadSource
from data.readers.csv_file import read_csv
from data.readers.json_file import read_json_object
from data.schemas.sensitivity import Sensitivities

ONLY_MEASURE = "loss"
"""What the measure is called where each tensor has one number and no name for it."""


def read_sensitivities(path: Path) -> Sensitivities:
    """Read how sensitive a model is to each of its tensors; see the schema for the unit.

    JSON: ``{"tensor": 0.3}``, or with several measures ``{"tensor": {"drift": 0.3, "similarity": 0.01}}``. CSV (a name
    that ends in ``.csv``): a head ``tensor,drift,similarity`` and a line for each tensor.

    Raises:
        SourceUnavailable: the file is missing or cannot be read.
        BadSource: it is neither, or a number is missing, negative or no number; every such is named.
    """
    stated = _of_csv(path) if path.suffix.lower() == ".csv" else _of_json(path)
    measures = next(iter(stated.values()), {}).keys()
    problems, found = [], {}
    for name, numbers in stated.items():
        if numbers.keys() != measures:
            expected = f"a number for each of {', '.join(measures)}"
            problems.append(BadRecord(f"{path.name}: {name}", expected, ", ".join(numbers) or "none"))
        for measure, number in numbers.items():
            if isinstance(number, bool) or not isinstance(number, int | float) or not 0.0 <= number < float("inf"):
                problems.append(BadRecord(f"{path.name}: {name}, {measure}", "a number of at least 0", number))
        found[name] = tuple(numbers.get(measure, 0.0) for measure in measures)
    if problems:
        raise BadSource(str(path), problems)
    try:
        return Sensitivities(tuple(measures), {name: tuple(map(float, each)) for name, each in found.items()})
    except ValueError as error:
        raise BadSource(str(path), [BadRecord(path.name, "the sensitivities of a model", str(error))]) from error


def _of_json(path: Path) -> Mapping[str, Mapping[str, float]]:
    stated = read_json_object(path)
    return {name: value if isinstance(value, dict) else {ONLY_MEASURE: value} for name, value in stated.items()}


def _of_csv(path: Path) -> Mapping[str, Mapping[str, float]]:
    table = read_csv(path, ("tensor",))
    problems, found = list(table.set_aside), {}
    measures = [column for column in table.columns if column != "tensor"]
    for place, row in table.rows:
        if row["tensor"] in found:
            problems.append(BadRecord(place, "each tensor once", row["tensor"]))
        try:
            found[row["tensor"]] = {measure: float(row[measure]) for measure in measures}
        except ValueError:
            problems.append(BadRecord(place, f"numbers for {', '.join(measures)}", dict(row)))
    if problems:
        raise BadSource(str(path), problems)
    return found
