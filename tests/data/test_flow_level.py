"""Facts about max-min fair rates."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from data.generators.flow_level import achieved_bandwidth, carried, fair_shares
from data.generators.topologies import fat_tree, two_tiers
from data.schemas.fabric import Demands, Routes


def ways(*links: list[int]) -> Routes:
    first = np.cumsum([0, *map(len, links)])
    return Routes(first.astype(np.int64), np.array([link for way in links for link in way], dtype=np.int64))


def shared(demand, routes, capacity):
    return fair_shares(np.array([demand], dtype=float), routes, np.array(capacity, dtype=float))


def test_fair_rates_of_the_textbook_network():
    """Links of 4, 3 and 1: who shares a full link gets the same, who is left takes the rest."""
    found = shared([100.0] * 4, ways([0, 1], [0, 2], [0, 2], [1]), [4.0, 3.0, 1.0])
    assert found.rate_gb_per_s[0].tolist() == pytest.approx([1.5, 0.5, 0.5, 1.5])
    assert found.holding[0].tolist() == [False, True, True]


def test_the_parking_lot_gives_all_the_same():
    """One flow over all links, one more over each: each link is halved."""
    found = shared([9.0] * 5, ways([0, 1, 2, 3], [0], [1], [2], [3]), [1.0] * 4)
    assert found.rate_gb_per_s[0].tolist() == pytest.approx([0.5] * 5)


def test_who_asks_for_little_leaves_the_rest_to_others():
    found = shared([1.0, 9.0, 9.0], ways([0], [0], [0]), [7.0])
    assert found.rate_gb_per_s[0].tolist() == pytest.approx([1.0, 3.0, 3.0])


def test_a_link_that_is_just_filled_holds_nobody_back():
    found = shared([2.0, 3.0], ways([0], [0]), [5.0])
    assert found.rate_gb_per_s[0].tolist() == pytest.approx([2.0, 3.0])
    assert not found.holding.any()


def test_a_flow_that_crosses_nothing_has_what_it_asks_for():
    found = shared([5.0, 5.0, 0.0], ways([], [0], [0]), [2.0])
    assert found.rate_gb_per_s[0].tolist() == pytest.approx([5.0, 2.0, 0.0])


def problem(seed):
    rng = np.random.default_rng(seed)
    links, flows = int(rng.integers(2, 9)), int(rng.integers(1, 15))
    routes = ways(*[rng.permutation(links)[: rng.integers(1, links + 1)].tolist() for _ in range(flows)])
    demand = rng.exponential(4.0, size=(3, flows)) * (rng.random((3, flows)) < 0.8)
    return demand, routes, rng.uniform(1.0, 10.0, size=links)


@settings(max_examples=60)
@given(st.integers(0, 100_000))
def test_who_lacks_crosses_a_full_link_on_which_nobody_has_more(seed):
    """The definition of max-min fairness (Bertsekas and Gallager 1992, section 6.5)."""
    demand, routes, capacity = problem(seed)
    found = fair_shares(demand, routes, capacity)
    load = carried(found.rate_gb_per_s, routes, len(capacity))
    assert (load <= capacity * (1 + 1e-6)).all()
    assert (found.rate_gb_per_s <= demand + 1e-9).all()
    for moment, rate in enumerate(found.rate_gb_per_s):
        highest = np.zeros(len(capacity))
        np.maximum.at(highest, routes.links, rate[routes.flow])
        for flow in np.flatnonzero(rate < demand[moment] - 1e-6):
            links = routes.links[routes.first[flow] : routes.first[flow + 1]]
            full = links[load[moment, links] >= capacity[links] * (1 - 1e-6)]
            assert any(rate[flow] >= highest[link] - 1e-6 for link in full)
            assert found.holding[moment, links].any()


def one_by_one(demand, routes, capacity):
    """Raise the lowest rate as far as a linear programme allows, fix who cannot rise, and go on."""
    flows = len(demand)
    crosses = np.zeros((len(capacity), flows))
    crosses[routes.links, routes.flow] = 1.0
    fixed = np.full(flows, np.nan)
    while np.isnan(fixed).any():
        free = np.isnan(fixed)
        # variables: rates, then the level that all free rates keep
        rows = np.hstack([-np.eye(flows)[free], np.ones((free.sum(), 1))])
        limits = np.vstack([np.hstack([crosses, np.zeros((len(capacity), 1))]), rows])
        bounds = [(0, d) if f else (v, v) for d, f, v in zip(demand, free, fixed, strict=True)]
        right = np.concatenate([capacity, np.zeros(free.sum())])
        level = linprog(np.append(np.zeros(flows), -1.0), limits, right, bounds=[*bounds, (0, None)]).x[-1]
        for flow in np.flatnonzero(free):  # who cannot have more while all others keep the level?
            least = [(level - 1e-9, d) if f else (v, v) for d, f, v in zip(demand, free, fixed, strict=True)]
            least = [(min(low, high), high) for low, high in least]
            best = linprog(-np.eye(flows)[flow], crosses, capacity + 1e-9, bounds=least)
            if -best.fun <= level + 1e-6:
                fixed[flow] = level
    return fixed


@pytest.mark.parametrize("seed", range(6))
def test_rates_are_those_of_a_chain_of_linear_programmes(seed):
    rng = np.random.default_rng(seed)
    routes = ways(*[rng.permutation(4)[: rng.integers(1, 4)].tolist() for _ in range(6)])
    demand, capacity = rng.exponential(5.0, size=6) + 0.1, rng.uniform(1.0, 10.0, size=4)
    found = fair_shares(demand[None, :], routes, capacity).rate_gb_per_s[0]
    assert found == pytest.approx(one_by_one(demand, routes, capacity), abs=1e-4)


def test_moments_are_independent():
    demand, routes, capacity = problem(3)
    together = fair_shares(demand, routes, capacity)
    for moment in range(len(demand)):
        alone = fair_shares(demand[moment : moment + 1], routes, capacity)
        assert alone.rate_gb_per_s[0].tolist() == pytest.approx(together.rate_gb_per_s[moment].tolist())


def test_more_capacity_never_lowers_the_lowest_rate():
    for seed in range(20):
        demand, routes, capacity = problem(seed)
        demand = demand[:1] + 0.1
        before = fair_shares(demand, routes, capacity).rate_gb_per_s.min()
        assert fair_shares(demand, routes, 1.5 * capacity).rate_gb_per_s.min() >= before - 1e-9


def test_an_incast_is_limited_by_the_receiver():
    fabric = two_tiers(8, per_rack=1, oversubscription=0.1)
    senders = np.array([8, 16, 24, 32])
    demands = Demands(senders, np.zeros(4, dtype=np.int64), np.full(4, 50.0), np.zeros(4, dtype=np.int64))
    assert achieved_bandwidth(fabric, demands).tolist() == pytest.approx([12.5] * 4)


def test_a_network_without_oversubscription_carries_what_its_adapters_send_or_loses_to_hashing_only():
    fabric = fat_tree(4)
    gpus = len(fabric.gpus)
    source = np.arange(gpus)
    target = (source + gpus // 2) % gpus
    demands = Demands(source, target, np.full(gpus, 10.0), np.zeros(gpus, dtype=np.int64))
    rates = achieved_bandwidth(fabric, demands)
    assert 0.5 < rates.sum() / demands.gb_per_s.sum() <= 1.0


def test_routes_of_other_flows_are_refused():
    with pytest.raises(ValueError, match="expected 2 flows, got 1"):
        fair_shares(np.ones((1, 2)), ways([0]), np.ones(1))
