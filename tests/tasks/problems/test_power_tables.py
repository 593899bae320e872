"""Facts about what a job draws and how fast it is under a cap."""

import numpy as np
import pytest

from data.schemas.cluster import Limits, Node, Snapshot
from data.schemas.job import Job, PowerLevel, Worker
from tasks.problems.power_demand import GRID, relative_speed
from tasks.problems.power_tables import Tables, tabulate

MEASURED = (PowerLevel(150.0, 0.6), PowerLevel(200.0, 0.9), PowerLevel(250.0, 1.0))


def tables(*jobs: Job, nodes: tuple[Node, ...] | None = None, forecast_w: dict[str, float] | None = None) -> Tables:
    nodes = nodes or (Node("n", "H100", 8, "n", "r", 200.0, 700.0, 50.0, 600.0),)
    limits = Limits(power_cap_w=5_000.0, slot_s=600.0)
    return tabulate(Snapshot("test", "2026-01-31T12:00:00Z", nodes, jobs, limits=limits), forecast_w or {})


@pytest.mark.parametrize(
    ("cap_w", "speed"), [(250.0, 1.0), (225.0, 0.95), (200.0, 0.9), (175.0, 0.75), (150.0, 0.6), (75.0, 0.3)]
)
def test_measured_points_are_joined_by_straight_lines_and_fall_in_proportion_below(cap_w: float, speed: float) -> None:
    assert relative_speed(MEASURED, cap_w, 250.0, 250.0) == pytest.approx(speed)


def test_measured_points_reach_full_speed_at_the_highest_cap() -> None:
    assert relative_speed(MEASURED[:2], 250.0, 250.0, 250.0) == 1.0
    assert relative_speed(MEASURED[:2], 225.0, 250.0, 250.0) == pytest.approx(0.95)
    assert relative_speed(MEASURED, 300.0, 250.0, 300.0) == 1.0


@pytest.mark.parametrize(
    ("cap_w", "speed"), [(700.0, 1.0), (490.0, 0.941), (280.0, 0.725), (140.0, 0.3625), (385.0, 0.876)]
)
def test_jobs_without_measurements_follow_the_published_medians(cap_w: float, speed: float) -> None:
    assert relative_speed((), cap_w, 700.0, 700.0) == pytest.approx(speed)


def test_a_cap_above_the_draw_does_not_slow_a_job_that_was_not_measured() -> None:
    assert relative_speed((), 400.0, 400.0, 700.0) == 1.0
    assert relative_speed((), 399.0, 400.0, 700.0) < 0.9


def test_the_default_curve_is_the_median_of_the_measured_sweeps(real_data: object) -> None:
    import pandas as pd

    sweep = pd.read_csv(f"{real_data}/zeus_nsdi23/summary_power_v100.csv")
    workload = ["dataset", "network", "batch_size", "optimizer"]
    times = sweep.pivot_table(index=workload, columns="power_limit", values="time_per_epoch")
    medians = times.rdiv(times[250], axis=0).median()
    for cap_w, median in medians.items():
        assert relative_speed((), float(cap_w), 251.0, 250.0) == pytest.approx(median, abs=6e-4)


def test_levels_run_from_the_lowest_to_the_highest_cap_with_the_cap_in_force_exactly() -> None:
    job = Job("j", 1, 1, "pending", gpu_power_cap_w=311.5)
    table = tables(job)
    assert table.levels.tolist() == [GRID + 1]
    assert table.cap_w[0].tolist() == [200.0, 283.0, 311.5, 367.0, 450.0, 533.0, 617.0, 700.0]
    assert table.cap_w[0, table.level_in_force[0]] == 311.5
    assert tables(Job("j", 1, 1, "pending")).level_in_force.tolist() == [GRID - 1]


def test_caps_suit_every_node_that_holds_the_job() -> None:
    nodes = (
        Node("n", "H100", 8, "n", "r", 200.0, 700.0, 50.0, 600.0),
        Node("m", "H100", 8, "m", "r", 300.0, 500.0, 40.0, 600.0),
    )
    held = Job("held", 2, 1, "running", (Worker("n", (0,)), Worker("m", (0,))))
    table = tables(held, nodes=nodes)
    assert table.cap_w[0, 0] == 300.0
    assert table.cap_w[0, GRID - 2] < 500.0
    assert table.cap_w[0, GRID - 1] == 700.0
    assert table.mixed.tolist() == [1]


def test_draw_is_the_smaller_of_cap_and_forecast_or_known_draw_above_idle() -> None:
    known = Job("known", 1, 2, "pending", gpu_power_w=350.0)
    unknown = Job("unknown", 1, 2, "pending")
    table = tables(known, unknown, forecast_w={"known": 500.0})
    assert table.draw_mw[0].max() == 2 * (500 - 50) * 1000
    assert tables(known, unknown).draw_mw[0].max() == 2 * (350 - 50) * 1000
    assert table.draw_mw[1].max() == 2 * (700 - 50) * 1000
    assert table.draw_mw[:, 0].tolist() == [2 * (200 - 50) * 1000] * 2
    assert (table.background_w, table.limit.tolist()) == (1000.0, [8, 8, 4_000_000])


def test_durations_are_whole_slots_of_the_slowed_run() -> None:
    table = tables(Job("j", 1, 1, "pending", remaining_s=1200.0), Job("done", 1, 1, "pending", remaining_s=0.0))
    assert table.duration[0].tolist() == [4, 3, 3, 3, 3, 3, 2, 2]
    assert table.duration[1].tolist() == [1] * 8
    assert np.allclose(table.seconds[0] * table.speed[0], 1200.0)


def test_gpus_that_fail_drain_or_are_held_on_drained_nodes_are_not_counted() -> None:
    nodes = (
        Node("n", "H100", 8, "n", "r", unavailable_gpus=(6, 7)),
        Node("drained", "H100", 8, "drained", "r", state="drained"),
        Node("down", "A100", 8, "down", "r", state="down"),
    )
    held = Job("held", 2, 2, "running", (Worker("n", (0, 1)), Worker("drained", (0, 1))))
    table = tables(held, nodes=nodes)
    assert table.limit[:-1].tolist() == [0, 6, 6]
    assert table.needs.tolist() == [2]
    assert table.background_w == 2 * 8 * 60.0
