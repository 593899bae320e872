"""Does the linear programme split as well as can be?"""

import numpy as np
import pytest

from tasks.problems.routing_balance import balancedness
from tasks.yardsticks.eplb import Eplb, contiguous
from tasks.yardsticks.replica_split import balance, even_shares, lp_split, split_loads


def test_a_split_that_is_seen_by_hand():
    # expert 0 on both ranks, 1 and 2 on one each: 0 takes what the lighter rank lacks
    loads, placement = np.array([[4.0, 3.0, 1.0]]), np.array([[0, 1, 0, 2]])
    shares = lp_split(loads, placement, 2)
    assert shares == pytest.approx(np.array([[0.25, 1.0, 0.75, 1.0]]))
    assert balance(split_loads(loads, placement, shares, 2)) == pytest.approx(1.0)


def test_even_shares_give_the_balancedness_of_the_noun(rng):
    loads = rng.lognormal(size=(5, 12))
    placement = Eplb(4, 16)(loads)
    even = even_shares(placement, 12)
    assert balance(split_loads(loads, placement, even, 4)) == pytest.approx(balancedness(loads, placement, 4))


def test_no_split_on_a_grid_is_better(rng):
    loads, placement = rng.lognormal(size=(1, 3)), np.array([[0, 1, 0, 2, 1, 2]])
    best = balance(split_loads(loads, placement, lp_split(loads, placement, 3), 3))
    grid = np.linspace(0.0, 1.0, 21)
    for a in grid:
        for b in grid:
            for c in grid:
                tried = np.array([[a, b, 1 - a, c, 1 - b, 1 - c]])
                assert balance(split_loads(loads, placement, tried, 3)) <= best + 1e-9


def test_shares_of_an_expert_add_up_to_one(rng):
    loads = rng.lognormal(0.0, 1.0, size=(3, 10)) * (rng.random((3, 10)) < 0.7)
    loads[1] = 0.0
    placement = contiguous(10, 16, 3)
    shares = lp_split(loads, placement, 4)
    assert (shares >= 0.0).all()
    for row, part in zip(placement, shares, strict=True):
        assert np.bincount(row, weights=part) == pytest.approx(np.ones(10))


def test_a_split_for_several_windows_is_best_on_their_sum(rng):
    windows, placement = rng.lognormal(0.0, 1.0, size=(3, 2, 8)), contiguous(8, 12, 2)
    windows /= windows.sum(axis=2, keepdims=True)

    def lost(shares):
        return sum(split_loads(window, placement, shares, 4).max(axis=1).sum() for window in windows)

    robust = lost(lp_split(windows, placement, 4))
    assert all(robust <= lost(lp_split(window, placement, 4)) + 1e-9 for window in windows)
