"""Facts about the simulator that labels links."""

import numpy as np
import pytest

from data.generators.congestion import _blocked, history_on, link_history, random_fabric
from data.generators.fabric import topology_fabric
from data.generators.gangs import OCCUPIED, gangs_on, levels
from data.generators.topologies import dgx, two_tiers
from data.readers.topology.formats import read_topology
from data.schemas.fabric import Routes


def test_the_same_seed_gives_the_same_network():
    first, second = (link_history(np.random.default_rng(3)) for _ in range(2))
    assert first.fabric == second.fabric
    assert first.throughput_gb_per_s.tobytes() == second.throughput_gb_per_s.tobytes()
    assert first.waits_per_s.tobytes() == second.waits_per_s.tobytes()
    assert first.nvlink_load.tobytes() == second.nvlink_load.tobytes()
    assert np.array_equal(first.congested, second.congested)


def test_some_links_are_congested_and_most_are_not():
    rng = np.random.default_rng(0)
    congested = np.concatenate([link_history(rng).congested for _ in range(40)])
    assert 0.01 < congested.mean() < 0.2


def test_counters_never_show_more_than_the_bandwidth():
    rng = np.random.default_rng(1)
    for _ in range(10):
        one = link_history(rng)
        assert (one.throughput_gb_per_s <= one.bandwidth_gb_per_s[:, None] * (1 + 1e-9)).all()
        assert (one.throughput_gb_per_s >= 0).all()
        assert not (one.waits_per_s < 0).any()
        assert not (one.nvlink_load < 0).any()
        assert not (one.nvlink_load > 1).any()


def test_random_networks_are_of_all_kinds():
    rng = np.random.default_rng(0)
    kinds = {random_fabric(rng).name.split()[0] for _ in range(30)}
    assert kinds == {"NVL72", "DGX", "leaf", "fat", "torus"}


def test_a_narrow_spine_is_congested_more_often_than_a_wide_one():
    def share(over):
        fabric = two_tiers(16, oversubscription=over)
        histories = [history_on(fabric, np.random.default_rng(seed)) for seed in range(6)]
        machines = int(fabric.node.max()) + 1
        return np.mean([one.congested[one.ends.min(axis=1) >= machines].mean() for one in histories])

    assert share(8.0) > 3.0 * share(1.0)


def test_a_machine_s_nvlinks_are_known_at_its_adapters_and_not_between_switches():
    for seed in range(5):
        fabric = dgx(8, unit=4)
        one = history_on(fabric, np.random.default_rng(seed))
        machines = int(fabric.node.max()) + 1
        between = one.ends.min(axis=1) >= machines
        assert np.isnan(one.nvlink_load[between]).all()
        assert between.any()
        if np.isfinite(one.nvlink_load[~between]).any():
            assert np.isfinite(one.nvlink_load[~between]).all()
            return
    pytest.fail("no network of five meters its NVLinks")


def test_gangs_share_no_gpu_and_hold_most_of_them():
    fabric = dgx(16)
    for seed in range(10):
        held = [
            (worker.node, gpu)
            for job in gangs_on(fabric, np.random.default_rng(seed))
            for worker in job.placement
            for gpu in worker.gpus
        ]
        assert len(held) == len(set(held)) >= OCCUPIED * 128
        assert set(held) <= set(fabric.gpus)


def test_levels_are_about_one_while_a_gang_runs():
    found = levels(400, 36, np.random.default_rng(0))
    assert found.shape == (36, 400)
    assert np.median(found[found > 0]) == pytest.approx(1.0, abs=0.15)
    assert 0.05 < (found == 0).mean() < 0.6


def test_a_real_fabric_can_be_simulated(real_data):
    path = real_data / "topologies" / "topograph_output_ibnetdiscover_example.out"
    if not path.exists():
        pytest.skip(f"no real dump: {path} is missing")
    one = history_on(topology_fabric(read_topology(path)), np.random.default_rng(0))
    assert len(one.congested) == 2 * 735
    assert 0.0 < one.congested.mean() < 0.3


def test_a_full_link_makes_the_ports_before_it_wait_and_not_those_behind():
    """Flow 0 crosses links 0, 1, 2 and lacks 3 at link 1; flow 1 crosses links 3 and 2, and lacks nothing."""
    routes = Routes(np.array([0, 3, 5]), np.array([0, 1, 2, 3, 2]))
    holding = np.array([[False, True, False, False], [False] * 4])
    found = _blocked(np.array([[3.0, 0.0], [0.0, 0.0]]), holding, routes, 4)
    assert found.tolist() == [[3.0, 0.0, 0.0, 0.0], [0.0] * 4]
