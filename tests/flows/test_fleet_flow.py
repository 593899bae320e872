"""The fleet's flow on a real Prefect server: verified files, the three promises, and input that is wrong."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data.errors import BadSource, PlanRefused, SourceUnavailable
from data.generators.fleet import generate_fleet
from data.readers.fleet.fleet_file import read_fleet, write_fleet
from data.readers.fleet.plan_file import read_fleet_plan
from data.schemas.fleet import FLEET, Fleet, FleetLimits
from flows.fleet import plan_fleet
from flows.fleet_params import FleetParams
from tasks.fleet.plan import check_fresh
from tasks.validation.fleet import verify_fleet_plan


@pytest.fixture(scope="module")
def fleet() -> Fleet:
    limits = FleetLimits(latency_ms=250.0)
    return generate_fleet(np.random.default_rng(5), regions=6, skus=2, zones=5, demand=600.0, limits=limits)


@pytest.fixture
def raw(fleet: Fleet) -> dict[str, Any]:
    """The fleet as its file says it, to be spoilt."""
    found: dict[str, Any] = json.loads(FLEET.dump_json(fleet))
    return found


def asked(folder: Path, path: Path, **form: object) -> FleetParams:
    given = {"source": {"kind": "file", "path": path}, "frontier": 0, "output": folder / "runs", "gap": 0.02}
    return FleetParams.model_validate(given | form)


def written(folder: Path, content: Fleet | dict[str, Any]) -> Path:
    path = folder / "fleet.json"
    if isinstance(content, Fleet):
        write_fleet(content, path)
    else:
        path.write_text(json.dumps(content))
    return path


def planned(folder: Path, content: Fleet | dict[str, Any], **form: object) -> Path:
    return Path(plan_fleet(asked(folder, written(folder, content), **form)))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, fleet: Fleet) -> Path:
    """The folder of one run with everything."""
    return planned(tmp_path_factory.mktemp("run"), fleet, frontier=3, frontier_seconds=5)


def test_a_run_leaves_a_plan_that_verifies_and_what_a_person_reads(run: Path) -> None:
    names = {"fleet.json", "fleet_plan.json", "diff.txt", "report.html", "timings.json", "events.jsonl"}
    assert names <= {path.name for path in run.iterdir()}
    plan, state = read_fleet_plan(run), read_fleet(run / "fleet.json").fleet
    check_fresh(plan, state)
    assert verify_fleet_plan(plan, state).passed
    assert (run / "diff.txt").read_text().splitlines()[-1].startswith("Plan: ")
    page = (run / "report.html").read_text()
    assert "src=" not in page
    assert page.count("<svg") >= 2
    assert "What nearness costs" in page


def test_a_run_says_in_lines_what_it_decided(run: Path) -> None:
    plan = read_fleet_plan(run)
    lines = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    told = {line["event"]: line for line in lines}
    assert {"run.started", "fleet.read", "problem.refined", "plan.assembled", "plan.validated"} <= set(told)
    assert told["plan.assembled"]["plan"] == plan.sha256[:12]
    assert told["plan.assembled"]["state"] == plan.prior_state_sha256[:12]
    assert told["plan.assembled"]["waves"] == len(plan.waves)
    assert len([line for line in lines if line["event"] == "fallback"]) == len(plan.fallbacks)


def test_it_is_never_worse_explained_and_can_be_undone(run: Path) -> None:
    plan = read_fleet_plan(run)
    cost = {row.method: row.cost for row in plan.solvers}
    assert [row.method for row in plan.solvers if row.chosen], "somebody is named"
    assert min(row.cost for row in plan.solvers if row.chosen) <= cost["incumbent"]
    assert plan.bounds[0].value <= min(row.cost for row in plan.solvers if row.chosen)
    assert all(each.reason for each in plan.resource_changes)
    back = {each.address: each.change for each in plan.inverse}
    for each in plan.resource_changes:
        assert (back[each.address].before, back[each.address].after) == (each.change.after, each.change.before)


def test_a_second_plan_changes_nothing_and_tells_drift(tmp_path: Path, fleet: Fleet, run: Path) -> None:
    raw = json.loads(FLEET.dump_json(fleet))
    after = [each for each in read_fleet_plan(run).resource_changes if each.change.after]
    keys = [dict(zip(("region", "sku", "purchase"), each.address.split("/"), strict=True)) for each in after]
    raw["holdings"] = [key | {"nodes": each.change.after} for key, each in zip(keys, after, strict=True)]
    again = read_fleet_plan(planned(tmp_path, raw, previous_plan=run))
    assert again.resource_drift == ()
    chosen = min(row.cost for row in again.solvers if row.chosen)
    assert chosen <= next(row.cost for row in again.solvers if row.method == "incumbent")
    raw["holdings"][0]["nodes"] += 3
    drifted = read_fleet_plan(planned(tmp_path, raw, previous_plan=run.parent))
    assert [(each.address, each.found - each.planned) for each in drifted.resource_drift] == [(after[0].address, 3)]


@pytest.mark.slow
def test_the_same_fleet_and_seed_give_the_same_bytes(tmp_path: Path, fleet: Fleet) -> None:
    one, other = (planned(tmp_path, fleet) for _ in range(2))
    assert (one / "fleet_plan.json").read_bytes() == (other / "fleet_plan.json").read_bytes()


def test_limits_of_the_run_go_before_those_of_the_fleet(tmp_path: Path, fleet: Fleet) -> None:
    folder = planned(tmp_path, fleet, limits={"spot_share": 0.0})
    plan = read_fleet_plan(folder)
    assert not [each for each in plan.resource_changes if each.purchase == "spot" and each.change.after]
    assert read_fleet(folder / "fleet.json").fleet.limits.spot_share == 0.0


@pytest.mark.parametrize(
    ("limits", "named"),
    [
        ({"latency": 80}, r"limits\.latency: .*, found '?80"),
        ({"spot_share": 1.5}, r"limits\.spot_share: .*less than or equal to 1.*1\.5"),
        ({"lost_regions": -1}, r"limits\.lost_regions: .*greater than or equal to 0"),
    ],
)
def test_a_limit_that_cannot_be_is_refused(tmp_path: Path, fleet: Fleet, limits: dict[str, float], named: str) -> None:
    with pytest.raises(BadSource, match=named):
        planned(tmp_path, fleet, limits=limits)
    assert list((tmp_path / "runs").iterdir()) == []


def test_prices_in_cents_and_marks_for_unknown_ones_are_set_aside_by_name(tmp_path: Path, raw: dict[str, Any]) -> None:
    raw["offers"][1]["usd_per_h"] *= 100
    spoilt = next(each for each in raw["offers"] if each["purchase"] == "spot" and each is not raw["offers"][1])
    spoilt["quota_nodes"] = -4
    raw["holdings"] = [each for each in raw["holdings"] if _key(each) not in (_key(raw["offers"][1]), _key(spoilt))]
    plan = read_fleet_plan(planned(tmp_path, raw))
    aside = {each.path: each for each in plan.set_aside}
    price = aside["fleet.json: offers[1].usd_per_h"]
    assert "cents" in price.expected
    quota = aside[f"fleet.json: offers[{raw['offers'].index(spoilt)}].quota_nodes"]
    assert quota.found == "-4"
    addresses = {each.address for each in plan.resource_changes if each.change.after}
    assert "/".join(_key(raw["offers"][1])) not in addresses
    assert "/".join(_key(spoilt)) not in addresses


def _key(record: dict[str, Any]) -> tuple[str, str, str]:
    return record["region"], record["sku"], record["purchase"]


def test_an_offer_of_an_unknown_region_is_set_aside(tmp_path: Path, raw: dict[str, Any]) -> None:
    raw["offers"].append(raw["offers"][0] | {"region": "nowhere:1"})
    plan = read_fleet_plan(planned(tmp_path, raw))
    assert [each.found for each in plan.set_aside] == ["nowhere:1"]


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (lambda raw: raw["holdings"].append(raw["holdings"][0] | {"region": "nowhere:1"}), r"nowhere:1/"),
        (lambda raw: raw["latencies"]["regions"].__setitem__(0, "x"), r"latencies.*each of the fleet's regions once"),
        (lambda raw: raw["latencies"]["rtt_ms"][0].__setitem__(0, None), r"latencies\.rtt_ms\[0\]\[0\]: .*None"),
        (lambda raw: raw["latencies"]["rtt_ms"][0].__setitem__(0, 90_000), r"rtt_ms\[0\]\[0\]: .*found 90000"),
        (lambda raw: raw["zones"][0].__setitem__("demand", -5), r"zones\[0\]\.demand: .*found -5"),
        (lambda raw: raw.__setitem__("zones", []), r"zones: expected at least one"),
        (lambda raw: raw.__setitem__("taken_at", "yesterday"), r"taken_at: .*yesterday"),
    ],
)
def test_what_cannot_be_left_out_is_refused_by_name(
    tmp_path: Path, raw: dict[str, Any], spoil: Any, named: str
) -> None:
    spoil(raw)
    with pytest.raises(BadSource, match=named):
        planned(tmp_path, raw)
    assert list((tmp_path / "runs").iterdir()) == []


def test_demand_beyond_all_quotas_says_what_is_short_and_by_how_much(tmp_path: Path, fleet: Fleet) -> None:
    raw = json.loads(FLEET.dump_json(fleet))
    for zone in raw["zones"]:
        zone["demand"] *= 100.0
    with pytest.raises(PlanRefused, match=r"no nodes keep all limits\n  demand: [\d,.e+]+ of [\d,.e+]+ units lack"):
        planned(tmp_path, raw)
    assert list((tmp_path / "runs").iterdir()) == []


def test_a_limit_that_alone_is_in_the_way_is_named_with_the_value_that_would_do(tmp_path: Path, fleet: Fleet) -> None:
    with pytest.raises(PlanRefused, match=r"carbon_kg_per_h"):
        planned(tmp_path, fleet, limits={"carbon_kg_per_h": 0.5})


def test_outages_out_of_order_are_set_aside_and_rows_put_into_order(tmp_path: Path, fleet: Fleet) -> None:
    one, other = fleet.regions[0].id, fleet.regions[1].id
    table = tmp_path / "outages.csv"
    table.write_text(
        "region,down,up\n"
        f"{one},2026-01-09T00:00:00+00:00,2026-01-09T12:00:00+00:00\n"
        f"{one},2026-01-05T00:00:00+00:00,2026-01-04T00:00:00+00:00\n"
        f"{other},2026-01-09T06:00:00+01:00,2026-01-09T13:00:00+01:00\n"
        f"{other},2026-01-01T00:00:00+00:00,2026-01-01T06:00:00+00:00\n"
        "nowhere,2026-01-01T00:00:00+00:00,2026-01-01T06:00:00+00:00\n"
        f"{other},yesterday,2026-01-01T06:00:00+00:00\n"
    )
    folder = planned(tmp_path, fleet, outages=table, outage_days=10)
    plan = read_fleet_plan(folder)
    assert [each.path for each in plan.set_aside] == [
        f"outages.csv: line {line}.{column}" for line, column in ((3, "up"), (6, "region"), (7, "down"))
    ]
    assert "out of order" in plan.set_aside[0].expected
    assert any("put into it" in note for note in plan.notes)
    seen = {frozenset(each.regions): each.weight for each in read_fleet(folder / "fleet.json").fleet.outages}
    assert seen == {
        frozenset({one}): pytest.approx(5 / 240),
        frozenset({one, other}): pytest.approx(7 / 240),
        frozenset({other}): pytest.approx(6 / 240),
    }


@pytest.mark.parametrize(
    ("text", "days", "named"),
    [
        ("region,down,up\n", None, "at least one row|no row|a row"),
        ("region,down\na,b\n", None, "up"),
        ("region,down,up\n{one},2026-01-01T00:00:00Z,2026-01-11T00:00:00Z\n", 5, "days watched: expected at least 10"),
    ],
)
def test_a_list_of_outages_of_no_use_is_refused(
    tmp_path: Path, fleet: Fleet, text: str, days: float | None, named: str
) -> None:
    table = tmp_path / "outages.csv"
    table.write_text(text.replace("{one}", fleet.regions[0].id))
    with pytest.raises(BadSource, match=named):
        planned(tmp_path, fleet, outages=table, outage_days=days)


def test_a_file_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(SourceUnavailable, match=r"no\.json"):
        plan_fleet(asked(tmp_path, tmp_path / "no.json"))


def test_a_last_plan_of_another_fleet_is_refused(tmp_path: Path, run: Path) -> None:
    wide = FleetLimits(latency_ms=400.0)
    other = generate_fleet(np.random.default_rng(6), regions=4, skus=1, zones=2, demand=80.0, limits=wide, name="other")
    with pytest.raises(BadSource, match="a plan of the fleet other, found generated"):
        planned(tmp_path, other, previous_plan=run)
    plan = read_fleet_plan(planned(tmp_path, other, previous_plan=run.parent))
    assert any("no earlier plan of other" in note for note in plan.notes)


def test_every_field_of_the_form_has_a_title_and_it_round_trips() -> None:
    schema = FleetParams.model_json_schema()
    assert all("title" in field for field in schema["properties"].values())
    for name in ("SampleFleet", "FleetFile", "Catalogue"):
        assert all("title" in field for key, field in schema["$defs"][name]["properties"].items() if key != "kind")
    params = FleetParams.model_validate({"limits": {"latency_ms": 80.0}})
    assert FleetParams.model_validate_json(params.model_dump_json()) == params
    assert FleetLimits().latency_ms != 80.0
