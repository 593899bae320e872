"""Does our DeepSeek yardstick do what the original does?"""

from itertools import product

import numpy as np
import pytest

from tasks.problems.routing_balance import balancedness
from tasks.yardsticks.eplb import Eplb, contiguous, pack, pair_swap, replicate

PUBLISHED_LOADS = np.array(
    [
        [90, 132, 40, 61, 104, 165, 39, 4, 73, 56, 183, 86],
        [20, 107, 104, 64, 19, 197, 187, 157, 172, 86, 16, 27],
    ],
    dtype=np.float64,
)


def test_the_published_example_gives_the_published_map():
    assert Eplb(ranks=8, slots=16, groups=4, nodes=2)(PUBLISHED_LOADS).tolist() == [
        [5, 6, 5, 7, 8, 4, 3, 4, 10, 9, 10, 2, 0, 1, 11, 1],
        [7, 10, 6, 8, 6, 11, 8, 9, 2, 4, 5, 1, 5, 0, 3, 1],
    ]


@pytest.mark.parametrize(("groups", "nodes"), [(1, 1), (4, 2), (3, 2), (12, 4)])
def test_every_expert_has_a_slot_however_it_is_grouped(groups, nodes, rng):
    loads = rng.lognormal(size=(5, 12))
    placement = Eplb(ranks=4, slots=16, groups=groups, nodes=nodes)(loads)
    assert all(set(row) == set(range(12)) for row in placement.tolist())


def test_groups_that_divide_among_nodes_stay_on_one_node(rng):
    placement = Eplb(ranks=4, slots=16, groups=4, nodes=2)(rng.lognormal(size=(6, 12)))
    for row in placement.reshape(6, 2, 8):
        first, second = ({expert // 3 for expert in node} for node in row.tolist())
        assert not first & second


def test_replication_makes_the_heaviest_replica_as_light_as_any_counts_could(rng):
    load = rng.lognormal(0.0, 1.5, size=4)
    counts = np.bincount(replicate(load, 8))
    best = min(max(load[e] / n for e, n in enumerate(ns)) for ns in product(range(1, 6), repeat=4) if sum(ns) == 8)
    assert (load / counts).max() == pytest.approx(best)


def test_packs_hold_the_same_number_of_items(rng):
    assert sorted(pack(rng.random(12), 3).ravel().tolist()) == list(range(12))


def test_the_swap_search_never_unbalances(rng):
    loads = rng.lognormal(0.0, 1.0, size=(6, 24))
    for placement in (contiguous(24, 32, 6), Eplb(ranks=8, slots=32)(loads)):
        swapped = pair_swap(loads, placement, 8)
        assert balancedness(loads, swapped, 8) >= balancedness(loads, placement, 8)
        assert np.array_equal(np.sort(swapped, axis=1), np.sort(placement, axis=1))


def test_slots_that_do_not_divide_are_refused():
    with pytest.raises(ValueError, match="ranks"):
        Eplb(ranks=5, slots=16)
    with pytest.raises(ValueError, match="16 slots"):
        Eplb(ranks=4, slots=16)(np.ones((1, 17)))
