"""How much carbon dioxide does a kilowatt-hour cause in a region?

Sources: github.com/GoogleCloudPlatform/region-carbon-info (a file for each year), and
github.com/cloud-carbon-footprint/ccf-coefficients (``grid-emissions-factors-<cloud>.csv``).
"""

from collections.abc import Mapping
from pathlib import Path

from data.errors import BadRecord
from data.readers.csv_file import Row, read_csv, read_records
from data.readers.traces.rows import number

MOST_G_PER_KWH = 3_000.0
"""More than any grid causes: a factor in other units, or one that lost its decimal point."""

_GOOGLE = ("Grid carbon intensity (gCO2eq / kWh)", "Lifecycle grid carbon intensity (gCO2eq / kWh)")
_FACTOR = "CO2e (metric ton/kWh)"


def read_google_carbon(path: Path) -> tuple[Mapping[str, float], tuple[BadRecord, ...]]:
    """Return grams of carbon dioxide per kWh by region, ``gcp:<name>``, and rows that cannot be used.

    Raises:
        SourceUnavailable: the file cannot be read.
        BadSource: it is no such file.
    """
    columns = read_csv(path, ("Google Cloud Region",)).columns
    column = next((name for name in _GOOGLE if name in columns), _GOOGLE[0])

    def parse(place: str, _number: int, row: Row) -> tuple[str, float]:
        return f"gcp:{row['Google Cloud Region']}", number(place, row, column, least=0.0, most=MOST_G_PER_KWH)

    rows, bad = read_records(path, ("Google Cloud Region", column), parse)
    return dict(rows), tuple(bad)


def read_emission_factors(path: Path, cloud: str) -> tuple[Mapping[str, float], tuple[BadRecord, ...]]:
    """Return grams of carbon dioxide per kWh by region, and rows that cannot be used.

    Args:
        path: CSV with ``Region`` and tons per kWh.
        cloud: whose regions they are; Azure's are written as in its own names, ``West Europe``.

    Raises:
        SourceUnavailable: the file cannot be read.
        BadSource: it is no such file.
    """

    def parse(place: str, _number: int, row: Row) -> tuple[str, float]:
        tons = number(place, row, _FACTOR, least=0.0, most=MOST_G_PER_KWH / 1e6)
        name = row["Region"].replace(" ", "").lower() if cloud == "azure" else row["Region"]
        return f"{cloud}:{name}", tons * 1e6

    rows, bad = read_records(path, ("Region", _FACTOR), parse)
    return dict(rows), tuple(bad)
