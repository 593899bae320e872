"""Does our policy hold on the recordings what it promises? On days that no option of it was chosen on."""

import pytest

from tasks.fleet_replay.bound import bound
from tasks.fleet_replay.hedge import Hedge
from tasks.fleet_replay.outcome import judge
from tasks.fleet_replay.policies import GreedyFailover, OneRegion
from tasks.fleet_replay.replay import replay
from tests.benchmarks.fleet import replay_worlds
from tests.benchmarks.fleet.replay_worlds import setting

DAY = 443


@pytest.mark.slow
def test_ours_misses_less_than_failing_over_and_pays_less_than_one_region(real_data, monkeypatch):
    if not (real_data / "spot_traces" / "spot_traces_rle.csv").is_file():
        pytest.skip(f"no recordings: {real_data / 'spot_traces'} is missing")
    monkeypatch.setattr(replay_worlds, "DATA", real_data)
    monkeypatch.setattr(replay_worlds, "FORECASTERS", replay_worlds.FORECASTERS[1:])
    world = setting(1).world.part(16 * DAY, 24 * DAY)
    ours, greedy, safe = (
        judge(world, replay(world, policy), 2 * DAY) for policy in (Hedge(), GreedyFailover(), OneRegion(follows=True))
    )
    assert ours.usd_per_h < 0.8 * safe.usd_per_h
    assert 1.0 - ours.demand_served < 0.25 * (1.0 - greedy.demand_served)
    assert safe.usd_per_h > bound(world, 2 * DAY).usd_per_h
