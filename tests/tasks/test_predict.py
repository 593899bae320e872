from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from data.digest import SNAPSHOT
from data.schemas.cluster import Link, Node, Snapshot
from data.schemas.job import Job, PowerLevel, Worker
from data.schemas.routing import ExpertDeployment
from data.schemas.telemetry import LinkSeries, NodeSeries
from tasks.forecasters.model_file import FILE_NAME
from tasks.predict import Forecast, predict, predict_cluster, train_power_model

DRAW_OF = {"resnet": 0.3, "llama-8b": 0.6, "llama-70b": 0.85}


def busy_cluster(measured: int, waiting: int) -> Snapshot:
    """Jobs of one GPU whose draw follows from their workload; those that wait state none."""
    rng = np.random.default_rng(0)
    nodes = tuple(
        Node(f"node-{index}", "H100", 8, f"node-{index}", f"rack-{index // 4}", 200.0, 700.0, 70.0, 2_000.0)
        for index in range(-(-measured // 8) + 1)
    )
    jobs = []
    for number in range(measured + waiting):
        workload = list(DRAW_OF)[number % 3]
        draw_w = 70.0 + 630.0 * min(1.0, DRAW_OF[workload] * float(np.exp(0.03 * rng.standard_normal())))
        runs = number < measured
        jobs.append(
            Job(
                id=f"job-{number:03d}",
                workers=1,
                gpus_per_worker=1,
                state="running" if runs else "pending",
                placement=(Worker(f"node-{number // 8}", (number % 8,)),) if runs else (),
                gpu_model="H100",
                gpu_power_w=draw_w if runs else None,
                utilisation=0.5 if runs else None,
                power_levels=(PowerLevel(700.0, 1.0),),
                workload=workload,
            )
        )
    return Snapshot("busy", "2026-03-02T06:00:00+00:00", nodes, tuple(jobs))


def canonical(forecast: Forecast) -> tuple:
    loads = tuple(one.loads.tokens.tobytes() for one in forecast.experts)
    return forecast.gpu_power_w, forecast.assumed_power, forecast.congestion, loads, forecast.fallbacks, forecast.notes


@pytest.fixture(scope="module")
def snapshot() -> Snapshot:
    return busy_cluster(measured=60, waiting=9)


@pytest.fixture(scope="module")
def forecast(snapshot) -> Forecast:
    return predict_cluster.fn(snapshot, None, seed=1)


@pytest.fixture(scope="module")
def stored(snapshot, tmp_path_factory) -> Path:
    return train_power_model.fn(snapshot, tmp_path_factory.mktemp("model"), seed=3)


def test_unmeasured_jobs_borrow_from_measured_ones_of_the_same_workload(forecast):
    assert [one.job for one in forecast.assumed_power] == [f"job-{number:03d}" for number in range(60, 69)]
    for one in forecast.assumed_power:
        workload = list(DRAW_OF)[int(one.job[-3:]) % 3]
        assert one.gpu_power_w == pytest.approx(70.0 + 630.0 * DRAW_OF[workload], rel=0.15)


def test_stated_draws_are_kept_to_the_bit(snapshot, forecast):
    watts = dict(forecast.gpu_power_w)
    assert all(watts[job.id] == job.gpu_power_w for job in snapshot.jobs if job.gpu_power_w is not None)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_forecast(snapshot, forecast):
    assert canonical(predict_cluster.fn(snapshot, None, seed=1)) == canonical(forecast)


def test_every_job_has_a_draw_within_the_limits_of_its_gpu(snapshot, forecast):
    assert [job for job, _ in forecast.gpu_power_w] == [job.id for job in snapshot.jobs]
    assert all(70.0 <= watts <= 700.0 for _, watts in forecast.gpu_power_w)


def test_the_assumed_snapshot_is_valid_and_states_every_draw(snapshot, forecast):
    assumed = forecast.assumed(snapshot)
    assert all(job.gpu_power_w is not None for job in assumed.jobs)
    assert SNAPSHOT.validate_json(SNAPSHOT.dump_json(assumed)) == assumed
    assert [replace(job, gpu_power_w=None, gpu_power_high_w=None) for job in assumed.jobs] == [
        replace(job, gpu_power_w=None) for job in snapshot.jobs
    ]


def test_only_a_draw_that_was_forecast_gets_a_higher_bound(snapshot, forecast):
    for before, after in zip(snapshot.jobs, forecast.assumed(snapshot).jobs, strict=True):
        if before.gpu_power_w is None:
            assert after.gpu_power_w <= after.gpu_power_high_w <= 700.0
        else:
            assert after.gpu_power_high_w is None


def test_a_stored_model_is_found_by_its_file_and_by_its_folder(snapshot, stored):
    assert stored.name == FILE_NAME
    first, second = (predict_cluster.fn(snapshot, where, seed=3) for where in (stored, stored.parent))
    assert canonical(first) == canonical(second)
    assert "power forecast: 60 measured jobs" in " ".join(first.notes)


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x80\x04\x95pickle"])
def test_a_broken_model_file_is_a_fallback_and_not_a_crash(snapshot, tmp_path, content):
    (tmp_path / FILE_NAME).write_bytes(content)
    forecast = predict_cluster.fn(snapshot, tmp_path, seed=1)
    assert forecast.fallbacks[0].wanted == "graph network"
    assert FILE_NAME in forecast.fallbacks[0].reason
    assert "\n" not in forecast.fallbacks[0].reason
    assert len(forecast.assumed_power) == 9


def test_a_missing_model_file_is_a_fallback(snapshot, tmp_path):
    forecast = predict_cluster.fn(snapshot, tmp_path / "none", seed=1)
    first = forecast.fallbacks[0]
    assert (first.stage, first.wanted) == ("predict power", "graph network")
    assert "No such file" in first.reason


def test_a_stored_model_that_is_too_old_is_a_fallback(snapshot, stored):
    later = replace(snapshot, taken_at="2026-04-02T06:00:00Z")
    assert "stale: trained 31.0 days" in predict_cluster.fn(later, stored, seed=3).fallbacks[0].reason


def test_too_few_measured_jobs_to_train_on_is_a_fallback():
    forecast = predict_cluster.fn(busy_cluster(measured=30, waiting=3), None, seed=1)
    assert [(one.wanted, one.used) for one in forecast.fallbacks] == [("graph network", "boosting")]
    assert forecast.fallbacks[0].reason == "30 measured jobs, at least 40 are needed; 3 jobs"


def test_a_cluster_that_nobody_meters_is_planned_with_the_highest_draws(cluster):
    silent = replace(cluster, jobs=tuple(replace(job, gpu_power_w=None) for job in cluster.jobs))
    forecast = predict_cluster.fn(silent, None, seed=1)
    assert {watts for _, watts in forecast.gpu_power_w} == {1_200.0}
    assert {one.used for one in forecast.fallbacks} == {"highest draw of the GPU model"}


def test_a_draw_read_off_the_node_meters_says_so(cluster):
    jobs = tuple(replace(job, gpu_power_w=None) if job.id == "red" else job for job in cluster.jobs)
    series = tuple(NodeSeries(f"{rack}-0", 60.0, gpu_power_w=(640.0,) * 4) for rack in ("east", "west"))
    forecast = predict(replace(cluster, jobs=jobs, node_series=series), None, np.random.default_rng(0))
    (assumed,) = forecast.assumed_power
    assert (assumed.job, assumed.gpu_power_w, assumed.source) == ("red", 640.0, "node telemetry")
    assert assumed.gpu_power_high_w is None
    assert forecast.fallbacks == ()


def test_a_cluster_that_states_everything_needs_no_forecast(cluster):
    forecast = predict_cluster.fn(cluster, None, seed=1)
    assert forecast.assumed_power == ()
    assert forecast.fallbacks == ()
    assert forecast.assumed(cluster) == cluster


def test_domains_at_a_full_link_are_flagged(cluster, rng):
    link = Link("east:spine", "east", "spine", 100.0)
    series = LinkSeries(link.id, 60.0, (98.5,) * 20, (1e6,) * 20)
    forecast = predict(replace(cluster, links=(link,), link_series=(series,)), None, rng)
    assert forecast.congestion.domains == ("east",)
    assert "1 of 1 metered links" in " ".join(forecast.notes)


def test_without_meters_nothing_is_said_of_congestion_and_the_report_says_so(cluster, rng):
    forecast = predict(cluster, None, rng)
    assert forecast.congestion.domains == ()
    assert "no link is metered" in " ".join(forecast.notes)


def test_expert_loads_are_forecast_per_deployment(cluster, rng):
    loads = np.full((3, 2, 4), 100.0)
    loads[:, 0, 1] = 700.0
    windows = tuple(tuple(tuple(layer) for layer in window) for window in loads.tolist())
    deployment = ExpertDeployment("moe", "red", 2, 2, windows, ((0, 1, 2, 3),) * 2)
    forecast = predict(replace(cluster, deployments=(deployment,)), None, rng)
    assert np.array_equal(forecast.loads_of("moe"), loads[0])
    assert "expert loads of moe" in " ".join(forecast.notes)
    with pytest.raises(ValueError, match="expected one of"):
        forecast.loads_of("other")
