"""No body brings the service for programs to an error of its own; ``python -m tests.fuzz_http`` tries many more."""

from pathlib import Path

import pytest

from flows.service.answers import answer
from flows.service.refusals import Answer
from flows.service.workers import Workers
from tests.fuzz_http import fuzz

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:schemathesis")


class Here:
    """Answers in this process, where a warning is an error."""

    count = 1
    free = 1

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, kind: str, body: bytes) -> Answer:
        return answer(kind, body, self.folder)


@pytest.fixture(scope="module", autouse=True)
def prefect_server() -> None:
    """None, unlike for the tests of flows: nothing here runs one."""


@pytest.mark.slow
def test_a_few_hostile_bodies_are_refused_in_words(tmp_path: Path) -> None:
    tally = fuzz(Here(tmp_path), 5, 3, heavy=False)
    assert tally.findings == []
    assert tally.inputs > 100
    assert {status for _, status in tally.statuses} == {200, 400, 415, 422}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Do not use the `random` module inside strategies")  # schemathesis does
def test_many_and_large_hostile_bodies_neither_crash_nor_hang_a_worker() -> None:
    with Workers(1, 60.0, wait_s=60.0) as workers:
        tally = fuzz(workers, 40, 4)
    assert tally.findings == []
