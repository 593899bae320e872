import numpy as np
import pytest

from data.generators.demand import DemandShape, generate_demand
from data.generators.spot import generate_spot_traces

REGIONS = {"east": (0.5, 0.5), "west": (0.9,)}


def test_generated_zones_are_up_as_often_as_asked_and_fail_together_within_a_region():
    traces = generate_spot_traces(np.random.default_rng(0), regions=REGIONS, ticks=60_000)
    there = np.array([trace.there for trace in traces])
    assert np.allclose(there.mean(axis=1), [0.5, 0.5, 0.9], atol=0.06)
    related = np.corrcoef(there)
    assert 0.25 < related[0, 1] < 0.6
    assert related[0, 2] < related[0, 1]
    assert [trace.zone for trace in traces] == ["easta", "eastb", "westa"]


def test_the_same_seed_draws_the_same():
    one, two = (generate_spot_traces(np.random.default_rng(7), regions=REGIONS, ticks=500) for _ in range(2))
    assert all(np.array_equal(a.there, b.there) for a, b in zip(one, two, strict=True))


@pytest.mark.parametrize("wrong", [{"everywhere": 0.7, "region": 0.4}, {"memory_h": 0.0}, {"ticks": 0}])
def test_traces_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match="expected"):
        generate_spot_traces(np.random.default_rng(0), **{"regions": REGIONS, "ticks": 10, **wrong})
    with pytest.raises(ValueError, match="regions: expected"):
        generate_spot_traces(np.random.default_rng(0), regions={"east": (1.0,)}, ticks=10)


def test_demand_peaks_in_the_afternoon_by_each_zones_clock_and_rests_at_weekends():
    calm = DemandShape(swing=0.0, flicker=0.0, surges_per_week=0.0)
    asked = generate_demand(
        np.random.default_rng(0),
        longitude_deg=np.array([0.0, -90.0]),
        mean=np.array([10.0, 10.0]),
        ticks=24 * 7,
        tick_s=3_600.0,
        shape=calm,
    )
    assert int(asked[0, :24].argmax()) == 15
    assert int(asked[1, :24].argmax()) == 21
    assert asked[0, 5 * 24 : 6 * 24].sum() == pytest.approx(0.75 * asked[0, :24].sum())
    assert (asked > 0.0).all()


def test_swings_are_as_large_as_asked():
    shape = DemandShape(day=0.0, weekend=1.0, swing=0.1, flicker=0.0, surges_per_week=0.0)
    asked = generate_demand(
        np.random.default_rng(1), longitude_deg=np.zeros(3), mean=np.ones(3), ticks=50_000, shape=shape
    )
    assert np.log(asked).std() == pytest.approx(0.1, rel=0.1)
    assert 0.35 < np.corrcoef(asked)[0, 1] < 0.65


def test_demand_of_other_shapes_is_refused():
    with pytest.raises(ValueError, match="longitude"):
        generate_demand(np.random.default_rng(0), longitude_deg=np.zeros(2), mean=np.ones(3), ticks=5)
    with pytest.raises(ValueError, match="day"):
        DemandShape(day=1.5)
