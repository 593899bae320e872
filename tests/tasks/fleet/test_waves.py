"""Facts about rollouts: they arrive, in small steps, and nobody goes without meanwhile; the validator is the judge."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from data.generators.fleet import generate_fleet
from data.schemas.fleet import CloudShare, FleetLimits, Outage
from tasks.fleet.model import fleet_model
from tasks.fleet.safe_states import mixed
from tasks.fleet.waves import correlated, rollout
from tasks.validation.fleet import verify_fleet_plan
from tests.tasks.fleet.plans import planned, random_nodes, sample_fleet, sample_plan
from tests.tasks.fleet.tiny import tiny

ABOUT_WAVES = {
    "waves change what is offered",
    "waves lead to the plan",
    "a wave is at most its share",
    "regions that fail together are apart",
    "no step is worse than both ends",
    "what waves exceed is told",
    "each wave can be undone",
}

LIMITS = st.builds(
    FleetLimits,
    latency_ms=st.floats(40.0, 200.0),
    late_share=st.sampled_from([0.0, 0.05, 0.5]),
    lost_regions=st.integers(0, 2),
    lost_cloud_share=st.sampled_from([0.0, 0.5]),
    availability=st.sampled_from([0.0, 0.97, 1.0]),
    spot_share=st.sampled_from([0.0, 0.4, 1.0]),
    cloud_shares=st.sampled_from([(), (CloudShare("a", 0.5),)]),
    carbon_kg_per_h=st.sampled_from([None, 1.0]),
    max_regions=st.sampled_from([None, 2]),
    wave_share=st.floats(0.1, 1.0),
)


@settings(max_examples=25, deadline=None, phases=(Phase.explicit, Phase.generate))
@given(seed=st.integers(0, 2**32 - 1), limits=LIMITS, metros=st.booleans(), demand=st.sampled_from([0.2, 1.0, 3.0]))
def test_waves_between_any_two_states_keep_every_promise(
    seed: int, limits: FleetLimits, metros: bool, demand: float
) -> None:
    rng = np.random.default_rng(seed)
    fleet = tiny(rng, limits, demand=demand)
    if metros:
        regions = tuple(replace(each, metro="one" if at < 2 else "two") for at, each in enumerate(fleet.regions))
        fleet = replace(fleet, regions=regions, outages=())
        fleet = replace(fleet, limits=replace(limits, availability=0.0))
    model = fleet_model(fleet)
    verdict = verify_fleet_plan(planned(model, random_nodes(model, rng)), fleet)
    checks = {check.name: check for check in verdict.checks}
    assert checks.keys() >= ABOUT_WAVES
    assert [check for name, check in checks.items() if name in ABOUT_WAVES and not check.passed] == []


@pytest.mark.parametrize("seed", [3, 4])
def test_waves_between_two_generated_fleets_keep_every_promise(seed: int) -> None:
    rng = np.random.default_rng(seed)
    fleet = generate_fleet(rng, regions=10, skus=2, zones=6)
    model = fleet_model(fleet)
    after = np.minimum(model.quota, (model.held * rng.uniform(0.7, 1.6, model.held.size)).astype(np.int64) + 1)
    verdict = verify_fleet_plan(planned(model, after), fleet)
    assert [check for check in verdict.checks if check.name in ABOUT_WAVES and not check.passed] == []


def test_capacity_of_the_sample_is_above_demand_at_every_step() -> None:
    demand = float(fleet_model(sample_fleet()).demand.sum())
    assert len(sample_plan().waves) > 5
    assert all(wave.least_capacity >= demand for wave in sample_plan().waves)


def test_waves_stop_machines_before_all_others_have_started() -> None:
    waves = sample_plan().waves
    last_start = max(wave.number for wave in waves if wave.starts)
    assert min(wave.number for wave in waves if wave.stops) < last_start


def test_an_empty_fleet_grows_by_shares_of_what_is_planned_then_of_what_is_there() -> None:
    fleet = replace(sample_fleet(), holdings=())
    model = fleet_model(fleet)
    after = fleet_model(sample_fleet()).held
    order = rollout(model, after)
    assert all(not wave.stops for wave in order.waves)
    assert order.waves[0].share <= fleet.limits.wave_share * (1 + 1e-9)
    assert sum(step.nodes for wave in order.waves for step in wave.starts) == after.sum()


def test_a_node_that_is_more_than_a_share_goes_alone_and_is_told() -> None:
    fleet = tiny(np.random.default_rng(5), FleetLimits(wave_share=0.01, lost_regions=0))
    model = fleet_model(fleet)
    order = rollout(model, np.minimum(model.held + 1, model.quota))
    assert all(sum(step.nodes for step in wave.starts) == 1 for wave in order.waves)
    assert any("a single node that is more than the share" in note for note in order.notes)


def test_regions_fail_together_by_metro_by_outage_or_else_by_cloud_and_country() -> None:
    fleet = tiny(np.random.default_rng(0), FleetLimits())
    spot, whole = replace(fleet.outages[1], spot_only=True), Outage(0.1, tuple(each.id for each in fleet.regions))
    assert correlated(fleet_model(fleet)) == (frozenset({1, 2}),)
    assert correlated(fleet_model(replace(fleet, outages=(spot, whole)))) == ()
    german = tuple(replace(each, country="DE") for each in fleet.regions)
    assert correlated(fleet_model(replace(fleet, regions=german, outages=()))) == (frozenset({0, 2}),)
    near = tuple(replace(each, metro="ruhr") for each in fleet.regions)
    assert correlated(fleet_model(replace(fleet, regions=near, outages=()))) == (frozenset({0, 1, 2}),)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=5),
)
def test_a_mix_is_found_exactly_where_there_is_one(rows: list[tuple[int, int, int]]) -> None:
    first, last, capacity = (np.array(column, np.float64) for column in zip(*rows, strict=True))
    share = np.arange(2521)[:, None] / 2520.0  # every bound is a fraction of up to ninths
    assert mixed(first, last, capacity + 1e-9) == bool(
        (((1 - share) * first + share * last) <= capacity + 1e-9).all(axis=1).any()
    )
