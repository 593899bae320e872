"""When did requests come? Recordings of services that answer with large models.

Two forms: Alibaba's of generative services (cluster-trace-v2026-GenAI, ``qps.csv``: ``timestamp_anon,value``, requests
per second of one container at a moment) and Azure's of language models (AzureLLMInferenceTrace: ``TIMESTAMP`` of each
request; Patel et al. 2024, ISCA, "Splitwise").
"""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt

from data.errors import BadRecord
from data.readers.csv_file import Row, read_records
from data.readers.traces.rows import number

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Requests:
    """What came when, in order.

    Args:
        at_s: seconds since the first, ``(entries,)``.
        amount: that came at that moment, in the recording's unit, ``(entries,)``.
    """

    at_s: Floats
    amount: Floats


def read_alibaba_requests(path: Path) -> tuple[Requests, tuple[BadRecord, ...]]:
    """Read ``qps.csv``, and the rows that cannot be used.

    Raises:
        SourceUnavailable: the file cannot be read.
        BadSource: it is no such file, or no row of it can be used.
    """
    rows, bad = read_records(path, ("timestamp_anon", "value"), _moment)
    return _in_order(rows), tuple(bad)


def read_azure_requests(path: Path) -> tuple[Requests, tuple[BadRecord, ...]]:
    """Read ``AzureLLMInferenceTrace_*.csv``, and the rows that cannot be used.

    Raises:
        SourceUnavailable: the file cannot be read.
        BadSource: it is no such file, or no row of it can be used.
    """
    rows, bad = read_records(path, ("TIMESTAMP",), _request)
    return _in_order(rows), tuple(bad)


def _moment(place: str, _number: int, row: Row) -> tuple[float, float]:
    return (
        number(place, row, "timestamp_anon", least=0.0, most=1e11),
        number(place, row, "value", least=0.0, most=1e9),
    )


def _request(place: str, _number: int, row: Row) -> tuple[float, float]:
    # seven decimals, of which Python 3.11 reads six
    text = row["TIMESTAMP"].strip()[:26]
    try:
        return (datetime.fromisoformat(text) - datetime(1970, 1, 1)).total_seconds(), 1.0
    except (TypeError, ValueError) as error:
        raise BadRecord(f"{place}.TIMESTAMP", "a moment such as 2023-11-16 18:17:03.98", row["TIMESTAMP"]) from error


def _in_order(rows: list[tuple[float, float]]) -> Requests:
    table = np.array(sorted(rows))
    return Requests(table[:, 0] - table[0, 0], table[:, 1])
