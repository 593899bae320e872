import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.generators.congestion import fair_rates, link_history


def test_fair_rates_of_the_textbook_network():
    """Four flows over links of 4, 2 and 1: who shares a full link gets the same, who is left takes the rest."""
    links = np.array([[0, 1], [0, 2], [0, 2], [1, 1]])
    rates, full = fair_rates(np.full((1, 4), 100.0), links, np.array([4.0, 3.0, 1.0]))
    assert rates[0].tolist() == pytest.approx([1.0, 0.5, 0.5, 1.0])
    assert full[0].tolist() == [False, True, True]


@given(st.integers(0, 10_000))
def test_no_flow_can_have_more_without_taking_from_one_that_has_no_more(seed):
    """The definition of max-min fairness: who lacks crosses a full link on which nobody has more."""
    rng = np.random.default_rng(seed)
    links = np.stack([rng.integers(0, 4, size=12), rng.integers(4, 8, size=12)], axis=1)
    demand = rng.exponential(3.0, size=(3, 12)) * (rng.random((3, 12)) < 0.8)
    bandwidth = rng.uniform(1.0, 10.0, size=8)
    rates, _ = fair_rates(demand, links, bandwidth)
    for rate, asked in zip(rates, demand, strict=True):
        carried = np.bincount(links.ravel(), weights=np.repeat(rate, 2), minlength=8)
        assert (carried <= bandwidth + 1e-6).all()
        assert (rate <= asked + 1e-6).all()
        for flow in np.flatnonzero(rate < asked - 1e-6):
            holds = [
                carried[link] > bandwidth[link] - 1e-6 and rate[flow] >= rate[(links == link).any(axis=1)].max() - 1e-6
                for link in links[flow]
            ]
            assert any(holds)


def test_the_same_seed_gives_the_same_network():
    first, second = (link_history(np.random.default_rng(3)) for _ in range(2))
    assert first.throughput_gb_per_s.tobytes() == second.throughput_gb_per_s.tobytes()
    assert first.waits_per_s.tobytes() == second.waits_per_s.tobytes()
    assert np.array_equal(first.congested, second.congested)


def test_some_links_are_congested_and_most_are_not():
    rng = np.random.default_rng(0)
    congested = np.concatenate([link_history(rng).congested for _ in range(60)])
    assert 0.05 < congested.mean() < 0.3


def test_counters_never_show_more_than_the_bandwidth():
    rng = np.random.default_rng(1)
    for _ in range(20):
        one = link_history(rng)
        assert (one.throughput_gb_per_s <= one.bandwidth_gb_per_s[:, None]).all()
        assert (one.throughput_gb_per_s >= 0).all()
        assert not (one.waits_per_s < 0).any()
