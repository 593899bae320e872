"""What holds for every generated cluster, whatever its size and seed."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.crosscheck import cross_check
from data.digest import SNAPSHOT, snapshot_digest
from data.generators.cluster import Experts, Scenario, cluster_of, snapshot_of
from data.generators.fitted import DURATION_SEVERAL_S, DURATION_SINGLE_S, EXPERT_SKEW
from data.generators.hardware import dgx_nodes, nvl72_racks
from data.generators.jobs import arrival_times, sizes_for
from data.generators.power import cap_losses, cluster_draw_w, power_levels
from data.generators.routing import expert_map, relative_loads, token_flow
from data.schemas.cluster import Snapshot


def scenario(jobs: int = 40, *, quiet_s: float = 0.0) -> Scenario:
    nodes = nvl72_racks(1) + dgx_nodes(6)
    experts = Experts(ranks=8, slots_per_rank=3, layers=3, experts=16, windows=3)
    return Scenario("test", "2026-03-02T06:00:00+00:00", nodes, jobs, quiet_s=quiet_s, samples=5, experts=experts)


@settings(max_examples=40, deadline=None)
@given(st.integers(4, 700), st.integers(0, 120), st.integers(0, 2**32 - 1))
def test_no_generated_cluster_contradicts_itself(gpus: int, jobs: int, seed: int):
    snapshot = cluster_of(gpus=gpus, jobs=jobs, rng=np.random.default_rng(seed))
    assert cross_check(snapshot) == ()
    assert len(snapshot.jobs) <= jobs
    assert gpus - 3 <= sum(node.gpus for node in snapshot.nodes) <= gpus
    assert SNAPSHOT.validate_json(SNAPSHOT.dump_json(snapshot)) == snapshot


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 90), st.integers(0, 2**32 - 1), st.sampled_from([0.0, 20_000.0]))
def test_clusters_with_experts_and_meters_are_sound_too(jobs: int, seed: int, quiet_s: float):
    snapshot = snapshot_of(scenario(jobs, quiet_s=quiet_s), np.random.default_rng(seed))
    assert cross_check(snapshot) == ()
    assert SNAPSHOT.validate_json(SNAPSHOT.dump_json(snapshot)) == snapshot
    running = {job.id: job for job in snapshot.jobs if job.state == "running"}
    assert all(deployment.job in running for deployment in snapshot.deployments)
    assert all(len(series.gpu_power_w) == 5 for series in snapshot.node_series)
    assert len(snapshot.link_series) == len(snapshot.links)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others():
    first, again, other = (snapshot_of(scenario(), np.random.default_rng(seed)) for seed in (5, 5, 6))
    assert snapshot_digest(first) == snapshot_digest(again) != snapshot_digest(other)


def test_who_waits_holds_nothing_and_says_how_long_it_has_waited():
    snapshot = cluster_of(gpus=200, jobs=150, rng=np.random.default_rng(1))
    pending = [job for job in snapshot.jobs if job.state == "pending"]
    assert pending
    assert all(not job.placement and job.waiting_s >= 0.0 for job in pending)
    assert any(job.waiting_s > 0.0 for job in pending)
    assert any(job.depends_on for job in pending)


@pytest.mark.slow
def test_a_hundred_thousand_gpus_and_twenty_thousand_jobs_take_seconds():
    start = time.process_time()
    snapshot = cluster_of(gpus=100_000, jobs=20_000, rng=np.random.default_rng(0))
    assert time.process_time() - start < 20.0  # about 3 s on a free core
    assert 19_000 <= len(snapshot.jobs) <= 20_000
    assert 99_990 <= sum(node.gpus for node in snapshot.nodes) <= 100_000
    held = sum(job.gpus for job in snapshot.jobs if job.state == "running")
    assert 0.8 < held / 100_000 <= 1.0


@pytest.mark.parametrize(("gpus", "jobs"), [(3, 1), (8, -1)])
def test_an_impossible_size_is_refused(gpus: int, jobs: int):
    with pytest.raises(ValueError, match="at least 4 GPUs"):
        cluster_of(gpus=gpus, jobs=jobs, rng=np.random.default_rng(0))


def test_the_draw_counts_every_watt_once():
    empty = Snapshot("c", "2026-01-01T00:00:00Z", dgx_nodes(2))
    assert cluster_draw_w(empty) == 2 * (2600.0 + 8 * 70.0)
    snapshot = snapshot_of(scenario(), np.random.default_rng(2))
    expected = 0.0
    for node in snapshot.nodes:
        watts = dict.fromkeys(range(node.gpus), node.gpu_idle_w)
        for job in snapshot.jobs:
            for worker in job.placement:
                if worker.node == node.id:
                    watts.update(dict.fromkeys(worker.gpus, job.gpu_power_w or node.gpu_power_max_w))
        expected += node.base_power_w + sum(watts.values())
    assert cluster_draw_w(snapshot) == pytest.approx(expected)
    assert cluster_draw_w(snapshot, lowest_caps=True) < cluster_draw_w(snapshot)


def test_a_cap_above_the_draw_costs_no_speed_and_lower_caps_cost_more():
    for loss in cap_losses(50, np.random.default_rng(0)):
        levels = power_levels(500.0, 200.0, 700.0, float(loss))
        assert [level.cap_w for level in levels] == [280.0, 350.0, 420.0, 490.0, 595.0, 700.0]
        speeds = [level.speed for level in levels]
        assert speeds == sorted(speeds)
        assert speeds[-2:] == [1.0, 1.0]
        assert min(speeds) >= 0.05


def test_the_last_sample_of_a_node_is_near_what_its_jobs_draw():
    snapshot = snapshot_of(scenario(), np.random.default_rng(3))
    last = {series.node: series.gpu_power_w[-1] for series in snapshot.node_series}
    for node in snapshot.nodes:
        held = {
            gpu: min(job.gpu_power_w or 0.0, node.gpu_power_max_w)
            for job in snapshot.jobs
            for worker in job.placement
            if worker.node == node.id
            for gpu in worker.gpus
        }
        mean = sum(held.get(gpu, node.gpu_idle_w) for gpu in range(node.gpus)) / node.gpus
        assert last[node.id] == pytest.approx(mean, rel=0.2)


def test_racks_send_nothing_where_no_gang_spans_two():
    snapshot = snapshot_of(scenario(), np.random.default_rng(4))
    rack = {node.id: node.rack for node in snapshot.nodes}
    reach: dict[str, set[str]] = {}
    for job in snapshot.jobs:
        reach.setdefault(job.gang_id, set()).update(rack[worker.node] for worker in job.placement)
    busy = {name for racks in reach.values() if len(racks) > 1 for name in racks}
    source = {link.id: link.source for link in snapshot.links}
    for series in snapshot.link_series:
        assert source[series.link] in busy or max(series.throughput_gb_per_s) == 0.0


def test_expert_loads_drift_from_window_to_window_as_much_as_stated():
    loads = relative_loads(4, 60, 256, EXPERT_SKEW, np.random.default_rng(0))
    assert np.allclose(loads.mean(axis=2), 1.0)
    log = np.log(loads)
    log = (log - log.mean(axis=2, keepdims=True)) / log.std(axis=2, keepdims=True)
    assert (log[0] * log[1]).mean() == pytest.approx(EXPERT_SKEW.drift, abs=0.01)
    assert (log[0] * log[3]).mean() == pytest.approx(EXPERT_SKEW.drift**3, abs=0.02)


def test_token_flow_keeps_both_layers_loads():
    rng = np.random.default_rng(0)
    source, target = rng.random(20) + 0.1, rng.random(20) + 0.1
    flow = token_flow(source, target, 1.5, rng)
    assert np.allclose(flow.sum(axis=0), target * source.sum() / target.sum())
    assert np.allclose(flow.sum(axis=1), source, rtol=1e-3)


def test_an_expert_map_holds_every_expert_and_spends_spare_slots_on_the_busiest():
    load = np.array([[1.0, 9.0, 2.0]])
    assert expert_map(load, 5).tolist() == [[0, 1, 1, 1, 2]]
    with pytest.raises(ValueError, match="slots"):
        expert_map(load, 2)


def test_arrivals_never_run_backwards():
    times = arrival_times(5000, np.random.default_rng(0))
    assert np.all(np.diff(times) >= 0.0)


@pytest.mark.parametrize("mean", [1.5, 5.0, 25.0])
def test_jobs_met_at_one_moment_have_the_mean_size_that_was_asked_for(mean: float):
    mix = sizes_for(mean, 512)
    lasts = np.where(mix.sizes == 1, DURATION_SINGLE_S.mean, DURATION_SEVERAL_S.mean)
    assert mix.shares.sum() == pytest.approx(1.0)
    assert (mix.shares * lasts) @ mix.sizes / (mix.shares @ lasts) == pytest.approx(mean, rel=0.05)
