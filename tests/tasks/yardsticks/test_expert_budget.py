"""Is a map that moves little really a part of the balancer's, within the budget, and as good as claimed?"""

from itertools import permutations

import numpy as np
import pytest

from tasks.problems.routing_balance import balancedness
from tasks.yardsticks.eplb import Eplb, contiguous
from tasks.yardsticks.expert_budget import aligned, held, moved_experts, within_budget


def drawn(rng, layers=4, experts=12, slots=16, ranks=4):
    loads = rng.lognormal(0.0, 1.0, size=(layers, experts))
    return loads, contiguous(experts, slots, layers), Eplb(ranks, slots)(loads), ranks


def peaks(loads, placement, ranks):
    share = np.stack([load / np.bincount(row, minlength=load.size) for load, row in zip(loads, placement, strict=True)])
    return np.take_along_axis(share, placement, axis=1).reshape(len(loads), ranks, -1).sum(axis=2).max(axis=1)


def test_moves_are_counted_by_rank():
    before = np.array([[0, 1, 2, 3]])
    assert moved_experts(before, np.array([[1, 0, 3, 2]]), 2) == 0
    assert moved_experts(before, np.array([[2, 1, 0, 3]]), 2) == 2
    assert moved_experts(before, np.array([[2, 3, 0, 1]]), 2) == 4


def test_no_renaming_of_ranks_moves_fewer_experts(rng):
    _, start, target, ranks = drawn(rng)
    ours = moved_experts(start, aligned(target, start, ranks), ranks)
    packs = target.reshape(len(target), ranks, -1)
    named = sum(
        min(
            moved_experts(start[[layer]], packs[layer, list(order)].reshape(1, -1), ranks)
            for order in permutations(range(ranks))
        )
        for layer in range(len(target))
    )
    assert ours == named
    for layer, packed in enumerate(aligned(target, start, ranks).reshape(packs.shape)):
        assert sorted(map(sorted, packed.tolist())) == sorted(map(sorted, packs[layer].tolist()))


@pytest.mark.parametrize("slots", [12, 16])  # without and with replicas to spare
@pytest.mark.parametrize("budget", [0, 1, 3, 8, 20, 1000])
def test_the_budget_is_kept_and_every_expert_stays(rng, slots, budget):
    loads, start, target, ranks = drawn(rng, slots=slots)
    part = within_budget(loads, target, start, ranks, budget)
    assert moved_experts(start, part, ranks) <= budget
    assert all(set(row) == set(range(12)) for row in part.tolist())
    assert (peaks(loads, part, ranks) <= peaks(loads, start, ranks) + 1e-12).all()


def test_more_moves_never_unbalance_and_plenty_reach_the_balancers_map(rng):
    loads, start, target, ranks = drawn(rng)
    sums = [
        peaks(loads, within_budget(loads, target, start, ranks, budget), ranks).sum() for budget in (0, 2, 6, 12, 24)
    ]
    assert sums == sorted(sums, reverse=True)
    whole = within_budget(loads, target, start, ranks, 10_000)
    assert balancedness(loads, whole, ranks) >= balancedness(loads, target, ranks) - 1e-12


def test_a_single_move_goes_where_it_saves_most(rng):
    loads, start, target, ranks = drawn(rng)
    goal = aligned(target, start, ranks)
    best = peaks(loads, start, ranks).sum()
    before, after = (held(each, ranks, 12) for each in (start, goal))
    for layer in range(len(loads)):
        row = start[layer].reshape(ranks, -1)
        for rank in range(ranks):
            for removed in np.flatnonzero(before[layer, rank] > after[layer, rank]):
                for added in np.flatnonzero(before[layer, rank] < after[layer, rank]):
                    trial = start.copy().reshape(len(loads), ranks, -1)
                    trial[layer, rank, np.flatnonzero(row[rank] == removed)[0]] = added
                    trial = trial.reshape(start.shape)
                    if len(set(trial[layer])) == 12:
                        best = min(best, peaks(loads, trial, ranks).sum())
    assert peaks(loads, within_budget(loads, target, start, ranks, 1), ranks).sum() == pytest.approx(best)


def test_layers_without_load_stay(rng):
    _, start, target, ranks = drawn(rng)
    assert np.array_equal(within_budget(np.zeros((4, 12)), target, start, ranks, 100), start)
