"""Are shares split as well as HiGHS splits them? On small programmes of every kind, with the same prices."""

import numpy as np
import pytest
from scipy.optimize import linprog

from tasks.problems.routing_costs import even_shares, layer_costs
from tasks.problems.routing_simplex import Shares, best_shares
from tasks.problems.routing_split import EVENNESS, free_slots, posed, split
from tasks.problems.routing_state import Prices, Transitions, layout_of


def drawn(rng, *, whole):
    """Return a programme; with ``whole`` numbers many vertices coincide, and steps gain nothing."""
    ranks, experts, scenarios = rng.integers(1, 9), rng.integers(1, 12), rng.integers(1, 5)
    replicas = rng.integers(2, 7, experts)
    expert, shape = np.repeat(np.arange(experts), replicas), (experts, scenarios)
    loads = rng.integers(0, 4, shape) * 1.0 if whole else rng.lognormal(size=shape) * (rng.random(shape) < 0.9)
    rank = rng.integers(0, ranks, expert.size)
    risk = rng.choice([0.0, 0.25, 1.0])
    return Shares(
        first=np.searchsorted(expert, expert),
        last=np.searchsorted(expert, expert, side="right"),
        rank=rank,
        time=loads[expert] * rng.choice([1.0, 2.0], ranks)[rank, None],
        price=rng.integers(0, 3, expert.size) * rng.choice([0.0, 0.1]),
        even=1.0 / replicas[expert],
        evenness=float(rng.choice([0.0, EVENNESS])),
        fixed=rng.integers(0, 5, (ranks, scenarios)) * 1.0 if whole else rng.lognormal(size=(ranks, scenarios)),
        likelihood=np.full(scenarios, (1.0 - risk) / scenarios),
        risk=float(risk),
    )


def cost(given, shares):
    times = given.fixed.copy()
    np.add.at(times, given.rank, given.time * shares[:, None])
    longest = times.max(axis=0)
    off = np.abs(shares - given.even).sum()
    return longest @ given.likelihood + given.risk * longest.max() + given.price @ shares + given.evenness * off


def least_cost(given):
    """Return what HiGHS (Huangfu and Hall 2018, doi 10.1007/s12532-017-0130-5) finds, written from the definition."""
    (slots, scenarios), ranks = given.time.shape, len(given.fixed)
    share, off, longest = np.eye(slots), np.eye(slots), -np.eye(scenarios)
    none = np.zeros
    rows, limits = [], []
    for rank in range(ranks):
        here = (given.time * (given.rank == rank)[:, None]).T
        rows.append(np.hstack([here, none((scenarios, slots)), longest, none((scenarios, 1))]))
        limits.append(-given.fixed[rank])
    rows.append(np.hstack([none((scenarios, 2 * slots)), -longest, -np.ones((scenarios, 1))]))
    limits.append(none(scenarios))
    for sign in (1.0, -1.0):
        rows.append(np.hstack([sign * share, -off, none((slots, scenarios + 1))]))
        limits.append(sign * given.even)
    whole = (given.first == np.unique(given.first)[:, None]) * 1.0
    found = linprog(
        np.concatenate([given.price, np.full(slots, given.evenness), given.likelihood, [given.risk]]),
        A_ub=np.vstack(rows),
        b_ub=np.concatenate(limits),
        A_eq=np.hstack([whole, none((len(whole), slots + scenarios + 1))]),
        b_eq=np.ones(len(whole)),
        options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},
    )
    return found.fun


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("seed", range(40))
def test_no_split_is_better_than_ours(seed, whole):
    given = drawn(np.random.default_rng([seed, whole]), whole=whole)
    shares = best_shares(given)
    assert shares.min() >= -1e-12
    assert np.add.reduceat(shares, np.unique(given.first)) == pytest.approx(np.ones(np.unique(given.first).size))
    assert cost(given, shares) == pytest.approx(least_cost(given), rel=1e-9, abs=1e-9)
    assert cost(given, shares) <= cost(given, given.even) + 1e-12


def test_shares_stay_even_where_nothing_is_worth_another():
    given = drawn(np.random.default_rng(5), whole=False)._replace(evenness=1e3)
    assert np.array_equal(best_shares(given), given.even)


def deployed(rng, *, speed, domains):
    """Return a layout and a map of three layers, the second of them without load."""
    ranks, experts, slots = len(speed), 12, 20
    flow = Transitions(*(rng.integers(0, top, 40) for top in (2, experts, experts)), rng.random(40))
    placement = np.stack([rng.permutation(np.arange(slots) % experts) for _ in range(3)])
    scenarios = rng.lognormal(size=(3, 3, experts)) * (rng.random((3, 3, experts)) < 0.8)
    scenarios[:, 1] = 0.0
    layout = layout_of(
        scenarios, np.array([0.5, 0.3, 0.2]), placement, np.arange(ranks) * domains // ranks, np.array(speed), flow,
        Prices(0.0, 0.2, 0.25), 1,
    )  # fmt: skip
    return layout, placement


@pytest.mark.parametrize("speed", [(1.0,) * 4, (1.0, 0.5, 1.0, 2.0)])
@pytest.mark.parametrize("domains", [1, 2])
def test_a_layout_is_split_as_its_cost_says(rng, speed, domains):
    layout, placement = deployed(rng, speed=speed, domains=domains)
    even = even_shares(placement, 12)
    shares = split(layout, placement)
    assert np.array_equal(shares, split(layout, placement))
    assert np.array_equal(shares[1], even[1])
    before, after = (layer_costs(layout, placement, parts) for parts in (even, shares))
    for layer, row in enumerate(placement):
        assert np.bincount(row, weights=shares[layer]) == pytest.approx(np.ones(12))
        free = free_slots(layout, placement, even, layer)
        if not free.size:
            continue
        given = posed(layout, placement, even, layer, free)
        # the programme prices what the layer costs, but for what does not depend on the free slots
        constant = sum(before[[0, 2], layer]) - cost(given, given.even)
        told = sum(after[[0, 2], layer]) - constant + given.evenness * np.abs(shares[layer, free] - given.even).sum()
        assert told == pytest.approx(cost(given, shares[layer, free]), abs=1e-9)
        assert told == pytest.approx(least_cost(given), abs=1e-5)  # shares are stated to six decimals
    assert (after[[0, 2]].sum(axis=0) <= before[[0, 2]].sum(axis=0)).all()
    assert after[[0, 2]].sum() < before[[0, 2]].sum()


def test_experts_without_tokens_stay_split_evenly():
    nothing = Transitions(*(np.zeros(0, np.int64) for _ in range(3)), np.zeros(0))
    placement = np.array([[0, 1, 0, 2, 1, 2]])
    layout = layout_of(
        np.array([[[4.0, 0.0, 1.0]]]), np.ones(1), placement, np.zeros(3, np.int64), np.ones(3), nothing,
        Prices(0.0, 0.0), 1,
    )  # fmt: skip
    shares = split(layout, placement)
    assert shares[0, [1, 4]].tolist() == [0.5, 0.5]
    assert shares[0, 3] < 0.5
