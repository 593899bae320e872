from pathlib import Path

import numpy as np
import pytest

from data.generators.spot import generate_spot_traces
from data.readers.fleet.spot_traces import SpotTrace, read_spot_traces
from tasks.fleet_replay.outages import (
    best_set,
    held_out_shares,
    outages_from_traces,
    share_up,
    share_up_if_independent,
)
from tasks.fleet_replay.world import there_of

FORTY_FIVE_DAYS = "aws-02-15-2023"


@pytest.fixture(scope="module")
def recordings(real_data: Path) -> tuple[SpotTrace, ...]:
    path = real_data / "spot_traces" / "spot_traces_rle.csv"
    if not path.is_file():
        pytest.skip(f"no recordings: {path} is missing")
    return tuple(trace for trace in read_spot_traces(path)[0] if trace.recorded == FORTY_FIVE_DAYS)


def of(recordings, *zones):
    return tuple(trace for trace in recordings if trace.zone in zones)


WEST = ("us-west-2a", "us-west-2b", "us-west-2c")


@pytest.mark.parametrize(("least", "measured", "promised"), [(1, 0.96056, 0.99879), (2, 0.91601, 0.96826)])
def test_independence_promises_more_of_one_region_than_there_was(recordings, least, measured, promised):
    there = there_of(of(recordings, *WEST))
    assert share_up(there, least) == pytest.approx(measured, abs=5e-6)
    assert share_up_if_independent(there, least) == pytest.approx(promised, abs=5e-6)


def test_shares_of_the_recordings_are_those_that_were_published(recordings):
    assert len(recordings) == 9
    assert share_up(there_of(recordings)) == pytest.approx(0.99206, abs=5e-6)
    one_each = of(recordings, "us-west-2a", "us-east-1a", "us-east-2a")
    assert share_up(there_of(one_each)) == pytest.approx(0.96145, abs=5e-6)


@pytest.mark.parametrize(
    ("zones", "share"),
    [(("us-east-2a", "us-west-2b", "us-west-2c"), 0.98432), (("us-east-2a", "us-west-2c"), 0.9702)],
)
def test_the_best_sets_of_zones_lie_in_two_regions(recordings, zones, share):
    found, reached = best_set(recordings, len(zones))
    assert found == zones
    assert reached == pytest.approx(share, abs=2e-5)


def test_outages_of_the_recordings_tell_the_share_of_every_set(recordings):
    outages = outages_from_traces(recordings)
    assert len({outage.regions for outage in outages}) == len(outages) == 236
    assert all(outage.spot_only for outage in outages)
    there = there_of(recordings)
    names = [trace.zone for trace in recordings]
    for chosen in ((0,), (6, 7, 8), (4, 7, 8), tuple(range(9))):
        zones = {names[number] for number in chosen}
        none = sum(outage.weight for outage in outages if zones <= set(outage.regions))
        assert 1.0 - none == pytest.approx(share_up(there[list(chosen)]), abs=1e-12)


def test_regions_are_down_only_where_all_their_zones_are(recordings):
    ids = {trace.zone: f"aws:{trace.region}" for trace in recordings}
    outages = outages_from_traces(recordings, region_ids=ids)
    west = sum(outage.weight for outage in outages if "aws:us-west-2" in outage.regions)
    assert 1.0 - west == pytest.approx(0.96056, abs=5e-6)


def test_fewer_outages_never_say_too_little():
    traces = generate_spot_traces(
        np.random.default_rng(3), regions={"east": (0.5, 0.7), "west": (0.8, 0.9, 0.85)}, ticks=4_000
    )
    every = outages_from_traces(traces)
    few = outages_from_traces(traces, most=6)
    assert len(few) <= 6 < len(every)
    assert sum(one.weight for one in few) == pytest.approx(sum(one.weight for one in every))
    zones = [trace.zone for trace in traces]
    for zone in zones:
        down = [sum(one.weight for one in each if zone in one.regions) for each in (few, every)]
        assert down[0] >= down[1] - 1e-12


def test_zones_without_a_region_are_named():
    traces = generate_spot_traces(np.random.default_rng(0), regions={"east": (0.5, 0.7)}, ticks=10)
    with pytest.raises(ValueError, match="eastb"):
        outages_from_traces(traces, region_ids={"easta": "aws:east"})


def test_recordings_of_different_times_are_refused(recordings):
    other = generate_spot_traces(np.random.default_rng(0), regions={"east": (0.5,)}, ticks=10)
    with pytest.raises(ValueError, match="side by side"):
        outages_from_traces((*recordings, *other))


def test_independent_zones_are_told_as_well_by_independence():
    there = np.random.default_rng(5).random((4, 40_000)) < 0.7
    told = held_out_shares(there, 20_000, 2)
    assert told.independent == pytest.approx(told.seen, abs=0.005)
    assert told.factor < 0.01


def test_how_zones_fail_together_holds_on_days_that_were_not_learned_from(recordings):
    told = held_out_shares(there_of(recordings), int(30 * 86_400 / 195), 3)
    # 15 days that were better than the 30 before: what was seen promised less than there was, independence too much
    assert told.factor < 0.5 * told.known_independent
    assert told.seen_too_much < 0.1 < told.independent_too_much
