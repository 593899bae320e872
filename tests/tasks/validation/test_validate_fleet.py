"""Facts about the validator of fleets: sound plans pass, each broken promise fails the check that is named for it."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from data.schemas.fleet import CloudShare, Fleet, FleetLimits, Outage
from data.schemas.fleet_plan import Change, Doing, Drift, FleetPlan, Step, Wave
from data.schemas.plan import Metric
from tasks.fleet.model import fleet_model
from tasks.fleet.plan import inverse, resource_changes
from tasks.validation.fleet import verify_fleet_plan
from tests.tasks.fleet.plans import planned, random_nodes, resigned, sample_fleet, sample_plan
from tests.tasks.fleet.tiny import tiny


def failed(plan: FleetPlan, fleet: Fleet) -> set[str]:
    """Return the names of the checks that fail."""
    return {check.name for check in verify_fleet_plan(plan, fleet).checks if not check.passed}


def test_the_plan_of_the_sample_passes_every_check() -> None:
    verdict = verify_fleet_plan(sample_plan(), sample_fleet())
    assert verdict.passed, [check for check in verdict.checks if not check.passed]
    assert len(verdict.checks) >= 28


def test_the_bytes_of_a_plan_lead_back_to_it() -> None:
    from data.schemas.fleet_plan import FLEET_PLAN

    assert FLEET_PLAN.validate_json(FLEET_PLAN.dump_json(sample_plan())) == sample_plan()


LIMITS: list[tuple[str, Callable[[FleetLimits], FleetLimits]]] = [
    ("everybody is served in time", lambda one: replace(one, latency_ms=8.0)),
    ("everybody is served in time", lambda one: replace(one, late_share=0.0, latency_ms=20.0)),
    ("regions may be lost", lambda one: replace(one, lost_regions=4)),
    ("a cloud may be lost", lambda one: replace(one, lost_cloud_share=1.0)),
    ("known outages are borne", lambda one: replace(one, lost_regions=0, availability=1.0)),
    ("spot is at most its share", lambda one: replace(one, spot_share=0.1)),
    ("clouds are at most their shares", lambda one: replace(one, cloud_shares=(CloudShare("altus", 0.01),))),
    ("carbon is below its cap", lambda one: replace(one, carbon_kg_per_h=1.0)),
    ("regions are few enough", lambda one: replace(one, max_regions=2)),
    ("changes are few enough", lambda one: replace(one, changed_nodes=3)),
]


@pytest.mark.parametrize(("name", "change"), LIMITS)
def test_each_limit_that_is_tightened_fails_its_own_check(
    name: str, change: Callable[[FleetLimits], FleetLimits]
) -> None:
    fleet = sample_fleet()
    tighter = replace(fleet, limits=change(fleet.limits))
    if name == "known outages are borne":
        most = max(fleet.regions, key=lambda region: held(sample_plan(), region.id))
        tighter = replace(tighter, outages=tuple(replace(each, regions=(most.id, each.regions[0])) for each in ALL))
    assert name in failed(sample_plan(), tighter)


ALL = sample_fleet().outages


def held(plan: FleetPlan, region: str) -> float:
    """Return the nodes that a plan leaves in a region."""
    return sum(each.change.after for each in plan.resource_changes if each.region == region)


def first(plan: FleetPlan, action: str) -> int:
    """Return the place of the first resource to which something happens."""
    return next(at for at, each in enumerate(plan.resource_changes) if each.change.actions == (action,))


def with_change(plan: FleetPlan, action: Doing, told: Doing, before: int, after: int) -> FleetPlan:
    """Return the plan with other words of the first resource to which something happens."""
    return with_resource(plan, first(plan, action), change=Change((told,), before, after))


def with_resource(plan: FleetPlan, at: int, **changes: object) -> FleetPlan:
    """Return the plan with one resource changed, its inverse as it was."""
    table = list(plan.resource_changes)
    table[at] = replace(table[at], **changes)  # type: ignore[arg-type]
    return resigned(plan, resource_changes=tuple(table))


def with_wave(plan: FleetPlan, at: int, **changes: object) -> FleetPlan:
    """Return the plan with one wave changed."""
    waves = list(plan.waves)
    waves[at] = replace(waves[at], **changes)  # type: ignore[arg-type]
    return resigned(plan, waves=tuple(waves))


def at_once(plan: FleetPlan) -> FleetPlan:
    """Return the plan in one wave."""
    ups = tuple(step for wave in plan.waves for step in wave.starts)
    downs = tuple(step for wave in plan.waves for step in wave.stops)
    undo = tuple(Step(step.address, -step.nodes) for step in (*downs, *ups))
    return resigned(plan, waves=(replace(plan.waves[0], starts=ups, stops=downs, undo=undo),))


def stops_first(plan: FleetPlan) -> FleetPlan:
    """Return the plan with its waves backwards."""
    waves = tuple(replace(wave, number=number) for number, wave in enumerate(reversed(plan.waves), start=1))
    return resigned(plan, waves=waves)


def with_metric(plan: FleetPlan, name: str, **changes: float) -> FleetPlan:
    """Return the plan with one figure changed."""
    metrics = tuple(replace(each, **changes) if each.name == name else each for each in plan.metrics)  # type: ignore[arg-type]
    return resigned(plan, metrics=metrics)


PLANS: list[tuple[str, Callable[[FleetPlan], FleetPlan]]] = [
    ("the plan is unaltered", lambda plan: replace(plan, seed=plan.seed + 1)),
    ("the plan is of this fleet", lambda plan: resigned(plan, prior_state_sha256="1" * 64)),
    ("the plan is of this fleet", lambda plan: resigned(plan, fleet="other")),
    ("resources are offers", lambda plan: with_resource(plan, 0, address="aws:mars/h100x8/spot")),
    ("resources are offers", lambda plan: with_resource(plan, 0, region="aws:mars", address="aws:mars/h100x8/spot")),
    ("resources are offers", lambda plan: resigned(plan, resource_changes=(*plan.resource_changes,) * 2)),
    ("what is held is as told", lambda plan: with_change(plan, "delete", "delete", 1, 0)),
    ("what is held is as told", lambda plan: resigned(plan, resource_changes=plan.resource_changes[1:])),
    ("actions say what happens", lambda plan: with_change(plan, "create", "update", 0, 3)),
    ("actions say what happens", lambda plan: with_resource(plan, 0, reason=" ")),
    ("differences are true", lambda plan: with_resource(plan, 0, cost_delta_usd_per_h=-1e6)),
    ("differences are true", lambda plan: with_resource(plan, 0, capacity_delta=1e6)),
    (
        "quotas are kept",
        lambda plan: with_change(plan, "create", "create", 0, 9_000_000),
    ),
    ("flows serve everybody", lambda plan: resigned(plan, flows=plan.flows[1:])),
    ("flows serve everybody", lambda plan: resigned(plan, flows=(*plan.flows, plan.flows[0]))),
    (
        "flows serve everybody",
        lambda plan: resigned(plan, flows=(replace(plan.flows[0], zone="zone-of-nobody"), *plan.flows[1:])),
    ),
    ("flows serve everybody", lambda plan: resigned(plan, flows=(replace(plan.flows[0], rtt_ms=0.5), *plan.flows[1:]))),
    (
        "flows serve everybody",
        lambda plan: resigned(plan, flows=tuple(replace(each, region=plan.flows[0].region) for each in plan.flows)),
    ),
    ("figures are true", lambda plan: with_metric(plan, "cost.usd_per_h", after=1.0)),
    ("figures are true", lambda plan: with_metric(plan, "cost.usd_per_month", before=1.0)),
    ("figures are true", lambda plan: with_metric(plan, "latency.p95_ms", after=1.0)),
    ("figures are true", lambda plan: with_metric(plan, "demand.near_share", before=2.0)),
    ("figures are true", lambda plan: resigned(plan, metrics=plan.metrics[1:])),
    ("figures are true", lambda plan: resigned(plan, metrics=(*plan.metrics, Metric("joy", "", 0.0, 1.0, "higher")))),
    ("never worse", lambda plan: resigned(plan, solvers=plan.solvers[:1])),
    ("never worse", lambda plan: resigned(plan, solvers=(plan.solvers[0], replace(plan.solvers[1], cost=1.0)))),
    ("never worse", lambda plan: resigned(plan, bounds=(replace(plan.bounds[0], value=1e9),))),
    ("never worse", lambda plan: resigned(plan, bounds=(replace(plan.bounds[0], gap=0.5),))),
    (
        "waves change what is offered",
        lambda plan: with_wave(plan, 0, starts=(*plan.waves[0].starts, Step("aws:mars/h100x8/spot", 1))),
    ),
    ("waves lead to the plan", lambda plan: resigned(plan, waves=plan.waves[:-1])),
    ("waves lead to the plan", lambda plan: resigned(plan, waves=())),
    ("waves lead to the plan", lambda plan: with_wave(plan, 1, number=7)),
    ("waves lead to the plan", lambda plan: with_wave(plan, 0, starts=())),
    (
        "waves lead to the plan",
        lambda plan: with_wave(plan, 0, starts=tuple(Step(each.address, -1) for each in plan.waves[0].starts)),
    ),
    ("a wave is at most its share", at_once),
    ("a wave is at most its share", lambda plan: with_wave(plan, 0, share=0.01)),
    ("a wave is at most its share", lambda plan: with_wave(plan, 0, least_capacity=1.0)),
    ("no step is worse than both ends", stops_first),
    ("what waves exceed is told", lambda plan: with_wave(plan, 0, passing=("max_regions",))),
    ("each wave can be undone", lambda plan: with_wave(plan, 0, undo=plan.waves[0].undo[1:])),
    ("the inverse leads back", lambda plan: resigned(plan, inverse=plan.inverse[1:])),
    ("the inverse leads back", lambda plan: resigned(plan, inverse=plan.resource_changes)),
    ("drift is of what is held", lambda plan: resigned(plan, resource_drift=(Drift("a:b/c/spot", 0, 3),))),
    ("drift is of what is held", lambda plan: resigned(plan, resource_drift=(Drift("a:b/c/spot", 0, 0),))),
]  # fmt: skip


@pytest.mark.parametrize(("name", "change"), PLANS)
def test_each_promise_that_is_broken_fails_its_own_check(name: str, change: Callable[[FleetPlan], FleetPlan]) -> None:
    assert name in failed(change(sample_plan()), sample_fleet())


def test_a_dearer_plan_than_a_sound_fleet_is_refused() -> None:
    fleet = replace(sample_fleet(), limits=replace(sample_fleet().limits, lost_cloud_share=0.0))
    model = fleet_model(fleet)
    nodes = model.held + (np.arange(model.held.size) == int(np.argmax(model.usd_per_h)))
    assert "never worse" in failed(planned(model, nodes), fleet)


def test_limits_that_what_is_in_force_breaks_must_be_told() -> None:
    fleet = replace(sample_fleet(), limits=replace(sample_fleet().limits, max_regions=1))
    model = fleet_model(fleet)
    plan = planned(model, model.held)
    assert "what is in force is judged" not in failed(plan, fleet)
    assert "what is in force is judged" in failed(resigned(plan, notes=()), fleet)


def test_spot_that_a_wave_exceeds_is_told_and_found() -> None:
    for seed in range(40):
        fleet = tiny(
            np.random.default_rng(seed), FleetLimits(spot_share=0.3, lost_regions=0, wave_share=0.4), demand=0.5
        )
        model = fleet_model(fleet)
        plan = planned(model, random_nodes(model, np.random.default_rng(seed + 1)))
        passing = [at for at, wave in enumerate(plan.waves) if "spot_share" in wave.passing]
        if not passing:
            continue
        assert "what waves exceed is told" not in failed(plan, fleet)
        assert "what waves exceed is told" in failed(with_wave(plan, passing[0], passing=()), fleet)
        return
    pytest.fail("no wave exceeds anything")


@pytest.mark.parametrize("known", ["metro", "outage", "country"])
def test_regions_that_fail_together_must_not_be_in_one_wave(known: str) -> None:
    fleet = sample_fleet()
    started = sorted({step.address.partition("/")[0] for step in sample_plan().waves[0].starts})[:2]
    place = {"metro": "ruhr", "outage": "", "country": ""}[known]
    regions = tuple(
        replace(each, metro=place, cloud="altus", country="DE") if each.id in started else replace(each, metro=each.id)
        for each in fleet.regions
    )
    outages = (Outage(0.001, tuple(started)),) if known == "outage" else ()
    limits = replace(fleet.limits, availability=0.0)
    together = replace(fleet, regions=regions, outages=outages, limits=limits)
    assert "regions that fail together are apart" in failed(sample_plan(), together)
    spot_only = tuple(replace(each, spot_only=True) for each in outages)
    alone = tuple(replace(each, metro=each.id) for each in regions)
    apart = replace(together, regions=alone, outages=spot_only)
    assert "regions that fail together are apart" not in failed(sample_plan(), apart)


def test_what_cannot_be_read_is_left_out_and_never_passed() -> None:
    fleet = replace(sample_fleet(), offers=(*sample_fleet().offers, sample_fleet().offers[0]))
    verdict = verify_fleet_plan(sample_plan(), fleet)
    assert not verdict.passed
    assert len(verdict.checks) == 3


def test_an_empty_fleet_can_be_planned_and_checked() -> None:
    fleet = replace(sample_fleet(), holdings=())
    model = fleet_model(fleet)
    after = fleet_model(sample_fleet()).held
    plan = planned(model, after)
    broken = failed(plan, fleet)
    assert broken <= {"a cloud may be lost", "regions may be lost"}
    assert {each.change.actions[0] for each in plan.resource_changes} == {"create"}
    assert plan.inverse == inverse(resource_changes(model, model.held, after))


def test_waves_of_one_address_are_found_out() -> None:
    plan = sample_plan()
    wave = plan.waves[0]
    half = replace(wave.starts[0], nodes=1)
    rest = replace(wave.starts[0], nodes=wave.starts[0].nodes - 1)
    assert rest.nodes > 0
    starts = (half, rest, *wave.starts[1:])
    undo = tuple(Step(step.address, -step.nodes) for step in (*wave.stops, *starts))
    changed: Wave = replace(wave, starts=starts, undo=undo)
    assert "waves lead to the plan" in failed(resigned(plan, waves=(changed, *plan.waves[1:])), sample_fleet())
