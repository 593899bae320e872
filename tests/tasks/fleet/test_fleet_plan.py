"""Facts about a fleet's plan: it says what changes and why, leads back exactly, and is refused where it is stale."""

import re
from dataclasses import replace

import jsonschema
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.errors import PlanRefused
from data.jsonschema import FOLDER, schema_text
from data.readers.fleet.fleet_file import fleet_digest
from data.schemas.fleet import FleetLimits, Holding
from data.schemas.fleet_plan import FLEET_PLAN
from tasks.fleet.model import fleet_model
from tasks.fleet.plan import check_fresh, diff_text, drift, exit_code, inverse, resource_changes
from tests.tasks.fleet.plans import planned, random_nodes, resigned, sample_fleet, sample_plan
from tests.tasks.fleet.tiny import tiny


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_inverse_restores_what_was_held_and_its_inverse_the_plan(seed: int) -> None:
    rng = np.random.default_rng(seed)
    model = fleet_model(tiny(rng, FleetLimits()))
    before, after = random_nodes(model, rng), random_nodes(model, rng)
    changes = resource_changes(model, before, after)
    back = inverse(changes)
    nodes = {each.address: each.change.after for each in changes}
    for each in back:
        assert each.change.before == nodes[each.address]
        nodes[each.address] = each.change.after
    offers = [f"{each.region}/{each.sku}/{each.purchase}" for each in model.fleet.offers]
    assert [nodes.get(address, 0) for address in offers] == before.tolist()
    assert sum(each.cost_delta_usd_per_h for each in (*changes, *back)) == pytest.approx(0.0, abs=1e-9)
    again = [(each.address, each.change, each.cost_delta_usd_per_h, each.capacity_delta) for each in inverse(back)]
    assert again == [(each.address, each.change, each.cost_delta_usd_per_h, each.capacity_delta) for each in changes]


def test_the_diff_shows_every_change_with_its_mark_and_counts_them() -> None:
    plan = sample_plan()
    lines = diff_text(plan).splitlines()
    marks = {"+": "create", "~": "update", "-": "delete"}
    for mark, action in marks.items():
        told = [line.split()[1] for line in lines if line.startswith(f"  {mark} ")]
        assert told == [each.address for each in plan.resource_changes if each.change.actions == (action,)]
    counts = [sum(each.change.actions == (action,) for each in plan.resource_changes) for action in marks.values()]
    assert lines[-1].startswith("Plan: {} to add, {} to change, {} to destroy; ".format(*counts))
    assert exit_code(plan) == 2


def test_a_plan_that_changes_nothing_says_so_and_ends_with_zero() -> None:
    model = fleet_model(sample_fleet())
    plan = planned(model, model.held)
    assert plan.waves == ()
    assert exit_code(plan) == 0
    assert diff_text(plan) == "No changes. The fleet is as the plan would have it.\n"


def test_a_stale_plan_and_an_altered_one_are_refused() -> None:
    fleet, plan = sample_fleet(), sample_plan()
    check_fresh(plan, fleet)
    held = (replace(fleet.holdings[0], nodes=fleet.holdings[0].nodes + 1), *fleet.holdings[1:])
    with pytest.raises(PlanRefused, match=r"stale.*plan again"):
        check_fresh(plan, replace(fleet, holdings=held))
    with pytest.raises(PlanRefused, match="altered"):
        check_fresh(replace(plan, notes=("nothing to see",)), fleet)
    check_fresh(resigned(plan, notes=("signed again",)), fleet)


def test_what_was_changed_since_the_last_plan_is_drift() -> None:
    plan, fleet = sample_plan(), sample_fleet()
    held = {each.address: each for each in plan.resource_changes if each.change.after}
    as_left = tuple(Holding(each.region, each.sku, each.purchase, each.change.after) for each in held.values())
    assert drift(fleet_model(replace(fleet, holdings=as_left)), plan) == ()
    other = (replace(as_left[0], nodes=as_left[0].nodes + 2), *as_left[2:])
    found = drift(fleet_model(replace(fleet, holdings=other)), plan)
    first, second = sorted((as_left[0], as_left[1]), key=lambda each: f"{each.region}/{each.sku}/{each.purchase}")
    assert [(each.planned, each.found) for each in found] == [
        (each.nodes, each.nodes + 2 if each is as_left[0] else 0) for each in (first, second)
    ]


def test_a_plan_is_written_as_its_published_schema_says() -> None:
    text = (FOLDER / "fleet_plan.json").read_text(encoding="utf-8")
    assert text == schema_text("fleet_plan"), "run: python -m data.jsonschema"
    import json

    jsonschema.validate(json.loads(FLEET_PLAN.dump_json(sample_plan())), json.loads(text))
    assert (FOLDER / "fleet.json").read_text(encoding="utf-8") == schema_text("fleet"), "run: python -m data.jsonschema"


def test_a_fleet_without_machines_gets_a_plan_that_can_be_read_back() -> None:
    model = fleet_model(replace(sample_fleet(), holdings=()))
    plan = planned(model, fleet_model(sample_fleet()).held)
    assert FLEET_PLAN.validate_json(FLEET_PLAN.dump_json(plan)) == plan
    served = next(each for each in plan.metrics if each.name == "demand.served_share")
    assert (served.before, served.after) == (0.0, pytest.approx(1.0))


def test_each_change_has_a_reason_and_what_is_at_risk_is_told() -> None:
    plan = sample_plan()
    assert plan.prior_state_sha256 == fleet_digest(sample_fleet())
    for each in plan.resource_changes:
        assert re.search(r"USD/h per unit|paid for", each.reason)
        if each.purchase == "spot" and each.change.after:
            assert each.risk.startswith("spot, gone ")


def test_nothing_in_force_that_serves_is_no_yardstick_for_prices() -> None:
    fleet = sample_fleet()
    spot = next(each for each in fleet.offers if each.purchase == "spot")
    offers = tuple(replace(each, interruption=1.0) if each is spot else each for each in fleet.offers)
    useless = (Holding(spot.region, spot.sku, "spot", 1),)
    for holdings in ((), useless):  # machines that are always interrupted have no price per unit
        model = fleet_model(replace(fleet, offers=offers, holdings=holdings))
        after = np.where(model.capacity > 0.0, 1, 0).astype(np.int64)
        reasons = [each.reason for each in resource_changes(model, model.held, after) if each.change.after]
        assert reasons
        assert all(reason.startswith("new: ") for reason in reasons)


def test_a_reason_from_outside_cannot_steer_the_terminal() -> None:
    changes = tuple(replace(each, reason="\x1b[2J\nPlan: 0 to add") for each in sample_plan().resource_changes)
    text = diff_text(replace(sample_plan(), resource_changes=changes))
    assert "\x1b" not in text
    assert sum(line.startswith("Plan:") for line in text.splitlines()) == 1
