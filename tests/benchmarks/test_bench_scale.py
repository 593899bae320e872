"""The paper's arithmetic: one worker does everything, many are bound by the longest chain."""

import pytest

from tests.benchmarks.bench_scale import Row, cluster, on_paper, serial_share, steps_of

STEPS = {"placement": [8.0, 1.0, 2.0], "power": [1.0, 1.0, 3.0], "routing:a": [4.0, 1.0, 1.0]}


def test_one_worker_takes_every_step() -> None:
    assert on_paper(STEPS, 25.0, 1) == pytest.approx(25.0)


def test_many_workers_wait_for_the_longest_chain() -> None:
    assert on_paper(STEPS, 25.0, 32) == pytest.approx(3.0 + 8.0 + 2.0 + 1.0 + 3.0)  # 3 s are no steps


def test_more_workers_are_never_slower_here() -> None:
    times = [on_paper(STEPS, 25.0, workers) for workers in (1, 2, 3, 4, 8)]
    assert times == sorted(times, reverse=True)


def test_the_serial_share_of_two_points() -> None:
    rows = [Row("c", "processes", n, (), seconds, 1.0, 1.0) for n, seconds in ((1, 10.0), (2, 6.0))]
    assert serial_share(rows) == pytest.approx(0.2)


def test_steps_are_read_from_the_laps() -> None:
    laps = [("refine routing:a: classical search", 1.0), ("refine routing:a: exact on windows", 2.0), ("total", 9.0)]
    assert steps_of(laps) == {"routing:a": [1.0, 2.0]}


def test_the_second_cluster_serves_eight_models() -> None:
    served = cluster("served").deployments
    assert len({model.id for model in served}) == 8
    assert served[0].loads != served[1].loads
