from dataclasses import dataclass

import numpy as np
import pytest

from tasks.fleet_replay.bound import bound
from tasks.fleet_replay.outcome import judge
from tasks.fleet_replay.policies import GreedyFailover, OneRegion, SpreadFailover, StaticRegions
from tasks.fleet_replay.replay import ON_DEMAND, SPOT, replay
from tests.tasks.fleet_replay.worlds import by_hand, drawn

POLICIES = (
    StaticRegions(),
    StaticRegions("spot"),
    OneRegion(),
    OneRegion(follows=True),
    GreedyFailover(),
    SpreadFailover(),
)


@dataclass(frozen=True)
class Always:
    """The same machines at the first site all the time."""

    machines: int
    column: int = SPOT
    kind: str = "always"

    def begin(self, ground):
        wanted = np.zeros((len(ground.sites), 2), np.int64)
        wanted[0, self.column] = self.machines
        return lambda _: wanted


def test_a_machine_dies_with_its_zone_and_serves_again_after_its_start():
    world = by_hand("1100111110")
    replayed = replay(world, Always(2))
    assert replayed.ready[:, 0, SPOT].tolist() == [2, 2, 0, 0, 0, 0, 2, 2, 2, 0]
    assert replayed.paid[:, 0, SPOT].tolist() == [2, 2, 0, 0, 2, 2, 2, 2, 2, 0]
    assert replayed.lost.tolist() == [0, 0, 2, 0, 0, 0, 0, 0, 0, 2]
    assert replayed.started.tolist() == [2, 0, 0, 0, 2, 0, 0, 0, 0, 0]


def test_what_a_replay_comes_to_can_be_worked_out_by_hand():
    outcome = judge(by_hand("1100111110", demand=1.5), replay(by_hand("1100111110", demand=1.5), Always(2)))
    assert outcome.ticks_served == pytest.approx(0.5)
    assert outcome.demand_served == pytest.approx(0.5)
    assert outcome.usd_per_h == pytest.approx(14 * 1.0 / 10)
    assert outcome.shortages == 2
    assert outcome.recovery_median_s == pytest.approx((4 + 1) / 2 * 300.0)
    assert outcome.recovery_p95_s == pytest.approx(4 * 300.0)
    assert outcome.losses == 2
    assert outcome.healed == 0.0
    assert outcome.utilisation == pytest.approx(7.5 / 10)
    assert outcome.paid_utilisation == pytest.approx(7.5 / 14)
    assert outcome.latency_p95_ms == pytest.approx(4.0)
    assert outcome.on_demand_share == 0.0


def test_machines_that_start_die_too():
    replayed = replay(by_hand("1011011111"), Always(1))
    assert replayed.ready[:, 0, SPOT].tolist() == [1, 0, 0, 0, 0, 0, 0, 1, 1, 1]


def test_machines_on_demand_are_not_lost():
    replayed = replay(by_hand("0000"), Always(3, ON_DEMAND))
    assert replayed.ready[:, 0, ON_DEMAND].tolist() == [3, 3, 3, 3]
    assert not replayed.lost.any()


def test_users_are_served_nearby_first_and_far_away_beyond():
    world = by_hand("1111", "1111", "1111", demand=3.0)

    @dataclass(frozen=True)
    class Two:
        kind: str = "two"

        def begin(self, ground):
            return lambda _: np.array([[0, 2], [0, 0], [0, 2]])

    outcome = judge(world, replay(world, Two()))
    assert outcome.latency_p95_ms == pytest.approx(world.rtt_ms[0, 2])
    assert outcome.utilisation == pytest.approx(0.75)


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: f"{policy.kind}, {getattr(policy, 'purchase', '')}")
def test_no_policy_sees_the_future(policy):
    world = drawn(0, 600)
    cut = 300
    other = drawn(1, 600)
    there, demand, needed = world.there.copy(), world.demand.copy(), world.needed.copy()
    there[:, cut:], demand[:, cut:], needed[cut:] = other.there[:, cut:], other.demand[:, cut:], other.needed[cut:]
    changed = type(world)(
        world.sites, there, world.tick_s, demand, world.rtt_ms, needed, world.peak_before, world.start_ticks
    )
    one, two = replay(world, policy), replay(changed, policy)
    assert np.array_equal(one.paid[:cut], two.paid[:cut])


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: f"{policy.kind}, {getattr(policy, 'purchase', '')}")
def test_nobody_who_serves_everything_pays_less_than_the_bound(policy):
    world = drawn(2, 450)
    least = bound(world, first=50)
    outcome = judge(world, replay(world, policy), first=50)
    assert least.free_start_usd_per_h <= least.usd_per_h + 1e-9
    if outcome.demand_served == 1.0:
        assert outcome.usd_per_h >= least.usd_per_h
    else:
        assert outcome.usd_per_h > 0.5 * least.usd_per_h


def test_the_bound_is_what_a_small_world_costs():
    # east is up for six ticks and may serve in all of them; then on demand is all there is
    world = by_hand("1111110000", demand=2.0)
    assert bound(world).usd_per_h == pytest.approx((6 * 2 * 1.0 + 4 * 2 * 4.0) / 10)
    # down for one tick, east must start again, for two ticks' rent: 6 < 2 ticks of on demand
    world = by_hand("1110111111", demand=1.0)
    assert bound(world).free_start_usd_per_h == pytest.approx((7 * 1.0 + 3 * 4.0) / 10)
    assert bound(world).usd_per_h == pytest.approx((7 * 1.0 + 2 * 1.0 + 3 * 4.0) / 10)


def test_a_window_by_itself_never_raises_the_bound():
    world = drawn(3, 400)
    assert bound(world, window=50).usd_per_h <= bound(world, window=400).usd_per_h + 1e-9


def test_greedy_failover_sits_in_the_cheapest_zone_until_it_goes():
    world = by_hand("1111000000", "1111111111", "1111111111")
    replayed = replay(world, GreedyFailover())
    assert replayed.ready[:4, 0, SPOT].tolist() == [1, 1, 1, 1]
    assert replayed.ready[:, 1, SPOT].tolist() == [0] * 7 + [1] * 3


def test_spread_failover_moves_nothing_that_serves():
    world = by_hand("1110111111", "1111111111", "1111111111", demand=5.0)
    replayed = replay(world, SpreadFailover(more=0.2))
    assert replayed.ready[0, :, SPOT].tolist() == [2, 2, 2]
    assert replayed.lost.sum() == 2
    # two on demand stand in until two more spot machines serve, and the zone that lost its own is left alone
    assert replayed.paid[-1, :, SPOT].tolist() == [0, 3, 3]
    assert replayed.paid[:, :, ON_DEMAND].sum(axis=1).max() == 2
    assert replayed.paid[-1, :, ON_DEMAND].sum() == 0


def test_a_static_fleet_survives_the_loss_of_any_region():
    world = drawn(4, 50)
    ready = replay(world, StaticRegions()).ready[0].sum(axis=1)
    regions = np.array([site.region for site in world.sites])
    for region in set(regions):
        assert ready[regions != region].sum() >= world.peak_before


def test_a_policy_that_asks_for_what_no_site_has_is_named():
    with pytest.raises(ValueError, match="always: expected 0 to 1000 machines"):
        replay(by_hand("111"), Always(1_001))


def test_a_world_of_other_shapes_is_refused():
    world = by_hand("111")
    with pytest.raises(ValueError, match="needed: expected shape"):
        type(world)(world.sites, world.there, 300.0, world.demand, world.rtt_ms, np.ones(2), 1.0)
