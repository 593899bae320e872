import numpy as np
import pytest

from tasks.fleet_replay.compare import POLICIES, compare, made_up_world


def test_a_made_up_world_is_compared_with_nothing_else_at_hand():
    made = made_up_world(np.random.default_rng(0), days=1.0, machines=10.0)
    found = compare(made.world, first=100)
    assert [one.kind for one in found.outcomes] == list(POLICIES)
    by_name = {one.kind: one for one in found.outcomes}
    assert by_name["static N-1, on demand"].ticks_served == 1.0
    assert all(one.usd_per_h >= found.bound.usd_per_h for one in found.outcomes if one.ticks_served == 1.0)
    assert found.days == pytest.approx((made.world.ticks - 100) * 195.0 / 86_400.0)


def test_the_same_seed_makes_the_same_world_up():
    one, two = (made_up_world(np.random.default_rng(4), days=0.5).world for _ in range(2))
    assert np.array_equal(one.there, two.there)
    assert np.array_equal(one.demand, two.demand)
    assert np.array_equal(one.needed, two.needed)


def test_no_days_are_refused():
    with pytest.raises(ValueError, match="days"):
        made_up_world(np.random.default_rng(0), days=0.0)
