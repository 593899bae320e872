"""Facts about a cluster some minutes later."""

from dataclasses import replace

import numpy as np
import pytest

from data.crosscheck import cross_check
from data.generators.passing_time import Passing, later
from data.generators.samples import SAMPLES, sample
from data.readers.sources import Sample
from data.schemas.job import Worker

QUIET = Passing(arrivals_per_h=0.0, failures_per_h=0.0)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_a_sound_cluster_stays_sound_for_half_a_day(name, rng):
    now = sample(name, rng)
    kinds = now.jobs
    for _ in range(48):
        now = later(now, 900.0, rng, kinds, Passing(arrivals_per_h=30.0, failures_per_h=2.0, repair_h=0.5))
        assert cross_check(now) == ()
    assert {job.id for job in now.jobs} - {job.id for job in kinds}, "somebody arrived"
    assert {job.id for job in kinds} - {job.id for job in now.jobs}, "somebody ended"
    assert any(job.state == "running" for job in now.jobs if job.id.startswith("new-"))


def test_the_same_chance_gives_the_same_cluster():
    start = Sample()().snapshot
    one, other = (later(start, 900.0, np.random.default_rng(5), start.jobs) for _ in range(2))
    assert one == other
    assert one.taken_at == "2026-03-02T06:15:00+00:00"


def test_jobs_advance_and_end(cluster, rng):
    jobs = tuple(replace(job, remaining_s=1000.0 if job.id == "red" else 2000.0) for job in cluster.jobs)
    found = {job.id: job for job in later(replace(cluster, jobs=jobs), 1500.0, rng, (), QUIET).jobs}
    assert "red" not in found
    assert found["blue"].remaining_s == 500.0
    assert found["later"].state == "running", "what it waited for has ended"
    assert found["later"].depends_on == ()


def test_who_was_given_gpus_starts_on_them(cluster, rng):
    given = (Worker("west-3", (0, 1, 2, 3)), Worker("west-2", (0, 1, 2, 3)))
    jobs = tuple(replace(job, placement=given) if job.id == "waiting" else job for job in cluster.jobs)
    found = {job.id: job for job in later(replace(cluster, jobs=jobs), 60.0, rng, (), QUIET).jobs}
    assert (found["waiting"].state, found["waiting"].placement) == ("running", given)


def test_who_is_to_start_later_waits_until_then(cluster, rng):
    jobs = tuple(replace(job, planned_start_s=900.0) if job.id == "waiting" else job for job in cluster.jobs)
    now = later(replace(cluster, jobs=jobs), 600.0, rng, (), QUIET)
    waiting = next(job for job in now.jobs if job.id == "waiting")
    assert (waiting.state, waiting.planned_start_s, waiting.waiting_s) == ("pending", 300.0, 600.0)
    now = later(now, 600.0, rng, (), QUIET)
    assert next(job for job in now.jobs if job.id == "waiting").state == "running"


def test_who_loses_a_node_waits_again(cluster, rng):
    now = later(cluster, 3600.0, rng, (), Passing(arrivals_per_h=0.0, failures_per_h=1e9))
    assert all(node.state == "down" for node in now.nodes)
    assert all(job.state == "pending" and not job.placement for job in now.jobs)
    back = later(now, 3600.0, rng, (), Passing(arrivals_per_h=0.0, failures_per_h=0.0, repair_h=1e-9))
    assert all(node.state == "up" for node in back.nodes)


def test_time_does_not_run_backwards(cluster, rng):
    with pytest.raises(ValueError, match="seconds: expected a time above 0, found 0"):
        later(cluster, 0.0, rng, ())
