import itertools

import numpy as np
import pytest

from data.generators.spot import generate_spot_traces
from tasks.fleet_replay.hedge import Hedge, ages, settled
from tasks.fleet_replay.hedge_programme import hedge
from tasks.fleet_replay.hedge_risks import Memory, Risks
from tasks.fleet_replay.outcome import judge
from tasks.fleet_replay.policies import OneRegion
from tasks.fleet_replay.replay import SPOT, replay
from tasks.fleet_replay.world import there_of
from tests.tasks.fleet_replay.worlds import by_hand, drawn

REGION = np.array([0, 0, 0, 1, 1])


def remembered(everywhere: float, region: float) -> Memory:
    traces = generate_spot_traces(
        np.random.default_rng(3),
        regions={"east": (0.6, 0.7, 0.65), "west": (0.8, 0.75)},
        ticks=6_000,
        everywhere=everywhere,
        region=region,
    )
    memory = Memory(REGION, 4)
    memory.see(there_of(traces))
    return memory


def test_risks_are_a_distribution_over_the_sets_of_usable_zones():
    usable = np.array([True, True, False, True, True])
    memory = remembered(0.1, 0.6)
    risks = memory.risks(np.array([3, 60, 0, 200, 20]), usable, least=0.0)
    assert len(risks.chance) == 2**4
    assert risks.chance.sum() == pytest.approx(1.0)
    assert not risks.lost[:, 2].any()
    hazards = memory.hazards(np.array([3, 60, 0, 200, 20]))
    assert np.allclose((risks.chance @ risks.lost)[usable], hazards[usable], atol=2e-3)


def test_hazards_are_the_shares_that_were_counted():
    seen = np.ones((1, 500), np.bool_)
    seen[0, 50::50] = False
    memory = Memory(np.array([0]), 4)
    memory.see(seen)
    # an age of 32 ticks or more is reached 18 times in 50, of which the last 4 lose within 4
    assert memory.losses[0, 4] / memory.times[0, 4] == pytest.approx(4 / 18, abs=0.03)
    assert memory.losses[0, 1] == 0.0


def test_zones_that_fail_together_are_told_from_those_that_do_not():
    alone, together = remembered(0.0, 0.0), remembered(0.0, 0.8)
    assert alone.within <= 0.1
    assert together.within >= 0.3 > together.between
    age, usable = np.full(5, 20), np.ones(5, np.bool_)

    def east_lost(memory):
        risks = memory.risks(age, usable, 0.0)
        return float(risks.chance[risks.lost[:, :3].all(axis=1)].sum()) / float(memory.hazards(age)[:3].prod())

    assert east_lost(together) > 5.0 * east_lost(alone)


def by_enumeration(needed, risks, rent, unserved, most):
    best = np.inf
    for machines in itertools.product(range(most + 1), repeat=len(rent)):
        spot, on_demand = np.array(machines[:-1]), machines[-1]
        short = np.maximum(0.0, needed - (~risks.lost) @ spot - on_demand)
        best = min(best, float(rent @ np.array(machines) + unserved * risks.chance @ short))
    return best


@pytest.mark.parametrize("unserved", [1.0, 20.0, 400.0])
def test_the_programme_finds_what_enumeration_finds(unserved):
    lost = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 1], [1, 1, 1]], np.bool_)
    risks = Risks(lost, np.array([0.9, 0.06, 0.03, 0.01]))
    rent = np.array([1.0, 1.1, 1.2, 4.0])
    found = hedge(
        4.0, np.ones(3, np.bool_), risks, rent[:3], 4.0, np.full(3, 9), np.zeros(3, np.int64), 0,
        unserved_usd=unserved, start_usd_share=0.0,
    )  # fmt: skip
    short = np.maximum(0.0, 4.0 - (~lost) @ found.spot - found.on_demand)
    cost = float(rent @ np.append(found.spot, found.on_demand) + unserved * risks.chance @ short)
    assert found.proven
    assert cost == pytest.approx(by_enumeration(4.0, risks, rent, unserved, 6), rel=2e-3)


def test_no_more_machines_are_started_than_allowed():
    risks = Risks(np.zeros((1, 2), np.bool_), np.ones(1))
    held = np.array([0, 6])
    asked = {"unserved_usd": 100.0, "start_usd_share": 0.0}
    common = (6.0, np.ones(2, np.bool_), risks, np.array([1.0, 2.0]), 4.0, np.full(2, 9), held, 0)
    assert hedge(*common, **asked).spot.tolist() == [6, 0]
    assert hedge(*common, **asked, most_starts=2).spot.tolist() == [2, 4]


def test_ages_and_settled_zones():
    seen = np.array([[1, 0, 1, 1], [1, 1, 1, 1], [1, 1, 1, 0]], np.bool_)
    assert ages(seen).tolist() == [2, 4, 0]
    assert ages(seen[:, :0]).tolist() == [0, 0, 0]
    assert settled(seen, 3).tolist() == [False, True, False]


def test_our_policy_sees_no_future():
    world, cut = drawn(0, 130), 90
    other = drawn(1, 130)
    there, demand, needed = world.there.copy(), world.demand.copy(), world.needed.copy()
    there[:, cut:], demand[:, cut:], needed[cut:] = other.there[:, cut:], other.demand[:, cut:], other.needed[cut:]
    changed = type(world)(
        world.sites, there, world.tick_s, demand, world.rtt_ms, needed, world.peak_before, world.start_ticks
    )
    one, two = replay(world, Hedge()), replay(changed, Hedge())
    assert np.array_equal(one.paid[:cut], two.paid[:cut])


def test_a_loss_is_met_by_machines_elsewhere():
    world = by_hand("1" * 20 + "0" * 20, "1" * 40, "1" * 40, demand=4.0)
    ready = replay(world, Hedge()).ready
    assert ready[-1].sum() >= 4
    assert ready[-1, 0, SPOT] == 0


def test_ours_serves_more_than_it_saves():
    world = drawn(5, 350)
    ours = judge(world, replay(world, Hedge()), first=100)
    safe = judge(world, replay(world, OneRegion(follows=True)), first=100)
    assert ours.usd_per_h < safe.usd_per_h
    assert ours.demand_served > 0.99
