"""A source that does not answer is asked again; one that answers nonsense is not."""

from dataclasses import dataclass, field
from typing import Literal

import pytest
from prefect import flow

from data.errors import BadRecord, BadSource, SourceUnavailable
from data.readers.reading import Reading
from data.schemas.cluster import Limits, Snapshot
from tasks.ingest import ingest_snapshot


@dataclass(frozen=True, slots=True)
class Moody:
    """A service that fails with ``moods``, one after another, and then answers."""

    snapshot: Snapshot
    moods: list[Exception]
    asked: list[int] = field(default_factory=list)
    live: bool = True
    kind: Literal["moody"] = "moody"

    def __call__(self) -> Reading:
        self.asked.append(1)
        if self.moods:
            raise self.moods.pop(0)
        return Reading(self.snapshot)


def same(limits: Limits) -> Limits:
    return limits


@flow
def ask(source: Moody) -> Reading:
    """Ingest with two retries, without waiting between them."""
    task = ingest_snapshot.with_options(retries=2, retry_delay_seconds=0, retry_jitter_factor=None)
    return task(source, same, None, "name", None)


def test_silence_is_retried(cluster: Snapshot) -> None:
    source = Moody(cluster, [SourceUnavailable("no answer"), SourceUnavailable("no answer")])
    assert ask(source).snapshot == cluster
    assert len(source.asked) == 3


def test_silence_that_lasts_ends_the_run(cluster: Snapshot) -> None:
    source = Moody(cluster, [SourceUnavailable(f"no answer {attempt}") for attempt in range(5)])
    with pytest.raises(SourceUnavailable, match="no answer 2"):
        ask(source)
    assert len(source.asked) == 3


def test_nonsense_is_not_retried(cluster: Snapshot) -> None:
    source = Moody(cluster, [BadSource("moody", [BadRecord("moody", "JSON", "poetry")])])
    with pytest.raises(BadSource, match="poetry"):
        ask(source)
    assert len(source.asked) == 1
